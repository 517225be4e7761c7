"""The main paths through every web server, each with its shipped example
file: what holds for all of them. The fronts are in harness/fronts.py.

A front serves all tests of this file, one after the other; each test has
jobs of its own.
"""

import contextlib
import statistics
import subprocess
import time

import pytest
from harness.exchange import BrokenAnswer
from harness.fronts import PUBLISH_KEY, WAYS, Front
from harness.http import HttpEndpoint
from harness.http2 import CurlEndpoint
from harness.publish import RUNPOD_EVENTS, fixture
from harness.sse import StreamEnded, data_of
from harness.wait import Deadline, patience, until

COMPLETED = fixture("runpod-completed.json")
JSON = {"Content-Type": "application/json"}

# The programs that a web server starts write into its error log.
SANITIZERS = ("Sanitizer", "runtime error")

# Who is asked.
READ = ["/events/a", "/events", "/jobs/a", "/healthz", "/metrics"]
WRITE = ["/webhooks/runpod-completion", "/jobs", "/jobs/a/events",
         "/jobs/a/restore", "/jobs/a/cancel", "/tickets"]


@pytest.fixture(name="front", scope="module", params=WAYS)
def fixture_front(request, make_shared_site):
    """A web server with both programs behind it."""
    front = Front(request.param, make_shared_site)
    yield front
    until(lambda: front.web.streams_open() == 0, "streams to be gone", 20)
    assert not any(word in front.web.logs() for word in SANITIZERS)


def resume(stream, seconds=15):
    """Reconnects as the client library does, whatever the answer, until
    there is an event after the last one; returns it."""
    deadline = Deadline(seconds)
    while True:
        with contextlib.suppress(ConnectionError, StreamEnded):
            if stream.reconnect().status == 200:
                return stream.next(deadline)
        deadline.left()


def test_example_is_accepted(front):
    """By the server itself, without a warning."""
    harmless = (
        '"user" directive makes sense',  # nginx, to an ordinary user
        "setrlimit",  # lighttpd, where the system allows fewer descriptors
        '"listen ... http2" directive',  # nginx from 1.25.1 on
    )
    for line in front.web.check().splitlines():
        assert "warn" not in line or any(text in line for text in harmless)


def test_events_arrive_as_they_happen(front, record_property):
    """While the stream is open, not when a buffer is full or it ends."""
    times = []
    with front.stream("live") as stream:
        stream.wait_open()
        assert stream.status == 200
        assert stream.headers["content-type"] == (
            "text/event-stream; charset=utf-8"
        )
        assert stream.headers["cache-control"] == "no-cache, no-transform"
        assert "content-encoding" not in stream.headers
        for number in range(15):
            front.site.writer.publish("live", "note", {"n": number})
            committed = time.monotonic()
            event = stream.next()
            assert data_of(event)["n"] == number
            times.append((event.at - committed) * 1000)
        assert not stream.exchange.ended
    median = statistics.median(times)
    record_property(
        f"{front.name}: commit to client",
        f"median {median:.2f} ms, longest of {len(times)} {max(times):.2f} ms",
    )
    assert median < patience(200)


@pytest.mark.parametrize("kind", ["completed", "failed"])
def test_webhook_to_stream(front, kind):
    """A signed call becomes an event; the stream ends with its job, and
    EventSource is told not to come back."""
    name = next(row[0] for row in RUNPOD_EVENTS if row[1] == kind)
    with front.stream(f"hook-{kind}") as stream:
        stream.wait_open()
        value = front.site.deliver(
            f"hook-{kind}", fixture(name), "456", front.endpoint
        )
        event = stream.next()
        assert (event.id, event.event) == (value["event_id"], kind)
        assert stream.wait_end() == []
        assert stream.reconnect().status == 204


def test_5_mib_webhook(front):
    text = b'"%s"' % (b"x" * (5 << 20))
    body = COMPLETED.replace(b'"Hello World"', text, 1)
    front.site.deliver("large", body, endpoint=front.endpoint)
    assert len(front.site.writer.rows("large")) == 1


