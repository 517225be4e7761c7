"""docs/protocol.md, row by row: requests, and what a stream answers. Header
fields, JSON and refusals are in test_protocol_forms.py."""

import glob
import os
import re
import time

import pytest
from harness.metrics import gauge_is, read_metrics
from harness.reading import (  # noqa: F401
    ORIGIN, fixture_crossed, fixture_full, fixture_guarded, fixture_reader,
    get, jobs_target, kinds, missing_database, place, stream_at,
)
from harness.site import source_root
from harness.sse import data_of, ids_of
from harness.wait import patience, until

HERE = os.path.dirname(os.path.abspath(__file__))


def read(*path):
    """A file of the source tree."""
    with open(os.path.join(source_root(), *path), encoding="utf-8") as file:
        return file.read()


def table_rows(text):
    """The names in the first column of the tables that begin with `row`."""
    names, is_rows = [], False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < 3:
            is_rows = False
        elif cells[1] == "row":
            is_rows = True
        elif is_rows and not cells[1].startswith("---"):
            names.append(cells[1].strip("`"))
    return names


ROWS = table_rows(read("docs", "protocol.md"))


# -- the document ------------------------------------------------------------


def test_every_row_has_a_test():
    """And only one row has that name."""
    tests = set()
    for path in glob.glob(os.path.join(HERE, "test_*.py")):
        with open(path, encoding="utf-8") as file:
            tests.update(re.findall(r"^def test_(\w+)\(", file.read(), re.M))
    assert len(ROWS) > 50
    assert len(set(ROWS)) == len(ROWS)
    assert set(ROWS) <= tests, sorted(set(ROWS) - tests)


def test_every_code_is_listed():
    """What the sources refuse with stands in the document."""
    text = read("docs", "protocol.md")
    codes = set()
    for folder in ("auth", "live", "hook", "web"):
        for path in glob.glob(os.path.join(source_root(), "src", folder, "*.c")):
            with open(path, encoding="utf-8") as file:
                codes.update(
                    re.findall(r'\b[1-5]\d\d,\s*"([a-z_]+)"', file.read())
                )
    assert len(codes) > 15
    assert not [code for code in codes if f"`{code}`" not in text]


def test_lines_of_the_document_are_short():
    """Tables aside."""
    for line in read("docs", "protocol.md").splitlines():
        assert len(line) <= 120 or line.startswith("|"), line


# -- requests ----------------------------------------------------------------


def test_stream_of_one_job(reader):
    with reader.stream("done") as stream:
        assert stream.status == 200
        assert kinds(stream.wait_end()) == ["step", "completed"]


def test_stream_of_several_jobs(reader):
    target = jobs_target(["done", "b", "done", "c"])
    with stream_at(reader, target) as stream:
        assert len(stream.take(2)) == 2
        reader.writer.publish("b", "completed")
        reader.writer.publish("c", "step")
        reader.writer.publish("c", "failed")
        events = stream.wait_end()
        assert [data_of(e)["job_id"] for e in events] == ["b", "c", "c"]
        assert ids_of(stream.events) == [1, 2, 3, 4, 5]
        stream.reconnect()
        assert stream.status == 204


def test_stream_of_an_owner(guarded):
    with stream_at(guarded, "/api/v1/events", user="alice") as stream:
        stream.wait_open()
        guarded.writer.publish("other", "step")
        guarded.writer.publish("mine", "completed")
        guarded.writer.publish("mine", "queued")
        assert kinds(stream.take(2)) == ["completed", "queued"]


def test_stream_of_an_unknown_job(reader):
    with reader.stream("new") as stream:
        stream.wait_open()
        reader.writer.publish("new", "queued")
        assert stream.next().event == "queued"


def test_id_in_header(reader):
    with reader.stream("done", last_id=place(reader, 1)) as stream:
        assert ids_of(stream.wait_end()) == [2]


@pytest.mark.parametrize("name", ["last_event_id", "lastEventId"])
def test_id_in_query(reader, name):
    with reader.stream("done", f"{name}={place(reader, 1)}") as stream:
        assert ids_of(stream.wait_end()) == [2]
    query = f"{name}={place(reader, 2)}"
    with reader.stream("done", query, last_id=place(reader, 1)) as stream:
        assert ids_of(stream.wait_end()) == [2]


