"""Rows that no decent publisher would write, and clients that no browser
would be. The emitted bytes are judged by the WHATWG parser of the harness."""

import contextlib
import json
import socket
import time

import pytest
from harness.process import read_text
from harness.reading import (
    UncheckedWriter, get, get_json, jobs_target, kinds, stream_at,
)
from harness.metrics import gauge_is, read_metrics
from harness.sse import Parser, data_of, ids_of
from harness.wait import patience, until

LINE_ENDS = "\r\n\u0085\u2028\u2029\v\f"


@pytest.fixture(name="reader")
def fixture_reader(make_site):
    """A site with the responder of streams."""
    site = make_site()
    site.start("events")
    return site


@pytest.fixture(name="unchecked")
def fixture_unchecked(reader):
    """A writer without the checks of the schema."""
    writer = UncheckedWriter(reader.db)
    yield writer
    writer.close()


def whole_stream(site, job):
    """The bytes of a stream of a finished job."""
    answer = site.endpoint("events").call("GET", f"/api/v1/events/{job}")
    assert answer.status == 200, answer
    return answer.body


# -- golden bytes ------------------------------------------------------------


def test_golden_bytes(reader):
    """All that the emitter writes, to the byte."""
    epoch = reader.writer.epoch()
    for kind, data in [
        ("queued", None),
        ("processing", {"restore_id": "r\n1"}),
        ("progress", '{"progress":12.50}'),
        ("x.y_z-1", '{ "a" : [1, 2 ,{"b":null}] ,\t"big":1e400 }'),
        ("completed", '{"output":"\u2028é\\u0000\\ud800"}'),
    ]:
        reader.writer.publish("gold", kind, data)
    body = whole_stream(reader, "gold")
    retry, rest = body.split(b"\n", 1)
    assert 1000 <= int(retry.removeprefix(b"retry: ")) <= 5000
    head = '"job_id":"gold","restore_id":"r\\n1"'
    expected = (
        f": jobwire 1 epoch={epoch}\n"
        f"id: {epoch}-1\nevent: queued\n"
        f'data: {{{head},"status":"queued"}}\n\n'
        f"id: {epoch}-2\nevent: processing\n"
        f'data: {{{head},"status":"processing"}}\n\n'
        f"id: {epoch}-3\nevent: progress\n"
        f'data: {{{head},"status":"processing","progress":12.50}}\n\n'
        f"id: {epoch}-4\nevent: x.y_z-1\n"
        f'data: {{{head},"status":"processing",'
        '"a":[1,2,{"b":null}],"big":1e400}\n\n'
        f"id: {epoch}-5\nevent: completed\n"
        f'data: {{{head},"status":"completed",'
        '"output":"LS\\u00e9\\u0000LONE"}\n\n'
    )
    spaceless = squeezed(rest.decode())
    assert spaceless == squeezed(
        expected.replace("LS", "\\u2028").replace("LONE", "\\ufffd")
        .replace("\\u00e9", "é")
    )


def squeezed(text):
    """Without what the contract leaves open: spaces between tokens, and the
    form of a replaced surrogate."""
    text = text.replace(": [", ":[")
    text = text.replace("\ufffd", "\\ufffd").replace("\\uFFFD", "\\ufffd")
    lines = []
    for line in text.split("\n"):
        if line.startswith("data: "):
            name, value = line[:6], line[6:]
            value = "".join(c for c in value if c not in " \t")
            line = name + value
        lines.append(line)
    return "\n".join(lines)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_golden_in_pieces(reader, size):
    """However the bytes are cut on the way, the events are the same."""
    for number in range(3):
        reader.writer.publish("cut", "step", {"n": number, "t": "é\u2028😀"})
    reader.writer.publish("cut", "completed")
    body = whole_stream(reader, "cut")
    at_once = Parser().feed(body)
    parser = Parser()
    pieces = [
        event
        for at in range(0, len(body), size)
        for event in parser.feed(body[at : at + size])
    ]
    assert pieces == at_once
    assert kinds(pieces) == ["step"] * 3 + ["completed"]


LONG = {
    "numbers-70-kb": "[" + ",".join(["12345.50"] * 8000) + "]",
    "spaces-70-kb": json.dumps([{"n": n, "t": "é, \\"} for n in range(2400)], indent=1),
    "texts-600-kb": json.dumps(["],[\"{" * 2000] * 30),
}


