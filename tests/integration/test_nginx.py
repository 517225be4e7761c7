"""What nginx does beyond the other web servers, and all that RunPod sends,
through it. test_servers.py has what holds for each of them."""

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


@pytest.mark.parametrize(
    "accept, let_in, turned_away",
    [("text/event-stream", 204, 200), ("application/json", 200, 502)],
)
def test_limit_of_requests(make_site, accept, let_in, turned_away):
    """With limit_req switched on: to a stream "not now" is no error."""
    site = make_site().start_both()
    web = Nginx(site, "limit").start()
    value = site.deliver("123", COMPLETED, endpoint=web.endpoint)
    headers = {"Accept": accept, "Last-Event-ID": value["event_id"]}
    for _ in range(5000):  # far more than 200 and 20 a second
        answer = web.endpoint.call("GET", events_target("123"), headers)
        if answer.status != let_in:
            break
    assert answer.status == turned_away
    assert (b"retry: 3000" in answer.body) == (turned_away == 200)


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