def test_heartbeat_as_event(make_site):
    site = make_site(heartbeat="100ms")
    site.start("events")
    with site.stream("a", "heartbeat=event") as stream:
        site.writer.publish("a", "step")
        events = stream.take(4)
        beats = [e for e in events if e.event == "heartbeat"]
        assert len(beats) == 3 and {e.data for e in beats} == {"{}"}
        assert len(stream.comments) == 1
        assert stream.last_id == place(site, 1), "a heartbeat moves no id"


def test_json_by_accept(reader):
    answer = get(reader, "/events/done", {"Accept": "application/json"})
    assert kinds(answer.json()["events"]) == ["step", "completed"]
    both = {"Accept": "application/json, text/event-stream"}
    answer = get(reader, "/events/done", both)
    assert answer.headers["content-type"].startswith("text/event-stream")


def test_json_by_query(reader):
    for accept, form, kind in [
        ("text/event-stream", "json", "application/json"),
        ("application/json", "sse", "text/event-stream"),
    ]:
        answer = get(
            reader, f"/events/done?format={form}", {"Accept": accept}
        )
        assert answer.headers["content-type"].split(";")[0] == kind


def test_json_with_wait(reader):
    exchange = reader.endpoint("events").open(
        "GET", "/api/v1/events/a?format=json&wait=25"
    )
    until(gauge_is(reader, "json_waiting", 1), "it to wait")
    reader.writer.publish("a", "step")
    assert kinds(exchange.finish().json()["events"]) == ["step"]


def test_job_state(reader):
    answer = get(reader, "/jobs/done")
    assert answer.status == 200
    assert answer.json()["state"] == "completed"


def test_healthz(reader):
    assert get(reader, "/healthz").status == 200
    with missing_database(reader):
        until(lambda: get(reader, "/healthz").status == 503, "503")
        assert get(reader, "/healthz").json()["status"] == "failing"
    until(lambda: get(reader, "/healthz").status == 200, "200 again")


def test_metrics(guarded):
    with stream_at(guarded, "/api/v1/events/mine", user="alice") as stream:
        stream.wait_open()
        assert read_metrics(guarded).value("streams_open") == 1


def test_head_of_a_stream(reader):
    for target in ("/events/done", "/events/a?wait=5", "/events?job_id=a"):
        answer = get(reader, target, method="HEAD")
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["content-type"].startswith("text/event-stream")
    assert read_metrics(reader).value("streams_opened_total") == 0


def test_head_is_refused_like_get(reader):
    """RFC 9110, section 9.3.2: the answer to HEAD is that to GET without its
    content; so are its refusals."""
    many = jobs_target([str(n) for n in range(65)]).removeprefix("/api/v1")
    for target in ("/events/a%20b", many, "/events", "/events/a?wait=abc"):
        wanted = get(reader, target).status
        assert get(reader, target, method="HEAD").status == wanted, target