def test_webhook_over_32_mib(front):
    body = b"x" * ((32 << 20) + 1)
    try:
        answer = front.site.post(
            front.site.signed("over"), body, endpoint=front.endpoint
        )
        assert answer.status == 413
    except BrokenAnswer:  # lighttpd resets an HTTP/2 stream instead
        assert front.name == "lighttpd-http2"
        assert "-> 413" in front.web.logs()


@pytest.mark.parametrize(
    "front", [name for name in WAYS if "http2" not in name], indirect=True
)
def test_chunked_request_body(front):
    """A sender that does not say how long its body is."""
    body = b"".join(
        b"%x\r\n%s\r\n" % (len(COMPLETED[i : i + 50]), COMPLETED[i : i + 50])
        for i in range(0, len(COMPLETED), 50)
    )
    exchange = front.endpoint.open(
        "POST", front.site.signed("chunked"),
        {**JSON, "Transfer-Encoding": "chunked"},
    )
    exchange.socket.sendall(body + b"0\r\n\r\n")
    assert exchange.finish().status == 200
    assert len(front.site.writer.rows("chunked")) == 1


@pytest.mark.parametrize("path", READ + WRITE)
def test_route(front, path):
    """Each program gets what is its own: the one that reads takes no POST."""
    answer = front.site.post("/api/v1" + path, b"{}", endpoint=front.endpoint)
    assert (answer.status == 405) == (path in READ), answer
    assert answer.error()


@pytest.mark.parametrize("path", ["/healthz", "/metrics"])
def test_health_of_both_programs(front, path):
    for target in ("/api/v1" + path, "/api/v1/webhooks" + path):
        assert front.endpoint.call("GET", target).status == 200
    if front.name != "lighttpd-cgi":  # its alias has one prefix
        assert front.endpoint.call("GET", path).status == 200


def test_target_that_is_a_whole_uri(front):
    """RFC 9112, section 3.2.2; HTTP/2 sends paths only."""
    if "http2" not in front.name:
        for path, status in (("jobs/nobody", 404), ("webhooks/healthz", 200)):
            answer = front.endpoint.call(
                "GET", f"http://localhost/api/v1/{path}"
            )
            assert answer.status == status
            assert status == 200 or answer.error() == "unknown_job"


def test_authorization_reaches_the_program(front):
    """A publish key is known, and without one nothing is published."""
    for headers, status in (
        ({**JSON, "Authorization": f"Bearer {PUBLISH_KEY}"}, 201),
        (JSON, 401),
    ):
        answer = front.site.post(
            "/api/v1/jobs/published/events", b'{"type":"note"}', headers,
            front.endpoint,
        )
        assert answer.status == status
    assert len(front.site.writer.rows("published")) == 1


def test_run_to_stream(front):
    """A page's job is started, and cancelled, through the web server."""
    headers = {**JSON, "Authorization": f"Bearer {PUBLISH_KEY}"}
    with front.stream("run") as stream:
        stream.wait_open()
        for action, status, kind in [("restore", 202, "queued"),
                                     ("cancel", 200, "cancelled")]:
            answer = front.site.post(
                f"/api/v1/jobs/run/{action}", b'{"input":{}}', headers,
                front.endpoint,
            )
            assert answer.status == status, answer
            assert stream.next().event == kind
        assert stream.wait_end() == []


def test_refusals_reach_the_client(front):
    answer = front.endpoint.call("GET", "/api/v1/events/a%20b")
    assert (answer.status, answer.error()) == (400, "bad_job_id")
    answer = front.site.post(
        front.site.signed("job", override={"sig": "x"}), COMPLETED,
        endpoint=front.endpoint,
    )
    assert (answer.status, answer.error()) == (403, "signature_invalid")


def test_metrics_are_for_this_machine(front):
    """Written in the examples as 127.0.0.1, which 127.0.0.2 is not."""
    for target in ("/metrics", "/api/v1/metrics", "/api/v1/webhooks/metrics"):
        if isinstance(front.endpoint, HttpEndpoint):
            other = HttpEndpoint(front.web.port, "127.0.0.2")
        else:
            other = CurlEndpoint(
                front.web.port, front.endpoint.scheme, *front.endpoint.flags,
                "--interface", "127.0.0.2",
            )
        assert other.call("GET", target).status == 403


