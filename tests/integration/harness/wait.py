"""Deadlines and conditions. Tests wait for what they need to see, never for
a fixed time; JOBWIRE_SLOW multiplies every deadline (sanitizer builds)."""

import os
import socket
import time

SLOW = float(os.environ.get("JOBWIRE_SLOW", "1"))

# How often a condition is looked at again. Short, because the time spent here
# is added to every test.
_STEP = 0.002


def patience(seconds):
    """That many seconds of a normal build, in this build."""
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
    fails with `what` when there is none in time."""
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


def free_port():
    """A TCP port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
