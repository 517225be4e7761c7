"""events.cgi run as a web server runs it, over both carriers: what a client
gets is what jobwire-events gives."""

import contextlib
import os
import threading
import time

import pytest
from harness.cgi import CgiEndpoint, cgi_stream, wait_ended
from harness.process import read_text
from harness.reading import kinds
from harness.sse import StreamEnded, data_of, ids_of
from harness.tokens import HS_SECRET, bearer, claims, token
from harness.wait import until

TARGET = "/api/v1/events/a"


@pytest.fixture(name="cgi", params=["pipe", "socket"])
def fixture_cgi(make_site, request):
    """A site with nothing running: each request is a process."""
    return CgiEndpoint(make_site(), carrier=request.param)


def numbers(events):
    """Own data of events that carry a number as `n`."""
    return [data_of(event)["n"] for event in events]


# -- streams -------------------------------------------------------------


def test_headers_and_opening(cgi):
    with cgi_stream(cgi, "a") as stream:
        stream.wait_open()
        assert stream.status == 200
        assert stream.headers == {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-cache, no-transform",
            "x-accel-buffering": "no",
        }
        assert stream.comments == [
            f" jobwire 1 epoch={cgi.site.writer.epoch()}"
        ]
        assert 1000 <= stream.parser.retry <= 5000


def test_history_then_live(cgi):
    writer = cgi.site.writer
    for n in range(3):
        writer.publish("a", "step", {"n": n})
    with cgi_stream(cgi, "a") as stream:
        assert numbers(stream.take(3)) == [0, 1, 2]
        for n in range(3, 6):
            writer.publish("a", "step", {"n": n})
        assert numbers(stream.take(3)) == [3, 4, 5]
        writer.publish("a", "completed")
        assert kinds(stream.wait_end()) == ["completed"]


@pytest.mark.parametrize("way", ["header", "last_event_id", "lastEventId"])
def test_resume(cgi, way):
    writer = cgi.site.writer
    for n in range(4):
        writer.publish("a", "step", {"n": n})
    with cgi_stream(cgi, "a") as stream:
        last = stream.take(2)[1].id
    query = "" if way == "header" else f"{way}={last}"
    last_id = last if way == "header" else ""
    with cgi_stream(cgi, "a", query, last_id=last_id) as stream:
        assert numbers(stream.take(2)) == [2, 3]


def test_nothing_left(cgi):
    number = cgi.site.writer.publish("a", "completed")
    last = f"{cgi.site.writer.epoch()}-{number}"
    answer = cgi.call(
        "GET", TARGET, {"Accept": "text/event-stream", "Last-Event-ID": last}
    )
    assert (answer.status, answer.body) == (204, b"")


def test_lost_history(cgi):
    cgi.site.writer.publish("a", "step", {"n": 1})
    with cgi_stream(cgi, "a", last_id="0badf00d-7") as stream:
        event = stream.next()
        assert (event.event, data_of(event)) == ("resync", {"reason": "epoch"})
        assert numbers([stream.next()]) == [1]


def test_database_replaced_under_a_stream(cgi):
    with cgi_stream(cgi, "a") as stream:
        stream.wait_open()
        cgi.site.replace_database()
        event = stream.next()
        assert (event.event, data_of(event)) == ("resync", {"reason": "epoch"})
        cgi.site.writer.publish("a", "step", {"n": 1})
        assert numbers([stream.next()]) == [1]


def test_lifetime(make_site):
    """Ended with a fresh reconnection time; nothing is lost in between."""
    cgi = CgiEndpoint(make_site(lifetime="300ms", retry_min="1s", retry_max="1h"))
    cgi.site.writer.publish("a", "step", {"n": 0})
    retries = set()
    with cgi_stream(cgi, "a") as stream:
        for n in range(1, 4):
            assert numbers([stream.next()]) == [n - 1]
            retries.add(stream.parser.retry)
            with pytest.raises(StreamEnded):
                stream.next()
            assert stream.exchange.complete
            retries.add(stream.parser.retry)
            cgi.site.writer.publish("a", "step", {"n": n})
            stream.reconnect()
    assert len(retries) == 6 and 1000 <= min(retries) <= max(retries) <= 3600000


def test_heartbeat(make_site):
    cgi = CgiEndpoint(make_site(heartbeat="50ms"))
    with cgi_stream(cgi, "a") as stream:
        assert stream.wait_comments(4)[1:] == [" heartbeat"] * 3


