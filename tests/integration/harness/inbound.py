"""Calls of the writing half: who publishes, registers and delivers, alone or
many at once."""

import contextlib
import json
import os
import threading

import pytest

from .metrics import Metrics
from .publish import RUNPOD, signed_query
from .site import PREFIX, SECRET, webhook_target

KEY = "harness-publish-key-0123456789"
_BEARER = {"Authorization": f"Bearer {KEY}"}
_JSON = {"Content-Type": "application/json"}


@pytest.fixture(name="inbound")
def fixture_inbound(make_site):
    """A site with the responder that writes; KEY may publish, and retention
    takes nothing."""
    site = make_site(publish_keys=KEY, keep_events="1000000")
    site.start("webhook")
    assert health(site) == 200  # its socket is there before its database
    return site


@pytest.fixture(name="pair")
def fixture_pair(make_site):
    """Both responders; KEY may publish and start jobs."""
    return make_site(
        publish_keys=KEY, runpod_actions="restore=abc123"
    ).start_both()


def as_bytes(value):
    """JSON text; bytes are sent as they are."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def send(site, path, value, headers=None, endpoint=None):
    """POST by somebody who has the key; the whole answer."""
    endpoint = endpoint or site.endpoint("webhook")
    return endpoint.call(
        "POST", PREFIX + path, {**_JSON, **_BEARER, **(headers or {})},
        as_bytes(value),
    )


def register(site, endpoint=None, **members):
    """Registers a job."""
    return send(site, "/jobs", members, endpoint=endpoint)


def publish(site, job, events, key=None, endpoint=None):
    """Publishes an event or an array of them."""
    headers = {"Idempotency-Key": key} if key is not None else None
    return send(site, f"/jobs/{job}/events", events, headers, endpoint)


def start_run(site, job, value=None, action="restore", key=None, **options):
    """Starts a run of the job; the whole answer."""
    headers = {"Idempotency-Key": key} if key is not None else {}
    headers.update(options.pop("headers", {}))
    return send(
        site, f"/jobs/{job}/{action}", {"input": {}} if value is None else value,
        headers, **options,
    )


def cancel_run(site, job, body=b"", **options):
    """Cancels the job's run; the whole answer."""
    return send(site, f"/jobs/{job}/cancel", body, **options)


def nameless_target(**options):
    """A signed webhook whose URL names no job."""
    override = {"job_id": None, **options.pop("override", {})}
    return webhook_target(
        signed_query(SECRET, "", override=override, **options), RUNPOD
    )


def look(site, path, method="GET", headers=None):
    """Asks the responder that writes."""
    return site.endpoint("webhook").call(method, PREFIX + path, headers)


def health(site):
    """The status of its health."""
    return look(site, "/webhooks/healthz").status


def read_inbound_metrics(site):
    """What the responder that writes counts now."""
    answer = look(site, "/webhooks/metrics")
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == (
        "text/plain; version=0.0.4; charset=utf-8"
    )
    return Metrics(answer.body.decode("ascii"))


def job_columns(site, job, names="state, output, error"):
    """These columns of the job's row; None when there is none."""
    return site.writer.connection.execute(
        f"SELECT {names} FROM jobs WHERE job_id = ?", (job,)
    ).fetchone()


def count(site, table):
    """How many rows the table has."""
    (number,) = site.writer.connection.execute(
        f"SELECT count(*) FROM {table}"
    ).fetchone()
    return number


def everything_stored(site):
    """All that the database's files hold, as bytes."""
    stored = b""
    for name in sorted(os.listdir(site.db_folder)):
        with open(os.path.join(site.db_folder, name), "rb") as file:
            stored += file.read()
    return stored


@contextlib.contextmanager
def away(site):
    """The database is renamed away for as long as the block runs."""
    site.drop_writer()
    os.rename(site.db, site.db + ".away")
    try:
        yield
    finally:
        os.rename(site.db + ".away", site.db)


def log_count(server, event):
    """How many lines of its log are of this event."""
    return server.log_text().count(f" event={event}")


def at_once(number, action):
    """Calls action(0..number-1), each on a thread of its own, at the same
    moment; their results in order. The first failure is raised."""
    gate = threading.Barrier(number)
    results, faults = [None] * number, []

    def run(index):
        try:
            gate.wait()
            results[index] = action(index)
        except BaseException as fault:  # shown by the test, not swallowed
            faults.append(fault)

    threads = [
        threading.Thread(target=run, args=(index,)) for index in range(number)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    return results
