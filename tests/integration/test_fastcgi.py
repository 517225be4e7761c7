"""The FastCGI transport: what a web server sends, and what none should."""

import contextlib
import signal
import socket
import struct
import time

import pytest
from harness import fastcgi as wire
from harness.fastcgi import FastcgiExchange, environ, record, request
from harness.site import PREFIX, events_target
from harness.wait import free_port, patience, until

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


@pytest.fixture(name="either", params=["unix", "tcp"])
def fixture_either(make_site, request):
    """The same, on a Unix socket and by TCP."""
    settings = {}
    if request.param == "tcp":
        settings["events_socket"] = f"127.0.0.1:{free_port()}"
    site = make_site(**settings)
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


def send_in_pieces(connection, data, size):
    """So many bytes in each write."""
    for at in range(0, len(data), size):
        connection.send(data[at : at + size])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 8, 9, 64, 500])
def test_head_in_small_pieces(either, size):
    """What has come is taken out of the socket: a Unix one counts a piece as
    far larger than it is, and 70 of them filled it."""
    with either.endpoint("events").connect() as connection:
        for _ in range(2):
            send_in_pieces(connection, plain(keep=True), size)
            assert answer_on(connection).head.status == 404


def head_of_tiny_records():
    """Nearly 64 KiB: each byte of the parameters in a record of its own."""
    values = environ("GET", NOT_FOUND, extra={"X": "x" * 6600})
    return (
        wire.begin() + wire.params(values, size=1) + record(wire.STDIN)
    )


def test_a_long_head_in_pieces_costs_what_it_costs_in_one(events):
    """Judged from its first byte at each piece, it took minutes."""
    data = head_of_tiny_records()
    assert 60000 < len(data) < 65536
    with events.endpoint("events").connect() as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        before = events.events.cpu_seconds()
        send_in_pieces(connection, data, 1)
        assert answer_on(connection).head.status == 404
        assert events.events.cpu_seconds() - before < patience(1)


def test_nul_in_names_and_values(events):
    """An environment's strings end there; nobody's variable stands behind."""
    values = {
        **environ("GET", NOT_FOUND),
        "QUERY_STRING": "a\0REQUEST_URI=/healthz",
        "REQUEST_URI\0X": "/healthz",
        "X\0": "",
        "\0": "\0",
    }
    with events.endpoint("events").connect() as connection:
        connection.send(request(values))
        assert answer_on(connection).head.status == 404


def plain_of(size):
    """plain(keep=True) with a body that makes it so many bytes long."""
    data, length = plain(keep=True), 0
    for _ in range(3):  # a record more has a header more
        length += size - len(data)
        data = plain(body=b"x" * length, keep=True)
    assert len(data) == size
    return data


@pytest.mark.parametrize(
    "size", [65535, 65536, 65537, 131071, 131072, 131073, 200000]
)
def test_kept_after_a_request_of_a_size(events, size):
    """Also where one reading ends with the request: nothing is left of it, and
    what follows is not overlooked."""
    data = plain_of(size)
    with events.endpoint("events").connect() as connection:
        for _ in range(3):
            connection.send(data)
            assert answer_on(connection).head.status in (404, 413)


# -- an end that comes with what is before it --------------------------------


@contextlib.contextmanager
def stopped(server):
    """Does not run within the block: what is sent there comes at once."""
    server.child.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.child.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("is_kept", [False, True])
@pytest.mark.parametrize("size", [0, 65536, 100000])
def test_end_of_file_with_a_request(either, is_kept, size):
    """One edge for both: the request is answered and the end is not lost."""
    data = plain_of(size) if size else plain(keep=True)
    with either.endpoint("events").connect() as connection:
        if is_kept:
            connection.send(plain(keep=True))
            answer_on(connection)
        with stopped(either.events):
            connection.send(data)
            connection.half_close()
        assert answer_on(connection).head.status in (404, 413)
        assert connection.receive() is None
    until(lambda: either.events.sockets() == 1, "its end")


@pytest.mark.parametrize("is_kept", [False, True])
def test_end_of_file_with_half_a_head(either, is_kept):
    with either.endpoint("events").connect() as connection:
        if is_kept:
            connection.send(plain(keep=True))
            answer_on(connection)
        with stopped(either.events):
            connection.send(plain()[:100])
            connection.half_close()
        assert refused(connection, HEAD_DEADLINE / 5) == []


@pytest.mark.parametrize("is_kept", [False, True])
def test_end_of_file_with_the_request_for_a_stream(either, is_kept):
    with either.endpoint("events").connect() as connection:
        if is_kept:
            connection.send(plain(keep=True))
            answer_on(connection)
        with stopped(either.events):
            connection.send(stream_request("ended"))
            connection.half_close()
        until(lambda: either.events.sockets() == 1, "its end")


@pytest.mark.parametrize("name", ["events", "webhook"])
def test_two_requests_in_one_segment(site, name):
    """No web server does it: the first is answered, the second refused."""
    with site.endpoint(name).connect() as connection:
        connection.send(plain(keep=True) + plain(keep=True))
        answer_on(connection)
        assert refused(connection) == []
    still_serves(site, name)


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