@pytest.mark.parametrize("name", LONG)
def test_long_data_is_cut_between_tokens(reader, name):
    """Into lines that every reader takes; put together again it is the same
    JSON, numbers to the letter. In the JSON form nothing is cut."""
    with reader.stream("long") as live:
        live.wait_open()
        reader.writer.publish("long", "step", '{"x":%s}' % LONG[name])
        reader.writer.publish("long", "completed")
        seen = live.wait_end()
    body = whole_stream(reader, "long")
    assert [e[:3] for e in Parser().feed(body)] == [e[:3] for e in seen]
    lines = [n for n in body.split(b"\n") if n.startswith(b"data: ")]
    assert len(lines) > 3 and max(map(len, lines)) <= len("data: ") + 32000
    assert data_of(seen[0])["x"] == json.loads(LONG[name])
    text = seen[0].data.replace("\n", "")
    assert text.count("12345.50") == LONG[name].count("12345.50")
    value = get_json(reader, "/events/long")
    assert value["events"][0]["data"] == data_of(seen[0])


def test_data_that_fits_stays_on_one_line(reader):
    """And so does a text that is longer by itself."""
    reader.writer.publish("one", "fits", {"t": "x" * 31000, "n": [1, 2]})
    reader.writer.publish("one", "token", {"t": "y" * 100_000, "n": [1, 2]})
    reader.writer.publish("one", "completed")
    lines = whole_stream(reader, "one").decode().split("\n")
    assert any(f'"{"x" * 31000}","n":[1,2]}}' in line for line in lines)
    assert f'data: "{"y" * 100_000}"' in lines


def test_emitter_needs_no_odd_form(reader):
    """No BOM, no CR, no NUL, no empty line without data before it, no empty id,
    no field but the five, one data line each, every id short and of safe
    characters."""
    reader.writer.publish("odd", "step", {"text": LINE_ENDS + "\ufeff\0: x"})
    reader.writer.publish("odd", "completed")
    body = whole_stream(reader, "odd")
    assert not body.startswith(b"\xef\xbb\xbf")
    assert b"\r" not in body and b"\0" not in body
    assert body.endswith(b"\n\n")
    opening, _, rest = body.decode().partition("id: ")
    names = [line.partition(":")[0] for line in opening.split("\n")]
    assert names == ["retry", "", ""], opening
    for block in f"id: {rest}".removesuffix("\n\n").split("\n\n"):
        lines = block.split("\n")
        names = [line.partition(":")[0] for line in lines]
        assert names == ["id", "event", "data"], block
        value = lines[0].removeprefix("id: ")
        assert 0 < len(value) <= 128
        assert value.replace("-", "").isalnum() and value.isascii()


@pytest.mark.parametrize(
    "text, expected",
    [
        ("\ufeffdata:1\n\n\ufeffdata:2\n\ndata:3\n\n", ["1", "3"]),
        (":a\0b\n:\r\n:x\rdata:1\n\n", ["1"]),
        ("data:1\n\ndata:2", ["1"]),
        ("data:\n\ndata\ndata\n\ndata:test\n\n", ["", "\n", "test"]),
        ("data:  x\n\n", [" x"]),
        ("data:1\rdata:2\r\ndata:3\n\n", ["1\n2\n3"]),
        ("event:x\n\ndata:1\n\n", ["1"]),
        ("Data:1\n\nda-ta:2\n\ndata:3\n\n", ["3"]),
        ("data:\0\n\n", ["\0"]),
    ],
    ids=["bom", "comments", "before-final-empty-line", "field-data",
         "leading-space", "newlines", "event-without-data", "unknown-field",
         "null-character"],
)
def test_parser_vectors(text, expected):
    """The judge itself, with vectors of web-platform-tests."""
    parser = Parser(is_lenient=True)
    assert [e.data for e in parser.feed(text.encode())] == expected


