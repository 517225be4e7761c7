"""A raw HTTP/1.1 client: one connection per request, streams read as they
come. http.client would hold back what a stream has sent so far."""

import socket

from .exchange import Exchange
from .wait import patience


class _Chunks:
    """Undoes chunked transfer coding, RFC 9112 section 7.1."""

    def __init__(self):
        self.done = False
        self._raw = b""

    def feed(self, data):
        """Takes coded bytes, returns the content that is whole."""
        self._raw += data
        content = b""
        while not self.done:
            line, found, rest = self._raw.partition(b"\r\n")
            if not found:
                break
            size = int(line.split(b";")[0], 16)
            if len(rest) < size + 2:
                break
            content += rest[:size]
            self._raw = rest[size + 2 :]
            self.done = size == 0
        return content


class _Sized:
    """A body of Content-Length bytes; None: up to the end of connection."""

    def __init__(self, size):
        self._left = size
        self.done = size == 0

    def feed(self, data):
        """Takes and returns bytes, and counts."""
        if self._left is not None:
            self._left -= len(data)
            self.done = self._left <= 0
        return data


class HttpExchange(Exchange):
    """The answer to one request."""

    def __init__(self, connection, method):
        super().__init__()
        self.socket = connection
        self._method = method
        self._body = None

    def _step(self, deadline):
        self.socket.settimeout(deadline.left())
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionResetError:
            data = b""
        if not data:
            self.ended = True
            return
        rest = self.head.feed(data)
        if not self.head.done:
            return
        if self._body is None:
            self._body = self._make_body()
        self.pending += self._body.feed(rest)
        if self._body.done:
            self.ended = self.complete = True

    def _make_body(self):
        headers = self.head.headers
        if self._method == "HEAD" or self.head.status in (204, 304):
            return _Sized(0)
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return _Chunks()
        length = headers.get("content-length")
        return _Sized(None if length is None else int(length))

    def close(self):
        self.socket.close()


class HttpEndpoint:
    """Asks a web server: on the loopback interface, from an address of it, or
    in another network."""

    def __init__(self, port, source="127.0.0.1", host="127.0.0.1"):
        self.port = port
        self.source = source
        self.host = host

    def open(self, method, target, headers=None, body=None):
        """Sends one request on a connection of its own; returns the exchange
        without waiting for anything."""
        is_here = self.host == "127.0.0.1"
        connection = socket.create_connection(
            (self.host, self.port), timeout=patience(10),
            source_address=(self.source, 0) if is_here else None,
        )
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        lines.append("Connection: close")
        head = "\r\n".join(lines) + "\r\n\r\n"
        try:
            connection.sendall(
                head.encode("utf-8", "surrogateescape") + (body or b"")
            )
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before it was read whole; the answer may be there
        return HttpExchange(connection, method)

    def call(self, method, target, headers=None, body=None):
        """Sends one request, returns its whole answer."""
        return self.open(method, target, headers, body).finish()
