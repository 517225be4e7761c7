"""What is recorded for power cuts, and what must be there after one: a class
for each kind of recording. powercut.py plays them."""

import concurrent.futures
import glob
import hashlib
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess

import disk
from harness.cluster import Cluster
from harness.inbound import KEY, cancel_run, publish, start_run
from harness.provider import Provider, RunnerSite, answer
from harness.redis import Redis
from harness.site import Site, checkpoint, source_root
from harness.wait import patience, until

RECORDER = os.path.join(
    os.environ.get("FAULTS", "build/release/faults"), "recorder.so")
_PUBLISHER = """
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
c.execute("PRAGMA synchronous=FULL")
for n in range(int(sys.argv[2])):
    c.execute("INSERT INTO job_events (job_id, type, data) VALUES (?, 'note', ?)",
              (f"sql-{n % 7}", '{"n":%d}' % n))
"""
_ANSWERED = re.compile(rb'"([0-9a-f]{8})-([0-9]+)"')
_OPEN = "SELECT 1 FROM runs WHERE state IN ('waiting', 'submitting')"
_RUN = re.compile(rb'"run_id":(\d+)')
_SETTINGS = {"publish_keys": KEY, "keep_events": "1000000",
             "keep_progress": "1000000"}


class Recording:
    """A folder with what was on the disk before, what programs did to it, and
    what came of it."""

    def __init__(self, folder, site):
        self.folder = folder
        self.site = site
        self.log = os.path.join(folder, "record")

    def begin(self):
        """What is there is on the disk; what programs do from now on is
        recorded. Nobody has the database open."""
        if os.path.exists(self.site.db):
            checkpoint(self.site.db)
        for path in glob.glob(self.site.db + "*"):
            suffix = path[len(self.site.db):]
            if suffix != "-shm":
                shutil.copy(path, os.path.join(self.folder, "before" + suffix))
        self.site._environment = {
            **self.site._environment, "RECORD_DB": self.site.db,
            "LD_PRELOAD": os.path.abspath(RECORDER), "RECORD_LOG": self.log}

    def note(self, text):
        """Says in the recording what has happened."""
        disk.note(self.log, text)

    def keep(self):
        """Keeps what the database has now. While others have it open, or at
        the end: a last close would empty the WAL unrecorded."""
        connection = sqlite3.connect(self.site.db, timeout=patience(10))
        target = sqlite3.connect(
            os.path.join(self.folder, f"after-{epoch_of(connection)}"))
        connection.backup(target)
        target.close()
        connection.close()


def read_recording(folder):
    """All operations; how many of them made what was there before."""
    reader = disk.Reader()
    for path in sorted(glob.glob(os.path.join(folder, "before*"))):
        with open(path, "rb") as file:
            reader.exists(os.path.basename(path)[len("before"):], file.read())
    count = len(reader.records)
    reader.read(os.path.join(folder, "record"))
    return reader.records, count


def epoch_of(connection):
    """Of the database."""
    return connection.execute(
        "SELECT value FROM meta WHERE key = 'epoch'").fetchone()[0]


def rows_of(connection):
    """A digest of each event by its id."""
    return {
        row[0]: hashlib.sha1(repr(row[1:]).encode()).digest()
        for row in connection.execute(
            "SELECT id, job_id, type, data, created_at FROM job_events")
    }


def _deliver(site, number, rng):
    size = rng.choice([10, 10, 10, 3000, 150_000])
    body = {"id": f"r{number}", "status": rng.choice(
        ["IN_PROGRESS", "COMPLETED", "FAILED"]),
        "output": {"image": "x" * size}, "n": number}
    site.deliver(f"job-{number}", body, endpoint=site.endpoint("webhook"))


def _publish(site, number, rng):
    events = [{"type": "progress", "data": {"progress": n, "n": number}}
              for n in range(rng.randint(1, 4))]
    reply = publish(site, f"pub-{number % 11}", events, key=f"k{number}")
    assert reply.status == 201, reply


def call_many(site, rng, numbers, call=None):
    """Webhooks and publications of these numbers, six at a time."""
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        jobs = [
            pool.submit(call or (_publish if n % 3 == 0 else _deliver), site, n,
                        random.Random(rng.random()))
            for n in numbers
        ]
        for job in jobs:
            job.result()