@pytest.mark.parametrize(
    "text, ids, retry",
    [
        ("id:1\ndata:1\n\ndata:2\n\n", ["1", "1"], None),
        ("id:1\ndata:1\n\nid\ndata:2\n\n", ["1", ""], None),
        ("id:1\ndata:1\n\nid:2\0\ndata:2\n\n", ["1", "1"], None),
        ("id:1\n\ndata:1\n\n", ["1"], None),
        ("retry:03000\ndata:x\n\n", [""], 3000),
        ("retry:1000x\nretry\nretry:-1\nretry:１\ndata:x\n\n", [""], None),
    ],
    ids=["persists", "reset", "null", "without-data", "retry", "retry-bogus"],
)
def test_parser_vectors_of_ids(text, ids, retry):
    parser = Parser(is_lenient=True)
    assert [e.id for e in parser.feed(text.encode())] == ids
    assert parser.retry == retry


# -- foreign rows ------------------------------------------------------------

HOSTILE = {
    "line-ends-escaped": json.dumps({"a": LINE_ENDS}),
    "line-ends-raw": json.dumps({"a": "\u2028\u2029\u0085"}, ensure_ascii=False),
    "between-tokens": '{\r\n"a"\r:\n"b"\t}',
    "nul-escaped": '{"a":"\\u0000","\\u0000":1}',
    "lone-surrogates": '{"a":"\\ud800","b":"\\udc00x","c":"\\ud800\\ud800"}',
    "pair": '{"a":"\\ud83d\\ude00"}',
    "invalid-utf8": b'{"a":"\xff\xc3\x28\xed\xa0\x80\xf5"}',
    "invalid-utf8-key": b'{"\xff":1}',
    "cut-utf8": b'{"a":"\xe2\x82"}',
    "forged-fields": '{"a":"\\n\\nid: 1\\nevent: x\\ndata: y\\n\\n"}',
    "forged-three": '{"job_id":"x","job\\u005fid":"y","status":"z"}',
    "restore-id": b'{"restore_id":"a\xff\\n\\u0000\\ud800b"}',
    "doubles": '{"a":1,"a":2,"output":3,"output":4}',
    "empty-names": '{"":{"":""}}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_data_is_one_line_of_json(reader, unchecked, name):
    """Live, as a replay, and in the JSON form."""
    with reader.stream("job") as live:
        live.wait_open()
        assert unchecked.insert("job", "step", HOSTILE[name]), "not stored"
        reader.writer.publish("job", "completed")
        seen = live.wait_end()
    body = whole_stream(reader, "job")
    body.decode("utf-8")
    replayed = Parser().feed(body)
    assert [e[:3] for e in replayed] == [e[:3] for e in seen]
    assert kinds(seen) == ["step", "completed"]
    data = seen[0].data
    assert not set(data) & set("\r\n\0")
    # Nor for readers to whom more characters end a line.
    assert body.decode().splitlines() == body.decode().split("\n")[:-1]
    own = data_of(seen[0])
    assert (own["job_id"], own["status"]) == ("job", "queued")
    data.encode("utf-8")
    json.dumps(own, ensure_ascii=False).encode("utf-8")  # no lone surrogate
    value = get_json(reader, "/events/job")
    assert value["events"][0]["data"] == own
    text = get(reader, "/events/job?format=json").body.decode()
    assert len(text.splitlines()) == 1


BAD_ROWS = [
    ("step", "[1,2]"),
    ("step", '"text"'),
    ("step", "17"),
    ("Bad", "{}"),
    ("a\nb", "{}"),
    ("a\rdata: x", None),
    ("", None),
    ("x" * 65, None),
    ("resync", '{"reason":"epoch"}'),
    ("heartbeat", None),
    ("expiring", '{"expires_in":1}'),
    ("step", json.dumps({"text": "x" * (1 << 20)})),
    ("step", '{"a":' + "[" * 40 + "]" * 40 + "}"),
]


@pytest.mark.parametrize("is_live", [True, False], ids=["live", "replay"])
def test_invalid_row_is_skipped_and_said_once(reader, unchecked, is_live):
    """Never sent, counted once, logged once, however many streams meet it,
    and what stands behind it comes as if it were not there."""
    with contextlib.ExitStack() as stack:
        streams = []
        if is_live:
            streams = [stack.enter_context(reader.stream("job")) for _ in "ab"]
            for stream in streams:
                stream.wait_open()
        bad = [unchecked.insert("job", *row) for row in BAD_ROWS]
        bad = [number for number in bad if number]
        assert len(bad) >= 11, "the table refused them by itself"
        good = reader.writer.publish("job", "completed")
        if not is_live:
            streams = [stack.enter_context(reader.stream("job")) for _ in "ab"]
        for stream in streams:
            assert ids_of(stream.wait_end()) == [good]
    with reader.stream("job") as late:
        assert ids_of(late.wait_end()) == [good]
    assert ids_of_json(reader, "job") == [good]
    assert read_metrics(reader).value("rows_skipped_total") == len(bad)
    log = read_text(reader.log_path("events"))
    assert log.count("event=row_skipped") == len(bad)
    for number in bad:
        assert log.count(f"event=row_skipped id={number} ") == 1


def ids_of_json(site, job):
    """The row ids of the JSON form."""
    events = get_json(site, f"/events/{job}")["events"]
    return [int(event["id"].split("-")[1]) for event in events]


def test_skipped_rows_are_counted_in_any_order(reader, unchecked):
    """A row that is met after a younger one counts like any other."""
    for job in ("older", "younger"):
        assert unchecked.insert(job, "step", "[]")
        reader.writer.publish(job, "completed")
    for job in ("younger", "older"):
        whole_stream(reader, job)
    assert read_metrics(reader).value("rows_skipped_total") == 2


@pytest.mark.parametrize(
    "data",
    ["[]", json.dumps({"output": "x" * (1 << 20)}),
     '{"output":' + "[" * 40 + "]" * 40 + "}"],
    ids=["no-object", "over-1-mib", "too-deep"],
)
def test_skipped_terminal_row_ends_the_stream(reader, unchecked, data):
    """The row cannot be sent, but the job has ended: the stream must end too,
    and the client that comes back must be stopped."""
    with reader.stream("job") as stream:
        stream.wait_open()
        reader.writer.publish("job", "step")
        assert unchecked.insert("job", "completed", data)
        assert get(reader, "/jobs/job").json()["state"] == "completed"
        assert kinds(stream.wait_end(3)) == ["step"]
        stream.reconnect()
        assert stream.status == 204


def test_resume_behind_a_skipped_terminal_row(reader, unchecked):
    """As above, for a client that comes after the row: stopped at once, or
    after one stream that moved its id without an event."""
    first = reader.writer.publish("job", "step")
    assert unchecked.insert("job", "completed", "[]")
    place = f"{reader.writer.epoch()}-{first}"
    with reader.stream("job", last_id=place) as stream:
        if stream.status == 200:
            assert stream.wait_end() == []
            stream.reconnect()
        assert stream.status == 204


@pytest.mark.parametrize("with_id", [False, True], ids=["no-id", "id"])
def test_only_skipped_rows_are_left(reader, unchecked, with_id):
    """Nothing that can be sent: 204, whether the client has seen something or
    not. A job that goes on after that is followed again."""
    first = reader.writer.publish("job", "step") if with_id else 0
    assert unchecked.insert("job", "note", "[]")
    assert unchecked.insert("job", "completed", "[]")
    place = f"{reader.writer.epoch()}-{first}" if with_id else ""
    with reader.stream("job", last_id=place) as stream:
        assert stream.status == 204
    assert read_metrics(reader).value("rows_skipped_total") == 2
    reader.writer.publish("job", "queued")
    with reader.stream("job", last_id=place) as stream:
        assert kinds([stream.next()]) == ["queued"]


def test_id_of_a_skipped_row_waits_for_an_event(make_site):
    """It stands in front of the next event with data, here a heartbeat."""
    site = make_site(heartbeat="100ms")
    site.start("events")
    with site.stream("job", "heartbeat=event") as stream:
        stream.wait_open()
        with contextlib.closing(UncheckedWriter(site.db)) as writer:
            bad = writer.insert("job", "step", "[]")
        while stream.last_id != f"{site.writer.epoch()}-{bad}":
            assert stream.next().event == "heartbeat"


def test_row_for_no_possible_job(reader, unchecked):
    """A job id that cannot be asked for reaches nobody and stops nothing."""
    with reader.stream("job") as stream:
        stream.wait_open()
        for job in ("job\0x", "job\n", "job ", "", "ä", b"job\xff", "j" * 129):
            unchecked.insert(job, "step", '{"foreign":true}')
        reader.writer.publish("job", "completed")
        assert kinds(stream.wait_end()) == ["completed"]
    value = get_json(reader, "/events/job")
    assert kinds(value["events"]) == ["completed"]


def test_hostile_created_at(reader, unchecked):
    """Times are for people; only the histogram reads them."""
    with reader.stream("job") as stream:
        stream.wait_open()
        for text in ("", "now", "9999-99-99T99:99:99Z", "\n\n", "0000-01-01"):
            unchecked.connection.execute(
                "INSERT INTO job_events(job_id, type, created_at)"
                " VALUES('job', 'step', ?)", (text,),
            )
        stream.take(5)
        read_metrics(reader)


# -- what requests can hold --------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["x" * 4096, "\udcff\udcfe", "é…", "<script>", "00000000-1\t", "%00",
     "-1", "0" * 4096, " ", "'; DROP TABLE jobs; --"],
    ids=ascii,
)
def test_hostile_last_event_id(reader, text):
    """Anything that is not ours is unknown, or of another epoch; never an
    error, and never repeated."""
    reader.writer.publish("job", "completed")
    stream = reader.stream("job", last_id=text)
    resync, event = stream.wait_end()
    assert data_of(resync) == {"reason": "unknown"}
    assert event.event == "completed"
    stream = reader.stream("job", "last_event_id=%ff%00%0A")
    assert data_of(stream.wait_end()[0]) == {"reason": "unknown"}


