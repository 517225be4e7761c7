"""Worker processes of a responder, seen and handled from outside."""

import contextlib
import os
import signal
import sqlite3

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


def _can_write(database):
    with contextlib.closing(
        sqlite3.connect(database, timeout=1, isolation_level=None)
    ) as connection:
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("BEGIN IMMEDIATE")
            return True
    return False


def _stand_still(pids):
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for pid in pids:
        until(
            lambda p=pid: read_text(f"/proc/{p}/stat")
            .rpartition(")")[2].split()[0] == "T",
            "a worker to stand still",
        )


def _go_on(pids):
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def only_worker(pid, others, database):
    """Only this worker accepts within the block: the others stand still, and
    none of them with the lock for writing."""
    others = [other for other in others if other != pid]
    _stand_still(others)
    while not _can_write(database):
        _go_on(others)
        _stand_still(others)
    try:
        yield
    finally:
        _go_on(others)
