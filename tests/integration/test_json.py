"""The JSON form: for proxies that buffer, for curl and for CI."""

import json
import re
import time

import pytest
from harness.metrics import gauge_is, read_metrics
from harness.reading import get, get_json, jobs_target, kinds
from harness.wait import patience, until


@pytest.fixture(name="reader")
def fixture_reader(make_site):
    """A site with the responder of streams."""
    site = make_site()
    site.start("events")
    return site


def begin_wait(site, target):
    """A request that waits; it has begun to."""
    exchange = site.endpoint("events").open("GET", "/api/v1" + target)
    until(gauge_is(site, "json_waiting", 1), "it to wait")
    return exchange


def place(site, number):
    """The id of that row."""
    return f"{site.writer.epoch()}-{number}"


def test_same_as_the_stream(reader):
    """Ids, types and data are those of the stream, byte for byte of data."""
    for kind, data in [
        ("queued", None), ("processing", {"restore_id": "r"}),
        ("progress", '{"progress":1e400,"seed":1234567890123456789}'),
        ("completed", {"output": "x" * 5000}),
    ]:
        reader.writer.publish("a", kind, data)
    with reader.stream("a") as stream:
        events = stream.wait_end()
    body = get(reader, "/events/a?format=json").body.decode()
    expected = ",".join(
        f'{{"id":"{e.id}","event":"{e.event}","data":{e.data}}}'
        for e in events
    )
    times = re.findall(r',"created_at":"([^"]*)"', body)
    assert times == [row[0] for row in reader.writer.connection.execute(
        "SELECT created_at FROM job_events ORDER BY id")]
    body = re.sub(r',"created_at":"[^"]*"', "", body)
    assert body == (
        f'{{"events":[{expected}],"last_event_id":"{events[-1].id}",'
        '"terminal":true}\n'
    )


def test_polling_sees_everything_once(reader):
    last, seen = "", []
    for number in range(10):
        reader.writer.publish("a", "step", {"n": number})
        if number % 3 == 0:
            value = get_json(reader, "/events/a", Last_Event_ID=last)
            last = value["last_event_id"]
            seen += [e["data"]["n"] for e in value["events"]]
            assert value["terminal"] is False
    reader.writer.publish("a", "completed")
    value = get_json(reader, f"/events/a?last_event_id={last}")
    assert kinds(value["events"]) == ["completed"]
    assert value["terminal"] is True
    assert seen == list(range(10))


def test_nothing_yet(reader):
    value = get_json(reader, "/events/a")
    assert value == {
        "events": [], "last_event_id": place(reader, 0), "terminal": False,
    }


def test_the_answer_to_nothing_can_be_resumed(reader):
    first = get_json(reader, "/events/a")
    reader.writer.publish("a", "step")
    value = get_json(reader, f"/events/a?last_event_id={first['last_event_id']}")
    assert kinds(value["events"]) == ["step"]


def test_nothing_left(reader):
    """Not 204: whoever polls reads `terminal`."""
    number = reader.writer.publish("a", "completed")
    target = f"/events/a?last_event_id={place(reader, number)}"
    for wait in ("", "&wait=20"):
        value = get_json(reader, target + wait)
        assert (value["events"], value["terminal"]) == ([], True)
        assert value["last_event_id"] == place(reader, number)


def test_more_than_one_answer_holds(reader):
    reader.writer.publish_many([("a", "step", {"n": n}) for n in range(1000)])
    reader.writer.publish_many([("a", "done", {"n": n}) for n in range(5)])
    reader.writer.publish("a", "completed")
    first = get_json(reader, "/events/a")
    assert len(first["events"]) == 1000 and first["terminal"] is False
    second = get_json(
        reader, f"/events/a?last_event_id={first['last_event_id']}"
    )
    assert len(second["events"]) <= 6 and second["terminal"] is True
    ids = [e["id"] for e in first["events"] + second["events"]]
    assert len(set(ids)) == len(ids)


