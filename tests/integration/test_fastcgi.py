"""The FastCGI transport: what a web server sends, and what none should."""

import contextlib
import struct
import time

import pytest
from harness import fastcgi as wire
from harness.fastcgi import FastcgiExchange, environ, record, request
from harness.site import PREFIX, events_target
from harness.wait import patience, until

NOT_FOUND = f"{PREFIX}/nothing"
HEAD_DEADLINE = 5.0  # seconds a responder waits for a whole head


def plain(**options):
    """A whole request whose answer is a 404."""
    return request(environ("GET", NOT_FOUND), **options)


def stream_request(job, **extra):
    """A whole request for a job's stream."""
    return request(environ("GET", events_target(job), extra=extra))


def answer_on(connection, **options):
    """The whole answer to a request sent on a connection that stays."""
    exchange = FastcgiExchange(connection, **options)
    while not exchange.ended:
        exchange.read_some()
    assert exchange.complete
    assert (exchange.app_status, exchange.protocol_status) == (0, 0)
    return exchange


def still_serves(site, name="events"):
    """The responder answers others; proves that its loop has turned, too."""
    assert site.endpoint(name).call("GET", NOT_FOUND).status == 404


def refused(connection, seconds=HEAD_DEADLINE + 3):
    """Waits for the end of the connection; the records that came before."""
    records = []
    while True:
        try:
            got = connection.receive(seconds)
        except ConnectionResetError:
            return records
        if got is None:
            return records
        records.append(got)


@pytest.fixture(name="events")
def fixture_events(make_site):
    """A site with jobwire-events alone."""
    site = make_site()
    site.start("events")
    return site


def test_whole_answer_and_end(events):
    answer = events.endpoint("events").call("GET", NOT_FOUND)
    assert answer.status == 404
    assert answer.error() == "not_found"


@pytest.mark.parametrize("name", ["events", "webhook"])
def test_keep_conn_is_kept(site, name):
    with site.endpoint(name).connect() as connection:
        for request_id in (1, 1, 7, 65535):
            connection.send(plain(keep=True, request_id=request_id))
            exchange = answer_on(connection, request_id=request_id)
            assert exchange.head.status == 404
        connection.send(plain())
        answer_on(connection)
        assert connection.receive() is None


def test_keep_conn_after_204_and_a_finished_stream(events):
    events.writer.publish("kept", "completed")
    with events.endpoint("events").connect() as connection:
        values = environ("GET", events_target("kept"))
        connection.send(request(values, keep=True))
        exchange = FastcgiExchange(connection)
        body = b""
        while not exchange.ended:
            body += exchange.read_some()
        assert exchange.head.status == 200 and b"event: completed" in body
        last_id = body.partition(b"id: ")[2].partition(b"\n")[0].decode()
        values["HTTP_LAST_EVENT_ID"] = last_id
        for _ in range(3):
            connection.send(request(values, keep=True))
            assert answer_on(connection).head.status == 204
        connection.send(plain(keep=True))
        assert answer_on(connection).head.status == 404


def test_late_abort_on_a_kept_connection(events):
    """A server may abort a request whose end it has not seen yet."""
    with events.endpoint("events").connect() as connection:
        connection.send(plain(keep=True))
        answer_on(connection)
        connection.send(record(wire.ABORT_REQUEST))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send(plain(keep=True))
            exchange = FastcgiExchange(connection)
            while not exchange.ended:
                exchange.read_some()
            assert not exchange.complete or exchange.head.status == 404
    still_serves(events)


def test_head_split_at_every_byte(events):
    whole = wire.begin() + wire.params(
        {"REQUEST_METHOD": "GET", "REQUEST_URI": "/x", "QUERY_STRING": ""}
    ) + record(wire.STDIN)
    with contextlib.ExitStack() as stack:
        cut = []
        for at in range(1, len(whole)):
            connection = stack.enter_context(events.endpoint("events").connect())
            connection.send(whole[:at])
            cut.append((connection, at))
        still_serves(events)
        for connection, at in cut:
            connection.send(whole[at:])
        for connection, _ in cut:
            assert answer_on(connection).head.status == 404


def test_head_in_small_pieces(events):
    """Eight bytes at a time: the head waits in the socket until it is whole,
    and the kernel's buffer counts small pieces as far larger ones."""
    data = plain()
    with events.endpoint("events").connect() as connection:
        for at in range(0, len(data), 8):
            connection.send(data[at : at + 8])
        assert answer_on(connection).head.status == 404