def test_head_of_a_job(reader):
    answer = get(reader, "/jobs/done", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert get(reader, "/jobs/none", method="HEAD").status == 404


def test_options(guarded):
    for path in ("/events/a", "/events", "/jobs/a", "/healthz", "/metrics"):
        answer = get(guarded, path, method="OPTIONS")
        assert (answer.status, answer.body) == (204, b"")
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


def test_preflight(crossed):
    answer = get(
        crossed, "/events/a",
        {"Origin": ORIGIN, "Access-Control-Request-Method": "GET",
         "Access-Control-Request-Headers": "last-event-id"},
        method="OPTIONS",
    )
    assert (answer.status, answer.body) == (204, b"")
    assert {
        name: value for name, value in answer.headers.items()
        if name.startswith("access-control-")
    } == {
        "access-control-allow-origin": ORIGIN,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "Retry-After",
        "access-control-allow-methods": "GET, HEAD, OPTIONS",
        "access-control-allow-headers":
            "Authorization, Cache-Control, Content-Type, Last-Event-ID, "
            "last-event-id",
        "access-control-max-age": "600",
    }
    answer = get(
        crossed, "/events/a", {"Origin": "https://evil.example"},
        method="OPTIONS",
    )
    assert not [n for n in answer.headers if n.startswith("access-control")]


@pytest.mark.parametrize("info", ["/jobs/done", "/api/v1/jobs/done"])
def test_path_info(reader, info):
    answer = reader.endpoint("events").call(
        "GET", "/cgi-bin/events", extra={"PATH_INFO": info}
    )
    assert answer.json()["state"] == "completed"


# -- answers of a stream -----------------------------------------------------


def test_opening(make_site):
    site = make_site(retry_min="2s", retry_max="3s")
    site.start("events")
    drawn = set()
    for _ in range(10):
        with site.stream("a") as stream:
            stream.wait_open()
            assert stream.comments == [
                f" jobwire 1 epoch={site.writer.epoch()}"
            ]
            drawn.add(stream.parser.retry)
    assert 2000 <= min(drawn) and max(drawn) <= 3000 and len(drawn) > 3


def test_history_then_live(reader):
    reader.writer.publish("a", "queued")
    with reader.stream("a") as stream:
        stream.next()
        reader.writer.publish("a", "completed")
        assert kinds(stream.wait_end()) == ["completed"]


def test_nothing_left(reader):
    with reader.stream("done", last_id=place(reader, 2)) as stream:
        assert stream.status == 204


def resync_of(site, last_id):
    """The reason, and what follows."""
    with site.stream("done", last_id=last_id) as stream:
        resync, *rest = stream.wait_end()
        assert (resync.event, resync.id) == ("resync", place(site, 0))
        return resync.data, ids_of(rest)


def test_resync_unknown(reader):
    assert resync_of(reader, "x") == ('{"reason":"unknown"}', [1, 2])


def test_resync_epoch(reader):
    assert resync_of(reader, "00000000-1") == ('{"reason":"epoch"}', [1, 2])


def test_resync_expired(reader):
    reader.writer.connection.execute("DELETE FROM job_events WHERE id = 1")
    reader.writer.connection.execute("UPDATE jobs SET floor = 2")
    assert resync_of(reader, place(reader, 1)) == (
        '{"reason":"expired"}', [2],
    )


def test_resync_future(reader):
    assert resync_of(reader, place(reader, 3)) == (
        '{"reason":"future"}', [1, 2],
    )


def test_trimmed_progress(reader):
    ids = [reader.writer.publish("a", "progress") for _ in range(4)]
    reader.writer.connection.execute(
        "DELETE FROM job_events WHERE id IN (?, ?)", ids[1:3]
    )
    with reader.stream("a", last_id=place(reader, ids[0])) as stream:
        assert ids_of(stream.take(1)) == ids[3:]


def test_end_completed(reader):
    with reader.stream("a") as stream:
        stream.wait_open()
        told = stream.parser.retry
        reader.writer.publish("a", "cancelled")
        assert kinds(stream.wait_end()) == ["cancelled"]
        assert stream.parser.retry == told


def test_end_lifetime(make_site):
    site = make_site(lifetime="1s", retry_min="10ms", retry_max="1h")
    site.start("events")
    with site.stream("a") as stream:
        stream.wait_open()
        told, begun = stream.parser.retry, time.monotonic()
        assert stream.wait_end() == []
        assert 0.8 <= time.monotonic() - begun < 1 + patience(1)
        assert stream.parser.retry != told


def test_end_drain(make_site):
    site = make_site(drain="500ms", retry_min="10ms", retry_max="1h")
    site.start("events")
    with site.stream("a") as stream:
        stream.wait_open()
        told = stream.parser.retry
        site.events.is_expected_dead = True
        site.events.child.terminate()
        assert stream.wait_end() == []
        assert stream.parser.retry != told
    assert site.events.wait_exit(2) == 0


def test_end_lagging(make_site):
    site = make_site(lag_timeout="200ms")
    site.start("events")
    with site.stream("a") as stream:
        stream.wait_open()
        site.writer.publish_many([("a", "step", {"x": "x" * 9000})] * 60)
        until(gauge_is(site, "streams_open", 0), "it to be cut")
        stream.take(1)
        stream.reconnect()
        stream.take(59)
        assert len(set(ids_of(stream.events))) == 60


def test_heartbeat_as_comment(make_site):
    site = make_site(heartbeat="100ms")
    site.start("events")
    with site.stream("a") as stream:
        assert stream.wait_comments(4)[1:] == [" heartbeat"] * 3


def test_full(full):
    answer = get(full, "/events/b")
    assert answer.status == 200
    match = re.fullmatch(
        r"retry: (\d+)\n: No further client can wait here now\.\n", answer.body.decode()
    )
    assert match and 10000 <= int(match[1]) <= 30000
