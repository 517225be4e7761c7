"""Bodies that are large, slow or many."""

import contextlib
import hashlib
import threading
import time

import pytest
from harness import fastcgi as wire
from harness.fastcgi import FastcgiExchange, environ, record, stream_records
from harness.inbound import (  # noqa: F401
    at_once, fixture_inbound, read_inbound_metrics,
)
from harness.process import read_text
from harness.publish import fixture
from harness.site import is_sanitized, program
from harness.wait import patience, until

COMPLETED = fixture("runpod-completed.json")
JSON = {"Content-Type": "application/json"}
MEBIBYTE = 1 << 20


def begin(site, job):
    """A connection on which a webhook's head was sent."""
    connection = site.endpoint("webhook").connect()
    values = environ("POST", site.signed(job), JSON)
    connection.send(wire.begin() + wire.params(values))
    return connection


class Memory:
    """The most that a process takes while the block runs, in bytes."""

    def __init__(self, server):
        self.pss = 0
        self._server = server
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def _sample(self):
        while not self._is_over.wait(0.02):
            self.pss = max(self.pss, self._server.pss())

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()

    def high_water(self):
        """Of the resident set, mapped files included."""
        for line in read_text(f"/proc/{self._server.pid}/status").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmHWM")


def whole_job(site, job):
    """GET of the job; the pieces of a long answer are put together once."""
    exchange = site.endpoint("events").open("GET", f"/api/v1/jobs/{job}")
    answer = b"".join(iter(lambda: exchange.read_some(30), b""))
    assert exchange.head.status == 200
    exchange.close()
    return answer


@pytest.mark.parametrize(
    "rest", [b'"id":"x","status":"COMPLETED",', b""], ids=["named", "nameless"]
)
def test_16_bodies_of_30_mebibytes(make_site, rest):
    """All are there before the first one ends; the process stays below 256
    MiB, also where the whole body tells the call from others; and each output
    comes back to the byte."""
    site = make_site().start_both()
    output = b'{"seed":1234567890123456789,"image":"%s"}' % (
        b"0123456789abcdef" * (30 * MEBIBYTE // 16)
    )
    body = b'{%s"output":%s}' % (rest, output)
    records = stream_records(wire.STDIN, body)  # made once, for our own sake
    end = len(records) - 8
    all_sent = threading.Barrier(16)

    def deliver(number):
        with begin(site, f"job-{number}") as connection:
            connection.socket.settimeout(60)
            connection.socket.sendall(memoryview(records)[:end])
            all_sent.wait(60)
            connection.send(records[end:])
            return FastcgiExchange(connection).finish(60).status

    with Memory(site.webhook) as memory:
        begun = time.monotonic()
        assert at_once(16, deliver) == [200] * 16
        seconds = time.monotonic() - begun
    high = memory.high_water()
    print(
        f"16 x 30 MiB in {seconds:.1f} s: PSS {memory.pss / MEBIBYTE:.0f} MiB,"
        f" VmHWM {high / MEBIBYTE:.0f} MiB"
    )
    if not is_sanitized(program("jobwire-webhook")):
        assert memory.pss < 256 * MEBIBYTE
        assert high < 256 * MEBIBYTE
    wanted = hashlib.sha256(output).digest()
    for number in range(16):
        found = whole_job(site, f"job-{number}").partition(b'"output":')[2].rpartition(b',"created_at"')[0]
        assert hashlib.sha256(found).digest() == wanted
    assert read_inbound_metrics(site).value("webhook_body_bytes") == 0


@pytest.mark.parametrize("size", [256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1])
def test_at_the_border_of_memory_and_file(inbound, size):
    """Whole, and in pieces that cross it."""
    body = COMPLETED + b" " * (size - len(COMPLETED))
    inbound.deliver("whole", body)
    with begin(inbound, "pieces") as connection:
        for start in range(0, size, 50001):
            piece = body[start : start + 50001]
            connection.send(record(wire.STDIN, piece))
        connection.send(record(wire.STDIN))
        assert FastcgiExchange(connection).finish().status == 200
    assert [r[1] for r in inbound.writer.rows()] == ["whole", "pieces"]
    assert read_inbound_metrics(inbound).value("webhook_body_bytes") == 0


def test_a_dripping_body(make_site):
    """Byte by byte it comes for as long as body_timeout says, however busy
    its sender is; others do not notice."""
    site = make_site(body_timeout="2s")
    site.start("webhook")
    begun, others = time.monotonic(), 0
    with begin(site, "drip") as connection:
        is_open = True
        while is_open:
            try:
                is_open = connection.receive(0.05) is not None
            except TimeoutError:
                with contextlib.suppress(BrokenPipeError):  # just given up
                    connection.send(record(wire.STDIN, b" "))
            if is_open:
                site.deliver(f"job-{others}", COMPLETED)
                others += 1
        seconds = time.monotonic() - begun
    assert 1.9 < seconds < 2 + patience(4)
    assert others > 2, "they waited for it"
    metrics = read_inbound_metrics(site)
    assert metrics.value("webhook_requests_timed_out_total") == 1
    until(
        lambda: read_inbound_metrics(site).value("webhook_body_bytes") == 0,
        "the body to be gone",
    )
    assert len(site.writer.rows()) == others