# Sizes around libfcgi's buffer of 8192 bytes; the last record, an empty STDIN
# of 8 bytes, must not be left behind and taken for a client that left.
@pytest.mark.parametrize(
    "size",
    [8176, 8184, 8188, 8191, 8192, 8193, 8200, 9046, 16384, 16392, 24576, 65000],
)
def test_head_of_a_size(events, size):
    values = environ("GET", events_target("size"), extra={"X": ""})
    values["X"] = "x" * 200
    values["X"] = "x" * (200 + size - len(request(values)))
    while len(request(values)) > size:  # the length field may have grown
        values["X"] = values["X"][1:]
    data = request(values)
    assert abs(len(data) - size) <= 8
    with events.endpoint("events").connect() as connection:
        connection.send(data)
        exchange = FastcgiExchange(connection)
        assert exchange.wait_head().status == 200
        exchange.read_some()
        still_serves(events)
        events.writer.publish("size", "completed")
        body = b""
        while not exchange.ended:
            body += exchange.read_some()
        assert exchange.complete and b"event: completed" in body


def test_long_form_lengths_and_empty_params(events):
    values = environ("GET", NOT_FOUND, extra={"EMPTY": "", "": ""})
    data = (
        wire.begin()
        + wire.params(values, long_form=True)
        + record(wire.STDIN)
    )
    with events.endpoint("events").connect() as connection:
        connection.send(data)
        assert answer_on(connection).head.status == 404


def test_params_in_many_records_with_padding(events):
    content = b"".join(
        wire.pair(name.encode(), value.encode())
        for name, value in environ("GET", NOT_FOUND).items()
    )
    pieces = [content[i : i + 3] for i in range(0, len(content), 3)]
    data = wire.begin() + b"".join(
        record(wire.PARAMS, piece, padding=i % 256)
        for i, piece in enumerate(pieces)
    )
    data += record(wire.PARAMS) + record(wire.STDIN, padding=255)
    with events.endpoint("events").connect() as connection:
        connection.send(data)
        assert answer_on(connection).head.status == 404


def test_empty_head(events):
    """No variable at all: nothing that we serve, and no crash."""
    with events.endpoint("events").connect() as connection:
        connection.send(wire.begin() + record(wire.PARAMS) + record(wire.STDIN))
        exchange = answer_on(connection)
        assert 400 <= exchange.head.status < 500


def test_get_with_a_body(events):
    """Nothing reads it, and it does not disturb the answer."""
    with events.endpoint("events").connect() as connection:
        connection.send(request(environ("GET", NOT_FOUND), b"x" * 100000))
        assert answer_on(connection).head.status in (404, 413)


# -- refused -------------------------------------------------------------


def test_head_over_64_kib(events):
    with events.endpoint("events").connect() as connection:
        values = environ("GET", NOT_FOUND, extra={"HTTP_COOKIE": "x" * 70000})
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send(request(values))
        for got in refused(connection):
            assert got.type in (wire.STDOUT, wire.END_REQUEST)
            assert b"200 " not in got.content[:20]
    still_serves(events)


def test_head_without_end(events):
    """Params for ever: refused at the limit, not gathered."""
    piece = record(wire.PARAMS, wire.pair(b"X", b"x" * 1000))
    with events.endpoint("events").connect() as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send(wire.begin())
            for _ in range(2000):
                connection.send(piece)
        refused(connection)
    still_serves(events)


GARBAGE = {
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "zeros": bytes(64),
    "ones": b"\xff" * 4096,
    "version": record(wire.BEGIN_REQUEST, bytes([0, 1] + [0] * 6), version=2),
    "no begin": wire.params({"A": "B"}),
    "end request": record(wire.END_REQUEST, bytes(8)),
    "stdout": record(wire.STDOUT, b"x"),
    "begin too short": record(wire.BEGIN_REQUEST, b"\0\1"),
    "begin too long": record(wire.BEGIN_REQUEST, bytes([0, 1] + [0] * 60)),
    "begin id 0": wire.begin(request_id=0),
    "begin twice": wire.begin() + wire.begin(),
    "second request": wire.begin() + wire.begin(request_id=2),
    "params of another": wire.begin() + wire.params({"A": "B"}, request_id=2),
    "stdin too early": wire.begin() + record(wire.STDIN),
    "pair past the end": wire.begin()
    + record(wire.PARAMS, b"\x05\x05ab")
    + record(wire.PARAMS)
    + record(wire.STDIN),
    "pair of 2 GiB": wire.begin()
    + record(wire.PARAMS, b"\xff\xff\xff\xff\xff\xff\xff\xffab")
    + record(wire.PARAMS)
    + record(wire.STDIN),
    "abort first": record(wire.ABORT_REQUEST),
    "get values": record(
        wire.GET_VALUES, wire.pair(b"FCGI_MAX_CONNS", b""), request_id=0
    ),
    "get values overflow": record(
        wire.GET_VALUES, wire.pair(b"FCGI_MAX_CONNS", b"") * 40, request_id=0
    )
    + b"x",
    "get values after begin": wire.begin()
    + record(wire.GET_VALUES, wire.pair(b"FCGI_MPXS_CONNS", b""), request_id=0),
    "unknown management type": record(77, b"?", request_id=0),
}


