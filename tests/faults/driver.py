#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""usage: driver.py [--seeds FIRST-LAST] [--faults N,N..] [--seconds S]
(make faults)

Plays a schedule of faults for each seed over the real programs behind a real
nginx, while publishers publish and pages read (model.py), and judges by what
README promises and nothing else:

  - what was said to be stored is stored, once;
  - each page is told each event of its job once, in order, and the end; or it
    is told that it has missed something, where a database was replaced;
  - an id never means two events;
  - no program dies, or ends with anything but 0 when it is asked to.

A schedule that fails is cut down to the faults that are needed, and printed as
a command. The last line counts; exit 1 when something was found."""

import argparse
import collections
import contextlib
import ctypes
import itertools
import mmap
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(_HERE, "..", "integration"))

# pylint: disable=wrong-import-position
from harness.inbound import KEY  # noqa: E402
from harness.nginx import Nginx  # noqa: E402
from harness.process import read_text  # noqa: E402
from harness.site import Site  # noqa: E402
from harness.wait import patience, until  # noqa: E402
from model import Page, Publisher, judge  # noqa: E402

FAULTY = os.path.join(
    os.environ.get("FAULTS", "build/release/faults"), "faulty.so")
JOBS, PUBLISHERS, PAGES, NUMBERS = 4, 3, 6, 60


class Orders(ctypes.Structure):
    """faulty.c has the same list."""

    _fields_ = [(name, ctypes.c_int32) for name in (
        "eio_writes", "eio_syncs", "is_full", "sync_us", "emfile",
        "skip_alloc", "clock_s")]


class Scene:
    """A site, what may fail in it, and who uses it."""

    def __init__(self):
        self.gate = threading.RLock()  # nobody swaps files meanwhile
        self.is_over = False
        self.lost = []
        self.site = Site(publish_keys=KEY, keep_events="1000000",
                         keep_progress="1000000").init()
        self._orders_path = os.path.join(self.site.root, "orders")
        with open(self._orders_path, "wb") as file:
            file.truncate(mmap.PAGESIZE)
        with open(self._orders_path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self.orders = Orders.from_buffer(self._map)
        self._start_all()
        self.web = Nginx(self.site).start()

    def _start_all(self):
        for name in ("events", "webhook"):
            self.start(name)

    def start(self, name):
        """Starts a program that can fail, later: a start may refuse to be
        one."""
        held = bytes(self.orders)
        ctypes.memset(ctypes.addressof(self.orders), 0, ctypes.sizeof(Orders))
        plain = self.site._environment
        self.site._environment = {
            **plain, "LD_PRELOAD": os.path.abspath(FAULTY),
            "FAULT_ORDERS": self._orders_path,
        }
        starts = self._count_starts(name)
        try:
            server = self.site.start(name)
            until(lambda: server.is_ready() and
                  self._count_starts(name) > starts, f"{name} to be ready")
        finally:
            self.site._environment = plain
            ctypes.memmove(ctypes.addressof(self.orders), held, len(held))

    def _count_starts(self, name):
        return read_text(self.site.log_path(name)).count(" event=ready ")

    def front(self, name, rng):
        """Through nginx, mostly, or straight."""
        if rng.random() < 0.7:
            return self.web.endpoint
        return self.site.endpoint(name)

    def heal(self):
        """No more faults."""
        ctypes.memset(ctypes.addressof(self.orders), 0, ctypes.sizeof(Orders))

    def remove(self):
        """Ends everything and removes the folder."""
        self.is_over = True
        self.site.remove()


# -- the faults: each takes the scene and its own random numbers ---------------


def _pause(rng, least=0.0, most=0.25):
    time.sleep(rng.uniform(least, most))


def kill(scene, rng):
    """kill -9, and started again after a while"""
    name = rng.choice(["events", "webhook"])
    getattr(scene.site, name).kill()
    _pause(rng)
    scene.start(name)


def stop(scene, rng):
    """SIGSTOP for a while"""
    process = getattr(scene.site, rng.choice(["events", "webhook"]))
    process.child.send_signal(signal.SIGSTOP)
    _pause(rng, 0.1, 0.6)
    process.child.send_signal(signal.SIGCONT)


def upgrade(scene, rng):
    """asked to end, and another binary started on the same socket"""
    name = rng.choice(["events", "webhook"])
    status = getattr(scene.site, name).terminate()
    assert status == 0, f"{name} ended with {status}"
    scene.start(name)


def reload_programs(scene, rng):
    """SIGHUP"""
    name = rng.choice(["events", "webhook"])
    getattr(scene.site, name).child.send_signal(signal.SIGHUP)


def reload_web(scene, _rng):
    """nginx reads its configuration again, while streams are open"""
    scene.web.process.child.send_signal(signal.SIGHUP)


def restart_web(scene, rng):
    """nginx ends and starts"""
    scene.web.stop()
    _pause(rng)
    scene.web.start()


def full_disk(scene, rng):
    """ENOSPC"""
    scene.orders.is_full = 1
    _pause(rng, 0.05, 0.5)
    scene.orders.is_full = 0


def slow_disk(scene, rng):
    """each sync takes up to 80 ms"""
    scene.orders.sync_us = rng.randint(1000, 80_000)
    _pause(rng, 0.2, 0.6)
    scene.orders.sync_us = 0


def eio_write(scene, rng):
    """EIO of some writes"""
    scene.orders.eio_writes = rng.randint(1, 6)


def eio_sync(scene, rng):
    """EIO of some syncs"""
    scene.orders.eio_syncs = rng.randint(1, 3)


def emfile(scene, rng):
    """no descriptor left, some times"""
    scene.orders.emfile = rng.randint(1, 6)


def no_memory(scene, rng):
    """one allocation fails, and another one"""
    for _ in range(rng.randint(1, 4)):
        scene.orders.skip_alloc = rng.randint(1, 400)
        _pause(rng, 0.02, 0.1)


def clock(scene, rng):
    """the clock jumps up to 50 minutes, and back"""
    scene.orders.clock_s = rng.randint(-3000, 3000)
    _pause(rng, 0.1, 0.4)
    scene.orders.clock_s = 0


def overflow(scene, _rng):
    """more inotify events than the kernel keeps"""
    names = [os.path.join(scene.site.db_folder, f"junk{n}") for n in (1, 2)]
    for name in names:
        with open(name, "wb"):
            pass
    for _ in range(9000):
        for name in names:
            os.utime(name)
    for name in names:
        os.unlink(name)


def _files(scene):
    return [scene.site.db + suffix for suffix in ("", "-wal", "-shm")]


def rename(scene, rng):
    """the database goes away for a moment, whole"""
    with scene.gate:
        for path in _files(scene):
            os.rename(path, path + ".away")
        _pause(rng, 0.02, 0.2)
        for path in reversed(_files(scene)):
            # A program may have tried to open what was not there.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            os.rename(path + ".away", path)


def restore(scene, rng):
    """an older copy is put in its place"""
    copy = scene.site.db + ".copy"
    taken = time.monotonic()
    with scene.gate:
        source = sqlite3.connect(scene.site.db, timeout=patience(10))
        target = sqlite3.connect(copy)
        source.backup(target)
        source.close()
        target.close()
    _pause(rng, 0.1, 0.4)
    with scene.gate:
        for path in _files(scene)[1:]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        os.replace(copy, scene.site.db)
        scene.lost.append((taken, time.monotonic()))


def vacuum(scene, _rng):
    """VACUUM by another program"""
    subprocess.run(["sqlite3", "-cmd", ".timeout 5000", scene.site.db,
                    "VACUUM"], capture_output=True, check=False)


def journal_mode(scene, _rng):
    """another program tries to leave WAL mode"""
    subprocess.run(["sqlite3", scene.site.db, "PRAGMA journal_mode=DELETE"],
                   capture_output=True, check=False)


def lock(scene, rng):
    """another program holds the write lock"""
    with scene.gate:
        connection = sqlite3.connect(scene.site.db, timeout=patience(5),
                                     isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        _pause(rng, 0.1, 0.6)
        connection.execute("ROLLBACK")
        connection.close()


FAULTS = [kill, kill, stop, upgrade, reload_programs, reload_web, restart_web,
          full_disk, slow_disk, eio_write, eio_sync, emfile, no_memory, clock,
          overflow, rename, restore, vacuum, journal_mode, lock]


# -- a schedule ----------------------------------------------------------------


def schedule(seed):
    """The faults of a seed: (function, seed of its own)."""
    rng = random.Random(f"schedule {seed}")
    return [(rng.choice(FAULTS), rng.random())
            for _ in range(rng.randint(3, 8))]


def play(seed, faults):
    """Plays these faults; what was promised and not kept, as sentences."""
    scene = Scene()
    rng = random.Random(f"play {seed}")
    jobs = [f"job-{n}" for n in range(JOBS)]
    publishers = [
        Publisher(scene, jobs, range(first, PUBLISHERS * NUMBERS, PUBLISHERS),
                  rng.random())
        for first in range(PUBLISHERS)
    ]
    pages = [Page(scene, jobs[n % JOBS], rng.random()) for n in range(PAGES)]
    found = []
    try:
        for each in (*publishers, *pages):
            each.start()
        for fault, own_seed in faults:
            _pause(rng, 0.0, 0.1)
            fault(scene, random.Random(own_seed))
            scene.site.events.is_ready()  # has it died?
            scene.site.webhook.is_ready()
        scene.heal()
        found += _end(scene, jobs, publishers, pages)
    except AssertionError as fault:
        found.append(str(fault))
    finally:
        scene.is_over = True
        if found and os.environ.get("KEEP"):
            shutil.copytree(scene.site.root, os.environ["KEEP"],
                            dirs_exist_ok=True, ignore=lambda _, names: [
                                n for n in names if n.endswith(".sock")])
        scene.remove()
    return found


def _end(scene, jobs, publishers, pages):
    """All is well again: the jobs end, and so do their pages."""
    for each in publishers:
        each.join(patience(30))
        if each.fault or each.is_alive():
            yield f"a publisher: {each.fault or 'is stuck'}"
    for job in jobs:
        until(lambda job=job: _complete(scene, job), f"{job} to be completed")
    for page in pages:
        page.join(patience(8))
    connection = sqlite3.connect(scene.site.db)
    yield from judge(connection, publishers, pages, scene.lost)
    connection.close()
    scene.web.stop()  # it keeps connections to programs that it would see end
    yield from scene.site.finish()


def _complete(scene, job):
    try:
        scene.site.deliver(job, {"id": "r", "status": "COMPLETED"})
        return True
    except (OSError, EOFError, AssertionError):
        return False


def cut_down(seed, faults):
    """The fewest of these faults, one left out at a time, that still fail in
    one of three tries."""
    rest = list(range(len(faults)))
    for number in range(len(faults)):
        fewer = [n for n in rest if n != number]
        if any(play(seed, [faults[n] for n in fewer]) for _ in range(3)):
            rest = fewer
    return rest


def run_seed(seed, wanted, is_cut_down):
    """Plays one; (how many of which fault, what was found)."""
    faults = schedule(seed)
    chosen = wanted if wanted is not None else range(len(faults))
    found = play(seed, [faults[n] for n in chosen])
    if found:
        names = ", ".join(faults[n][0].__name__ for n in chosen)
        print(f"seed {seed} ({names}):", *found[:10], sep="\n  ", flush=True)
        rest = cut_down(seed, faults) if is_cut_down else chosen
        print(f"  again: tests/faults/driver.py --seeds {seed}-{seed}"
              f" --faults {','.join(map(str, rest))}", flush=True)
    return collections.Counter(faults[n][0].__name__ for n in chosen), found


def main():
    """All seeds, or as many as there is time for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", default="1-20")
    parser.add_argument("--faults", default=None)
    parser.add_argument("--seconds", type=float, default=None)
    parser.add_argument("--no-cut", action="store_true")
    options = parser.parse_args()
    first, _, last = options.seeds.partition("-")
    wanted = None
    if options.faults is not None:
        wanted = [int(n) for n in options.faults.split(",") if n]
    end = time.monotonic() + (options.seconds or float("inf"))
    counts, bad, played = collections.Counter(), 0, 0
    for seed in itertools.takewhile(
        lambda _: time.monotonic() < end, range(int(first), int(last or first) + 1)
    ):
        kinds, found = run_seed(seed, wanted, not options.no_cut)
        counts += kinds
        bad += bool(found)
        played += 1
    print(" ".join(f"{name}={n}" for name, n in sorted(counts.items())))
    print(f"{played} seeds played, {counts.total()} faults, {bad} seeds failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
