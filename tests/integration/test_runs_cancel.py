"""Cancelling runs: before, during and after their submission, and against a
completion that wins. With the real runner and a simulated RunPod."""

import pytest
from harness.runs import RunSite
from harness.wait import until


@pytest.fixture(name="runs")
def fixture_runs(make_site):
    """All of it, started."""
    return RunSite(make_site(), "--retry", "100ms").start()


def start(runs, **plan):
    """A job with this plan."""
    runs.start_job("a", {"simulate": plan})


def provider_has(runs, status):
    """Waits until its one job has this status at the provider."""
    until(
        lambda: [job["status"] for job in runs.runpod.jobs().values()] == [status],
        f"{status} at the provider", 10,
    )


def test_before_it_is_submitted(make_site):
    """Nothing is sent, then or later."""
    runs = RunSite(make_site())
    runs.site.start_both()
    started = runs.start_job("a")
    answer = runs.cancel_job("a")
    assert answer.status == 200
    assert answer.json() == {
        "job_id": "a", "run_id": started["run_id"], "status": "cancelled"
    }
    runs.start_runner()
    runs.start_job("b")
    runs.wait_event("b", "completed")
    assert len(runs.runpod.jobs()) == 1
    assert runs.types("a") == ["queued", "cancelled"]
    assert runs.cancel_job("a").error() == "no_run"


def test_while_it_is_being_submitted(make_site):
    """It is cancelled as soon as its id is known."""
    runs = RunSite(make_site(), runner_timeout="30s").start()
    start(runs, takes=600, run=["slow"])
    runs.wait_state("a", "submitting")
    answer = runs.cancel_job("a")
    assert (answer.status, answer.json()["status"]) == (202, "cancelling")
    runs.wait_event("a", "cancelled")
    provider_has(runs, "CANCELLED")
    assert runs.types("a") == ["queued", "cancelling", "cancelled"]


def test_while_nobody_knows_whether_it_was_submitted(runs):
    """Never told as cancelled: it may run, and be paid for."""
    start(runs, takes=600, run=["cut+"])
    runs.wait_state("a", "unknown")
    assert runs.cancel_job("a").status == 202
    assert runs.wait_event("a", "failed")["code"] == "submission_unknown"
    assert runs.types("a") == ["queued", "cancelling", "failed"]
    provider_has(runs, "IN_PROGRESS")


def test_after_it_was_submitted(runs):
    """And again, which changes nothing."""
    start(runs, takes=600)
    runs.wait_state("a", "submitted")
    for _ in range(2):
        assert runs.cancel_job("a").status == 202
    runs.wait_event("a", "cancelled")
    provider_has(runs, "CANCELLED")
    kinds = runs.types("a")
    assert [kind for kind in kinds if kind != "processing"] == [
        "queued", "cancelling", "cancelled"
    ]
    run = runs.run_of("a")
    assert (run["state"], run["input"]) == ("ended", None)
    assert runs.cancel_job("a").error() == "no_run"


@pytest.mark.parametrize("calls", [["500", "429"], ["cut+"], ["garbage"]])
def test_a_cancel_that_fails_is_repeated(runs, calls):
    """Until the provider says so."""
    start(runs, takes=600, cancel=calls)
    runs.wait_state("a", "submitted")
    runs.cancel_job("a")
    runs.wait_event("a", "cancelled", 20)
    provider_has(runs, "CANCELLED")


def test_a_completion_that_wins(make_site):
    """Its webhook was lost, and its output is fetched all the same."""
    runs = RunSite(make_site(), reconcile_after="1h").start()
    start(runs, takes=0, webhook="drop")
    provider_has(runs, "COMPLETED")
    runs.wait_state("a", "submitted")
    assert runs.cancel_job("a").status == 202
    assert "echo" in runs.wait_event("a", "completed")["output"]
    assert runs.types("a")[-2:] == ["cancelling", "completed"]


def test_a_result_that_nobody_has_any_more(make_site):
    """404 for the cancel: /status decides."""
    runs = RunSite(make_site(), "--keep", "0", reconcile_after="1h").start()
    start(runs, takes=0, webhook="drop")
    provider_has(runs, "COMPLETED")
    runs.wait_state("a", "submitted")
    runs.cancel_job("a")
    assert runs.wait_event("a", "failed")["code"] == "result_expired"
