"""Many runs whose webhooks were all lost: repaired, and no faster than the
provider allows."""

import pytest
from harness.runs import RunSite
from harness.wait import until


def accepted_times(runs):
    """When the provider took each job, in order."""
    return sorted(job["accepted"] for job in runs.runpod.jobs().values())


def add_runs(runs, count):
    """What so many starts write."""
    connection = runs.site.writer.connection
    connection.execute("BEGIN IMMEDIATE")
    for number in range(count):
        runs.site.writer.publish(f"job-{number}", "queued")
        connection.execute(
            "INSERT INTO runs (job_id, action, endpoint, restore_id, input)"
            " VALUES (?1, 'restore', 'photos', ?1, json_object('n', ?1))",
            (f"job-{number}",),
        )
    connection.execute("COMMIT")


def wait_completed(runs, count):
    """Waits until so many jobs are."""
    query = "SELECT count(*) FROM job_events WHERE type = 'completed'"
    until(
        lambda: runs.site.writer.connection.execute(query).fetchone() == (count,),
        "all to be repaired", 30,
    )


@pytest.mark.parametrize("rate, count", [(100, 300), (2, 6)])
def test_many_lost_webhooks_at_a_bounded_rate(make_site, rate, count):
    """runner_rate bounds the calls of each second, and is reached."""
    runs = RunSite(
        make_site(), "--drop", "100%", "--takes", "0", reconcile_after="1s",
        runner_rate=str(rate), submit_for="10m", runner_timeout="30s",
    )
    add_runs(runs, count)
    runs.start_runner()
    wait_completed(runs, count)
    times = accepted_times(runs)
    assert len(times) == count
    # A fifth of a second's may come at once; and one at the very end.
    most = max(sum(begin <= at < begin + 1 for at in times) for begin in times)
    assert most <= 1.3 * rate + 2


def test_once_ends_when_nothing_is_due(make_site):
    """And not when only the rate forbids the next call."""
    runs = RunSite(make_site(), "--takes", "600", runner_rate="20")
    add_runs(runs, 30)
    runner = runs.start_runner("--once")
    assert runner.wait_exit(30) == 0, runner.log_text()
    assert len(accepted_times(runs)) == 30