def test_slow_client(make_site):
    """It is cut when it takes nothing for lag_timeout, and resumes."""
    site = make_site(lag_timeout="300ms", keep_events="100000")
    cgi = CgiEndpoint(site)
    text = "x" * 20000
    site.writer.publish_many(
        ("a", "step", {"n": n, "text": text}) for n in range(500)
    )
    with cgi_stream(cgi, "a") as stream:
        stream.wait_open()
        wait_ended(stream.exchange.process)
        cuts = 0
        while len(stream.events) < 500:
            try:
                stream.next()
            except StreamEnded:
                assert stream.events, "nothing but the opening"
                cuts += 1
                stream.reconnect()
        assert cuts > 0
        seen = stream.events
        assert numbers(seen) == list(range(500))
        assert ids_of(seen) == sorted(ids_of(seen))


# -- other answers -----------------------------------------------------------


def test_json_form(cgi):
    cgi.site.writer.publish("a", "step")
    headers = {"Accept": "application/json"}
    value = cgi.call("GET", TARGET, headers).json()
    assert kinds(value["events"]) == ["step"] and value["terminal"] is False
    last = value["last_event_id"]
    target = f"{TARGET}?wait=20&last_event_id={last}"
    waiting = cgi.open("GET", target, headers)
    until(lambda: has_place(cgi.site), "the request to wait")
    cgi.site.writer.publish("a", "completed")
    value = waiting.finish().json()
    assert kinds(value["events"]) == ["completed"] and value["terminal"]


def test_json_wait_over(cgi):
    value = cgi.call("GET", TARGET + "?format=json&wait=1").json()
    assert value["events"] == []


@pytest.mark.parametrize(
    "method, target, status, code",
    [
        ("GET", "/api/v1/nothing", 404, "not_found"),
        ("GET", "/api/v1/events/a%20b", 400, "bad_job_id"),
        ("GET", "/api/v1/events", 403, "owner_unknown"),
        ("GET", "/api/v1/jobs/a", 404, "unknown_job"),
        ("PUT", "/api/v1/events/a", 405, "method_not_allowed"),
    ],
)
def test_refusals(cgi, method, target, status, code):
    answer = cgi.call(method, target)
    assert (answer.status, answer.error()) == (status, code)


def test_head_and_options(cgi):
    answer = cgi.call("HEAD", TARGET)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
    answer = cgi.call("OPTIONS", TARGET)
    assert answer.status == 204
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


def test_job_health_metrics(cgi):
    cgi.site.writer.publish("a", "completed", {"output": [1]})
    assert cgi.call("GET", "/api/v1/jobs/a").json()["output"] == [1]
    assert cgi.call("GET", "/api/v1/healthz").json()["status"] == "ok"
    assert b"jobwire_streams_open 0\n" in cgi.call("GET", "/api/v1/metrics").body


def test_owner(make_site):
    cgi = CgiEndpoint(make_site(events_auth="server"))
    cgi.site.writer.own("mine", "alice")
    answer = cgi.call("GET", "/api/v1/jobs/mine", extra={"REMOTE_USER": "alice"})
    assert answer.status == 200
    answer = cgi.call("GET", "/api/v1/jobs/mine", extra={"REMOTE_USER": "bob"})
    assert answer.status == 403
    assert cgi.call("GET", "/api/v1/jobs/mine").error() == "not_authenticated"


def test_token(make_site):
    """Apache hands the field on under another name after a rewrite."""
    cgi = CgiEndpoint(make_site(events_auth="jwt", jwt_key=HS_SECRET))
    cgi.site.writer.own("mine", "alice")
    target = "/api/v1/jobs/mine"
    alice = bearer(token(claims("alice")))
    assert cgi.call("GET", target, alice).status == 200
    extra = {"REDIRECT_HTTP_AUTHORIZATION": alice["Authorization"]}
    assert cgi.call("GET", target, extra=extra).status == 200
    assert cgi.call("GET", target, bearer(token(claims("bob")))).status == 403
    assert cgi.call("GET", target).status == 401


def test_ticket_is_used_up(make_site):
    """By the process that lets it in, for all others."""
    cgi = CgiEndpoint(make_site(events_auth="ticket", jwt_key=HS_SECRET))
    site = cgi.site
    site.writer.own("mine", "alice")
    ticket = site.tool("ticket", "--sub", "alice").stdout.strip()
    with cgi_stream(cgi, "mine", f"ticket={ticket}") as stream:
        stream.wait_open()
        target = f"/api/v1/jobs/mine?ticket={ticket}"
        assert cgi.call("GET", target).status == 401


