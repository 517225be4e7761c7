"""jobwire and its peers, as peers.py breaks them: each knows its programs by
name, how to kill and start one, and what a power cut leaves of its disk.

Each keeps so many events of a job as it is told, so nobody loses any for want of
room. Files that a program writes can be watched by recorder.c; in memory there
is nothing that a power cut could leave."""

import contextlib
import glob
import os
import re
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(_HERE, "..", "bench"))

# pylint: disable=wrong-import-position
import disk  # noqa: E402
import systems  # noqa: E402
from harness.process import read_text  # noqa: E402
from harness.site import checkpoint  # noqa: E402
from harness.wait import until  # noqa: E402

RECORDER = os.path.abspath(os.path.join(
    os.environ.get("FAULTS", "build/release/faults"), "recorder.so"))


def count_crashes(path):
    """Assertions and segmentation faults, from nginx's log."""
    return len(re.findall(r"exited on signal (?:6|11)\b", read_text(path)))


class Disk:
    """Files whose paths begin alike, from now on. `named`: how the program that
    writes them names that beginning."""

    def __init__(self, path, folder, named=None):
        self._path = path
        self._log = os.path.join(folder, "record")
        self.environment = {
            "LD_PRELOAD": RECORDER, "RECORD_DB": named or path,
            "RECORD_LOG": self._log,
        }
        self._reader = disk.Reader()
        for name in glob.glob(glob.escape(path) + "*"):
            if not name.endswith("-shm"):  # nobody syncs it
                with open(name, "rb") as file:
                    self._reader.exists(name[len(path):], file.read())

    def cut(self):
        """Leaves what was synced of each file, and all names."""
        files = disk.Folder()
        self._reader.read(self._log)
        for record in self._reader.records:
            files.take(record)
        for suffix, image in files.state(disk.names):
            with open(self._path + suffix, "wb") as file:
                file.write(image.data)
                file.truncate(image.size)


class Ours(systems.Jobwire):
    """As nginx.conf.example has it."""

    holders = ("events", "webhook")  # who has the events
    stores = ()  # and who else
    has_history = True
    quiet_s = 8  # of an idle machine: so long may it say nothing

    def __init__(self, keep, is_recorded):
        super().__init__(keep_events=str(keep))
        self._is_recorded = is_recorded
        self._disk = None

    def _start_programs(self):
        if self._is_recorded:
            checkpoint(self.site.db)
            self._disk = Disk(self.site.db, self.site.root)
            self.site._environment = {
                **self.site._environment, **self._disk.environment}
        super()._start_programs()

    def process(self, name):
        """One of its programs."""
        return self.nginx.process if name == "nginx" else getattr(self.site, name)

    def names(self):
        """Of all its programs."""
        return ("events", "webhook", "nginx")

    def start(self, name):
        """Starts a program again."""
        if name == "nginx":
            self.nginx.start()
        else:
            self.site.start(name)

    def wait_ready(self):
        """It is: start() has waited."""

    def refresh(self):
        """Starts what has the events anew, by the book."""
        for name in self.holders:
            self.process(name).terminate()
            self.start(name)

    def crashes(self):
        """How many workers of nginx ended by a fault of their own."""
        return count_crashes(self.nginx.path("log", "error.log"))

    def cut(self):
        """Makes of the disk what a power cut leaves."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.site.db + "-shm")
        self._disk.cut()

    def prune(self):
        """Retention, which is otherwise done now and then."""
        self.site.tool("prune")

    @staticmethod
    def post(job, number, is_end):
        """Header fields and body of a publication."""
        kind = "completed" if is_end else "note"
        return {
            "Authorization": f"Bearer {systems.KEY}",
            "Content-Type": "application/json",
            "Idempotency-Key": f"{job} {number}",
        }, f'{{"type":"{kind}","data":{{"n":{number}}}}}'

    def __exit__(self, *fault):
        # nginx keeps connections to programs that it would see end.
        if self.nginx and self.nginx.process and self.nginx.process.is_alive():
            self.nginx.stop()
        super().__exit__(*fault)


class _Theirs:
    """What peers have in common; in front of one of the systems' classes."""

    holders = ("nginx",)
    stores = ()
    has_history = True
    quiet_s = 1.6  # what memory has lost does not come back

    def __init__(self, keep, is_recorded):
        super().__init__(keep)
        self._is_recorded = is_recorded
        self._disk = None

    def process(self, name):
        """One of its programs."""
        return self.processes[name]

    def names(self):
        """Of all its programs."""
        return tuple(self.processes)

    def refresh(self):
        """Where a store has the events: the same with what is before it."""
        if self.stores:
            self.process("nginx").terminate()
            self.start("nginx")
            self.wait_ready()

    def crashes(self):
        """How many workers of nginx ended by a fault of their own."""
        return count_crashes(os.path.join(self.folder, "error.log"))

    def cut(self):
        """Memory is gone, and there is no disk."""

    def prune(self):
        """It does so at once."""

    @staticmethod
    def post(_job, number, _is_end):
        """Header fields and body of a publication."""
        return {"Content-Type": "application/json"}, f'{{"n":{number}}}'


class Memory(_Theirs, systems.Nchan):
    """nchan alone."""


class Redis(_Theirs, systems.NchanRedis):
    """nchan and a Redis as `redis-server` starts without a word: it writes
    all that it has now and then."""

    name = "nchan + Redis as it starts"
    stores = ("redis",)
    quiet_s = 8
    durability = ()

    def start(self, name):
        if name == "redis" and self._is_recorded and self._disk is None:
            self._record()
        super().start(name)

    def _record(self):
        """Watches the part of the append-only file that grows."""
        named = "appendonlydir/appendonly.aof.1.incr.aof"
        self._disk = Disk(os.path.join(self.folder, named), self.folder, named)
        self.environment["redis"] = self._disk.environment

    def cut(self):
        """Makes of the disk what a power cut leaves."""
        if self.durability:
            self._disk.cut()


class RedisEverySecond(Redis):
    """The same with an append-only file, synced as Redis does by default."""

    name = "nchan + Redis, appendfsync everysec"
    durability = ("--appendonly", "yes")


class RedisAlways(Redis):
    """The same, synced before each answer."""

    name = "nchan + Redis, appendfsync always"
    durability = ("--appendonly", "yes", "--appendfsync", "always")


class BetterSse(_Theirs, systems.BetterSse):
    """Behind nginx."""

    holders = ("application",)


class OldDesign(_Theirs, systems.OldDesign):
    """Behind nginx."""

    holders = ("application",)
    has_history = False


ALL = (Ours, Memory, Redis, RedisEverySecond, RedisAlways, BetterSse, OldDesign)


def enter(kind, keep, is_recorded):
    """One of them, started; a context manager."""
    return kind(keep, is_recorded)


def kill(system, name):
    """kill -9, with its children; what listened there is gone."""
    system.process(name).kill()
    until(lambda: not system.process(name).is_alive(), f"{name} to be dead")
