#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""usage: powercut.py [--states N] [--calls N] [--seed N] [--restarts SHARE]
[--lying-disk] [--recording FOLDER]
(make powercut)

Power cuts without a switch. Programs write a database under a recorder; then,
for sampled moments of the recording, disks that a cut could have left are
built (disk.py), opened and judged:

  - whatever was answered is there, under the id that the answer gave;
  - a row that is there is the row that bore this id: no id means two events;
  - the next id is above all that were given out;
  - PRAGMA quick_check has nothing to say, and each job's state is that of its
    newest event;
  - now and then: the responder starts on it, stores one event more under a new
    id, and does not take the database for one that was put back.

With --lying-disk no sync counts, as on hardware that says it has stored what it
has not: then events are lost, and the judge must see it.

The last line says how many; exit 1 with the command that repeats a failure.
Programs are not as quick a second time, so what they wrote is kept with it."""

import argparse
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
import sys
import tempfile

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(_HERE, "..", "integration"))

# pylint: disable=wrong-import-position
import disk  # noqa: E402
from harness.inbound import KEY, publish  # noqa: E402
from harness.site import Site, checkpoint  # noqa: E402
from harness.wait import patience  # noqa: E402

RECORDER = os.path.join(
    os.environ.get("FAULTS", "build/release/faults"), "recorder.so")
STATES_PER_MOMENT = 20
_PUBLISHER = """
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
c.execute("PRAGMA synchronous=FULL")
for n in range(int(sys.argv[2])):
    c.execute("INSERT INTO job_events (job_id, type, data) VALUES (?, 'note', ?)",
              (f"sql-{n % 7}", '{"n":%d}' % n))
