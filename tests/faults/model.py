"""Who uses jobwire, as faithful models: publishers that try again until they
are told that it is stored, and pages that follow the rules of EventSource.
What they were told is what judge() holds against the database in the end."""

import collections
import contextlib
import functools
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import threading
import time

from harness.inbound import publish
from harness.reading import jobs_target
from harness.runs_faults import GIVEN_UP, TERMINAL
from harness.site import source_root
from harness.sse import Stream, StreamEnded
from harness.wait import patience

OURS = ("resync", "heartbeat", "expiring")  # events that are no rows
CUT = (OSError, EOFError, AssertionError, ValueError)
# For so long a provider, or a publisher, waits for an answer.
ANSWER_S = 1.5


class Impatient:
    """An endpoint whose calls are given up when no answer comes."""

    def __init__(self, endpoint):
        self._endpoint = endpoint

    def open(self, *request, **options):
        """A stream, which is looked after by who reads it."""
        return self._endpoint.open(*request, **options)

    def call(self, *request, **options):
        """The whole answer, or TimeoutError."""
        exchange = self.open(*request, **options)
        try:
            return exchange.finish(ANSWER_S / patience(1))
        finally:
            exchange.close()


# --- Publishers ---------------------------------------------------------------


def _php():
    """The command of PHP's publisher, or why there is none."""
    found = shutil.which("php")
    if found is None:
        return "php is not installed"
    loaded = subprocess.run([found, "-m"], capture_output=True, text=True,
                            check=False).stdout
    if "pdo_sqlite" not in loaded:
        return "php has no pdo_sqlite"
    return [found, os.path.join(source_root(), "tests", "publish", "driver.php")]


def _node():
    """The command of Node.js's publisher, or why there is none."""
    found = shutil.which("node")
    if found is None:
        return "node is not installed"
    version = subprocess.run([found, "--version"], capture_output=True,
                             text=True, check=False).stdout
    numbers = tuple(map(int, re.findall(r"\d+", version)[:2]))
    if numbers < (22, 13):
        return f"node {version.strip()} has no node:sqlite"
    return [found, os.path.join(source_root(), "tests", "publish", "driver.mjs")]


@functools.lru_cache
def languages():
    """The files of publish/ that can open a database here: {language: command},
    and {language: why not}."""
    found = {"php": _php(), "node": _node()}
    commands = {n: c for n, c in found.items() if isinstance(c, list)}
    return commands, {n: c for n, c in found.items() if n not in commands}


class Helper:
    """A program in another language that publishes into the database by its
    file of publish/, and keeps it open meanwhile."""

    def __init__(self, command, database):
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )
        self._ask(target=database, options={"timeout": patience(1)})

    def _ask(self, **order):
        self._child.stdin.write(json.dumps(order) + "\n")
        self._child.stdin.flush()
        return json.loads(self._child.stdout.readline())

    def publish(self, told):
        """True when it says that it is stored."""
        return "ok" in self._ask(
            call="publish", args=[told.job, "note", {"n": told.number}],
            options={"idempotency_key": str(told.number)},
        )

    def close(self):
        """Its end."""
        self._child.kill()
        self._child.wait()
        self._child.stdin.close()
        self._child.stdout.close()


class Told:
    """What a publisher was told of one event, and when."""

    def __init__(self, job, number, way):
        self.job = job
        self.number = number
        self.way = way
        self.began = time.monotonic()
        self.stored = None  # when it was told so


def insist(attempt, what):
    """Tries until it is true."""
    deadline = time.monotonic() + patience(12)
    while not attempt():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.01)


