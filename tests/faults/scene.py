"""One node and what goes wrong with it: the programs behind a real nginx, with
or without the runner and a simulated RunPod, and a function for each fault."""

import contextlib
import ctypes
import mmap
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

from harness.fastcgi import (
    STDIN, Connection, FastcgiEndpoint, begin, environ, params, record,
)
from harness.http import HttpEndpoint
from harness.inbound import KEY
from harness.link import Link
from harness.nginx import Nginx
from harness.process import log_faults, read_text
from harness.runs import PUBLISH_KEY, RunSite
from harness.site import Site
from harness.wait import patience, until
from model import CUT, Impatient, Page, Publisher, judge, languages
from starter import QUICK, Starter, has_ended, judge_runs

FAULTY = os.path.join(
    os.environ.get("FAULTS", "build/release/faults"), "faulty.so")
JOBS, PUBLISHERS, PAGES, NUMBERS, RUNS = 4, 3, 6, 60, 6
BODY_S = 1
SETTINGS = {
    "publish_keys": f"{KEY},{PUBLISH_KEY}", "keep_events": "1000000",
    "keep_progress": "1000000", "heartbeat": "300ms",
    "body_timeout": f"{BODY_S}s",
}


class QuickPage(Page):
    """A page that misses heartbeats soon."""

    silence = 1.5


class AnyPublisher(Publisher):
    """A publisher in every language that there is here."""

    ways = (*Publisher.ways, *languages()[0])


class Orders(ctypes.Structure):
    """faulty.c has the same list."""

    _fields_ = [(name, ctypes.c_int32) for name in (
        "eio_writes", "eio_syncs", "is_full", "sync_us", "emfile",
        "skip_alloc", "clock_s", "no_wal", "no_shm")]