def test_large_events_are_cut_into_answers(reader):
    text = "x" * 900000
    reader.writer.publish_many([("a", "step", {"x": text})] * 12)
    reader.writer.publish("a", "completed")
    last, count, answers, is_terminal = "", 0, 0, False
    while not is_terminal:
        value = get_json(reader, "/events/a", Last_Event_ID=last)
        last, is_terminal = value["last_event_id"], value["terminal"]
        count += len(value["events"])
        answers += 1
    assert count == 13 and 2 < answers < 8


# -- waiting -----------------------------------------------------------------


def test_wait_ends_with_the_first_event(reader):
    exchange = begin_wait(reader, "/events/a?format=json&wait=30")
    begun = time.monotonic()
    number = reader.writer.publish("a", "step")
    value = exchange.finish().json()
    assert time.monotonic() - begun < 20, "it waited on"
    assert [e["id"] for e in value["events"]] == [place(reader, number)]


def test_wait_ends_with_all_of_one_commit(reader):
    exchange = begin_wait(reader, "/events/a?format=json&wait=30")
    reader.writer.publish_many([("a", "step")] * 3)
    assert kinds(exchange.finish().json()["events"]) == ["step"] * 3


def test_wait_for_one_of_several_jobs(reader):
    target = jobs_target(["a", "b"], "format=json&wait=30")
    exchange = begin_wait(reader, target.removeprefix("/api/v1"))
    reader.writer.publish("other", "step")
    reader.writer.publish("b", "completed")
    value = exchange.finish().json()
    assert kinds(value["events"]) == ["completed"]
    assert value["terminal"] is False, "a has not ended"


def test_wait_is_over(reader):
    """About the time asked for; an empty answer of the same form."""
    begun = time.monotonic()
    value = get_json(reader, "/events/a?wait=1")
    assert 0.9 <= time.monotonic() - begun < 1 + patience(2)
    assert value["events"] == [] and value["terminal"] is False


def test_wait_with_something_to_say_answers_at_once(reader):
    reader.writer.publish("a", "step")
    begun = time.monotonic()
    assert get_json(reader, "/events/a?wait=30")["events"]
    value = get_json(reader, "/events/b?wait=30&last_event_id=x")
    assert kinds(value["events"]) == ["resync"]
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize(
    "text", ["abc", "", "-1", "1.5", "56", "1s", "99999999999999999999", "0x1",
             "%00", "1%00", "%ff", "1e1"],
)
@pytest.mark.parametrize("form", ["json", "sse"])
def test_bad_waits(reader, text, form):
    answer = get(reader, f"/events/a?format={form}&wait={text}")
    assert (answer.status, answer.error()) == (400, "bad_wait")


@pytest.mark.parametrize("text", ["0", "55"])
def test_good_waits(reader, text):
    reader.writer.publish("a", "completed")
    assert get_json(reader, f"/events/a?wait={text}")["terminal"] is True


def test_many_wait_at_once(reader):
    exchanges = [
        reader.endpoint("events").open(
            "GET", f"/api/v1/events/job-{n % 10}?format=json&wait=30"
        )
        for n in range(200)
    ]
    until(gauge_is(reader, "json_waiting", 200), "them to wait")
    assert read_metrics(reader).value("streams_open") == 0
    reader.writer.publish_many([(f"job-{n}", "step") for n in range(10)])
    for number, exchange in enumerate(exchanges):
        (event,) = exchange.finish().json()["events"]
        assert event["data"]["job_id"] == f"job-{number % 10}"
    until(gauge_is(reader, "json_waiting", 0), "the gauge")


def test_wait_over_a_replaced_database(reader):
    """The one that waits is told, as it would be on a stream."""
    exchange = begin_wait(reader, "/events/a?format=json&wait=30")
    reader.replace_database()
    value = exchange.finish().json()
    assert kinds(value["events"]) == ["resync"]
    assert value["events"][0]["data"] == {"reason": "epoch"}