@pytest.mark.parametrize(
    "query",
    ["%ff=%fe", "&&&", "=", "a=%", "x" * 30000, "%00=%00", "last_event_id",
     "heartbeat=%ff", "\udcff\udcfe", "job_id=other"],
    ids=lambda text: ascii(text[:12]),
)
def test_hostile_query(reader, query):
    """Names that mean nothing are passed over; so is job_id= with a path."""
    reader.writer.publish("job", "completed")
    with reader.stream("job", query) as stream:
        assert kinds(stream.wait_end()) == ["completed"]


def test_hostile_origin_and_accept(make_site):
    site = make_site(cors_origins="https://a.example")
    site.start("events")
    for origin in ("\udcff", "https://a.example.evil", "https://a.exampl",
                   "https://a.example,", "null", "*", "x" * 30000, ", "):
        answer = get(site, "/healthz", {"Origin": origin})
        assert "access-control-allow-origin" not in answer.headers
    answer = get(site, "/events/a", {"Accept": "\udcff" * 1000})
    assert answer.error() == "not_acceptable"


# -- clients -----------------------------------------------------------------


def fill(site, job, count=60):
    """More than the buffers between us and the client hold."""
    site.writer.publish_many([(job, "step", {"x": "x" * 20000})] * count)


def test_client_that_never_reads(make_site):
    """It is closed after lag_timeout; another one is not disturbed; it comes
    back and has everything."""
    lag_s = patience(0.4)  # the fast one must read all in that time
    site = make_site(lag_timeout=f"{lag_s * 1000:.0f}ms")
    site.start("events")
    with site.stream("job") as slow, site.stream("job") as fast:
        slow.wait_open()
        fast.wait_open()
        begun = time.monotonic()
        fill(site, "job")
        fast.take(60)
        until(gauge_is(site, "streams_open", 1), "it to be closed")
        assert time.monotonic() - begun >= lag_s
        metrics = read_metrics(site)
        assert metrics.value("streams_closed_total", reason="lagged") == 1
        assert metrics.value("streams_lagging") == 0
        with contextlib.suppress(Exception):
            while True:
                slow.next(1)
        assert not slow.exchange.complete, "a broken end must look like one"
        slow.reconnect()
        slow.take(60 - len(slow.events))
        assert ids_of(slow.events) == ids_of(fast.events)