class Scene:
    """A site, what may fail in it, and who uses it. With `links` clients reach
    nginx, and nginx the programs, by links that can go silent."""

    def __init__(self, seed, with_runs, with_links):
        self.gate = threading.RLock()  # nobody swaps files meanwhile
        self.is_over = False
        self.is_clock_good = True
        self.lost = []
        self.halves = []  # connections that sent half a request
        self.runs = None
        self.links = {}
        self.site = Site(**SETTINGS).init()
        try:
            self._map_orders()
            self._prepare(seed, with_runs, with_links)
        except BaseException:
            self.remove()
            raise

    def _map_orders(self):
        self._orders_path = os.path.join(self.site.root, "orders")
        with open(self._orders_path, "wb") as file:
            file.truncate(mmap.PAGESIZE)
        with open(self._orders_path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self.orders = Orders.from_buffer(self._map)

    def _prepare(self, seed, with_runs, with_links):
        self.programs = ["events", "webhook"]
        if with_runs:
            self.programs.append("runner")
            self.runs = RunSite(
                self.site, "--retry", "200ms", "--seed", str(seed),
                **SETTINGS, **QUICK,
            )
            self.runs.log_steps()
            self.site.drop_writer()
        self.web = self.runs.web if self.runs else Nginx(self.site)
        for name in self.programs:
            self.start(name)
        if with_links:
            self._lay_links()
        self.web.start()

    def _lay_links(self):
        self.web.prepare()
        for name, address in self.site.sockets.items():
            link = Link(f"{address}.link", address)
            self.links[name] = link
            self.web.rewrite(lambda text, link=link, address=address: text.replace(
                f"unix:{address};", f"unix:{link.address};"
            ))
        self.links["web"] = Link(("127.0.0.1", 0), ("127.0.0.1", self.web.port))

    # -- programs ----------------------------------------------------------

    def process(self, name):
        """A program that runs, or did."""
        return self.runs.runner if name == "runner" else getattr(self.site, name)

    def start(self, name):
        """Starts a program that can fail, later: a start may refuse to be
        one."""
        held = bytes(self.orders)
        self.heal()
        plain = self.site._environment
        self.site._environment = {
            **plain, "LD_PRELOAD": os.path.abspath(FAULTY),
            "FAULT_ORDERS": self._orders_path,
        }
        starts = self._count_starts(name)
        try:
            if name == "runner":
                self.runs.start_runner(env=self.site._environment)
            else:
                self.site.start(name)
            until(lambda: self.check(name) and
                  self._count_starts(name) > starts, f"{name} to be ready")
        finally:
            self.site._environment = plain
            ctypes.memmove(ctypes.addressof(self.orders), held, len(held))

    def _count_starts(self, name):
        return read_text(self.site.log_path(name)).count(" event=ready ")

    def check(self, name):
        """Is it there? It must not have died."""
        process = self.process(name)
        assert process.is_alive(), (
            f"{name} ended with {process.child.returncode}:\n"
            + process.log_text()[-2000:]
        )
        return name == "runner" or process.is_ready()

    # -- who uses it -------------------------------------------------------

    def front(self, name, rng):
        """Through nginx, mostly, or straight."""
        if rng.random() < 0.7:
            address = self.web.endpoint
            if self.links:
                address = HttpEndpoint(self.links["web"].address[1])
        elif self.links:
            address = FastcgiEndpoint(self.links[name].address)
        else:
            address = self.site.endpoint(name)
        return Impatient(address)

    def heal(self):
        """No more faults."""
        ctypes.memset(ctypes.addressof(self.orders), 0, ctypes.sizeof(Orders))

    def finish(self):
        """The end of all programs; what was wrong, as sentences."""
        for link in self.links.values():
            link.close()
        self.web.stop()  # it keeps connections to programs that it would see end
        yield from self.site.finish()
        if self.runs:
            text = read_text(self.site.log_path("runner"))
            yield from (f"runner: {fault}" for fault in log_faults(text))

    def remove(self):
        """Ends everything and removes the folder."""
        self.is_over = True
        for link in self.links.values():
            link.close()
        for half in self.halves:
            half.close()
        self.site.remove()


# -- the faults: each takes the scene and its own random numbers ---------------


def _pause(rng, least=0.0, most=0.25):
    time.sleep(rng.uniform(least, most))


def kill(scene, rng):
    """kill -9, and started again after a while"""
    name = rng.choice(scene.programs)
    scene.process(name).kill()
    _pause(rng)
    scene.start(name)


def stop(scene, rng):
    """SIGSTOP for a while"""
    process = scene.process(rng.choice(scene.programs))
    process.child.send_signal(signal.SIGSTOP)
    _pause(rng, 0.1, 0.6)
    process.child.send_signal(signal.SIGCONT)


def upgrade(scene, rng):
    """asked to end, and another binary started on the same socket"""
    name = rng.choice(scene.programs)
    status = scene.process(name).terminate()
    assert status == 0, f"{name} ended with {status}"
    scene.start(name)


def reload_programs(scene, rng):
    """SIGHUP"""
    process = scene.process(rng.choice(scene.programs))
    process.child.send_signal(signal.SIGHUP)


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
    """the clock jumps by 10 to 50 minutes, and back: by less than the runner
    may wait, it would be right to wait"""
    scene.is_clock_good = False
    scene.orders.clock_s = rng.choice([-1, 1]) * rng.randint(600, 3000)
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
            # While nobody has it open, there is one file.
            with contextlib.suppress(FileNotFoundError):
                os.rename(path, path + ".away")
        _pause(rng, 0.02, 0.2)
        for path in reversed(_files(scene)):
            # A program may have tried to open what was not there.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            with contextlib.suppress(FileNotFoundError):
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


def silence(scene, rng):
    """the connections that there are go silent, and nobody is told"""
    scene.links[rng.choice(["web", "events", "webhook"])].hush()


def half_request(scene, rng):
    """a part of a webhook, and then silence"""
    values = environ("POST", scene.site.signed("job-0"),
                     {"Content-Type": "application/json"}, b"{}" * 4)
    body = record(STDIN, b"{}" * 4)
    with contextlib.suppress(OSError):
        half = Connection(scene.site.sockets["webhook"])
        scene.halves.append(half)
        half.send(begin() + params(values) + body[: rng.randrange(len(body))])


def provider_kill(scene, rng):
    """the provider is away for a while, and goes on where it was"""
    scene.runs.runpod.kill()
    _pause(rng, 0.0, 0.5)
    scene.runs.runpod.start()


def provider_stop(scene, rng):
    """the provider takes calls and does not answer"""
    process = scene.runs.runpod.process.child
    process.send_signal(signal.SIGSTOP)
    _pause(rng, 0.2, 1.5)
    process.send_signal(signal.SIGCONT)


FAULTS = [kill, kill, stop, upgrade, reload_programs, reload_web, restart_web,
          full_disk, slow_disk, eio_write, eio_sync, emfile, no_memory, clock,
          overflow, rename, restore, vacuum, journal_mode, lock, silence,
          half_request]
OF_RUNS = [*FAULTS, provider_kill, provider_kill, provider_stop]


# -- a play --------------------------------------------------------------------


def play(seed, faults, with_runs):
    """Plays these faults; what was promised and not kept, as sentences."""
    scene = Scene(seed, with_runs, any(fault is silence for fault, _ in faults))
    found = []
    try:
        found += _play(scene, seed, faults)
    except AssertionError as fault:
        found.append(str(fault))
    finally:
        scene.is_over = True
        if found and os.environ.get("KEEP"):
            shutil.copytree(scene.site.root, os.environ["KEEP"],
                            dirs_exist_ok=True, ignore=lambda _, names: [
                                n for n in names if ".sock" in n])
        scene.remove()
    return found


def _play(scene, seed, faults):
    rng = random.Random(f"play {seed}")
    jobs = [f"job-{n}" for n in range(JOBS)]
    publishers = [
        AnyPublisher(
            scene, jobs, range(first, PUBLISHERS * NUMBERS, PUBLISHERS),
            rng.random(),
        )
        for first in range(PUBLISHERS)
    ]
    pages = [QuickPage(scene, jobs[n % JOBS], rng.random()) for n in range(PAGES)]
    starters = []
    if scene.runs:
        own = [f"run-{n}" for n in range(RUNS)]
        starters.append(Starter(scene, own, rng.random()))
        pages += [
            QuickPage(scene, first, rng.random(), *more)
            for first, *more in (own[::2], own[1::2])
        ]
    for each in (*publishers, *starters, *pages):
        each.start()
    for fault, own_seed in faults:
        _pause(rng, 0.0, 0.1)
        fault(scene, random.Random(own_seed))
        for name in scene.programs:
            scene.check(name)
    scene.heal()
    yield from _end(scene, jobs, publishers, starters, pages)


def _end(scene, jobs, publishers, starters, pages):
    """All is well again: the jobs end, and so do their pages."""
    for each in (*publishers, *starters):
        each.join(patience(30))
        if each.fault or each.is_alive():
            yield f"{type(each).__name__}: {each.fault or 'is stuck'}"
    for job in jobs:
        until(lambda job=job: _complete(scene, job), f"{job} to be completed")
    connection = sqlite3.connect(scene.site.db, timeout=patience(5))
    for job in (job for starter in starters for job in starter.jobs):
        until(lambda job=job: _settle(scene, connection, job),
              f"the run of {job} to end", 12)
    for page in pages:
        page.join(patience(8))
    for half in scene.halves:
        yield from _judge_half(half)
    yield from judge(connection, publishers, pages, scene.lost)
    for starter in starters:
        yield from judge_runs(connection, starter, scene.runs, scene.lost,
                              scene.is_clock_good)
    marks = ",".join("?" * JOBS)
    for job, state in connection.execute(
        f"SELECT job_id, state FROM jobs WHERE job_id IN ({marks})", jobs
    ):
        if state != "completed":
            yield f"{job} is {state} in the end"
    connection.close()
    yield from scene.finish()


def _complete(scene, job):
    try:
        scene.site.deliver(job, {"id": "r", "status": "COMPLETED"})
        return True
    except CUT:
        return False


def _settle(scene, connection, job):
    """Has its run ended? Where the database that knew of it was replaced,
    nobody else says so."""
    ended = has_ended(connection, job)
    return _complete(scene, job) if ended is None and scene.lost else ended


def _judge_half(half):
    with contextlib.suppress(ConnectionError):
        half.socket.settimeout(patience(BODY_S))
        try:
            while half.socket.recv(4096):
                pass
        except TimeoutError:
            yield "half a request is kept for ever"
