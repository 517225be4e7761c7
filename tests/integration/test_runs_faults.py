"""kill -9 of the runner, of whoever takes webhooks, and of the provider, between
any two steps, while webhooks are lost and calls fail: no run is lost, stuck or
paid twice.

JOBWIRE_FAULT_ROUNDS is the number of rounds (40). They are played in groups of
20, each on a site of its own and from a seed of its own, whose number is the
test's: JOBWIRE_FAULT_SEED=17 plays that group alone.
"""

import datetime
import os
import random
import sqlite3
import threading
import time

import pytest
from harness.runs import RunSite
from harness.runs_faults import (
    GIVEN_UP, TERMINAL, check_steps, make_plan, outcome_is_right,
)
from harness.site import PREFIX
from harness.sse import Stream, StreamEnded, data_of
from harness.wait import Deadline, patience

ROUNDS_PER_GROUP = 20
JOBS_PER_ROUND = 8
GROUPS = -(-int(os.environ.get("JOBWIRE_FAULT_ROUNDS", "40")) // ROUNDS_PER_GROUP)
_SEED = os.environ.get("JOBWIRE_FAULT_SEED")
SEEDS = [int(_SEED)] if _SEED else range(1, GROUPS + 1)

# How long after its deadline a job may end: a minute of the usual times is a
# second here, and the machine may be slow.
GRACE_S = 1


class Killer(threading.Thread):
    """Kills one program: some time from now, when the provider has taken that
    many jobs more, or when that many states of runs have changed; and starts
    it again."""

    def __init__(self, runs, rng):
        super().__init__()
        self.runs = runs
        self.victim = rng.choice(["runner", "webhook", "runpod"])
        self.trigger = rng.choice(["time", "journal", "steps"])
        self.count = rng.randint(1, 2 * JOBS_PER_ROUND)
        self.delay = rng.uniform(0, 0.3)
        self.pause = rng.choice([0, rng.uniform(0, 0.2)])
        self.fault = None

    def _place(self, connection):
        if self.trigger == "journal":
            return os.path.getsize(self.runs.runpod.journal) // 150
        return connection.execute("SELECT max(n) FROM test_steps").fetchone()[0] or 0

    def _wait(self):
        if self.trigger == "time":
            return time.sleep(self.delay)
        connection = sqlite3.connect(self.runs.site.db, timeout=patience(5))
        first = self._place(connection)
        end = time.monotonic() + 0.3
        while self._place(connection) < first + self.count and time.monotonic() < end:
            time.sleep(0.0005)
        return connection.close()

    def run(self):
        try:
            self._wait()
            {
                "runner": self.runs.runner,
                "webhook": self.runs.site.webhook,
                "runpod": self.runs.runpod,
            }[self.victim].kill()
            time.sleep(self.pause)
            {
                "runner": self.runs.start_runner,
                "webhook": lambda: self.runs.site.start("webhook"),
                "runpod": self.runs.runpod.start,
            }[self.victim]()
        except BaseException as fault:  # the test's own thread raises it
            self.fault = fault

    def __str__(self):
        return f"{self.victim} by {self.trigger} {self.count}, {self.delay:.3f} s"


class Group:
    """Rounds on one site: each begins while the jobs of those before it are
    still under way."""

    def __init__(self, runs, seed):
        self.runs = runs
        self.rng = random.Random(seed)
        self.streams = []  # (jobs, stream)
        self.plans = {}
        self.cancelled = set()

    def play(self):
        """One round."""
        number = len(self.streams)
        jobs = [f"r{number}-{i}" for i in range(JOBS_PER_ROUND)]
        query = "&".join(f"job_id={job}" for job in jobs)
        stream = Stream(
            self.runs.site.endpoint("events"), f"{PREFIX}/events?{query}"
        ).wait_open()
        self.streams.append((jobs, stream))
        killer = Killer(self.runs, self.rng)
        print(f"round {number}: {killer}")
        plans = {job: make_plan(self.rng) for job in jobs}
        cancels = {job for job in jobs if self.rng.random() < 0.15}
        killer.start()
        for job in jobs:
            self.plans[job] = plans[job]
            self.runs.start_job(job, {"job": job, "simulate": plans[job]})
        for job in cancels:
            self.cancelled.add(job)
            self.runs.cancel_job(job)
        killer.join()
        if killer.fault:
            raise killer.fault

    def wait_ends(self):
        """{job: its terminal events}, as pages have them."""
        ends = {job: [] for jobs, _ in self.streams for job in jobs}
        deadline = Deadline(30)
        for jobs, stream in self.streams:
            while not all(ends[job] for job in jobs):
                try:
                    event = stream.next(deadline)
                except StreamEnded:
                    stream.reconnect()
                    continue
                except TimeoutError:
                    break
                if event.event in TERMINAL:
                    ends[data_of(event)["job_id"]].append(event)
            stream.close()
        return ends


def seconds_of(text):
    """A time of the database, as seconds."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def check_group(group):
    """Everything that is promised."""
    runs = group.runs
    ends = group.wait_ends()
    stuck = [job for job, events in ends.items() if not events]
    assert not stuck, {job: (runs.run_of(job), group.plans[job]) for job in stuck}

    submissions = runs.runpod.submissions()
    assert not [text for text, n in submissions.items() if n > 1], "paid twice"
    at_provider = {}
    for job in runs.runpod.jobs().values():
        at_provider.setdefault(job["input"]["job"], []).append(job)

    steps = runs.steps()
    for job in ends:
        run = runs.run_of(job)
        check_steps(steps[run["run_id"]], run, at_provider.get(job))
        rows = runs.site.writer.connection.execute(
            "SELECT type, created_at FROM job_events WHERE job_id = ? ORDER BY id",
            (job,),
        ).fetchall()
        ended = [(kind, at) for kind, at in rows if kind in TERMINAL]
        # What was given up by rule may be reported after all.
        assert len(ended) == 1 or (len(ended) == 2 and run["error"] in GIVEN_UP), rows
        about = (job, run, rows, group.plans[job], at_provider.get(job))
        assert outcome_is_right(
            group, job, run, at_provider.get(job, []), ended[-1][0]
        ), about
        if run["deadline"]:
            late = seconds_of(ended[0][1]) - seconds_of(run["deadline"])
            assert late < patience(GRACE_S), about


@pytest.mark.parametrize("seed", SEEDS)
def test_no_run_is_lost_stuck_or_paid_twice(make_site, record_property, seed):
    """A group."""
    print(f"JOBWIRE_FAULT_SEED={seed}")
    runs = RunSite(make_site(), "--retry", "200ms", "--seed", str(seed)).start()
    runs.log_steps()
    group = Group(runs, seed)
    for _ in range(ROUNDS_PER_GROUP):
        group.play()
    try:
        check_group(group)
    finally:
        runs.web.stop()  # its connections are older than the last responder
    states = [s.state for steps in runs.steps().values() for s in steps]
    assert "unknown" in states and "submitted" in states
    errors = [runs.run_of(job)["error"] for job in group.plans]
    record_property(
        f"seed {seed}",
        f"{ROUNDS_PER_GROUP} rounds, {len(group.plans)} jobs,"
        f" {states.count('unknown')} unknown,"
        f" {errors.count('submission_unknown')} of them not proven,"
        f" {sum(runs.runpod.submissions().values())} submitted, none twice",
    )