def test_client_that_leaves(front, record_property):
    """At once where the web server tells; else when two heartbeats, which
    come each second here, could not be written."""
    until(lambda: front.web.streams_open() == 0, "streams to be gone", 20)
    stream = front.stream("leaves").wait_open()
    assert front.web.streams_open() == 1
    stream.close()
    begun = time.monotonic()
    until(lambda: front.web.streams_open() == 0, "the stream to end", 20)
    seconds = time.monotonic() - begun
    record_property(
        f"{front.name}: client that left noticed",
        f"{seconds * 1000:.0f} ms (heartbeat 1 s)",
    )
    assert seconds < patience(0.5 if front.tells_of_leavers else 5)


def test_20_streams_at_once(front):
    with contextlib.ExitStack() as stack:
        streams = [
            stack.enter_context(front.stream(f"many-{number}"))
            for number in range(20)
        ]
        for stream in streams:
            stream.wait_comments(1, 20)
        for number in range(20):
            front.site.writer.publish(f"many-{number}", "note", {"n": number})
        for number, stream in enumerate(streams):
            assert data_of(stream.next())["n"] == number


def test_resume_when_the_web_server_restarts(front):
    with front.stream("web-restart") as stream:
        stream.wait_open()
        front.site.writer.publish("web-restart", "note", {"n": 0})
        stream.next()
        front.web.stop()
        front.site.writer.publish("web-restart", "note", {"n": 1})
        front.web.start()
        resume(stream)
        front.site.writer.publish("web-restart", "note", {"n": 2})
        stream.next()
        assert [data_of(event)["n"] for event in stream.events] == [0, 1, 2]


def test_resume_when_the_program_is_killed(front):
    with front.stream("killed") as stream:
        stream.wait_open()
        front.site.writer.publish("killed", "note", {"n": 0})
        stream.next()
        front.kill_readers()
        until(lambda: stream.exchange.read_some() == b"", "the end")
        front.site.writer.publish("killed", "note", {"n": 1})
        if not front.web.starts_programs:
            with contextlib.suppress(ConnectionError):
                assert stream.reconnect().status in (200, 502, 503)
        front.start_reader()
        resume(stream)
        front.site.writer.publish("killed", "note", {"n": 2})
        stream.next()
        assert [data_of(event)["n"] for event in stream.events] == [0, 1, 2]


def test_queries_are_not_logged(front):
    """Signatures and tickets are in them; also when the program is away."""
    target = front.site.signed("quiet") + "&ticket=jobwire-secret"
    assert front.site.post(target, COMPLETED, endpoint=front.endpoint).status == 200
    with front.stream("quiet-stream", query="ticket=jobwire-secret") as stream:
        stream.wait_open()
        front.kill_readers()
    if not front.web.starts_programs:
        front.site.webhook.kill()
        answer = front.site.post(target, COMPLETED, endpoint=front.endpoint)
        assert answer.status in (502, 503)
        with front.stream("quiet-stream", query="ticket=jobwire-secret"):
            pass
        front.start_reader()
        front.start_writer()
    until(
        lambda: any(
            "POST /api/v1/webhooks/runpod-completion" in line
            for line in front.web.access_log()
        ),
        "a line in the access log",
    )
    assert "jobwire-secret" not in front.web.logs()
    assert "sig=" not in front.web.logs()


@pytest.mark.parametrize("front", ["nginx-http2"], indirect=True)
def test_20_streams_on_one_http2_connection(front):
    """Where HTTP/1.1 is limited to the six connections of a browser.
    lighttpd's limit is eight streams on a connection."""
    until(lambda: front.web.streams_open() == 0, "streams to be gone", 20)
    with subprocess.Popen(
        [*front.endpoint.command, "-Z", "--no-progress-meter", "-w", "%{stderr}%{num_connects}\n",
         f"{front.endpoint.base}/api/v1/events/one-[1-20]"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as curl:
        until(lambda: front.web.streams_open() == 20, "20 streams", 10)
        for number in range(1, 21):
            front.site.writer.publish(f"one-{number}", "completed")
        output, connects = curl.communicate(timeout=patience(20))
    assert output.count("event: completed\n") == 20
    assert sum(map(int, connects.split())) == 1
