"""Streams: what a browser sees of one job, from connect to the clean end."""

import contextlib
import json
import random
import sqlite3
import threading

import pytest
from harness.process import read_text
from harness.publish import ForeignWriter
from harness.site import events_target, is_sanitized, program
from harness.sse import StreamEnded, data_of, ids_of
from harness.wait import until

MIB = 1 << 20


def shorten(value):
    """The name of a test's parameter."""
    return repr(value) if len(value) < 24 else f"{len(value)} bytes"


def texts(events):
    """(type, own data) of events that carry a number as `n`."""
    return [(event.event, data_of(event).get("n")) for event in events]


def publish_steps(writer, job, numbers):
    """One `step` event per number; retention keeps 1000 of them."""
    for number in numbers:
        writer.publish(job, "step", {"n": number})


def test_headers(site):
    with site.stream("headers") as stream:
        assert stream.status == 200
        assert stream.headers["content-type"] == (
            "text/event-stream; charset=utf-8"
        )
        assert stream.headers["cache-control"] == "no-cache, no-transform"
        assert stream.headers["x-accel-buffering"] == "no"
        assert "content-length" not in stream.headers


def test_opening_says_retry_and_epoch(site):
    with site.stream("opening") as stream:
        stream.wait_open()
        assert stream.comments == [f" jobwire 1 epoch={site.writer.epoch()}"]
        assert 1000 <= stream.parser.retry <= 5000


def test_retry_is_drawn_per_client(make_site):
    site = make_site(retry_min="2s", retry_max="3s")
    site.start("events")
    drawn = set()
    for _ in range(20):
        with site.stream("retry") as stream:
            stream.wait_open()
            drawn.add(stream.parser.retry)
    assert 2000 <= min(drawn) and max(drawn) <= 3000
    assert len(drawn) > 5


def test_connect_before_publish(site):
    with site.stream("before") as stream:
        stream.wait_open()
        number = site.writer.publish("before", "processing")
        event = stream.next()
        assert event.id == f"{site.writer.epoch()}-{number}"
        assert event.event == "processing"


def test_connect_after_publish(site):
    publish_steps(site.writer, "after", range(3))
    with site.stream("after") as stream:
        assert texts(stream.take(3)) == [("step", n) for n in range(3)]


def test_connect_between(site):
    publish_steps(site.writer, "between", range(5))
    with site.stream("between") as stream:
        stream.take(5)
        publish_steps(site.writer, "between", range(5, 10))
        stream.take(5)
        assert texts(stream.events) == [("step", n) for n in range(10)]
        assert ids_of(stream.events) == sorted(ids_of(stream.events))


def test_data_begins_with_the_three(site):
    site.deliver("begins", {"status": "COMPLETED", "id": "r-1"}, "456")
    with site.stream("begins") as stream:
        event = stream.next()
        assert event.data.startswith(
            '{"job_id":"begins","restore_id":"456","status":"completed"'
        )


def test_data_without_restore_id(site):
    site.writer.publish("plain", "processing", {"a": 1})
    with site.stream("plain") as stream:
        assert stream.next().data == (
            '{"job_id":"plain","status":"processing","a":1}'
        )


def test_row_cannot_override_the_three(site):
    """The first row may say the restore id; no later one may change it."""
    site.writer.publish("override", "queued", {"restore_id": "r"})
    site.writer.publish(
        "override", "processing",
        '{"job_id":"x","a":1,"restore_id":"y","status":"z","b":2}',
    )
    with site.stream("override") as stream:
        stream.next()
        assert stream.next().data == (
            '{"job_id":"override","restore_id":"r","status":"processing",'
            '"a":1,"b":2}'
        )


def test_status_is_the_state_after_the_event(site):
    for kind in ("note", "progress", "note", "failed", "queued"):
        site.writer.publish("state", kind)
    with site.stream("state") as stream:
        states = [data_of(event)["status"] for event in stream.take(5)]
        assert states == [
            "queued", "processing", "processing", "failed", "queued",
        ]


@pytest.mark.parametrize("data", [None, "{}"])
def test_row_without_data(site, data):
    site.writer.publish("empty", "note", data)
    with site.stream("empty") as stream:
        assert stream.next().data == '{"job_id":"empty","status":"queued"}'


