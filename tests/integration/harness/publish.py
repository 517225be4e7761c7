"""Ways to publish an event: foreign writers of the database, also as fast as
it goes, and deliveries of a provider with their signed URLs.

    python -m harness.publish DB JOBS FIRST STEP COUNT LARGE

Publishes COUNT events, one commit each, to jobs `job-N`, N = FIRST,
FIRST + STEP .. below JOBS, in turns; those with N < LARGE get 800 kB each.
Begins when stdin says so.
"""

import base64
import hashlib
import hmac
import json
import os
import sqlite3
import subprocess
import sys
import time
import urllib.parse

from . import leaks
from .wait import patience

FIXTURES = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "..", "..", "fixtures"
)
RUNPOD = "runpod-completion"

# Each recorded payload, the event it becomes, and the error the page is told.
RUNPOD_EVENTS = [
    ("runpod-completed.json", "completed", None),
    ("runpod-failed.json", "failed", "CUDA out of memory"),
    ("runpod-failed-handler.json", "failed", "prompt is missing"),
    ("runpod-cancelled.json", "cancelled", None),
    ("runpod-timed-out.json", "timed_out", None),
    ("runpod-dev-server.json", "completed", None),
    ("runpod-in-queue.json", "queued", None),
    ("runpod-in-progress.json", "processing", None),
]


def fixture(name):
    """The bytes of a recorded payload."""
    with open(os.path.join(FIXTURES, name), "rb") as file:
        return file.read()


class ForeignWriter:
    """Another program's long-lived connection, as Python's sqlite3 makes
    it: it knows nothing of jobwire but the table."""

    def __init__(self, path):
        self.connection = sqlite3.connect(
            path, timeout=patience(20), isolation_level=None,
            check_same_thread=False,
        )
        self.connection.execute("PRAGMA synchronous=FULL")

    def own(self, job, owner):
        """Says whose job it is, as schema.sql tells publishers to."""
        self.connection.execute(
            "INSERT INTO jobs (job_id, owner) VALUES (?, ?)"
            " ON CONFLICT (job_id) DO UPDATE SET owner = excluded.owner",
            (job, owner),
        )

    def publish(self, job, kind, data=None):
        """Inserts and commits one row; its id."""
        if isinstance(data, (dict, list)):
            data = json.dumps(data)
        return self.connection.execute(
            "INSERT INTO job_events(job_id, type, data) VALUES(?, ?, ?)",
            (job, kind, data),
        ).lastrowid

    def publish_many(self, rows):
        """Inserts rows of (job, type, data) in one transaction."""
        self.connection.execute("BEGIN IMMEDIATE")
        for row in rows:
            self.publish(*row)
        self.connection.execute("COMMIT")

    def rows(self, job=None):
        """(id, job_id, type, data) of a job, or of all, in id order."""
        return self.connection.execute(
            "SELECT id, job_id, type, data FROM job_events"
            " WHERE ?1 IS NULL OR job_id = ?1 ORDER BY id",
            (job,),
        ).fetchall()

    def epoch(self):
        """The database's epoch as it appears in event ids."""
        return self.connection.execute(
            "SELECT value FROM meta WHERE key = 'epoch'"
        ).fetchone()[0]

    def close(self):
        """Closes the connection."""
        self.connection.close()


def shell_publish(path, job, kind, data=None):
    """Starts the sqlite3 shell, which inserts one row and ends; the caller
    waits for it."""

    def quoted(text):
        return "NULL" if text is None else "'" + text.replace("'", "''") + "'"

    statement = (
        "INSERT INTO job_events(job_id, type, data) VALUES("
        f"{quoted(job)}, {quoted(kind)}, {quoted(data)})"
    )
    return subprocess.Popen(
        ["sqlite3", "-batch", "-cmd", ".timeout 20000", path, statement]
    )


def signature(secret, provider, job, restore_id, exp):
    """That of a webhook URL, made without jobwire's help."""
    message = "\n".join(
        ["jobwire-webhook-v1", provider, job, restore_id, str(exp)]
    )
    digest = hmac.new(secret.encode(), message.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")


def sign(*claim):
    """The same, for a test that looks whether it leaks."""
    return leaks.secret(signature(*claim))


def signed_query(
    secret, job, restore_id="", provider=RUNPOD, lifetime=3600, override=None
):
    """The query of a signed webhook URL. `override` has other values
    for the query than those that were signed; None leaves one out."""
    exp = int(time.time()) + lifetime
    query = {
        "job_id": job,
        "restore_id": restore_id or None,
        "exp": str(exp),
        "sig": sign(secret, provider, job, restore_id, exp),
    }
    query.update(override or {})
    return urllib.parse.urlencode(
        {name: value for name, value in query.items() if value is not None}
    )


def main(path, *numbers):
    """Publishes."""
    jobs, first, step, count, large = map(int, numbers)
    writer = ForeignWriter(path)
    mine = range(first, jobs, step)
    filler = "x" * (800_000 * len(mine) // count)
    sys.stdin.readline()
    for number in range(count):
        job = mine[number % len(mine)]
        data = {"n": number}
        if job < large:
            data["filler"] = filler
        writer.publish(f"job-{job}", "step", json.dumps(data))
    writer.close()


class Flood:
    """Several of these programs at work on one database."""

    def __init__(self, path, publishers, jobs, count, large=0):
        folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        share = count // publishers
        self._children = [
            subprocess.Popen(
                [sys.executable, "-m", "harness.publish", path, str(jobs),
                 str(first), str(publishers), str(share), str(large)],
                cwd=folder, stdin=subprocess.PIPE,
            )
            for first in range(publishers)
        ]

    def begin(self):
        """Lets them all go."""
        for child in self._children:
            child.stdin.write(b"\n")
            child.stdin.close()

    def is_over(self):
        """Have all ended? None may have failed."""
        codes = [child.poll() for child in self._children]
        assert not any(codes), f"a publisher failed: {codes}"
        return None not in codes

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for child in self._children:
            if child.poll() is None:
                child.kill()
            child.wait()
            child.stdin.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
