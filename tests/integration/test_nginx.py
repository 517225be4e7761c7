"""The main path as users have it: through a real nginx with the shipped
configuration."""

import re

import pytest
from harness.nginx import Nginx
from harness.publish import RUNPOD_EVENTS, fixture
from harness.site import events_target
from harness.sse import Stream, data_of
from harness.wait import until

COMPLETED = fixture("runpod-completed.json")


def open_stream(web, job, **options):
    """A stream of the job by HTTP."""
    return Stream(web.endpoint, events_target(job), **options)


@pytest.mark.parametrize("name, kind, error", RUNPOD_EVENTS)
def test_webhook_to_stream(site, web, name, kind, error):
    with open_stream(web, "123") as stream:
        stream.wait_open()
        value = site.deliver("123", fixture(name), "456", web.endpoint)
        event = stream.next()
        assert (event.id, event.event) == (value["event_id"], kind)
        assert event.data.startswith(
            '{"job_id":"123","restore_id":"456","status":"%s"' % kind
        )
        assert data_of(event).get("error") == error
        if kind in ("queued", "processing"):
            return
        assert stream.wait_end() == []
        stream.reconnect()
        assert stream.status == 204


def test_stream_is_not_held_back(site, web):
    """Headers and the first comment come before any event; then each event
    as it happens, not when a buffer is full."""
    with open_stream(web, "live") as stream:
        assert stream.status == 200
        assert stream.headers["content-type"] == (
            "text/event-stream; charset=utf-8"
        )
        assert stream.headers["cache-control"] == "no-cache, no-transform"
        stream.wait_open()
        for number in range(20):
            site.writer.publish("live", "note", {"n": number})
            assert data_of(stream.next())["n"] == number


def test_resume_through_nginx(site, web):
    for number in range(4):
        site.writer.publish("resume", "note", {"n": number})
    with open_stream(web, "resume") as stream:
        stream.take(2)
        stream.reconnect().take(2)
        numbers = [data_of(event)["n"] for event in stream.events]
        assert numbers == [0, 1, 2, 3]


def test_body_over_our_limit(make_site):
    site = make_site(max_body="100k").start_both()
    web = Nginx(site).start()
    answer = site.post(site.signed("over"), b"x" * 200_000, endpoint=web.endpoint)
    assert answer.status == 413
    assert answer.error()
    site.deliver("under", COMPLETED, endpoint=web.endpoint)


def test_20_mb_body(site, web):
    """nginx's own limits let RunPod's largest bodies through."""
    text = b'"%s"' % (b"x" * (20 << 20))
    body = COMPLETED.replace(b'"Hello World"', text, 1)
    site.deliver("large", body, endpoint=web.endpoint)
    assert len(site.writer.rows("large")) == 1


def test_client_that_leaves_is_noticed(site, web):
    streams = [open_stream(web, "leaves") for _ in range(20)]
    for stream in streams:
        stream.wait_open()
    assert site.events.sockets() == 21
    for stream in streams:
        stream.close()
    until(lambda: site.events.sockets() == 1, "all to be noticed")


def test_refusals_reach_the_client(site, web):
    answer = web.endpoint.call("GET", "/api/v1/events/a%20b")
    assert (answer.status, answer.error()) == (400, "bad_job_id")
    answer = web.endpoint.call("POST", events_target("job"), body=b"{}")
    assert answer.status == 405 and "GET" in answer.headers["allow"]
    for target in (site.signed("job", override={"sig": "x"}), "/api/v1/webhooks/nobody"):
        answer = site.post(target, COMPLETED, endpoint=web.endpoint)
        assert answer.status in (401, 403, 404)
        assert answer.error()
    assert site.writer.rows() == []


def test_chunked_request_body(site, web):
    """A sender that does not say how long its body is."""
    body = b"".join(
        b"%x\r\n%s\r\n" % (len(COMPLETED[i : i + 50]), COMPLETED[i : i + 50])
        for i in range(0, len(COMPLETED), 50)
    )
    exchange = web.endpoint.open(
        "POST", site.signed("chunked"),
        {"Content-Type": "application/json", "Transfer-Encoding": "chunked"},
    )
    exchange.socket.sendall(body + b"0\r\n\r\n")
    assert exchange.finish().status == 200
    assert len(site.writer.rows("chunked")) == 1


def test_restart_behind_nginx(site, web):
    """EventSource never sees an error status, which would end it for good;
    it comes back by itself and misses nothing."""
    with open_stream(web, "restart") as stream:
        stream.wait_open()
        site.writer.publish("restart", "note", {"n": 0})
        stream.next()
        site.events.kill()
        until(lambda: stream.exchange.read_some() == b"", "the end")
        site.writer.publish("restart", "note", {"n": 1})
        stream.reconnect()
        assert stream.status == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        stream.wait_end()
        assert stream.parser.retry > 0
        site.start("events")
        assert data_of(stream.reconnect().next())["n"] == 1


def test_signatures_are_not_in_the_access_log(site, web):
    target = site.signed("quiet")
    site.post(target, COMPLETED, endpoint=web.endpoint)
    lines = until(web.access_log, "a line in the access log")
    assert re.search(r'"POST /api/v1/webhooks/runpod-completion" 200', lines[0])
    assert not any("sig=" in line for line in lines)
