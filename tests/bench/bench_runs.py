#!/usr/bin/python3
"""jobwire-runner: how soon a job that was accepted is submitted, and what it
takes to repair many runs whose webhooks were all lost."""

import collections
import contextlib
import json
import os
import sys
import time

from common import BenchSite, milliseconds
from harness.process import read_text
from harness.runs import RunSite
from harness.wait import until

RUNS = int(os.environ.get("RUNS", "10000"))
STARTS = 500


@contextlib.contextmanager
def run_site(prepare=None, **settings):
    """With what it needs; `prepare` is called before RunPod starts."""
    with BenchSite() as site:
        if prepare:
            prepare(site)
        yield RunSite(
            site, "--keep", "1h", reconcile_after="60s", unknown_for="15m",
            runner_timeout="30s", run_deadline="1h", **settings,
        )


def submission_times(count):
    """Seconds from 202 to the moment at which the provider has the job, one
    job after the other."""
    times = []
    with run_site() as runs:
        runs.start()
        for number in range(count):
            job = f"job-{number}"
            runs.start_job(job, {"n": number, "simulate": {"webhook": "drop"}})
            accepted = time.time()
            until(lambda: len(runs.runpod.jobs()) > number, "a submission")
            taken = list(runs.runpod.jobs().values())[-1]["accepted"]
            times.append(max(0, taken - accepted))
    return times


def submission():
    """Prints them."""
    times = submission_times(STARTS)
    print(f"runs_accepted_to_submitted n={STARTS} {milliseconds(times)}",
          flush=True)


def lost_webhooks(site):
    """Jobs that the provider has done, and told nobody of."""
    now = time.time()
    with open(os.path.join(site.root, "runpod.journal"), "w",
              encoding="utf-8") as file:
        for n in range(RUNS):
            line = {
                "id": f"{n}-u1", "endpoint": "photos", "input": {"n": n}, "n": 1,
                "webhook": None, "policy": {}, "accepted": now, "started": now,
                "ended": now, "told": True, "status": "COMPLETED",
                "delayTime": 1, "executionTime": 1, "output": {"url": f"x/{n}"},
            }
            file.write(json.dumps(line) + "\n")
    writer = site.writer.connection
    writer.execute("BEGIN IMMEDIATE")
    for n in range(RUNS):
        site.writer.publish(f"job-{n}", "queued")
        writer.execute(
            "INSERT INTO runs (job_id, action, endpoint, restore_id, state,"
            " external_id, attempts, deadline, submitted_at)"
            " VALUES (?, 'restore', 'photos', ?, 'submitted', ?, 1,"
            " strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '1 hour'),"
            " strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))",
            (f"job-{n}", f"r-{n}", f"{n}-u1"),
        )
    writer.execute("COMMIT")


def seconds_each(runs, begun):
    """When each job was repaired, in seconds from then on."""
    rows = runs.site.writer.connection.execute(
        "SELECT (julianday(created_at) - 2440587.5) * 86400 FROM job_events"
        " WHERE type = 'completed' ORDER BY id"
    )
    return [at - begun for (at,) in rows]


def repair():
    """All of them, by /status at no more than runner_rate."""
    with run_site(lost_webhooks) as runs:
        begun = time.time()
        runner = runs.start_runner()
        count = "SELECT count(*) FROM job_events WHERE type = 'completed'"
        done = 0
        while done < RUNS:
            time.sleep(1)
            (done,) = runs.site.writer.connection.execute(count).fetchone()
            assert time.time() - begun < RUNS / 10, f"only {done}"
        cpu = int(read_text(f"/proc/{runner.pid}/schedstat").split()[0]) / 1e9
        status = read_text(f"/proc/{runner.pid}/status")
        peak = int(status.split("VmHWM:")[1].split()[0])
        times = seconds_each(runs, begun)
    took = times[-1]
    each_second = collections.Counter(int(at - times[0]) for at in times)
    print(
        f"runs_repaired n={RUNS} took={took:.1f}s"
        f" calls_per_s={RUNS / took:.1f} most={max(each_second.values())}"
        f" cpu={cpu:.2f}s cpu_share={100 * cpu / took:.2f}%"
        f" cpu_per_run={1e6 * cpu / RUNS:.0f}us peak={peak}KiB",
        flush=True,
    )


if __name__ == "__main__":
    for measure in sys.argv[1:] or ["submission", "repair"]:
        {"submission": submission, "repair": repair}[measure]()
