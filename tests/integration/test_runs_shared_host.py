"""A restore on shared hosting: Apache, CGI, and the runner by cron. Nothing
stays running."""

import json
import shutil

from harness.apache import ApacheCgi
from harness.runs import PUBLISH_KEY, RunSite
from harness.site import PREFIX, events_target, program
from harness.sse import Stream, data_of
from harness.wait import until


def test_a_restore_without_any_daemon(make_site):
    """The page starts it, cron submits it, the webhook or the next cron ends
    it."""
    runs = RunSite(make_site(), "--drop", "100%", web=ApacheCgi)
    web = runs.web.start()
    shutil.copy(program("jobwire-runner"), web.path("bin"))
    answer = web.endpoint.call(
        "POST", f"{PREFIX}/jobs/a/restore",
        {"Authorization": f"Bearer {PUBLISH_KEY}",
         "Content-Type": "application/json"},
        json.dumps({"input": {"simulate": {"takes": 0}}}).encode(),
    )
    assert answer.status == 202, answer
    with Stream(web.endpoint, events_target("a")) as stream:
        until(lambda: cron(runs), "the last of it", 30)
        events = stream.wait_end()
    assert [events[0].event, events[-1].event] == ["queued", "completed"]
    assert "echo" in data_of(events[-1])["output"]
    assert len(runs.runpod.jobs()) == 1


def cron(runs):
    """What its line in a crontab does, each minute; has the job ended?"""
    path = runs.web.path("bin", "jobwire-runner")
    runner = runs.start_runner("--once", binary=path, **runs.web.user)
    assert runner.wait_exit(30) == 0, runner.log_text()
    return "completed" in runs.types("a")