class Usual:
    """Webhooks, publications and a foreign program on one database."""

    ANSWER = 201  # to a publication, after the cut

    def __init__(self, folder):
        self.answered = {}  # by epoch
        self.rows = {}
        for path in glob.glob(os.path.join(folder, "after-" + "?" * 8)):
            connection = sqlite3.connect(path)
            self.rows[path[-8:]] = rows_of(connection)
            connection.close()

    # -- recording -------------------------------------------------------

    @staticmethod
    def make_site():
        """Nothing is started."""
        return Site(**_SETTINGS).init()

    @staticmethod
    def record(recording, rng, calls):
        """Lets programs write."""
        site = recording.site
        site.tool("publish", "first", "note")
        recording.begin()
        site.start("webhook")
        with subprocess.Popen(
            ["/usr/bin/python3", "-c", _PUBLISHER, site.db, str(calls // 4)],
            env=site._environment,
        ) as foreign:
            call_many(site, rng, range(calls))
            assert foreign.wait(patience(60)) == 0
        assert site.webhook.terminate() == 0

    # -- judging ---------------------------------------------------------

    def take(self, record):
        """An answer or a note of the recording."""
        for epoch, number in _ANSWERED.findall(
                record.data if record.op == "A" else b""):
            self.answered.setdefault(epoch.decode(), set()).add(int(number))

    def promised(self, epoch):
        """The ids that were given out of a database."""
        return self.answered.get(epoch, set())

    def examine(self, path):
        """The faults of a state, as sentences."""
        connection = sqlite3.connect(path)
        try:
            yield from self.examine_database(connection, path)
        except sqlite3.Error as error:
            yield f"cannot be read: {error}"
        finally:
            connection.close()

    def examine_database(self, connection, _path):
        """The same of a database that can be opened."""
        (check,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if check != "ok":
            yield f"quick_check: {check}"
        epoch = epoch_of(connection)
        if epoch not in self.rows:
            yield f"nobody knows the epoch {epoch}"
            return
        found, promised = rows_of(connection), self.promised(epoch)
        for number in promised - found.keys():
            yield f"id {number} was answered and is not there"
        for number, row in found.items():
            if self.rows[epoch].get(number) != row:
                yield f"id {number} is another event"
        (highest,) = connection.execute(
            "SELECT seq FROM sqlite_sequence WHERE name = 'job_events'"
        ).fetchone() or (0,)
        if promised and highest < max(promised):
            yield f"the next id is {highest + 1}, {max(promised)} was given out"
        for job in connection.execute(
            "SELECT job_id FROM jobs WHERE state <> (SELECT status FROM"
            " job_events e WHERE e.job_id = jobs.job_id"
            " ORDER BY id DESC LIMIT 1)"
        ):
            yield f"the state of {job} is not that of its newest event"

    def may_be_restored(self):
        """May it be taken for a database that was put back?"""
        return False

    def restart(self, path):
        """The faults of a state, by the real programs: they start, and store
        on."""
        site = Site(db=path, **_SETTINGS)
        site.db = path
        try:
            return [*self.restart_programs(site), *site.finish()]
        finally:
            site.remove()

    def restart_programs(self, site):
        """What the programs make of it."""
        site.start("webhook")
        reply = publish(site, "after", {"type": "note"})
        if reply.status != self.ANSWER:
            yield f"a publication was answered {reply.status}"
            return
        if reply.status == 202:
            return
        epoch, _, number = reply.json()["event_ids"][0].rpartition("-")
        if int(number) <= max(self.promised(epoch), default=0):
            yield f"id {number} was given out again"
        if ("database_restored" in site.webhook.log_text()
                and not self.may_be_restored()):
            yield "it was taken for a database that was put back"


class Birth(Usual):
    """A database is made, and used at once."""

    def __init__(self, folder):
        super().__init__(folder)
        self.is_made = False

    @staticmethod
    def make_site():
        return Site(**_SETTINGS)

    @staticmethod
    def record(recording, rng, calls):
        site = recording.site
        recording.begin()
        site.init()
        recording.note("made")
        site.start("webhook")
        call_many(site, rng, range(calls // 10))
        assert site.webhook.terminate() == 0

    def take(self, record):
        super().take(record)
        self.is_made = self.is_made or record.data == b"made"

    def examine(self, path):
        if self.is_made or os.path.exists(path):
            yield from super().examine(path)

    def examine_database(self, connection, path):
        (tables,) = connection.execute(
            "SELECT count(*) FROM sqlite_master").fetchone()
        if self.is_made or tables:
            yield from super().examine_database(connection, path)

    def restart_programs(self, site):
        if not self.is_made:
            site.init()
        yield from super().restart_programs(site)


class Raise(Usual):
    """A database of an older version is brought up to date, and used."""

    OLD_ROWS = 200

    @staticmethod
    def make_site():
        site = Site(**_SETTINGS)
        with open(os.path.join(source_root(), "schema.sql"),
                  encoding="utf-8") as file:
            schema = file.read().partition("PRAGMA user_version = 7;")[0]
        connection = sqlite3.connect(site.db)
        connection.executescript(
            "PRAGMA journal_mode = WAL;" + schema + "PRAGMA user_version = 7;")
        connection.executemany(
            "INSERT INTO job_events (job_id, type) VALUES (?, 'queued')",
            [(f"old-{n}",) for n in range(Raise.OLD_ROWS)])
        connection.commit()
        connection.close()
        return site

    @staticmethod
    def record(recording, rng, calls):
        site = recording.site
        recording.begin()
        site.start("webhook")
        call_many(site, rng, range(calls // 10))
        assert site.webhook.terminate() == 0

    def promised(self, epoch):
        return super().promised(epoch) | set(range(1, self.OLD_ROWS + 1))

    def examine_database(self, connection, path):
        yield from super().examine_database(connection, path)
        copy = path + "-schema-7"
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > 7 or os.path.exists(copy):
            yield from _examine_copy(copy, range(1, self.OLD_ROWS + 1), 7)


def _examine_copy(path, numbers, version):
    """Is it whole, with these rows?"""
    if not os.path.exists(path):
        yield "there is no copy"
        return
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        (check,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if check != "ok":
            yield f"the copy's quick_check: {check}"
        missing = set(numbers) - rows_of(connection).keys()
        if missing:
            yield f"the copy lacks {len(missing)} events"
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if version and found != version:
            yield f"the copy is of version {found}"
    except sqlite3.Error as error:
        yield f"the copy cannot be read: {error}"
    finally:
        connection.close()


class Upkeep(Usual):
    """A copy is made under load, and put back later."""

    def __init__(self, folder):
        super().__init__(folder)
        self.phase = ""
        self._copied = frozenset()  # what must be in the copy
        with open(os.path.join(folder, "epoch"), encoding="ascii") as file:
            self._first = file.read()

    @staticmethod
    def record(recording, rng, calls):
        site = recording.site
        part = calls // 10
        site.tool("publish", "first", "note")
        with open(os.path.join(recording.folder, "epoch"), "w",
                  encoding="ascii") as file:
            file.write(site.writer.epoch())
        site.drop_writer()
        recording.begin()
        site.start("webhook")
        call_many(site, rng, range(part))
        copy = site.db + ".copy"
        recording.note("copying")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            made = pool.submit(site.tool, "backup", copy)
            call_many(site, rng, range(part, 2 * part))
            made.result()
        recording.note("copied")
        call_many(site, rng, range(2 * part, 3 * part))
        recording.keep()
        assert site.webhook.terminate() == 0
        recording.note("restoring")
        site.tool("restore", copy)
        recording.note("restored")
        site.start("webhook")
        call_many(site, rng, range(3 * part, 4 * part))
        assert site.webhook.terminate() == 0

    def take(self, record):
        super().take(record)
        if record.op == "N":
            self.phase = record.data.decode()
            if self.phase == "copying":
                self._copied = frozenset(self.promised(self._first))

    def examine_database(self, connection, path):
        yield from super().examine_database(connection, path)
        copy = path + ".copy"
        if os.path.exists(copy) or self.phase not in ("", "copying"):
            yield from _examine_copy(copy, self._copied, None)
        is_first = epoch_of(connection) == self._first
        if self.phase == "restored" and is_first:
            yield "it is the one that was replaced"
        if self.phase in ("", "copying", "copied") and not is_first:
            yield "it is the copy"

    def may_be_restored(self):
        # The bell is the last thing that a restore writes.
        return self.phase == "restoring"


class Runs(Usual):
    """Jobs are started, submitted and completed."""

    _provider = None

    def __init__(self, folder):
        super().__init__(folder)
        self.run_ids = set()
        self.sent = set()

    @staticmethod
    def record(recording, rng, calls):
        site = recording.site
        runs = RunnerSite(site, Runs._listen(recording.note), **_SETTINGS)
        recording.begin()
        site.start("webhook")
        runner = runs.start(env=site._environment)
        call_many(site, rng, range(calls // 4), Runs._use)
        until(lambda: not site.writer.connection.execute(_OPEN).fetchall(),
              "each run is submitted or ended", 60)
        assert runner.terminate() == 0
        assert site.webhook.terminate() == 0

    @staticmethod
    def _listen(note):
        """A provider that takes everything, and says so first."""
        def run(_connection, call):
            job = json.loads(call.body)["input"]["job"]
            note(f"sent {job}")
            return answer(200, {"id": f"e-{job}", "status": "IN_QUEUE"})

        def status(_connection, call):
            return answer(200, {"id": call.path.rpartition("/")[2],
                                "status": "IN_QUEUE"})

        return Provider(run=[run], status=[status], cancel=[status])

    @staticmethod
    def _use(site, number, rng):
        job = f"run-{number}"
        reply = start_run(site, job, {"input": {"job": job}}, key=f"k{number}")
        assert reply.status == 202, reply
        if rng.random() < 0.2:
            cancel_run(site, job)
        elif rng.random() < 0.7:
            site.deliver(job, {"id": f"e-{job}", "status": "COMPLETED",
                               "output": {"n": number}},
                         endpoint=site.endpoint("webhook"))

    def take(self, record):
        super().take(record)
        if record.op == "A":
            self.run_ids.update(map(int, _RUN.findall(record.data)))
        elif record.op == "N":
            self.sent.add(record.data.decode().partition(" ")[2])

    def examine_database(self, connection, path):
        yield from super().examine_database(connection, path)
        runs = {row[0]: row[1:] for row in connection.execute(
            "SELECT run_id, job_id, state FROM runs")}
        for number in self.run_ids - runs.keys():
            yield f"run {number} was accepted and is not there"
        for job in self.sent - {job for job, state in runs.values()
                                if state != "waiting"}:
            yield f"{job} was sent, and would be again"

    def restart_programs(self, site):
        if Runs._provider is None:
            Runs._provider = self._listen(lambda _text: None)
        runs = RunnerSite(site, Runs._provider, db=site.db, **_SETTINGS)
        yield from super().restart_programs(site)
        del Runs._provider.calls[:]
        status = runs.start("--once").wait_exit(30)
        if status != 0:
            yield f"the runner ended with {status}"
        again = self.sent & {
            json.loads(call.body)["input"]["job"]
            for call in Runs._provider.calls if call.path.endswith("/run")}
        if again:
            yield f"{sorted(again)} were sent again"


class Applied(Usual):
    """A node of two: its relay applies what both write, and waits for no disk
    (synchronous=NORMAL). What it has applied is read again; what its responder
    has answered is in its outbox until then."""

    ANSWER = 202  # no relay runs: it is kept for the log

    def __init__(self, folder):
        super().__init__(folder)
        self._origins = {}  # of events by id: (node, number there)
        for path in glob.glob(os.path.join(folder, "after-" + "?" * 8)):
            connection = sqlite3.connect(path)
            self._origins = {row[0]: row[1:] for row in connection.execute(
                "SELECT id, origin, origin_seq FROM job_events")}
            connection.close()

    @staticmethod
    def record(recording, rng, calls):
        site, sites = recording.site, []

        def make_site(**settings):
            if not sites:
                sites.append(Site(**settings).init())
                return sites[0]
            site.configure(**settings)
            return site

        redis = Redis(site.root).start()
        site.processes.append(redis.process)
        try:
            cluster = Cluster(make_site, redis, size=2).join()
            recording.begin()
            for node in cluster:
                node.site.start("webhook")
                node.start_relay(env=node.site._environment)
            cluster.wait_ok()
            call_many(site, rng, range(calls // 4), lambda _, number, rng:
                      Applied._use(cluster[number % 2], number, rng))
            cluster.settle(60)
            for node in cluster:
                assert node.relay.terminate() == 0
                assert node.site.webhook.terminate() == 0
        finally:
            for other in sites:
                other.remove()

    @staticmethod
    def _use(node, number, rng):
        body = {"id": f"r{number}", "status": "IN_PROGRESS", "n": number,
                "output": "x" * rng.choice([10, 10, 3000, 60_000])}
        reply = node.deliver(f"job-{number % 5}", body,
                             endpoint=node.site.endpoint("webhook"))
        assert reply.status == 200, reply

    def promised(self, epoch):
        return set()  # of rows: they may have to be read again

    def examine_database(self, connection, path):
        if not self.answered and epoch_of(connection) not in self.rows:
            return  # it has not met the others: nothing is in the log
        yield from super().examine_database(connection, path)
        found = rows_of(connection).keys()
        numbers = {row[0] for row in connection.execute("SELECT seq FROM outbox")}
        (cursor,) = connection.execute(
            "SELECT coalesce(max(position), 0) FROM log_entries").fetchone()
        # An entry has room for 128 events.
        applied = {n for n in self._origins if n < cursor + 128}
        if applied != found:
            yield (f"it is at {cursor}, lacks {len(applied - found)} events up"
                   f" to there and has {len(found - applied)} beyond")
        for origin, mark in connection.execute("SELECT * FROM log_marks"):
            last = max((self._origins[n][1] for n in found
                        if self._origins[n][0] == origin), default=0)
            if mark != last:
                yield f"{mark} is the last of {origin}, {last} is there"
        for number in set().union(*self.answered.values()) - found:
            if self._origins[number][1] not in numbers:
                yield f"id {number} was answered and is nowhere"


SCENES = {"usual": Usual, "birth": Birth, "raise": Raise, "upkeep": Upkeep,
          "runs": Runs, "applied": Applied}