"""


# -- the recording -----------------------------------------------------------


def _deliver(site, number, rng):
    size = rng.choice([10, 10, 10, 3000, 150_000])
    body = {"id": f"r{number}", "status": rng.choice(
        ["IN_PROGRESS", "COMPLETED", "FAILED"]),
        "output": {"image": "x" * size}, "n": number}
    site.deliver(f"job-{number}", body, endpoint=site.endpoint("webhook"))


def _publish(site, number, rng):
    events = [{"type": "progress", "data": {"progress": n, "n": number}}
              for n in range(rng.randint(1, 4))]
    answer = publish(site, f"pub-{number % 11}", events, key=f"k{number}")
    assert answer.status == 201, answer


def record(site, rng, calls, folder):
    """Lets programs write the database, and puts into the folder what was on
    the disk before, what they did, and what came of it."""
    site.tool("publish", "first", "note")
    checkpoint(site.db)
    # What was there before the recording is on the disk.
    for path in glob.glob(site.db + "*"):
        suffix = path[len(site.db):]
        if suffix != "-shm":
            shutil.copy(path, os.path.join(folder, "before" + suffix))
    watched = {**site._environment, "LD_PRELOAD": os.path.abspath(RECORDER),
               "RECORD_DB": site.db,
               "RECORD_LOG": os.path.join(folder, "record")}
    site._environment = watched
    site.start("webhook")
    with subprocess.Popen(
        ["/usr/bin/python3", "-c", _PUBLISHER, site.db, str(calls // 4)],
        env=watched,
    ) as foreign:
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            jobs = [
                pool.submit(_publish if n % 3 == 0 else _deliver, site, n,
                            random.Random(rng.random()))
                for n in range(calls)
            ]
            for job in jobs:
                job.result()
        assert foreign.wait(patience(60)) == 0
    assert site.webhook.terminate() == 0
    checkpoint(site.db)
    shutil.copy(site.db, os.path.join(folder, "after"))


def read_recording(folder):
    """All operations, first those that made what was there before."""
    records = []
    for path in glob.glob(os.path.join(folder, "before*")):
        suffix = os.path.basename(path)[len("before"):]
        with open(path, "rb") as file:
            records += [disk.Record("W", suffix, 0, file.read()),
                        disk.Record("S", suffix, 0, b"")]
    return records, disk.read_records(os.path.join(folder, "record"))


def final_rows(path):
    """What each id stood for, in the end."""
    connection = sqlite3.connect(path)
    rows = dict(_rows(connection))
    connection.close()
    return rows


def _rows(connection):
    for row in connection.execute(
        "SELECT id, job_id, type, data, created_at FROM job_events"
    ):
        yield row[0], hashlib.sha1(repr(row[1:]).encode()).digest()


# -- the judge ---------------------------------------------------------------


class Judge:
    """Opens states in a folder of its own and says what is wrong."""

    def __init__(self, rows):
        self._rows = rows
        self._folder = tempfile.mkdtemp(prefix="jobwire-cut-", dir="/dev/shm")
        self.path = os.path.join(self._folder, "jobwire.db")

    def close(self):
        """Removes what is left."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def build(self, files, choose):
        """Puts one state there."""
        for name in os.listdir(self._folder):
            os.unlink(os.path.join(self._folder, name))
        for suffix, file in files.items():
            image = file.state(choose)
            with open(self.path + suffix, "wb") as out:
                out.write(image.data)
                out.truncate(image.size)

    def judge(self, answered):
        """The faults of the state that is there, as sentences."""
        faults = []
        connection = sqlite3.connect(self.path)
        try:
            faults += list(self._examine(connection, answered))
        except sqlite3.Error as error:
            faults.append(f"cannot be read: {error}")
        finally:
            connection.close()
        return faults

    def _examine(self, connection, answered):
        (check,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if check != "ok":
            yield f"quick_check: {check}"
        found = dict(_rows(connection))
        for number in answered - found.keys():
            yield f"id {number} was answered and is not there"
        for number, row in found.items():
            if self._rows.get(number) != row:
                yield f"id {number} is another event"
        (highest,) = connection.execute(
            "SELECT seq FROM sqlite_sequence WHERE name = 'job_events'"
        ).fetchone() or (0,)
        if answered and highest < max(answered):
            yield f"the next id is {highest + 1}, {max(answered)} was given out"
        for job in connection.execute(
            "SELECT job_id FROM jobs WHERE state <> (SELECT status FROM"
            " job_events e WHERE e.job_id = jobs.job_id"
            " ORDER BY id DESC LIMIT 1)"
        ):
            yield f"the state of {job} is not that of its newest event"

    def restart(self, answered):
        """The same with the real responder: it starts and stores on."""
        site = Site(publish_keys=KEY, db=self.path)
        site.db = self.path
        try:
            site.start("webhook")
            answer = publish(site, "after", {"type": "note"})
            if answer.status != 201:
                return [f"a publication was answered {answer.status}"]
            number = int(answer.json()["event_ids"][0].rpartition("-")[2])
            faults = []
            if answered and number <= max(answered):
                faults.append(f"id {number} was given out again")
            if "database_restored" in site.webhook.log_text():
                faults.append("it was taken for a database that was put back")
            return faults + site.finish()
        finally:
            site.remove()


def choices(rng, n_pending, count):
    """So many states, the plainest first."""
    yield "nothing", disk.nothing
    yield "everything", disk.everything
    for n in range(2, count):
        if n % 3 == 0:
            yield "first", disk.first(rng.randint(0, n_pending))
        elif n % 3 == 1:
            yield "some", disk.some(rng)
        else:
            yield "torn", disk.torn(rng)


_ANSWERED = re.compile(rb'"[0-9a-f]{8}-([0-9]+)"')


def play(records, rows, moments, seed, restarts, part, parts):
    """Judges this part of the moments; (states, restarts, faults)."""
    judge = Judge(rows)
    files, answered, states, restarted, faults = {}, set(), 0, 0, []
    try:
        for number, each in enumerate(records):
            if each.op == "A":
                answered.update(map(int, _ANSWERED.findall(each.data)))
            else:
                files.setdefault(each.file, disk.File()).take(each)
            if number not in moments or moments[number] % parts != part:
                continue
            rng = random.Random(f"{seed}/{number}")
            n_pending = max(len(f.pending) for f in files.values())
            for kind, choose in choices(rng, n_pending, STATES_PER_MOMENT):
                judge.build(files, choose)
                bad = judge.judge(answered)
                states += 1
                if not bad and rng.random() < restarts:
                    judge.build(files, choose)
                    bad = judge.restart(answered)
                    restarted += 1
                faults += [f"moment {number}, {kind}: {f}" for f in bad]
            if len(faults) > 20:
                break
    finally:
        judge.close()
    return states, restarted, faults


def sample(records, first_moment, states, rng):
    """Moments, with the number of each: evenly over what can change a state,
    an answer being the most telling one."""
    recorded = range(first_moment, len(records))
    telling = [n for n in recorded if records[n].op == "A"]
    wanted = max(1, states // STATES_PER_MOMENT)
    first = [n for n in recorded if records[n].op != "A"]
    chosen = set(rng.sample(telling, min(len(telling), wanted // 2)))
    chosen.update(rng.sample(first, min(len(first), wanted - len(chosen))))
    return {number: index for index, number in enumerate(sorted(chosen))}


def _options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--states", type=int, default=2000)
    parser.add_argument("--calls", type=int, default=600)
    parser.add_argument("--seed", default=str(random.randrange(10**9)))
    parser.add_argument("--restarts", type=float, default=0.01)
    parser.add_argument("--lying-disk", action="store_true")
    parser.add_argument("--recording", default=None)
    return parser.parse_args()


def _record_anew(options):
    """The folder of a new recording."""
    folder = tempfile.mkdtemp(prefix="jobwire-recording-")
    site = Site(publish_keys=KEY, keep_events="1000000",
                keep_progress="1000000").init()
    try:
        record(site, random.Random(options.seed), options.calls, folder)
    finally:
        site.remove()
    return folder


def main():
    """One recording, and its states on all processors."""
    options = _options()
    folder = options.recording or _record_anew(options)
    before, records = read_recording(folder)
    rows = final_rows(os.path.join(folder, "after"))
    if options.lying_disk:
        records = [each for each in records if each.op != "S"]
    records = before + records
    moments = sample(records, len(before), options.states,
                     random.Random(options.seed))
    parts = os.cpu_count() or 1
    with concurrent.futures.ProcessPoolExecutor(parts) as pool:
        done = list(pool.map(play, *zip(*[
            (records, rows, moments, options.seed, options.restarts, part,
             parts) for part in range(parts)
        ])))
    states = sum(each[0] for each in done)
    faults = [fault for each in done for fault in each[2]]
    for fault in faults[:20]:
        print(fault)
    if faults and not options.lying_disk:
        print(f"again: {sys.argv[0]} --states {options.states} --seed"
              f" {options.seed} --restarts {options.restarts}"
              f" --recording {folder}")
    elif options.recording is None:
        shutil.rmtree(folder)
    ops = {op: sum(each.op == op for each in records) for op in "WTSUA"}
    print(json.dumps(ops), f"{len(rows)} events, seed {options.seed}")
    print(f"{states} states of {len(moments)} moments opened,"
          f" {sum(each[1] for each in done)} of them by the responder:"
          f" {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