@pytest.mark.parametrize(
    "uri, path_info",
    [
        ("/api/v1/jobs/a", None),
        ("/cgi-bin/events.cgi/jobs/a", "/jobs/a"),
        ("/cgi-bin/events.cgi/api/v1/jobs/a", "/api/v1/jobs/a"),
        (None, "/jobs/a"),
    ],
)
def test_route(cgi, uri, path_info):
    cgi.site.writer.publish("a", "completed")
    extra = {"REQUEST_URI": uri, "PATH_INFO": path_info}
    assert cgi.call("GET", "/x", extra=extra).json()["job_id"] == "a"


def test_long_answer(cgi):
    """More than a pipe holds."""
    text = "x" * 300000
    for _ in range(5):
        cgi.site.writer.publish("a", "step", {"text": text})
    value = cgi.call("GET", TARGET + "?format=json").json()
    assert [e["data"]["text"] for e in value["events"]] == [text] * 5


# -- places ---------------------------------------------------------------------


def has_place(site):
    """Is a place taken? The kernel's list of locks says so."""
    with contextlib.suppress(FileNotFoundError):
        number = os.stat(site.db + "-places").st_ino
        return f":{number} " in read_text("/proc/locks")
    return False


def assert_full(cgi):
    """The contract's answer of a full server."""
    answer = cgi.call("GET", TARGET, {"Accept": "text/event-stream"})
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    retry, comment, end = answer.body.decode().split("\n", 2)
    assert 10000 <= int(retry.removeprefix("retry: ")) <= 30000
    assert comment.startswith(": ") and end == ""
    answer = cgi.call("GET", TARGET + "?format=json&wait=5")
    assert (answer.status, answer.error()) == (503, "overloaded")
    assert 10 <= int(answer.headers["retry-after"]) <= 30
    assert cgi.call("GET", TARGET + "?format=json").json()["events"] == []


def test_full(make_site):
    cgi = CgiEndpoint(make_site(max_streams="2"))
    with contextlib.ExitStack() as stack:
        first, _ = [
            stack.enter_context(cgi_stream(cgi, "a")).wait_open()
            for _ in range(2)
        ]
        assert_full(cgi)
        first.exchange.process.kill()  # without a chance to give it back
        first.exchange.leave()
        stack.enter_context(cgi_stream(cgi, "a")).wait_open()
        assert_full(cgi)
    cgi_stream(cgi, "a").wait_open().close()


class Visitor(threading.Thread):
    """An EventSource whose clock runs fast: it waits a hundredth of what it is
    told."""

    def __init__(self, cgi, job):
        super().__init__()
        self.cgi, self.job = cgi, job
        self.refused, self.seen, self.fault = 0, [], None

    def run(self):
        try:
            self._follow()
        except BaseException as fault:  # pylint: disable=broad-except
            self.fault = fault

    def _follow(self):
        last_id = ""
        while "completed" not in kinds(self.seen):
            stream = cgi_stream(self.cgi, self.job, last_id=last_id)
            self.seen += stream.wait_end(60)
            last_id = stream.last_id
            self.refused += stream.parser.retry >= 10000
            time.sleep(stream.parser.retry / 100000)


def test_more_clients_than_places(make_site):
    """40 clients on 15 places: 25 are turned away, and in the end each has seen
    all of its job, once."""
    cgi = CgiEndpoint(make_site())
    visitors = [Visitor(cgi, f"job-{n}") for n in range(40)]
    for visitor in visitors:
        cgi.site.writer.publish(visitor.job, "step")
        visitor.start()
    until(
        lambda: sum(visitor.refused > 0 for visitor in visitors) == 25,
        "25 to be turned away", 30,
    )
    for visitor in visitors:
        cgi.site.writer.publish(visitor.job, "completed")
    for visitor in visitors:
        visitor.join()
    assert not [visitor.fault for visitor in visitors if visitor.fault]
    for visitor in visitors:
        assert kinds(visitor.seen) == ["step", "completed"]


def test_missing_database(make_site):
    """It is made by the first request; a folder in its place cannot be."""
    cgi = CgiEndpoint(make_site(init=False, db="/proc/jobwire/jobwire.db"))
    answer = cgi.call("GET", TARGET, {"Accept": "text/event-stream"})
    assert answer.status == 200 and answer.body.startswith(b"retry: ")
    answer = cgi.call("GET", TARGET + "?format=json")
    assert (answer.status, answer.error()) == (503, "database_unavailable")
    assert cgi.call("GET", "/api/v1/healthz").status == 503
