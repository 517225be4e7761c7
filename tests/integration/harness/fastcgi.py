"""A raw FastCGI client, from the FastCGI specification 1.0: it can send
everything that a web server sends and much that none ever would."""

import collections
import socket
import struct
import urllib.parse

from . import contract
from .exchange import Answer, Exchange
from .wait import Deadline, patience

BEGIN_REQUEST, ABORT_REQUEST, END_REQUEST = 1, 2, 3
PARAMS, STDIN, STDOUT, STDERR, DATA = 4, 5, 6, 7, 8
GET_VALUES, GET_VALUES_RESULT, UNKNOWN_TYPE = 9, 10, 11
RESPONDER, AUTHORIZER, FILTER = 1, 2, 3
KEEP_CONN = 1
REQUEST_COMPLETE = 0

_CONTENT_MAX = 65535

Record = collections.namedtuple("Record", "type id content")


def record(kind, content=b"", request_id=1, padding=0, version=1):
    """One record."""
    return (
        struct.pack("!BBHHBx", version, kind, request_id, len(content), padding)
        + content
        + bytes(padding)
    )


def begin(keep=False, role=RESPONDER, request_id=1):
    """BEGIN_REQUEST."""
    body = struct.pack("!HB5x", role, KEEP_CONN if keep else 0)
    return record(BEGIN_REQUEST, body, request_id)


def pair(name, value, long_form=False):
    """A name-value pair; long_form uses four bytes for short lengths too."""

    def length(n):
        if n > 127 or long_form:
            return struct.pack("!I", n | 0x80000000)
        return bytes([n])

    return length(len(name)) + length(len(value)) + name + value


def stream_records(kind, content, request_id=1, size=_CONTENT_MAX):
    """A stream cut into records, with the empty record that ends it."""
    pieces = [content[i : i + size] for i in range(0, len(content), size)]
    return b"".join(record(kind, p, request_id) for p in pieces + [b""])


def params(values, request_id=1, long_form=False, size=_CONTENT_MAX):
    """PARAMS of a dictionary of text, with their end."""
    content = b"".join(
        pair(k.encode(), v.encode("utf-8", "surrogateescape"), long_form)
        for k, v in values.items()
    )
    return stream_records(PARAMS, content, request_id, size)


def environ(method, target, headers=None, body=None, extra=None):
    """The CGI variables that nginx's fastcgi_params makes of a request."""
    path, _, query = target.partition("?")
    values = {
        "QUERY_STRING": query,
        "REQUEST_METHOD": method,
        "CONTENT_TYPE": "",
        "CONTENT_LENGTH": "" if body is None else str(len(body)),
        "SCRIPT_NAME": urllib.parse.unquote(path, errors="surrogateescape"),
        "REQUEST_URI": target,
        "DOCUMENT_URI": path,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "harness",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "40000",
        "SERVER_NAME": "localhost",
    }
    for name, value in (headers or {}).items():
        variable = name.upper().replace("-", "_")
        if variable not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            variable = "HTTP_" + variable
        values[variable] = value
    values.update(extra or {})
    return {k: v for k, v in values.items() if v is not None}


def requested(method, target, extra):
    """(method, target), unless other variables say something else."""
    if set(extra or ()) - {"REMOTE_USER", "REMOTE_ADDR", "HTTPS", "SERVER_NAME"}:
        return None
    return method, target


def request(values, body=b"", keep=False, request_id=1):
    """A whole request: head and STDIN."""
    return (
        begin(keep, request_id=request_id)
        + params(values, request_id)
        + stream_records(STDIN, body or b"", request_id)
    )


class Connection:
    """One connection to a responder's socket: a path, or (host, port)."""

    def __init__(self, address, receive_buffer=None):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(
                socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer
            )
        self.socket.settimeout(patience(10))
        try:
            self.socket.connect(address)
        except OSError:
            self.socket.close()
            raise
        self._pending = b""

    def send(self, data):
        """Sends all of it."""
        self.socket.settimeout(patience(30))
        self.socket.sendall(data)

    def receive(self, seconds=5.0):
        """The next whole record, or None at the end of the connection."""
        deadline = Deadline.of(seconds)
        while True:
            got = self._take_record()
            if got:
                return got
            self.socket.settimeout(deadline.left())
            try:
                more = self.socket.recv(1 << 18)
            except ConnectionResetError:
                more = b""
            if not more:
                return None
            self._pending += more

    def _take_record(self):
        if len(self._pending) < 8:
            return None
        version, kind, request_id, length, padding = struct.unpack(
            "!BBHHB", self._pending[:7]
        )
        assert version == 1, f"record of version {version}"
        end = 8 + length + padding
        if len(self._pending) < end:
            return None
        content = self._pending[8 : 8 + length]
        self._pending = self._pending[end:]
        return Record(kind, request_id, content)

    def is_ended(self, seconds=5.0):
        """Waits for the peer to close, passing over what it still sends."""
        deadline = Deadline.of(seconds)
        while self.receive(deadline) is not None:
            pass
        return True

    def half_close(self):
        """Sends no more; still reads."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        """Closes; harmless when repeated."""
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class FastcgiExchange(Exchange):
    """The answer to one request on a connection, record by record."""

    def __init__(self, connection, request_id=1, request=None):
        super().__init__(request)
        self.connection = connection
        self.app_status = None
        self.protocol_status = None
        self.stderr = b""
        self._id = request_id

    def _step(self, deadline):
        got = self.connection.receive(deadline)
        if got is None:
            self.ended = True
            return
        assert got.id == self._id, f"record of request {got.id}"
        if got.type == STDERR:
            self.stderr += got.content
        elif got.type == END_REQUEST:
            self.app_status, self.protocol_status = struct.unpack(
                "!IB3x", got.content
            )
            self.ended = self.complete = True
        else:
            assert got.type == STDOUT, f"record of type {got.type}"
            self.pending += self.head.feed(got.content)

    def close(self):
        self.connection.close()


class KeptConnection(Connection):
    """A connection that carries one call after the other."""

    def call(self, method, target, headers=None, body=None):
        """Sends one request, returns its whole answer."""
        values = environ(method, target, headers, body)
        self.send(request(values, body, keep=True))
        exchange = FastcgiExchange(self)
        received = b""
        while not exchange.ended:
            received += exchange.read_some()
        assert exchange.complete
        answer = Answer(exchange.head.status, exchange.head.headers, received)
        contract.check((method, target), answer)
        return answer


class FastcgiEndpoint:
    """Asks a responder directly."""

    def __init__(self, address):
        self.address = address

    def connect(self, receive_buffer=None):
        """A connection of its own, for a test that frames by hand."""
        return Connection(self.address, receive_buffer)

    def keep(self):
        """A connection for many calls."""
        return KeptConnection(self.address)

    def open(
        self, method, target, headers=None, body=None, extra=None,
        receive_buffer=None,
    ):
        """Sends one request on a connection of its own; returns the exchange
        without waiting for anything. `extra` overrides CGI variables (None
        removes one)."""
        connection = self.connect(receive_buffer)
        values = environ(method, target, headers, body, extra)
        try:
            connection.send(request(values, body))
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before it was read whole; the answer may be there
        return FastcgiExchange(
            connection, request=requested(method, target, extra))

    def call(self, method, target, headers=None, body=None, **options):
        """Sends one request, returns its whole answer."""
        return self.open(method, target, headers, body, **options).finish()