class Publisher(threading.Thread):
    """Publishes numbers to some jobs, one after the other, each in one of the
    ways, until it is told that the number is stored."""

    ways = ("webhook", "http", "python", "shell")

    def __init__(self, scene, jobs, numbers, seed):
        super().__init__(daemon=True)
        self.scene = scene
        self.told = []
        self.fault = None
        self._jobs = jobs
        self._numbers = numbers
        self._rng = random.Random(seed)
        self._helpers = {}

    def run(self):
        try:
            for number in self._numbers:
                job = self._rng.choice(self._jobs)
                self.told.append(Told(job, number, self._rng.choice(self.ways)))
                self._store(self.told[-1])
        except Exception as fault:  # the driver tells of it
            self.fault = fault
        finally:
            for helper in self._helpers.values():
                helper.close()

    def _store(self, told):
        store = getattr(self, "_" + told.way, self._helper)
        insist(lambda: store(told), f"{told.way} {told.number} to be taken")
        told.stored = time.monotonic()

    def _helper(self, told):
        with self.scene.gate:
            if told.way not in self._helpers:
                self._helpers[told.way] = Helper(
                    languages()[0][told.way], self.scene.site.db
                )
            return self._helpers[told.way].publish(told)

    def _webhook(self, told):
        body = {"id": "r", "status": "IN_PROGRESS", "executionTime": told.number}
        with contextlib.suppress(*CUT):
            return self.scene.site.post(
                self.scene.site.signed(told.job), json.dumps(body).encode(),
                endpoint=self.scene.front("webhook", self._rng),
            ).status == 200
        return False

    def _http(self, told):
        event = {"type": "note", "data": {"n": told.number}}
        with contextlib.suppress(*CUT):
            return publish(
                self.scene.site, told.job, event, key=f"k{told.number}",
                endpoint=self.scene.front("webhook", self._rng),
            ).status in (200, 201)
        return False

    def _python(self, told):
        with self.scene.gate:
            connection = sqlite3.connect(
                f"file:{self.scene.site.db}?mode=rw", uri=True,
                timeout=patience(2), isolation_level=None,
            )
            try:
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute(
                    "INSERT INTO job_events (job_id, type, data, source,"
                    " delivery_key) VALUES (?, 'note', ?, 'model', ?)"
                    " ON CONFLICT (source, delivery_key) DO NOTHING",
                    (told.job, json.dumps({"n": told.number}), told.number),
                )
                return True
            except sqlite3.Error:
                return False
            finally:
                connection.close()

    def _shell(self, told):
        text = json.dumps({"n": told.number})
        with self.scene.gate:
            return subprocess.run(
                ["sqlite3", "-batch", "-cmd", ".timeout 10000",
                 self.scene.site.db,
                 "PRAGMA synchronous=FULL; INSERT INTO job_events (job_id,"
                 " type, data, source, delivery_key) VALUES"
                 f" ('{told.job}', 'note', '{text}', 'model', '{told.number}')"
                 " ON CONFLICT (source, delivery_key) DO NOTHING"],
                capture_output=True, check=False,
            ).returncode == 0


# --- Pages --------------------------------------------------------------------


class Page(threading.Thread):
    """Follows a job, or several, until the server says that there is no more
    (204). Where it hears nothing, not even a heartbeat, it comes back, as
    jobwire.js does."""

    leaves = 0.02  # how often it goes away after an event, to come back
    silence = patience(1)  # seconds without a byte

    def __init__(self, scene, job, seed, *more):
        super().__init__(daemon=True)
        self.scene = scene
        self.job = job
        self.jobs = [job, *more]
        self.events = []
        self.is_done = False
        self._rng = random.Random(seed)

    def __str__(self):
        return f"a page of {', '.join(self.jobs)}"

    def run(self):
        last_id = ""
        while not self.is_done and not self.scene.is_over:
            with contextlib.suppress(*CUT):
                last_id = self._follow(last_id)
            time.sleep(0.01)

    def _follow(self, last_id):
        """One connection; the id to go on from."""
        stream = self._open(last_id)
        try:
            head = stream.exchange.wait_head(self.silence / patience(1))
            if head.status == 204:
                self.is_done = True
            while head.status == 200 and self._read(stream):
                last_id = stream.last_id
                if self._is_leaving():
                    break
        except (StreamEnded, *CUT):
            pass
        finally:
            stream.close()
        return last_id

    def _open(self, last_id):
        return Stream(
            self.scene.front("events", self._rng), jobs_target(self.jobs),
            last_id=last_id,
        )

    def _is_leaving(self):
        """After an event: does the reader go into a tunnel?"""
        return self._rng.random() < self.leaves

    def _read(self, stream):
        """Takes an event in; False when it is time to go."""
        heard = time.monotonic(), len(stream.comments)
        while not self.scene.is_over:
            try:
                self.events.append(stream.next(0.1 / patience(1)))
                return True
            except TimeoutError:
                if len(stream.comments) > heard[1]:
                    heard = time.monotonic(), len(stream.comments)
                elif time.monotonic() > heard[0] + self.silence:
                    return False
        return False

    def epoch(self):
        """The database that it was told of last."""
        return self.events[-1].id.partition("-")[0] if self.events else ""

    def rows(self):
        """(row id, type, data) of what it was told since the last resync."""
        known = []
        for event in self.events:
            if event.event == "resync":
                known = []
            elif event.event not in OURS:
                place = event.id.partition("-")[2].partition(".")[0]
                known.append((int(place), event.event, event.data))
        return known

    def given_up(self):
        """The jobs that it was told an end of which is a judgement: what the
        provider says later comes to nobody who was told that there is no
        more."""
        ends = [
            json.loads(data) for _, kind, data in self.rows() if kind in TERMINAL
        ]
        return {end["job_id"] for end in ends if end.get("code") in GIVEN_UP}