def test_client_that_reads_a_byte_at_a_time(make_site):
    """Moving a little is not keeping up: closed all the same."""
    site = make_site(lag_timeout="1s")
    site.start("events")
    stream = site.stream("job")
    with stream:
        stream.wait_open()
        fill(site, "job")
        raw = stream.exchange.connection.socket
        begun = time.monotonic()
        while read_metrics(site).value("streams_open") == 1:
            raw.recv(1)
            assert time.monotonic() - begun < patience(10)
        metrics = read_metrics(site)
        assert metrics.value("streams_closed_total", reason="lagged") == 1


def test_answers_that_nobody_takes(make_site):
    """They lie in memory up to max_bodies; what is more is cut, the others
    are served."""
    site = make_site(max_bodies="8m")
    for _ in range(5):
        site.writer.publish("job", "step", {"filler": "x" * 1000000})
    site.writer.publish("small", "step")
    site.start("events")
    endpoint, target = site.endpoint("events"), "/events/job?format=json"

    def ask():
        return endpoint.open("GET", "/api/v1" + target, receive_buffer=4096)

    def held():
        return read_metrics(site).value("body_bytes")

    slow = ask()
    until(lambda: held() > 5000000, "the answer to wait")
    cut = ask()
    until(
        lambda: read_metrics(site).value("requests_refused_total") == 1,
        "the second one to be cut",
    )
    while not cut.ended:
        cut.read_some()
    assert not cut.complete and 5000000 < held() < 6000000
    assert len(get_json(site, "/events/small?format=json")["events"]) == 1
    assert len(slow.finish().json()["events"]) == 5
    until(lambda: held() == 0, "the answer to be gone")
    assert len(ask().finish().json()["events"]) == 5


