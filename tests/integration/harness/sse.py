"""Server-Sent Events as a browser reads them: the parser of the HTML
Standard, section 9.2.6, and a client that resumes by id."""

import codecs
import collections
import json
import time

from . import contract
from .exchange import Answer
from .wait import Deadline

# `at` is time.monotonic() when the bytes that ended the event were read.
Event = collections.namedtuple("Event", "id event data at")


class Parser:
    """Interprets an event stream piece by piece.

    Beyond the standard it keeps the comments. An empty line that no data stand
    before, which the standard passes over, is an error unless `is_lenient`:
    many clients take it for an event, so our streams have none.
    """

    def __init__(self, last_id="", is_lenient=False):
        self.last_id = last_id
        self.retry = None  # milliseconds
        self.comments = []
        self._is_lenient = is_lenient
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._at_start = True
        self._after_cr = False
        self._line = ""
        self._id = last_id
        self._event = ""
        self._data = []

    def feed(self, data, at=0.0):
        """Takes bytes, returns the events they complete."""
        text = self._decoder.decode(data)
        if self._at_start and text:
            text = text[1:] if text[0] == "\ufeff" else text
            self._at_start = False
        events = []
        for line in self._lines(text):
            event = self._take_line(line, at)
            if event:
                events.append(event)
        return events

    def _lines(self, text):
        """Whole lines; each of CRLF, LF and CR ends one."""
        if self._after_cr and text:
            text = text[1:] if text[0] == "\n" else text
            self._after_cr = False
        self._after_cr = self._after_cr or text.endswith("\r")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        *lines, rest = text.split("\n")
        if lines:
            lines[0] = self._line + lines[0]
            self._line = rest
        else:
            self._line += rest
        return lines

    def _take_line(self, line, at):
        if not line:
            return self._dispatch(at)
        if line.startswith(":"):
            self.comments.append(line[1:])
            return None
        name, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if name == "event":
            self._event = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value)
        return None

    def _dispatch(self, at):
        self.last_id = self._id
        event, data = self._event or "message", self._data
        self._event, self._data = "", []
        if not data:
            assert self._is_lenient, "an empty line without data before it"
            return None
        return Event(self.last_id, event, "\n".join(data), at)


class StreamEnded(Exception):
    """An event was expected and the stream has ended."""


class Stream:
    """An EventSource by hand: reads when asked to, keeps what came, and
    connects again with the id of the last event.

    `events` has every event of all its connections in order.
    """

    def __init__(self, endpoint, target, headers=None, last_id="", **options):
        self.events = []
        self._endpoint = endpoint
        self._target = target
        self._headers = dict(headers or {})
        self._options = options
        self._start(last_id)

    def _start(self, last_id):
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
        headers.update(self._headers)
        if last_id:
            headers["Last-Event-ID"] = last_id
        self._last_id = last_id
        self.parser = Parser(last_id)
        self._ready = collections.deque()
        self.exchange = self._endpoint.open(
            "GET", self._target, headers, **self._options
        )

    @property
    def status(self):
        """The status of the answer; waits for it."""
        return self.exchange.wait_head().status

    @property
    def headers(self):
        """The header fields of the answer; waits for them."""
        return self.exchange.wait_head().headers

    @property
    def last_id(self):
        """What a reconnect sends: the id at the place where next() is."""
        return self._last_id if self._ready else self.parser.last_id

    @property
    def comments(self):
        """The comments of this connection so far."""
        return self.parser.comments

    def _read(self, deadline):
        """Takes in what came; False at the end of the response."""
        data = self.exchange.read_some(deadline)
        self._ready.extend(self.parser.feed(data, time.monotonic()))
        return bool(data)

    def next(self, seconds=5.0):
        """The next event. StreamEnded when there will be none on this
        connection, TimeoutError when it is late."""
        deadline = Deadline.of(seconds)
        while not self._ready:
            if not self._read(deadline):
                raise StreamEnded
        event = self._ready.popleft()
        contract.check_event(event)
        self._last_id = event.id
        self.events.append(event)
        return event

    def take(self, count, seconds=10.0):
        """The next `count` events."""
        deadline = Deadline.of(seconds)
        return [self.next(deadline) for _ in range(count)]

    def wait_comments(self, count, seconds=5.0):
        """Waits until that many comments came; events on the way wait for
        next()."""
        deadline = Deadline.of(seconds)
        while len(self.parser.comments) < count:
            assert self._read(deadline), "the stream ended too early"
        return self.parser.comments

    def wait_open(self):
        """Waits for the first comment, which is sent once the stream is
        subscribed; returns the stream."""
        self.wait_comments(1)
        return self

    def wait_end(self, seconds=10.0):
        """Reads to the end of the response, which must be a clean one;
        returns the events that came on the way."""
        deadline = Deadline.of(seconds)
        events = []
        while True:
            try:
                events.append(self.next(deadline))
            except StreamEnded:
                break
        assert self.exchange.complete, "the stream broke off"
        self.close()
        return events

    def reconnect(self, wait=False):
        """A new connection that resumes after the last event; with `wait`
        after the reconnection time the server asked for, as a browser."""
        delay, last_id = self.parser.retry, self.last_id
        self.close()
        if wait and delay:
            time.sleep(delay / 1000)
        self._start(last_id)
        return self

    def close(self):
        """Leaves, without a word."""
        head = self.exchange.head
        if head.done and head.status == 200:
            contract.check(self.exchange.request, Answer(200, head.headers, b""))
        self.exchange.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def data_of(event):
    """The event's data, parsed; its order of keys is kept."""
    return json.loads(event.data)


def ids_of(events):
    """The row ids of events; their epochs must all be the same."""
    pairs = [event.id.split("-") for event in events]
    assert len({epoch for epoch, _ in pairs}) <= 1, pairs
    return [int(place.partition(".")[0]) for _, place in pairs]
