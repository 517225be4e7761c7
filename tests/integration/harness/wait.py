"""Deadlines and conditions. Tests wait for what they need to see, never for
a fixed time. How long things take is measured by benchmarks: a deadline here
only ends a wait in vain, so each is a multiple of what an idle machine needs,
of which JOBWIRE_SLOW is the factor."""

import collections
import os
import random
import socket
import time

SLOW = float(os.environ.get("JOBWIRE_SLOW", "5"))

# How often a condition is looked at again. Short, because the time spent here
# is added to every test.
_STEP = 0.002


def patience(seconds):
    """That many seconds of an idle machine, on this one and in this build."""
    return seconds * SLOW


class Deadline:
    """A moment after which waiting is given up. Functions that wait take
    seconds or a deadline that is running already."""

    def __init__(self, seconds):
        self._end = time.monotonic() + patience(seconds)

    @classmethod
    def of(cls, seconds):
        """Itself, or a new one so many seconds away."""
        return seconds if isinstance(seconds, cls) else cls(seconds)

    def left(self):
        """Seconds left; TimeoutError when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left


def until(condition, what, seconds=5.0):
    """Returns the first true value of condition(), looking again and again;
    fails with `what` when there is none in time. It must be one that stays
    true: what is true for a moment only can be missed."""
    deadline = Deadline(seconds)
    while True:
        value = condition()
        if value:
            return value
        try:
            deadline.left()
        except TimeoutError:
            raise AssertionError(f"waited in vain for: {what}") from None
        time.sleep(_STEP)


# Bound, and never listening: a server that sets SO_REUSEADDR, as all do, takes
# the port all the same, and nobody else's free_port() finds it free while that
# server is down.
_ours = collections.deque(maxlen=100)


def free_port():
    """A TCP port of the loopback interface that nobody listens on, and that
    no other test is given for a while. Not one of those that the kernel gives
    to clients: one of them could take it before the server does that it is
    for."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        first_of_clients = int(file.read().split()[0])
    while True:
        port = random.randrange(10000, max(first_of_clients, 10100))
        held = socket.socket()
        try:
            held.bind(("127.0.0.1", port))
        except OSError:
            held.close()
            continue
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _ours.append(held)
        return port