@pytest.mark.parametrize("name", ["events", "webhook"])
@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_refused(site, name, kind):
    with site.endpoint(name).connect() as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send(GARBAGE[kind])
        connection.half_close()
        for got in refused(connection):
            assert got.type in (
                wire.STDOUT, wire.END_REQUEST, wire.GET_VALUES_RESULT,
                wire.UNKNOWN_TYPE,
            )
    still_serves(site, name)


@pytest.mark.parametrize("kind", ["ones", "get values", "get values overflow"])
def test_garbage_is_refused_while_the_peer_stays(events, kind):
    """Nothing waits for a peer that was wrong to go away by itself."""
    with events.endpoint("events").connect() as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send(GARBAGE[kind])
        refused(connection)
    still_serves(events)


@pytest.mark.parametrize("role", [wire.AUTHORIZER, wire.FILTER, 9, 0])
def test_only_the_responder_role(events, role):
    with events.endpoint("events").connect() as connection:
        connection.send(
            wire.begin(role=role)
            + wire.params(environ("GET", NOT_FOUND))
            + record(wire.STDIN)
        )
        records = refused(connection)
        for got in records:
            if got.type == wire.END_REQUEST:
                assert struct.unpack("!IB3x", got.content)[1] == 3
            else:
                assert got.type == wire.STDOUT and not got.content
    still_serves(events)


@pytest.mark.parametrize("name", ["events", "webhook"])
def test_peer_that_leaves_in_its_head(site, name):
    """Half a head holds nobody up, and is forgotten when its peer leaves."""
    with contextlib.ExitStack() as stack:
        connections = []
        for sent in (0, 1, 7, 8, 15, 16, 20, 60, len(plain()) - 9):
            connection = stack.enter_context(site.endpoint(name).connect())
            connections.append(connection)
            if sent:
                connection.send(plain()[:sent])
        begun = time.monotonic()
        still_serves(site, name)
        assert time.monotonic() - begun < patience(1)
        for connection in connections:
            connection.half_close()
        for connection in connections:
            assert refused(connection, 2) == []


def test_silent_peer_meets_the_head_deadline(events):
    with events.endpoint("events").connect() as silent:
        with events.endpoint("events").connect() as half:
            half.send(plain()[:30])
            assert refused(silent) == []
            refused(half)


def test_10_kb_path(events):
    for target in ("/" + "x" * 10000, f"{PREFIX}/" + "y/" * 5000):
        answer = events.endpoint("events").call("GET", target)
        assert answer.status in (400, 404, 414)
        assert answer.error()


# -- leaving -------------------------------------------------------------


def open_stream(site, job):
    """A connection with an open stream of the job."""
    connection = site.endpoint("events").connect()
    connection.send(stream_request(job))
    exchange = FastcgiExchange(connection)
    body = b""
    while b": jobwire" not in body:
        body += exchange.read_some()
    return connection, exchange


def wait_freed(events, exchange):
    """Until the only stream has ended and is gone."""
    while not exchange.ended:
        exchange.read_some()
    until(lambda: events.events.sockets() == 1, "the stream to be freed")


def test_abort_request_ends_a_stream(events):
    connection, exchange = open_stream(events, "abort")
    with connection:
        connection.send(record(wire.ABORT_REQUEST))
        wait_freed(events, exchange)


def test_half_close_ends_a_stream(events):
    """lighttpd with tcp-fin-propagate shuts down its side and waits."""
    connection, exchange = open_stream(events, "half")
    with connection:
        connection.half_close()
        wait_freed(events, exchange)


def test_garbage_on_an_open_stream(events):
    connection, exchange = open_stream(events, "noise")
    with connection:
        connection.send(b"\xff" * 100)
        with contextlib.suppress(AssertionError):
            while not exchange.ended:
                exchange.read_some()
        until(lambda: events.events.sockets() == 1, "the stream to be freed")
    still_serves(events)


def test_event_while_200_connections_are_stuck(events):
    """Silent and half-sent connections do not delay anybody's event."""
    data = plain()
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(events.stream("stuck")).wait_open()
        for number in range(200):
            connection = stack.enter_context(
                events.endpoint("events").connect()
            )
            if number % 4:
                connection.send(data[: number % len(data)])
        until(lambda: events.events.sockets() >= 200, "all to be accepted")
        for number in range(10):
            begun = time.monotonic()
            events.writer.publish("stuck", "note", {"n": number})
            event = stream.next()
            assert event.at - begun < patience(0.5)
