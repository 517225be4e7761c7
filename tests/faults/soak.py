#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""usage: soak.py [--hours H] [--rate N] [--pages N] [--seed N]
(make soak)

The real programs behind a real nginx, at a steady rate, for as long as you
like: jobs begin, get their events in four ways, end, and are followed by pages
that come and go (model.py). Now and then a program or nginx is told to read
its configuration again. Nothing is broken on purpose: driver.py does that.

Each job is judged when it has ended, as driver.py judges, and then made to look
a month old, so that retention takes it and the database keeps its size. One
job lasts from the first minute to the last and has far more events than are
kept.

What is measured every few seconds is in build/soak/soak.csv, a plot of it in
build/soak/soak.svg. Exit 1 when something was lost, doubled or told wrongly,
when memory, descriptors or the database grew from the first third to the last
(after a quarter of the time, five minutes at most, for warming up), or when
the WAL was ever longer than it may be."""

import argparse
import contextlib
import csv
import itertools
import os
import random
import signal
import sqlite3
import statistics
import sys
import threading
import time

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(_HERE, "..", "integration"))
sys.path.insert(1, os.path.join(_HERE, "..", "bench"))

# pylint: disable=wrong-import-position
from harness.inbound import KEY  # noqa: E402
from harness.nginx import Nginx  # noqa: E402
from harness.process import read_text  # noqa: E402
from harness.site import Site, raise_descriptor_limit  # noqa: E402
from harness.wait import patience  # noqa: E402
from common import percentile  # noqa: E402
from model import Page, Publisher, judge_rows, number_of  # noqa: E402
from plot import write_plot  # noqa: E402
from systems import children, cpu_seconds  # noqa: E402

FOLDER = "build/soak"
KEEP_EVENTS = 100
PAGES_PER_JOB = 4
LONGEST_JOB = 60  # events
LASTING, LASTING_RATE, LASTING_PAGES = "lasting", 2, 5
WAL_MAX_KB = 2 * 8192  # twice DB_WAL_BYTES: a batch may come late
# What may be more in the last third than in the first: a share, and at least
# so much. nginx keeps up to 32 sockets for each worker, on either side. A
# program opens three files for a connection to the database, and up to three
# of these late: what copies the WAL has two, the janitor one.
GROWTH = {"rss_kb": (0.05, 2048), "files": (0, 9), "sockets": (0.1, 64),
          "db_kb": (0.1, 1024)}
# What one page more may take: nginx needs 12 kB for an idle one.
PER_PAGE = {"rss_kb": 16, "sockets": 2}
PROGRAMS = ("events", "webhook", "nginx")


class Scene:
    """A site, and what models ask of it."""

    def __init__(self):
        self.gate = threading.RLock()
        self.is_ending = False  # no more is published
        self.is_over = False
        self.latencies = []  # seconds, since the last sample
        self.deliveries = 0
        self.site = Site(
            publish_keys=KEY, keep_events=str(KEEP_EVENTS),
            keep_progress=str(KEEP_EVENTS), keep_days="1", lifetime="30s",
        ).init().start_both()
        self.web = Nginx(self.site).start()

    def front(self, name, rng):
        """Through nginx, mostly, or straight."""
        if rng.random() < 0.8:
            return self.web.endpoint
        return self.site.endpoint(name)

    def pids(self, name):
        """A program's processes; of nginx without those that a reload has
        left to their last streams."""
        if name == "nginx":
            master = self.web.process.pid
            return [master, *(
                pid for pid in children(master)
                if "shutting down" not in read_text(f"/proc/{pid}/cmdline"))]
        return [getattr(self.site, name).pid]

    def reload(self, number):
        """Another one each time."""
        name = PROGRAMS[number % len(PROGRAMS)]
        os.kill(self.pids(name)[0], signal.SIGHUP)


# -- who uses it ---------------------------------------------------------------


class Watched(list):
    """A page's events, which note when they came."""

    def __init__(self, page, told):
        super().__init__()
        self._page = page
        self._told = told

    def append(self, event):
        super().append(event)
        scene = self._page.scene
        scene.deliveries += 1
        told = self._told.get(number_of(event.event, event.data))
        # A page that was away has it late by its own fault, and a program
        # that must be started first is no measure for what runs.
        if (told is not None and told.way in ("http", "webhook")
                and told.began > self._page.came):
            scene.latencies.append(event.at - told.began)


