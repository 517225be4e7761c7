"""The answer to a request as it comes in, whatever carries it."""

import collections
import json

from . import contract, leaks
from .wait import Deadline


class Answer(collections.namedtuple("Answer", "status headers body")):
    """A whole answer. Names of header fields are in lower case."""

    def json(self):
        """The body as JSON, which it must say it is."""
        kind = self.headers.get("content-type", "")
        assert kind.split(";")[0].strip() == "application/json", self
        return json.loads(self.body)

    def error(self):
        """The code of a refusal in the contract's form."""
        value = self.json()
        assert set(value) == {"error"}, value
        assert set(value["error"]) == {"code", "message"}, value
        code, message = value["error"]["code"], value["error"]["message"]
        assert isinstance(code, str) and code, value
        assert isinstance(message, str) and message, value
        return code


class BrokenAnswer(ConnectionError):
    """The connection ended before the answer did."""


class HeadParser:
    """Header fields up to the empty line: those of CGI, where `Status` may
    give the status, or of HTTP/1.x with its status line."""

    def __init__(self):
        self.done = False
        self.status = None
        self.headers = {}
        self.fields = []  # (name, value) as they came
        self._text = b""
        self._tap = leaks.Tap()

    def feed(self, data):
        """Takes bytes; returns those that are no longer of the head."""
        rest = self._feed(data)
        if self.status != 201:  # which is there to hand something out
            self._tap.take(rest)
        return rest

    def _feed(self, data):
        if self.done:
            return data
        self._text += data
        for end in (b"\r\n\r\n", b"\n\n"):
            head, found, rest = self._text.partition(end)
            if found:
                self._parse(head.decode("latin-1").splitlines())
                self._tap.take(head)
                self.done = True
                return rest
        return b""

    def _parse(self, lines):
        self.status = 200
        if lines and lines[0].startswith("HTTP/"):
            self.status = int(lines.pop(0).split()[1])
        for line in lines:
            name, colon, value = line.partition(":")
            assert colon, f"a header field without a colon: {line!r}"
            name, value = name.lower(), value.strip()
            if name == "status":
                self.status = int(value.split()[0])
                continue
            assert name not in self.headers, f"{name} twice"
            self.headers[name] = value
            self.fields.append((name, value))


class Exchange:
    """Base of both carriers; they implement _step() and close().

    `ended` says that nothing more will come, `complete` that the end was the
    one the protocol has for a whole answer, and no broken connection.
    `request` is (method, target), where the answer is to be as the contract
    has it.
    """

    def __init__(self, request=None):
        self.request = request
        self.head = HeadParser()
        self.pending = b""
        self.ended = False
        self.complete = False

    def _step(self, deadline):
        """Reads something, or sets `ended`; TimeoutError when late."""
        raise NotImplementedError

    def close(self):
        """Gives up the connection; harmless when repeated."""
        raise NotImplementedError

    def wait_head(self, seconds=5.0):
        """Waits for the header fields."""
        deadline = Deadline.of(seconds)
        while not self.head.done and not self.ended:
            self._step(deadline)
        if not self.head.done:
            raise BrokenAnswer("no header fields")
        return self.head

    def read_some(self, seconds=5.0):
        """Further bytes of the body; b"" at the end."""
        deadline = Deadline.of(seconds)
        while not self.pending and not self.ended:
            self._step(deadline)
        data, self.pending = self.pending, b""
        return data

    def finish(self, seconds=30.0):
        """Reads to the end, closes, returns the whole answer."""
        deadline = Deadline.of(seconds)
        while not self.ended:
            self._step(deadline)
        self.close()
        if not (self.complete and self.head.done):
            raise BrokenAnswer(f"only {self.pending!r}")
        body, self.pending = self.pending, b""
        answer = Answer(self.head.status, self.head.headers, body)
        contract.check(self.request, answer)
        return answer
