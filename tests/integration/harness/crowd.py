"""Thousands of EventSources in one thread: each reads its stream, waits the
reconnection time it was told, and resumes with the id of its last event."""

import errno
import heapq
import itertools
import random
import select
import socket
import time

from .exchange import HeadParser
from .fastcgi import END_REQUEST, environ, request
from .site import events_target
from .sse import Parser, ids_of
from .wait import patience

_READ_SIZE = 1 << 16


class Member:
    """One client of the crowd. `seen` has the row numbers of its events."""

    def __init__(self, crowd, job):
        self.crowd = crowd
        self.job = job
        self.seen = []
        self.last_id = ""
        self.retry = 3000
        self.socket = None
        self.is_open = False  # the opening comment of this connection came
        self.is_stalled = False
        self.is_finished = False  # 204: nothing is left to say
        self.opened_at = []
        self.breaks = self.clean_ends = self.resyncs = self.refused = 0

    # -- connecting -------------------------------------------------------

    def connect(self):
        """Begins a connection; later again where that fails."""
        self._buffer, self._has_end = b"", False
        self._head, self._parser = HeadParser(), Parser(self.last_id)
        self.is_open = False
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.setblocking(False)
        try:
            link.connect(self.crowd.address)
            link.sendall(self._request())
        except OSError as fault:
            link.close()
            full = fault.errno == errno.EAGAIN  # the backlog; not a refusal
            self.refused += not full
            delay = 0.01 if full else self.retry / 1000
            self.crowd.after(delay, self.connect)
            return
        self.socket = link
        self.crowd.watch(self)

    def _request(self):
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
        if self.last_id:
            headers["Last-Event-ID"] = self.last_id
        return request(environ("GET", events_target(self.job), headers))

    def leave(self):
        """Closes without a word."""
        if self.socket is not None:
            self.crowd.forget(self)
            self.socket.close()
            self.socket = None
            self.last_id = self._parser.last_id
            self.retry = self._parser.retry or self.retry
        self.is_open = False

    def reconnect(self):
        """Leaves and comes back at once, as a page that is loaded again."""
        if self.socket is not None and not self.is_stalled:
            self.leave()
            self.connect()

    def stall(self):
        """Reads nothing until wake()."""
        if self.socket is not None and not self.is_stalled:
            self.is_stalled = True
            self.crowd.forget(self)

    def wake(self):
        """Reads again; harmless when it does."""
        if self.is_stalled:
            self.is_stalled = False
            self.crowd.watch(self)

    # -- reading ----------------------------------------------------------

    def read(self):
        """Takes what is there."""
        try:
            data = self.socket.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if data:
            self._buffer += data
            self._take_records()
        if not data or self._has_end:
            self._end()

    def _take_records(self):
        at, buffer = 0, self._buffer
        while len(buffer) - at >= 8:
            size = buffer[at + 4] << 8 | buffer[at + 5]
            end = at + 8 + size + buffer[at + 6]
            if len(buffer) < end:
                break
            if buffer[at + 1] == END_REQUEST:
                self._has_end = True
            else:
                self._take(buffer[at + 8 : at + 8 + size])
            at = end
        self._buffer = buffer[at:]

    def _take(self, content):
        rest = self._head.feed(content)
        for event in self._parser.feed(rest) if rest else ():
            if event.event == "resync":
                self.resyncs += 1
            elif event.event != "heartbeat":
                self.seen += ids_of([event])
        if not self.is_open and self._parser.comments:
            self.is_open = True
            self.opened_at.append(time.monotonic())

    def _end(self):
        status = self._head.status
        self.leave()
        if not self._has_end:
            self.breaks += 1
        elif status == 204:
            self.is_finished = True
            return
        else:
            assert status == 200, f"{self.job}: {status}"
            self.clean_ends += 1
        self.crowd.after(self.retry / 1000, self.connect)


class Crowd:
    """Members and the time they live in."""

    def __init__(self, address):
        self.address = address
        self.members = []
        self._poll = select.epoll()
        self._by_fd = {}
        self._due = []
        self._order = itertools.count()

    def add(self, job):
        """A member that connects now."""
        member = Member(self, job)
        self.members.append(member)
        member.connect()
        return member

    def after(self, seconds, action):
        """Calls it that much later."""
        moment = time.monotonic() + seconds
        heapq.heappush(self._due, (moment, next(self._order), action))

    def watch(self, member):
        """Reads what its connection brings."""
        self._by_fd[member.socket.fileno()] = member
        self._poll.register(member.socket.fileno(), select.EPOLLIN)

    def forget(self, member):
        """Reads no more of it."""
        if self._by_fd.pop(member.socket.fileno(), None):
            self._poll.unregister(member.socket.fileno())

    def turn(self, seconds=0.05):
        """What happens within that time, at least once."""
        if self._due:
            left = self._due[0][0] - time.monotonic()
            seconds = max(0, min(seconds, left))
        for number, _ in self._poll.poll(seconds):
            member = self._by_fd.get(number)
            if member is not None:
                member.read()
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()

    def until(self, condition, what, seconds):
        """Lives on until the condition is true."""
        deadline = time.monotonic() + patience(seconds)
        looked = 0.0
        while True:
            self.turn()
            now = time.monotonic()
            if now - looked > 0.05:
                looked = now
                if condition():
                    return
            assert now < deadline, f"waited in vain for: {what}"

    def all_open(self):
        """Has everybody an open stream?"""
        return all(member.is_open for member in self.members)

    def all_finished(self):
        """Was everybody told that nothing is left?"""
        return all(member.is_finished for member in self.members)

    def close(self):
        """Everybody leaves."""
        for member in self.members:
            member.leave()
        self._poll.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def disturb(crowd, members, every, is_over):
    """These members reconnect again and again at random moments."""

    def again(member):
        if not is_over():
            member.reconnect()
            crowd.after(random.uniform(0, 2 * every), lambda: again(member))

    for member in members:
        crowd.after(random.uniform(0, 2 * every), lambda m=member: again(m))