class SoakPage(Page):
    """A page whose events are timed."""

    def __init__(self, scene, job, seed, told):
        super().__init__(scene, job, seed)
        self.came = 0.0
        self.events = Watched(self, told)

    def _follow(self, last_id):
        self.came = time.monotonic()
        return super()._follow(last_id)


class Tolds(list):
    """What a publisher was told, also by number."""

    def __init__(self):
        super().__init__()
        self.by_number = {}

    def append(self, told):
        super().append(told)
        self.by_number[told.number] = told


def paced(scene, numbers, pause, rng):
    """These numbers, so many seconds apart on average."""
    due = time.monotonic() + rng.uniform(0, pause)
    for number in numbers:
        while not scene.is_ending and time.monotonic() < due:
            time.sleep(min(0.5, max(0, due - time.monotonic())))
        if scene.is_ending:
            return
        yield number
        due = max(time.monotonic(), due + rng.uniform(0.5, 1.5) * pause)


class Job:
    """A job, who publishes its events, and the pages that follow it."""

    def __init__(self, scene, name, numbers, pause, n_pages, rng):
        self.scene = scene
        self.name = name
        self.publisher = Publisher(
            scene, [name], paced(scene, numbers, pause, rng), rng.random())
        self.publisher.told = Tolds()
        self.pages = [
            SoakPage(scene, name, rng.random(), self.publisher.told.by_number)
            for _ in range(n_pages)
        ]
        self._waiting = list(self.pages)
        # Most pages come early, and some when all is over.
        length = 1.1 * pause * len(numbers) if isinstance(numbers, list) else 0
        now = time.monotonic()
        self._arrivals = sorted(
            now + length * rng.random() ** 3 for _ in self.pages)
        self._deadline = None
        self.publisher.start()

    def turn(self):
        """Lets come who comes now; True when the last one has left."""
        now = time.monotonic()
        while self._waiting and (self.scene.is_ending
                                 or now >= self._arrivals[-len(self._waiting)]):
            self._waiting.pop(0).start()
        if self._deadline is None:
            if self.publisher.is_alive() or not self._complete():
                return False
            self._deadline = now + patience(30)
        if not self._waiting and not any(p.is_alive() for p in self.pages):
            return True
        return now > self._deadline + patience(30)

    def _complete(self):
        with contextlib.suppress(OSError, EOFError, AssertionError):
            self.scene.site.deliver(
                self.name, {"id": "r", "status": "COMPLETED"},
                endpoint=self.scene.web.endpoint)
            return True
        return False

    def judge(self, connection):
        """What was promised and not kept, as sentences."""
        if self.publisher.fault:
            yield f"a publisher of {self.name}: {self.publisher.fault}"
        (state,) = connection.execute(
            "SELECT state FROM jobs WHERE job_id = ?", (self.name,)
        ).fetchone()
        if state != "completed":
            yield f"{self.name} is {state} in the end"
        if len(self.publisher.told) > KEEP_EVENTS:
            yield from self._judge_lasting()
            return
        rows = connection.execute(
            "SELECT id, job_id, type, data FROM job_events WHERE job_id = ?"
            " ORDER BY id", (self.name,)).fetchall()
        yield from judge_rows(rows, [self.publisher], self.pages)

    def _judge_lasting(self):
        """Its first rows are gone, but one publisher had numbered them."""
        wanted = [told.number for told in self.publisher.told]
        for page in self.pages:
            seen = [number_of(kind, data) for _, kind, data in page.rows()]
            if not page.is_done or [n for n in seen if n is not None] != wanted:
                yield (f"a page of {self.name} has {len(seen)} of"
                       f" {len(wanted)} events, or not in order")