def test_numbers_pass_as_text(site):
    text = '{"seed":196619188014358660,"huge":1e400,"fine":0.10}'
    site.writer.publish("numbers", "note", text)
    with site.stream("numbers") as stream:
        assert stream.next().data.endswith(text[1:])


def test_line_breaks_cannot_split_an_event(site):
    text = '{"a":\r\n "x\\r\\ny",\n\t"b":"\u2028é"}'
    site.writer.publish("breaks", "note", text)
    with site.stream("breaks") as stream:
        own = data_of(stream.next())
        assert (own["a"], own["b"]) == ("x\r\ny", "\u2028é")


def test_big_output_is_omitted(make_site):
    site = make_site(inline_output="100")
    site.start("events")
    small, big = "x" * 98, "x" * 99  # and two quotes
    site.writer.publish("big", "note", {"output": small})
    site.writer.publish("big", "note", {"output": big, "seed": 1})
    with site.stream("big") as stream:
        assert data_of(stream.next())["output"] == small
        own = data_of(stream.next())
        assert "output" not in own
        assert own["output_omitted"] is True and own["seed"] == 1


def test_several_streams_on_one_job(site):
    with contextlib.ExitStack() as stack:
        streams = [
            stack.enter_context(site.stream(job)).wait_open()
            for job in ["shared"] * 5 + ["other"]
        ]
        publish_steps(site.writer, "shared", range(20))
        site.writer.publish("other", "step", {"n": "mine"})
        for stream in streams[:5]:
            assert texts(stream.take(20)) == [("step", n) for n in range(20)]
        assert texts([streams[5].next()]) == [("step", "mine")]


# -- resuming ------------------------------------------------------------


@pytest.mark.parametrize("name", ["last_event_id", "lastEventId"])
def test_resume_by_query(site, name):
    publish_steps(site.writer, "query", range(4))
    with site.stream("query") as stream:
        second = stream.take(2)[1]
    with site.stream("query", f"{name}={second.id}") as stream:
        assert texts(stream.take(2)) == [("step", 2), ("step", 3)]


def test_resume_by_header(site):
    publish_steps(site.writer, "header", range(4))
    with site.stream("header") as stream:
        stream.take(2)
        stream.reconnect().take(2)
        assert texts(stream.events) == [("step", n) for n in range(4)]


def test_header_wins_over_query(site):
    publish_steps(site.writer, "wins", range(4))
    with site.stream("wins") as stream:
        first, _, third = stream.take(3)
    query = f"last_event_id={first.id}"
    with site.stream("wins", query, last_id=third.id) as stream:
        assert texts([stream.next()]) == [("step", 3)]


def test_resume_waits_for_what_comes(site):
    publish_steps(site.writer, "waits", range(2))
    with site.stream("waits") as stream:
        stream.take(2)
        stream.reconnect().wait_open()
        publish_steps(site.writer, "waits", [2])
        assert texts([stream.next()]) == [("step", 2)]


@pytest.mark.parametrize(
    "last_id, reason",
    [
        ("00000000-1", "epoch"),
        ("{epoch}-999999", "future"),
        ("rubbish", "unknown"),
        ("{epoch}-01", "unknown"),
        ("{epoch}--1", "unknown"),
        ("{epoch}-99999999999999999999", "unknown"),
        ("x" * 4000, "unknown"),
    ],
    ids=shorten,
)
def test_lost_place_is_said_in_band(site, last_id, reason):
    publish_steps(site.writer, "lost", range(2))
    last_id = last_id.format(epoch=site.writer.epoch())
    with site.stream("lost", last_id=last_id) as stream:
        resync = stream.next()
        assert resync.event == "resync"
        assert resync.data == json.dumps({"reason": reason}).replace(" ", "")
        assert texts(stream.take(2)) == [("step", 0), ("step", 1)]


def test_hand_over_under_a_concurrent_publisher(make_site):
    """Streams that open at any moment of a burst see all of it, in order; they
    are not read before its end."""
    site = make_site(lag_timeout="10m")
    site.start("events")
    total = 600

    def burst():
        writer = ForeignWriter(site.db)
        publish_steps(writer, "burst", range(total))
        writer.close()

    thread = threading.Thread(target=burst)
    thread.start()
    with contextlib.ExitStack() as stack:
        streams = []
        while thread.is_alive():
            stream = stack.enter_context(site.stream("burst"))
            streams.append(stream)
            if random.random() < 0.5:
                stream.next()
                stream.reconnect()
        thread.join()
        for stream in streams:
            stream.take(total - len(stream.events), 30)
            assert texts(stream.events) == [("step", n) for n in range(total)]