def test_client_that_takes_a_long_answer_slowly(make_site):
    """It has no id to resume by: as long as it goes on, it gets it whole."""
    site = make_site(lag_timeout="2s")
    for _ in range(5):
        site.writer.publish("job", "step", {"filler": "x" * 1000000})
    site.start("events")
    begun = time.monotonic()
    slow = site.endpoint("events").open(
        "GET", "/api/v1/events/job?format=json", receive_buffer=4096)
    received = b""
    while not slow.ended:
        received += slow.read_some()
        # A line of 1 MB/s.
        time.sleep(max(0, len(received) / 1e6 - (time.monotonic() - begun)))
    assert slow.complete and time.monotonic() - begun > 4
    assert len(json.loads(received)["events"]) == 5


def test_client_that_catches_up_in_time(make_site):
    """It stops reading twice, each time shorter than lag_timeout."""
    site = make_site(lag_timeout="5s")
    site.start("events")
    with site.stream("job") as stream:
        stream.wait_open()
        for round_ in (1, 2):
            fill(site, "job")
            until(gauge_is(site, "streams_lagging", 1), "it to lag")
            stream.take(60)
            until(gauge_is(site, "streams_lagging", 0), "it to keep up")
            assert len(stream.events) == 60 * round_
        assert len(set(ids_of(stream.events))) == 120


def test_client_that_half_closes(reader):
    """A web server closes both ways; whoever sends no more is gone."""
    with reader.stream("job") as stream, reader.stream("job") as other:
        stream.wait_open()
        other.wait_open()
        stream.exchange.connection.half_close()
        until(gauge_is(reader, "streams_open", 1), "its end")
        reader.writer.publish("job", "completed")
        assert kinds(other.wait_end()) == ["completed"]
    assert read_metrics(reader).value(
        "streams_closed_total", reason="left"
    ) == 1


def test_half_closed_while_waiting_for_json(reader):
    exchange = reader.endpoint("events").open(
        "GET", "/api/v1/events/job?format=json&wait=30"
    )
    until(gauge_is(reader, "json_waiting", 1), "it to wait")
    exchange.connection.half_close()
    until(gauge_is(reader, "json_waiting", 0), "its end")
    exchange.close()


@pytest.mark.parametrize("job_count", [65, 1000])
def test_more_jobs_than_one_stream_carries(reader, job_count):
    target = jobs_target([f"job-{n}" for n in range(job_count)])
    answer = reader.endpoint("events").call("GET", target)
    assert (answer.status, answer.error()) == (400, "too_many_jobs")
    assert read_metrics(reader).value("streams_opened_total") == 0


def test_64_busy_jobs_in_one_stream(reader):
    jobs = [f"job-{n}" for n in range(64)]
    target = jobs_target(jobs)
    with stream_at(reader, target) as stream:
        stream.wait_open()
        for _ in range(5):
            reader.writer.publish_many([(job, "step") for job in jobs])
        reader.writer.publish_many([(job, "completed") for job in jobs])
        events = stream.wait_end()
        assert len(events) == 64 * 6
        assert ids_of(events) == sorted(ids_of(events))
    assert reader.events.sockets() >= 1


def test_peer_that_resets(make_site):
    """TCP: an abortive close in the middle of a stream that is written to."""
    site = make_site()
    site.start("events")
    stream = site.stream("job")
    stream.wait_open()
    stream.exchange.connection.socket.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
    )
    fill(site, "job", 5)
    stream.close()
    until(gauge_is(site, "streams_open", 0), "its end")
