"""The writing half restarts behind nginx, which keeps connections to it, while
a manager holds the socket: nobody sees it."""

import collections
import itertools
import os
import socket
import threading

import pytest
from harness.nginx import Nginx
from harness.site import PREFIX
from harness.wait import until

PUBLISH_KEY = "publish-key-0123456789abcdef"
RESTARTS = int(os.environ.get("JOBWIRE_RESTARTS", "5"))
SENDERS = 12
BETWEEN = 60  # answers from one restart to the next
_PUBLISH = {
    "Content-Type": "application/json", "Authorization": f"Bearer {PUBLISH_KEY}",
}


class Load:
    """Half of the senders deliver webhooks, half publish without an
    Idempotency-Key: there a request sent twice would be stored twice."""

    def __init__(self, site, endpoint):
        self.answers = collections.Counter()  # by status
        self.accepted = set()
        self._site, self._endpoint = site, endpoint
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, args=(n,)) for n in range(SENDERS)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, sender):
        send = self._publish if sender % 2 else self._deliver
        for number in itertools.count():
            if self._is_over.is_set():
                return
            job = f"job-{sender}-{number}"
            try:
                status = send(job)
            except Exception as fault:  # counted, and the test fails with it
                status = repr(fault)
            with self._lock:
                self.answers[status] += 1
                if status in (200, 201):
                    self.accepted.add(job)

    def _deliver(self, job):
        body = b'{"id":"x","status":"COMPLETED","output":1}'
        return self._site.post(
            self._site.signed(job), body, endpoint=self._endpoint
        ).status

    def _publish(self, job):
        return self._endpoint.call(
            "POST", f"{PREFIX}/jobs/{job}/events", _PUBLISH, b'{"type":"note"}'
        ).status


@pytest.fixture(name="held")
def fixture_held(make_site):
    """A site and its webhook socket, which this process holds."""
    site = make_site(
        publish_keys=PUBLISH_KEY, webhook_socket=None, drain="5s"
    )
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(site.sockets["webhook"])
        listener.listen(4096)
        yield site, listener


def test_restarts_under_load(held, record_property):
    """JOBWIRE_RESTARTS=100 for the figure."""
    site, listener = held
    site.start("webhook", stdin=listener)
    web = Nginx(site).start()
    with Load(site, web.endpoint) as load:
        for number in range(1, RESTARTS + 1):
            until(
                lambda n=number: load.answers.total() >= n * BETWEEN,
                "answers", 30,
            )
            until(
                lambda n=number: site.webhook.log_text().count("event=ready") == n,
                "the program to be ready", 30,
            )
            assert site.webhook.terminate() == 0
            site.start("webhook", stdin=listener)
    web.stop()
    record_property("restarts under load", f"{RESTARTS}: {dict(load.answers)}")
    assert set(load.answers) <= {200, 201}
    rows = [row[1] for row in site.writer.rows()]
    assert len(rows) == len(set(rows)), "stored twice"
    assert set(rows) == load.accepted
