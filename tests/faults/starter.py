"""Who starts jobs by jobwire, and cancels some: a job's run is accepted, ends,
is told to the page, and is paid for once, whatever fails meanwhile."""

import contextlib
import json
import random
import threading
import time

from harness.inbound import cancel_run, start_run
from harness.runs_faults import (
    GIVEN_UP, TERMINAL, check_steps, make_plan, outcome_is_right,
)
from model import CUT, Told, insist, is_in_doubt

# A minute of the usual times is less than a second here; a run that gets to
# its deadline is stuck.
QUICK = {
    "reconcile_after": "200ms", "unknown_for": "1s", "submit_for": "3s",
    "run_deadline": "30s", "runner_timeout": "1s",
}
_AGAIN = (500, 502, 503, 504, 507)


class Starter(threading.Thread):
    """Starts a run of each job, and insists until it is told that it is
    accepted; each may fail at the provider in a way of its own (plans)."""

    def __init__(self, scene, jobs, seed):
        super().__init__(daemon=True)
        self.scene = scene
        self.jobs = jobs
        self.told = []
        self.cancelled = set()
        self.fault = None
        self._rng = random.Random(seed)
        self.plans = {job: make_plan(self._rng) for job in jobs}

    def run(self):
        try:
            for number, job in enumerate(self.jobs):
                self._start_one(number, job)
                if self._rng.random() < 0.2:
                    time.sleep(self._rng.uniform(0, 0.2))
                    self._cancel(job)
                time.sleep(self._rng.uniform(0, 0.3))
        except Exception as fault:  # the driver tells of it
            self.fault = fault

    def _start_one(self, number, job):
        told = Told(job, number, "restore")
        self.told.append(told)
        value = {"input": {"job": job, "simulate": self.plans[job]}}
        insist(
            lambda: self._ask((200, 202), start_run, job, value, key=f"run {job}"),
            f"a run of {job} to be accepted",
        )
        told.stored = time.monotonic()

    def _cancel(self, job):
        self.cancelled.add(job)
        insist(
            lambda: self._ask((200, 202, 409), cancel_run, job, {}),
            f"{job} to be cancelled",
        )

    def _ask(self, good, call, job, *value, **options):
        with contextlib.suppress(*CUT):
            answer = call(
                self.scene.site, job, *value, **options,
                endpoint=self.scene.front("webhook", self._rng),
            )
            if answer.status in _AGAIN:
                return False
            if answer.status not in good:
                raise RuntimeError(f"a run of {job}: {answer}")
            return True
        return False


def has_ended(connection, job):
    """Nothing is to be expected of it any more; None where nobody knows it."""
    row = connection.execute(
        "SELECT state FROM jobs WHERE job_id = ?", (job,)
    ).fetchone()
    return row and row[0] in TERMINAL


def _newest_run(connection, job):
    cursor = connection.execute(
        "SELECT * FROM runs WHERE job_id = ? ORDER BY run_id DESC LIMIT 1", (job,)
    )
    row = cursor.fetchone()
    return row and dict(zip([name for name, *_ in cursor.description], row))


def judge_runs(connection, starter, runs, lost, is_clock_good):
    """What was promised and not kept, as sentences. `runs` has the provider and
    the steps of each run. A clock that was wrong may have ended a run."""
    paid = runs.runpod.submissions()
    at_provider = {}
    for job in runs.runpod.jobs().values():
        at_provider.setdefault(job["input"]["job"], []).append(job)
    for told in starter.told:
        job, theirs = told.job, at_provider.get(told.job, [])
        text = json.dumps(
            {"job": job, "simulate": starter.plans[job]}, sort_keys=True
        )
        if paid[text] > 1 and not is_in_doubt(told, lost):
            yield f"{job} was paid {paid[text]} times"
        run = _newest_run(connection, job)
        if run is None and not is_in_doubt(told, lost):
            yield f"a run of {job} was accepted and is not there"
        if run is None:
            continue
        if run["state"] != "ended":
            yield f"the run of {job} is {run['state']} in the end"
        if not lost:
            yield from _judge_run(
                connection, starter, run, theirs, runs.steps(), is_clock_good
            )


def _judge_run(connection, starter, run, theirs, steps, is_clock_good):
    job = run["job_id"]
    rows = connection.execute(
        "SELECT type, data FROM job_events WHERE job_id = ? ORDER BY id", (job,)
    ).fetchall()
    ends = [kind for kind, _ in rows if kind in TERMINAL]
    about = f"{job} ({starter.plans[job]}; {run}; {rows}; {theirs})"
    # What was given up by rule may be reported after all.
    if len(ends) != 1 and not (len(ends) == 2 and run["error"] in GIVEN_UP):
        yield f"{about} ended {len(ends)} times"
        return
    try:
        check_steps(steps[run["run_id"]], run, theirs)
    except AssertionError as fault:
        yield f"{about} took steps that are none: {fault}"
    is_by_clock = not is_clock_good and run["error"] in (
        "run_deadline", "provider_unreachable", "submission_unknown"
    )
    if not is_by_clock and not outcome_is_right(
        starter, job, run, theirs, ends[-1]
    ):
        yield f"{about} has an end that is not right"