# -- the end -------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["completed", "failed", "cancelled", "timed_out"]
)
def test_terminal_event_ends_the_stream(site, kind):
    with site.stream("ends") as stream:
        stream.wait_open()
        publish_steps(site.writer, "ends", [0])
        site.writer.publish("ends", kind)
        assert [e.event for e in stream.wait_end()] == ["step", kind]
        stream.reconnect()
        assert stream.status == 204
        assert stream.wait_end() == []


def test_late_joiner_sees_the_finished_job(site):
    publish_steps(site.writer, "late", [0])
    site.writer.publish("late", "completed")
    with site.stream("late") as stream:
        assert [e.event for e in stream.wait_end()] == ["step", "completed"]


def test_resume_in_a_finished_job(site):
    publish_steps(site.writer, "rest", [0, 1])
    site.writer.publish("rest", "completed")
    with site.stream("rest") as stream:
        stream.next()
        stream.reconnect()
        events = [e.event for e in stream.wait_end()]
        assert events == ["step", "completed"]


def test_reopened_job_streams_on(site):
    """RunPod's /retry takes up a finished job under the same id."""
    site.writer.publish("again", "failed")
    with site.stream("again") as stream:
        stream.wait_end()
        site.writer.publish("again", "queued")
        site.writer.publish("again", "completed")
        stream.reconnect()
        assert [e.event for e in stream.wait_end()] == ["queued", "completed"]


def test_heartbeat(make_site):
    site = make_site(heartbeat="1s")
    site.start("events")
    with site.stream("beat") as stream:
        stream.wait_comments(3, 10)
        assert not stream.events
        publish_steps(site.writer, "beat", [1])
        assert texts([stream.next()]) == [("step", 1)]


def test_lifetime_ends_with_a_retry(make_site):
    """The client comes back by itself after the time it was told."""
    site = make_site(lifetime="3s", retry_min="50ms", retry_max="100ms")
    site.start("events")
    with site.stream("life") as stream:
        stream.wait_open()
        publish_steps(site.writer, "life", [0])
        assert texts(stream.wait_end()) == [("step", 0)]
        assert 50 <= stream.parser.retry <= 100
        stream.reconnect(wait=True).wait_open()
        publish_steps(site.writer, "life", [1])
        assert texts([stream.next()]) == [("step", 1)]


def test_full_house(make_site):
    site = make_site(max_streams="2")
    site.start("events")
    with site.stream("full") as one, site.stream("full") as two:
        one.wait_open()
        two.wait_open()
        with site.stream("full") as three:
            assert three.status == 200
            assert three.wait_end() == []
            assert 10000 <= three.parser.retry <= 30000
        two.close()
        until(lambda: site.events.sockets() == 2, "the place to be free")
        with site.stream("full") as four:
            four.wait_open()
            publish_steps(site.writer, "full", [7])
            assert texts([four.next()]) == [("step", 7)]


# -- refusals ------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "a%20b", "a%2Fb", "a%00b", "a%0Ab", "%C3%A4", "a*b", "%",
        "x" * 129, "x" * 10000, "%zz", "a/b",
    ],
    ids=shorten,
)
def test_bad_job_id(site, path):
    answer = site.endpoint("events").call(
        "GET", f"/api/v1/events/{path}", extra={"SCRIPT_NAME": "/"}
    )
    if path in ("a/b", "a%2Fb", "a%00b"):  # not the path of any job
        assert answer.status in (400, 404) and answer.error()
    else:
        assert (answer.status, answer.error()) == (400, "bad_job_id")


@pytest.mark.parametrize("job", ["x" * 128, "a.b_c:d~e-F9", "0"], ids=shorten)
def test_good_job_id(site, job):
    with site.stream(job) as stream:
        assert stream.status == 200


def test_unknown_path(site):
    for path in ("/", "/api/v1/nothing", "/api/v2/events/a", "/api/v1events"):
        answer = site.endpoint("events").call("GET", path)
        assert answer.status == 404
        assert answer.error()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "BREW"])
