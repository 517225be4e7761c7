"""A site that starts jobs itself: both responders behind nginx, the runner,
and a simulated RunPod."""

import collections
import contextlib
import json
import uuid

from . import leaks
from .nginx import Nginx
from .process import Process
from .runpod import RunPod
from .site import PREFIX, program
from .wait import Deadline, patience, until

PUBLISH_KEY = leaks.secret("publish-key-of-runs-0123456789abcdef")

# A minute of the usual times is about a second.
QUICK = {
    "reconcile_after": "300ms",
    "unknown_for": "2s",
    "submit_for": "5s",
    "run_deadline": f"{round(patience(3))}s",  # the provider is killed, too
    "runner_timeout": "1s",
}

Step = collections.namedtuple("Step", "run_id job state error at")

# Every state of every run, in its order; times are those of events.
_STEPS = """
CREATE TABLE test_steps (n INTEGER PRIMARY KEY, run_id, job_id, state, error,
    at DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')));
CREATE TRIGGER test_first AFTER INSERT ON runs BEGIN
    INSERT INTO test_steps (run_id, job_id, state, error)
    VALUES (NEW.run_id, NEW.job_id, NEW.state, NEW.error);
END;
CREATE TRIGGER test_next AFTER UPDATE OF state ON runs
WHEN OLD.state <> NEW.state BEGIN
    INSERT INTO test_steps (run_id, job_id, state, error)
    VALUES (NEW.run_id, NEW.job_id, NEW.state, NEW.error);
END;
"""


class RunSite:
    """Wraps a site: everything is configured, nothing but RunPod and nginx is
    started. `flags` are the simulator's."""

    def __init__(self, site, *flags, web=Nginx, **settings):
        self.site = site
        self.runner = None
        self.runpod = RunPod(site, *flags).start()
        self.web = web(site)
        site.configure(**{
            "base_url": f"http://127.0.0.1:{self.web.port}",
            "publish_keys": PUBLISH_KEY,
            **self.runpod.settings(), **QUICK, **settings,
        })

    def start(self):
        """Starts all of it."""
        self.site.start_both()
        self.web.start()
        self.start_runner()
        return self

    # -- the runner ------------------------------------------------------

    def start_runner(self, *flags, binary=None, **options):
        """Starts the runner, the first time or again."""
        self.runner = Process(
            "runner", [binary or program("jobwire-runner"), "--config",
                       self.site.config, *flags],
            self.site.log_path("runner"), **options,
        )
        self.site.processes.append(self.runner)
        return self.runner

    # -- calls -----------------------------------------------------------

    def call(self, action, job, body=None, headers=None, method="POST"):
        """One call about a job's runs; the answer."""
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {PUBLISH_KEY}", **(headers or {}),
        }
        return self.site.endpoint("webhook").call(
            method, f"{PREFIX}/jobs/{job}/{action}", headers,
            json.dumps(body or {}).encode(),
        )

    def start_job(self, job, job_input=None, **more):
        """Starts `restore`, as a client that asks again when no answer comes;
        the answer's JSON."""
        return self._insist(
            "restore", job, {"input": job_input or {}, **more},
            {"Idempotency-Key": uuid.uuid4().hex}, (200, 202),
        ).json()

    def cancel_job(self, job):
        """The same for a cancellation; the answer, which may be a 409."""
        return self._insist("cancel", job, {}, {}, (200, 202, 409))

    def _insist(self, action, job, body, headers, good):
        deadline = Deadline(20)
        while deadline.left():
            with contextlib.suppress(ConnectionError, FileNotFoundError):
                answer = self.call(action, job, body, headers)
                if answer.status != 503:
                    assert answer.status in good, answer
                    return answer

    # -- looking at it ---------------------------------------------------

    def run_of(self, job):
        """The newest run of a job, as a dictionary, or None."""
        writer = self.site.writer.connection
        cursor = writer.execute(
            "SELECT * FROM runs WHERE job_id = ? ORDER BY run_id DESC LIMIT 1",
            (job,),
        )
        row = cursor.fetchone()
        return row and dict(zip([name for name, *_ in cursor.description], row))

    def wait_state(self, job, state, seconds=10):
        """Waits until the newest run is in this state; the run."""
        def look():
            run = self.run_of(job)
            return run if run and run["state"] == state else None
        return until(look, f"the run of {job} to be {state}", seconds)

    def types(self, job):
        """The types of a job's events, in order."""
        return [kind for _, _, kind, _ in self.site.writer.rows(job)]

    def last(self, job):
        """Type and data of a job's last event."""
        _, _, kind, data = self.site.writer.rows(job)[-1]
        return kind, json.loads(data or "{}")

    def wait_event(self, job, kind, seconds=10):
        """Waits for an event of this type; its data."""
        until(lambda: kind in self.types(job), f"{kind} of {job}", seconds)
        return next(
            json.loads(data or "{}")
            for _, _, event, data in self.site.writer.rows(job) if event == kind
        )

    def log_steps(self):
        """From now on every state of every run is kept, for steps()."""
        self.site.writer.connection.executescript(_STEPS)

    def steps(self):
        """What was kept: {run_id: [Step]}."""
        found = collections.defaultdict(list)
        for row in self.site.writer.connection.execute(
            "SELECT run_id, job_id, state, error, at FROM test_steps ORDER BY n"
        ):
            found[row[0]].append(Step(*row))
        return found