def test_wait_ends_with_the_drain(make_site):
    """An answer, not a broken connection."""
    site = make_site(drain="500ms")
    site.start("events")
    exchange = begin_wait(site, "/events/a?format=json&wait=30")
    site.events.is_expected_dead = True
    site.events.child.terminate()
    assert exchange.finish().json()["events"] == []
    assert site.events.wait_exit(2) == 0


# -- which form --------------------------------------------------------------


@pytest.mark.parametrize(
    "accept, query, kind",
    [
        (None, "", "text/event-stream"),
        ("*/*", "", "text/event-stream"),
        ("text/event-stream", "", "text/event-stream"),
        ("text/*", "", "text/event-stream"),
        ("application/json", "", "application/json"),
        ("Application/JSON", "", "application/json"),
        ("application/*", "", "application/json"),
        ("application/json, text/plain, */*", "", "application/json"),
        ("text/event-stream, application/json", "", "text/event-stream"),
        ("TEXT/Event-Stream,application/json", "", "text/event-stream"),
        ("application/json;q=0, */*", "", "text/event-stream"),
        ("application/json, text/event-stream;q=0", "", "application/json"),
        ("*/*, text/event-stream ; q=0.000", "", "application/json"),
        ("text/*;q=0, text/event-stream;q=0.1", "", "text/event-stream"),
        ("application/json;q=0.01;x=y, text/*", "", "application/json"),
        ("application/json-seq, */*", "", "text/event-stream"),
        (", text/html,, application/json", "", "application/json"),
        ("text/event-stream", "format=json", "application/json"),
        ("application/json", "format=sse", "text/event-stream"),
        ("text/html", "format=json", "application/json"),
    ],
)
def test_form(reader, accept, query, kind):
    reader.writer.publish("a", "completed")
    headers = {"Accept": accept} if accept else None
    answer = get(reader, f"/events/a?{query}", headers)
    assert answer.status == 200
    assert answer.headers["content-type"].split(";")[0] == kind


@pytest.mark.parametrize(
    "accept, query",
    [("text/html", ""), ("image/*", ""), ("*/*;q=0", ""),
     ("application/json;q=0.0, text/event-stream;charset=utf-8;Q=0", ""),
     ("application/json-seq", ""), ("xtext/event-stream", ""),
     ("*/json", ""), (",", ""), ("*/*", "format=xml"), ("*/*", "format="),
     ("*/*", "format=JSON"), ("*/*", "format=%ff")],
)
def test_no_such_form(reader, accept, query):
    answer = get(reader, f"/events/a?{query}", {"Accept": accept})
    assert (answer.status, answer.error()) == (406, "not_acceptable")


# -- the job -----------------------------------------------------------------


def test_job_keeps_its_text(reader):
    """Output and progress as they were written."""
    output = '{"seed":1234567890123456789,"huge":1e400,"a":[1,2]}'
    reader.writer.publish("a", "progress", '{"progress":12.50}')
    reader.writer.publish("a", "completed", f'{{"output":{output}}}')
    body = get(reader, "/jobs/a").body.decode()
    assert f'"progress":12.50,"output":{output},' in body
    json.loads(body)


def test_job_with_an_output_too_large_for_an_event(reader):
    text = "x" * 100000
    reader.writer.publish("a", "completed", {"output": text})
    event = get_json(reader, "/events/a")["events"][0]["data"]
    assert event["output_omitted"] is True
    assert get(reader, "/jobs/a").json()["output"] == text


@pytest.mark.parametrize(
    "path", ["/jobs", "/jobs/", "/jobs/a%20b", "/jobs/a/b", "/jobs/" + "x" * 129]
)
def test_bad_job_path(reader, path):
    answer = get(reader, path)
    assert (answer.status, answer.error()) == (400, "bad_job_id")