class Jobs:
    """So many at any time. As one ends, it is judged and another one begins."""

    def __init__(self, scene, rate, pages, rng):
        self.scene = scene
        self.events = 0
        self.ended = 0
        self._rng = rng
        self._numbers = itertools.count()
        self._pause = pages / PAGES_PER_JOB / rate
        self._db = sqlite3.connect(scene.site.db, timeout=patience(10),
                                   isolation_level=None)
        self._jobs = [self._next() for _ in range(pages // PAGES_PER_JOB)]
        self._jobs.append(Job(
            scene, LASTING, (-n for n in itertools.count(1)), 1 / LASTING_RATE,
            LASTING_PAGES, random.Random(rng.random())))

    def _next(self):
        count = self._rng.randint(LONGEST_JOB // 3, LONGEST_JOB)
        numbers = list(itertools.islice(self._numbers, count))
        return Job(self.scene, f"job-{numbers[0]}", numbers, self._pause,
                   PAGES_PER_JOB, random.Random(self._rng.random()))

    def turn(self):
        """What is due; the faults found."""
        faults = []
        for place, job in enumerate(self._jobs):
            if job is None or not job.turn():
                continue
            faults += job.judge(self._db)
            self.events += len(job.publisher.told)
            self.ended += 1
            self._age(job)
            self._jobs[place] = None if self.scene.is_ending else self._next()
        return faults

    def _age(self, job):
        """It is a month old, and so are keys that nobody will use again."""
        self._db.execute(
            "UPDATE jobs SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ',"
            " updated_at, '-30 days') WHERE job_id = ?", (job.name,))
        self._db.execute(
            "UPDATE idempotency_keys SET created_at = strftime("
            "'%Y-%m-%dT%H:%M:%fZ', created_at, '-30 days') WHERE created_at"
            " BETWEEN strftime('%Y-%m-%d', 'now', '-2 days')"
            " AND strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-2 minutes')")

    def is_over(self):
        """Has the last one ended?"""
        return not any(self._jobs)

    def open_pages(self):
        """How many follow now."""
        return sum(page.is_alive() for job in self._jobs if job
                   for page in job.pages)

    def told(self):
        """How many events were published until now."""
        return self.events + sum(
            len(job.publisher.told) for job in self._jobs if job)

    def close(self):
        """No more of it."""
        self._db.close()


# -- what is measured ----------------------------------------------------------


class Gauge:
    """A row of figures every few seconds."""

    def __init__(self, scene, jobs):
        self._scene = scene
        self._jobs = jobs
        self._begun = self._last = time.monotonic()
        self._cpu = self._cpu_now()
        self._told = self._deliveries = 0
        self.rows = []

    def _cpu_now(self):
        return {name: cpu_seconds(self._scene.pids(name)) for name in PROGRAMS}

    def take(self):
        """One row more."""
        scene, now, cpu = self._scene, time.monotonic(), self._cpu_now()
        seconds = now - self._last
        scene.latencies, latencies = [], scene.latencies
        told, deliveries = self._jobs.told(), scene.deliveries
        row = {
            "seconds": round(now - self._begun, 1),
            "events_per_s": round((told - self._told) / seconds, 1),
            "deliveries_per_s": round(
                (deliveries - self._deliveries) / seconds, 1),
            "pages": self._jobs.open_pages(),
            "p50_ms": _ms(latencies, 0.5), "p99_ms": _ms(latencies, 0.99),
            "db_kb": _kb(scene.site.db), "wal_kb": _kb(scene.site.db + "-wal"),
            "load": os.getloadavg()[0],
        }
        for name in PROGRAMS:
            pids = scene.pids(name)
            row[f"{name}_rss_kb"] = sum(map(_rss_kb, pids))
            sockets, files = map(sum, zip(*map(_descriptors, pids)))
            row[f"{name}_sockets"], row[f"{name}_files"] = sockets, files
            # Processes that are no more took theirs with them.
            row[f"{name}_cpu_percent"] = round(max(
                0, cpu[name] - self._cpu[name]) / seconds * 100, 1)
        self._last, self._cpu = now, cpu
        self._told, self._deliveries = told, deliveries
        self.rows.append(row)


def _ms(seconds, share):
    return round(percentile(seconds, share) * 1000, 2) if seconds else ""


def _kb(path):
    with contextlib.suppress(FileNotFoundError):
        return os.stat(path).st_size // 1024
    return 0


def _rss_kb(pid):
    for line in read_text(f"/proc/{pid}/status").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0  # it has just ended


def _descriptors(pid):
    """How many are sockets, and how many are something else."""
    targets = []
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                targets.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    sockets = sum(target.startswith("socket:") for target in targets)
    return sockets, len(targets) - sockets


def thirds(rows, name):
    """The medians of the first and the last third, after warming up."""
    warm = min(len(rows) // 4, 60)
    third = max(1, (len(rows) - warm) // 3)
    return [statistics.median(row[name] for row in part)
            for part in (rows[warm:warm + third], rows[-third:])]


def growth(rows):
    """What grew beyond its bound, as sentences."""
    came, stayed = thirds(rows, "pages")
    for name in rows[0]:
        kind = name if name in GROWTH else name.partition("_")[2]
        if kind not in GROWTH:
            continue
        (share, least), (before, after) = GROWTH[kind], thirds(rows, name)
        after -= PER_PAGE.get(kind, 0) * max(0, stayed - came)
        if after - before > max(least, share * before):
            yield f"{name} grew from {before:.0f} to {after:.0f}"
    longest = max(row["wal_kb"] for row in rows)
    if longest > WAL_MAX_KB:
        yield f"the WAL had {longest} KiB, {WAL_MAX_KB} are its bound"


def _write(rows):
    os.makedirs(FOLDER, exist_ok=True)
    with open(f"{FOLDER}/soak.csv", "w", encoding="ascii", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with open(f"{FOLDER}/soak.svg", "w", encoding="utf-8") as file:
        file.write(write_plot(rows))


# -- the run -------------------------------------------------------------------


def run(scene, options):
    """To the end; the jobs, the rows and the faults."""
    rng = random.Random(options.seed)
    seconds = options.hours * 3600
    every, reload_every = min(5, seconds / 20), min(60, seconds / 5)
    jobs = Jobs(scene, options.rate, options.pages, rng)
    gauge, faults = Gauge(scene, jobs), []
    begun = time.monotonic()
    next_sample, next_reload = begun + every, begun + reload_every
    reloads = itertools.count(1)
    while time.monotonic() < begun + seconds:
        faults += _told_of(jobs.turn())
        if time.monotonic() >= next_sample:
            gauge.take()
            next_sample = max(time.monotonic(), next_sample) + every
        if time.monotonic() >= next_reload:
            scene.reload(next(reloads))
            next_reload += reload_every
        time.sleep(0.02)
    gauge.take()
    scene.is_ending = True
    while not jobs.is_over():
        faults += _told_of(jobs.turn())
        time.sleep(0.02)
    jobs.close()
    return jobs, gauge.rows, faults


def _told_of(faults):
    for fault in faults:
        print(fault, flush=True)
    return faults


def _options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hours", type=float, default=1)
    parser.add_argument("--rate", type=float, default=100)
    # Some have not come yet, or are gone again: 500 are there at a time.
    parser.add_argument("--pages", type=int, default=650)
    parser.add_argument("--seed", default=str(random.randrange(10**9)))
    options = parser.parse_args()
    if not 0 < options.hours < float("inf"):
        parser.error("--hours is more than 0")
    return options


def main():
    """Runs, writes what was measured, and judges it."""
    options = _options()
    raise_descriptor_limit(8192)
    scene = Scene()
    try:
        jobs, rows, faults = run(scene, options)
        scene.web.stop()  # it keeps connections to programs that it would see end
        faults += _told_of(scene.site.finish())
    finally:
        scene.is_over = True
        scene.site.remove()
    _write(rows)
    faults += _told_of(list(growth(rows)))
    # A machine that is too busy does not keep the rate, and shows less.
    print("events a second in the first and the last third: {:.0f}, {:.0f} of"
          " {:g}".format(*thirds(rows, "events_per_s"), options.rate))
    print(f"{options.hours:g} hours, {jobs.told()} events of {jobs.ended} jobs,"
          f" {scene.deliveries} deliveries, in {FOLDER}/soak.csv and .svg:"
          f" {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