# --- The judge ----------------------------------------------------------------


def number_of(kind, data):
    """The publisher's number in a row's data; None: of nobody's."""
    if kind not in ("note", "processing"):
        return None
    value = json.loads(data) if data else {}
    return value.get("n", value.get("executionTime"))


def is_in_doubt(told, lost):
    """Was it stored while a database was copied or put back?"""
    return any(
        told.began < end and (told.stored is None or told.stored > start)
        for start, end in lost
    )


def judge(connection, publishers, pages, lost=()):
    """What was promised and not kept, as sentences. `lost` are pairs (from, to)
    of times: what was told between is in a database that was replaced."""
    rows = connection.execute(
        "SELECT id, job_id, type, data FROM job_events ORDER BY id"
    ).fetchall()
    (check,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if check != "ok":
        yield f"quick_check: {check}"
    (epoch,) = connection.execute(
        "SELECT value FROM meta WHERE key = 'epoch'"
    ).fetchone()
    yield from judge_rows(rows, publishers, pages, lost, epoch)


def judge_rows(rows, publishers, pages, lost=(), epoch=None):
    """The same of these rows: (id, job_id, type, data) in order."""
    yield from _judge_publishers(rows, publishers, lost)
    for page in pages:
        yield from _judge_page(rows, page, epoch if lost else None)
    yield from _judge_ids(pages)


def _judge_publishers(rows, publishers, lost):
    times = collections.Counter(
        (job, number_of(kind, data)) for _, job, kind, data in rows
    )
    for told in (each for one in publishers for each in one.told):
        if told.stored is None:
            continue
        found = times[told.job, told.number]
        if found > 1:
            yield f"{told.way} {told.number} is there {found} times"
        if found == 0 and not is_in_doubt(told, lost):
            yield f"{told.way} {told.number} was stored and is not there"


def _judge_page(rows, page, restored):
    """`restored` is the epoch of a database that was put back. A page whose
    jobs ended in the moment before may have been told so by the old one."""
    if not page.is_done:
        yield f"{page} is never told the end"
        return
    if not restored and any(event.event == "resync" for event in page.events):
        yield f"{page} was told of a loss that was none"
    if restored and page.epoch() != restored:
        if not page.events or page.events[-1].event not in TERMINAL:
            yield f"{page} is told an end that was none"
        return
    seen = [place for place, _, _ in page.rows()]
    last = max(seen, default=0)
    given_up = page.given_up()
    own = [
        row[0] for row in rows
        if row[1] in page.jobs and (row[0] <= last or row[1] not in given_up)
    ]
    if seen != own:
        missed = [n for n in own if n not in seen]
        yield (f"{page} missed {missed[:5]}, saw twice"
               f" {[n for n in seen if seen.count(n) > 1][:5]}, or not in"
               f" order: {len(seen)} of {len(own)}")


def _judge_ids(pages):
    meanings = {}
    for page in pages:
        for event in page.events:
            if event.event in OURS or event.id == "":
                continue
            key = event.id.partition(".")[0]
            value = (event.event, event.data)
            if meanings.setdefault(key, value) != value:
                yield f"the id {key} was given to two events"
