#!/usr/bin/python3
"""Durable webhooks over 32 kept connections, by raw FastCGI and through
nginx: how many are accepted, how fast, and that each is in the table."""

import os
import subprocess
import sys
import time

from common import BenchSite, load_program
from harness.nginx import Nginx
from harness.publish import FIXTURES, RUNPOD, sign
from harness.site import SECRET, webhook_target

CONNECTIONS = 32
TARGETS_PER_SECOND = 25000  # more than can be used


def targets(seconds):
    """A signed URL for a job each, a line each."""
    exp = int(time.time()) + 3600
    return "".join(
        webhook_target(
            f"job_id=job-{number}&exp={exp}"
            f"&sig={sign(SECRET, RUNPOD, f'job-{number}', '', exp)}\n"
        )
        for number in range(seconds * TARGETS_PER_SECOND)
    )


def check_stored(site, accepted):
    """Every accepted delivery must be in the table, once."""
    stored = {
        row[0]
        for row in site.writer.connection.execute(
            "SELECT job_id FROM job_events"
        )
    }
    missing = [number for number in accepted if f"job-{number}" not in stored]
    assert not missing, f"{len(missing)} accepted and not in the table"
    return len(stored)


def measure(name, seconds):
    """Prints the line for one way in."""
    body = os.path.join(FIXTURES, "runpod-completed.json")
    with BenchSite() as site:
        site.start("webhook")
        address = site.sockets["webhook"]
        if name == "nginx":
            site.start("events")
            address = f"127.0.0.1:{Nginx(site).start().port}"
        accepted_file = os.path.join(site.root, "accepted")
        done = subprocess.run(
            [load_program(), address, str(CONNECTIONS), str(seconds), body,
             accepted_file],
            input=targets(seconds), text=True, check=True,
            stdout=subprocess.PIPE,
        )
        with open(accepted_file, encoding="ascii") as file:
            accepted = [int(line) for line in file]
        stored = check_stored(site, accepted)
    print(
        f"webhook way={name} connections={CONNECTIONS} {done.stdout.strip()}"
        f" stored={stored}",
        flush=True,
    )


def build_single():
    """The programs with one commit per request, to compare with; the folder
    they are in."""
    subprocess.run(
        ["make", "-s", "all", "FLAVOUR=single",
         "CFLAGS=-O2 -DCOMMIT_BATCH_MAX=1"],
        check=True, stdout=subprocess.DEVNULL,
    )
    return os.path.abspath("build/single/bin")


if __name__ == "__main__":
    SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    WAYS = sys.argv[2:] or ["fastcgi", "nginx"]
    for way in WAYS:
        measure(way, SECONDS)
    if len(sys.argv) < 3:
        print("with one commit per request:", flush=True)
        subprocess.run(
            [sys.executable, __file__, str(SECONDS), "fastcgi"], check=True,
            env={**os.environ, "JOBWIRE_BIN": build_single()},
        )
