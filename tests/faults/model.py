"""Who uses jobwire, as faithful models: publishers that try again until they
are told that it is stored, and pages that follow the rules of EventSource.
What they were told is what judge() holds against the database in the end."""

import contextlib
import json
import random
import sqlite3
import subprocess
import threading
import time

from harness.inbound import publish
from harness.site import events_target
from harness.sse import Stream, StreamEnded
from harness.wait import patience

OURS = ("resync", "heartbeat", "expiring")  # events that are no rows
_CUT = (OSError, EOFError, AssertionError, ValueError)


class Told:
    """What a publisher was told of one event, and when."""

    def __init__(self, job, number, way):
        self.job = job
        self.number = number
        self.way = way
        self.began = time.monotonic()
        self.stored = None  # when it was told so


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

    def run(self):
        try:
            for number in self._numbers:
                job = self._rng.choice(self._jobs)
                way = self._rng.choice(self.ways)
                self.told.append(Told(job, number, way))
                self._store(self.told[-1])
        except Exception as fault:  # the driver tells of it
            self.fault = fault

    def _store(self, told):
        deadline = time.monotonic() + patience(12)
        while not getattr(self, "_" + told.way)(told):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{told.way} {told.number} is not taken")
            time.sleep(0.01)
        told.stored = time.monotonic()

    def _webhook(self, told):
        body = {"id": "r", "status": "IN_PROGRESS", "executionTime": told.number}
        with contextlib.suppress(*_CUT):
            return self.scene.site.post(
                self.scene.site.signed(told.job), json.dumps(body).encode(),
                endpoint=self.scene.front("webhook", self._rng),
            ).status == 200
        return False

    def _http(self, told):
        event = {"type": "note", "data": {"n": told.number}}
        with contextlib.suppress(*_CUT):
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


class Page(threading.Thread):
    """Follows one job until the server says that there is no more (204)."""

    leaves = 0.02  # how often it goes away after an event, to come back

    def __init__(self, scene, job, seed):
        super().__init__(daemon=True)
        self.scene = scene
        self.job = job
        self.events = []
        self.connections = 0
        self.is_done = False
        self._rng = random.Random(seed)

    def run(self):
        last_id = ""
        while not self.is_done and not self.scene.is_over:
            with contextlib.suppress(*_CUT):
                last_id = self._follow(last_id)
            time.sleep(0.01)

    def _follow(self, last_id):
        """One connection; the id to go on from."""
        self.connections += 1
        stream = self._open(last_id)
        try:
            if stream.status == 204:
                self.is_done = True
            elif stream.status == 200:
                while not self.scene.is_over:
                    self.events.append(stream.next(patience(0.2)))
                    last_id = stream.last_id
                    if self._is_leaving():
                        break
        except (StreamEnded, *_CUT):
            pass
        finally:
            stream.close()
        return last_id

    def _open(self, last_id):
        return Stream(
            self.scene.front("events", self._rng), events_target(self.job),
            last_id=last_id,
        )

    def _is_leaving(self):
        """After an event: does the reader go into a tunnel?"""
        return self._rng.random() < self.leaves

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


def number_of(kind, data):
    """The publisher's number in a row's data; None: of nobody's."""
    value = json.loads(data) if data else {}
    return value.get("n", value.get("executionTime"))


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
    for job, state in connection.execute("SELECT job_id, state FROM jobs"):
        if state != "completed":
            yield f"{job} is {state} in the end"


def judge_rows(rows, publishers, pages, lost=(), epoch=None):
    """The same of these rows: (id, job_id, type, data) in order."""
    yield from _judge_publishers(rows, publishers, lost)
    yield from _judge_pages(rows, pages, epoch if lost else None)
    yield from _judge_ids(pages)


def _judge_publishers(rows, publishers, lost):
    times = {}
    for _, _, kind, data in rows:
        number = number_of(kind, data)
        times[number] = times.get(number, 0) + (number is not None)
    for told in (each for one in publishers for each in one.told):
        if told.stored is None:
            continue
        if times.get(told.number, 0) > 1:
            yield f"{told.way} {told.number} is there {times[told.number]} times"
        if times.get(told.number, 0) == 0 and not any(
            told.began < end and told.stored > start for start, end in lost
        ):
            yield f"{told.way} {told.number} was stored and is not there"


def _judge_pages(rows, pages, restored):
    """`restored` is the epoch of a database that was put back. A page whose job
    ended in the moment before may have been told so by the old one."""
    for page in pages:
        own = [row[0] for row in rows if row[1] == page.job]
        seen = [each[0] for each in page.rows()]
        if not page.is_done:
            yield f"a page of {page.job} is never told the end"
        elif restored and page.epoch() != restored:
            if page.events[-1].event != "completed":
                yield f"a page of {page.job} is told an end that was none"
        elif seen != own:
            missed = [n for n in own if n not in seen]
            yield (f"a page of {page.job} missed {missed[:5]}, saw twice"
                   f" {[n for n in seen if seen.count(n) > 1][:5]}, or not in"
                   f" order: {len(seen)} of {len(own)}")
        if not restored and any(
            event.event == "resync" for event in page.events
        ):
            yield f"a page of {page.job} was told of a loss that was none"


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
