"""Worker processes of a responder, seen and handled from outside."""

import contextlib
import os
import signal

from .process import read_text
from .wait import until


def workers_of(server):
    """The process ids of its workers."""
    path = f"/proc/{server.pid}/task/{server.pid}/children"
    return [int(number) for number in read_text(path).split()]


def wait_workers(server, count):
    """Waits until it has that many that live; their ids."""
    until(
        lambda: len(workers_of(server)) == count, f"{count} workers", 10
    )
    return workers_of(server)


def clients_of(pid):
    """How many clients are connected to that worker."""
    count = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            target = os.readlink(f"/proc/{pid}/fd/{name}")
            count += target.startswith("socket:")
    return count - 1  # the one it listens on


def exists(pid):
    """Is there such a process, dead ones that nobody reaped aside?"""
    text = read_text(f"/proc/{pid}/stat")
    return bool(text) and text.rpartition(")")[2].split()[0] != "Z"


@contextlib.contextmanager
def only_worker(pid, others):
    """Only this worker accepts within the block: the others stand still."""
    others = [other for other in others if other != pid]
    for other in others:
        os.kill(other, signal.SIGSTOP)
    for other in others:
        until(
            lambda o=other: read_text(f"/proc/{o}/stat")
            .rpartition(")")[2].split()[0] == "T",
            "a worker to stand still",
        )
    try:
        yield
    finally:
        for other in others:
            os.kill(other, signal.SIGCONT)