def test_wrong_method(site, method):
    answer = site.endpoint("events").call(method, events_target("method"))
    assert answer.status == 405
    assert "GET" in answer.headers["allow"]
    assert answer.error()


def test_head_and_options(site):
    endpoint = site.endpoint("events")
    head = endpoint.call("HEAD", events_target("method"))
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")
    options = endpoint.call("OPTIONS", events_target("method"))
    assert (options.status, options.body) == (204, b"")
    assert "GET" in options.headers["allow"]


# -- trouble -------------------------------------------------------------


def test_slow_client_loses_nothing(site):
    """A client that does not read costs no memory and skips no event."""
    total, filler = 400, "x" * 20000
    slow = site.stream("slow", receive_buffer=4096)
    with slow, site.stream("slow") as fast:
        slow.wait_open()
        fast.wait_open()
        before = site.events.anonymous()
        for number in range(total):
            site.writer.publish("slow", "step", {"n": number, "x": filler})
            assert texts([fast.next()]) == [("step", number)]
        if not is_sanitized(program("jobwire-events")):
            assert site.events.anonymous() - before < 2 * MIB
        assert texts(slow.take(total, 30)) == [("step", n) for n in range(total)]


def test_event_of_one_mib(site):
    text = json.dumps({"text": "x" * (MIB - 11)}, separators=(",", ":"))
    assert len(text) == MIB
    with site.stream("mib") as live:
        live.wait_open()
        site.writer.publish("mib", "note", text)
        site.writer.publish("mib", "completed")
        with site.stream("mib") as replay:
            for stream in (live, replay):
                events = stream.wait_end()
                assert [e.event for e in events] == ["note", "completed"]
                assert data_of(events[0])["text"] == "x" * (MIB - 11)


def insert_invalid(site, job):
    """Rows that the schema refuses, from a writer that switched the checks
    off; the triggers of the table may still refuse some."""
    writer = sqlite3.connect(site.db, isolation_level=None, timeout=20)
    writer.execute("PRAGMA ignore_check_constraints = 1")
    stored = 0
    for kind, data in [
        ("note", "not json"),
        ("note", "[1,2]"),
        ("note", '"text"'),
        ("note", '{"a":1'),
        ("note", ""),
        ("Bad", None),
        ("a\nb", None),
        ("", None),
        ("x" * 65, None),
        ("note", json.dumps({"text": "x" * MIB})),
    ]:
        with contextlib.suppress(sqlite3.Error):
            writer.execute(
                "INSERT INTO job_events(job_id, type, data) VALUES(?, ?, ?)",
                (job, kind, data),
            )
            stored += 1
    writer.close()
    return stored


def test_foreign_invalid_rows_are_skipped(site):
    with site.stream("invalid") as live:
        live.wait_open()
        assert insert_invalid(site, "invalid") > 0
        site.writer.publish("invalid", "completed", {"n": 1})
        with site.stream("invalid") as replay:
            for stream in (live, replay):
                assert texts(stream.wait_end()) == [("completed", 1)]


def test_database_replaced(make_site):
    """Streams are told, and go on with the new database; nothing leaks."""
    site = make_site()
    site.start("events")
    with site.stream("moved") as stream:
        stream.wait_open()
        publish_steps(site.writer, "moved", [0])
        assert texts([stream.next()]) == [("step", 0)]
        counts = set()
        for round_ in range(1, 10):
            site.replace_database()
            publish_steps(site.writer, "moved", [round_])
            resync, event = stream.take(2)
            assert resync.event == "resync"
            assert data_of(resync) == {"reason": "epoch"}
            assert texts([event]) == [("step", round_)]
            assert event.id.startswith(site.writer.epoch())
            counts.add(site.events.descriptors())
        # The janitor's three files may be open or not; a leak is in each round.
        assert max(counts) - min(counts) <= 5
        with pytest.raises((TimeoutError, StreamEnded)):
            stream.next(0.1)


def test_two_streams_after_the_client_left(site):
    """A client that leaves is noticed, and takes nothing with it."""
    with site.stream("left") as stays:
        stays.wait_open()
        with site.stream("left") as leaves:
            leaves.wait_open()
        until(lambda: site.events.sockets() == 2, "the gone client's end")
        publish_steps(site.writer, "left", [0])
        assert texts([stays.next()]) == [("step", 0)]
    assert "level=error" not in read_text(site.log_path("events"))
