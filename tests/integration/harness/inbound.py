"""Calls of the writing half: who publishes, registers and delivers, alone or
many at once."""

import collections
import contextlib
import json
import os
import threading

import pytest

from .metrics import Metrics
from .publish import RUNPOD, signed_query
from .site import PREFIX, SECRET, webhook_target
from .wait import Deadline

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


class Senders:
    """Connections that deliver while the block runs. Each delivery is a report
    of its own: (job, number). `accepted` has the event ids of those that were
    answered 200; `refusals` counts the other answers by (status, code).
    """

    def __init__(self, site, connections, first_job=0):
        self.accepted = {}
        self.refusals = collections.Counter()
        self.cut_off = 0  # connections that ended without an answer
        self._site = site
        self._is_over = threading.Event()
        self._faults = []
        self._threads = [
            threading.Thread(target=self._run, args=(f"job-{first_job + n}",))
            for n in range(connections)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        assert not self._faults, self._faults[0]

    def _run(self, job):
        try:
            number = 0
            while not self._is_over.is_set():
                self._send_until_accepted(job, number)
                number += 1
        except Exception as fault:  # the test fails with it
            self._faults.append(fault)

    def _send_until_accepted(self, job, number):
        deadline = Deadline(60)
        while deadline.left():
            try:
                answer = self.send(job, number)
            except (ConnectionError, FileNotFoundError):
                self.cut_off += 1
                self._is_over.wait(0.01)  # as a sender that tries again
                continue
            if answer.status == 200:
                return
            self.refusals[answer.status, answer.error()] += 1

    def send(self, job, number):
        """Sends one, whether it was sent before or not."""
        body = b'{"id":"%s","status":"FAILED","executionTime":%d}' % (
            job.encode(), number,
        )
        answer = self._site.post(self._site.signed(job), body)
        if answer.status == 200:
            self.accepted[job, number] = answer.json()["event_id"]
        return answer

    def check_stored(self, writer=None):
        """Everything that was accepted is there, once, under the id that was
        answered; how many events there are in all."""
        writer = writer or self._site.writer
        epoch = writer.epoch()
        stored = {}
        for number, job, _, data in writer.rows():
            text = data.partition('"executionTime":')[2].rstrip("}")
            assert (job, int(text)) not in stored, "doubled"
            stored[job, int(text)] = f"{epoch}-{number}"
        lost = {key for key in self.accepted if key not in stored}
        assert not lost
        for key, event_id in self.accepted.items():
            assert stored[key] == event_id
        return len(stored)
