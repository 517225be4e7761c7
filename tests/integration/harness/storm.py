"""The two great storms, in any size: see tests/bench/bench_storm.py for the
full ones. Each returns its figures."""

import random
import threading
import time

from .crowd import Crowd, disturb
from .publish import Flood


def expected_rows(site):
    """The row numbers of each job in order."""
    rows = {}
    for number, job, _, _ in site.writer.rows():
        rows.setdefault(job, []).append(number)
    return rows


def check_members(site, crowd):
    """Everybody has exactly the events of its job, in order."""
    rows = expected_rows(site)
    for member in crowd.members:
        wanted = rows.get(member.job, [])
        assert member.seen == wanted, (
            f"{member.job}: lost {sorted(set(wanted) - set(member.seen))[:9]},"
            f" {len(member.seen) - len(set(member.seen))} doubled"
        )
        assert member.resyncs == 0, f"{member.job}: {member.resyncs} resyncs"


def stall_some(crowd, members, lag):
    """Every second one stops for a moment, the others until the returned
    function is called."""
    for place, member in enumerate(members):
        member.stall()
        if place % 2:
            crowd.after(random.uniform(0, lag), member.wake)

    def wake():
        for member in members:
            member.wake()

    return wake


def publish_storm(site, jobs, events, publishers, lag, seconds):
    """A stream per job and publishers at full speed, while 5 % of the clients
    reconnect again and again and 5 % stall, half of them for longer than
    `lag`, which is the site's lag_timeout. The site's responder runs."""
    figures = {"pss_before": site.events.pss()}
    few = max(2, jobs // 20)
    with Crowd(site.sockets["events"]) as crowd, Flood(
        site.db, publishers, jobs, events, large=few
    ) as flood:
        for number in range(jobs):
            crowd.add(f"job-{number}")
        crowd.until(crowd.all_open, "all streams to be open", seconds)
        figures["pss_open"] = site.events.pss()
        flood.begin()
        begun = time.monotonic()
        wake = stall_some(crowd, crowd.members[:few], lag)
        disturb(crowd, crowd.members[few : 2 * few], 0.5, flood.is_over)
        figures["pss_during"] = 0
        while not flood.is_over():
            crowd.until(lambda: True, "", seconds)
            figures["pss_during"] = max(
                figures["pss_during"], site.events.pss()
            )
            assert time.monotonic() - begun < seconds, "too slow"
        figures["publish_seconds"] = time.monotonic() - begun
        stalled_until = time.monotonic() + 1.5 * lag
        crowd.until(
            lambda: time.monotonic() > stalled_until, "", 1.5 * lag + 1
        )
        wake()
        site.writer.publish_many(
            [(f"job-{number}", "completed") for number in range(jobs)]
        )
        crowd.until(crowd.all_finished, "all streams to end", seconds)
        figures["seconds"] = time.monotonic() - begun
        check_members(site, crowd)
        figures["breaks"] = sum(m.breaks for m in crowd.members)
        figures["connects"] = sum(len(m.opened_at) for m in crowd.members)
        figures["pss_after"] = site.events.pss()
    return figures


def restart_storm(site, streams, drain, seconds):
    """As many streams, an event for each before, while and after the responder
    is away. Times are seconds after its SIGTERM."""
    jobs = [f"job-{number}" for number in range(streams)]

    def publish():
        site.writer.publish_many([(job, "step") for job in jobs])

    with Crowd(site.sockets["events"]) as crowd:
        for job in jobs:
            crowd.add(job)
        crowd.until(crowd.all_open, "all streams to be open", seconds)
        publish()
        crowd.until(
            lambda: all(m.seen for m in crowd.members), "an event", seconds
        )
        for member in crowd.members:
            member.opened_at.clear()
        begun = time.monotonic()
        site.events.is_expected_dead = True
        site.events.child.terminate()
        crowd.until(
            lambda: not site.events.is_alive(), "its end", drain + 1
        )
        figures = {"exit_seconds": time.monotonic() - begun}
        assert site.events.child.returncode == 0
        away = threading.Thread(target=publish)
        away.start()
        site.events = site.spawn("events")
        crowd.until(site.events.is_ready, "the new responder", seconds)
        figures["ready_seconds"] = time.monotonic() - begun
        away.join()
        crowd.until(crowd.all_open, "everybody to come back", seconds)
        figures["all_back_seconds"] = time.monotonic() - begun
        publish()
        crowd.until(
            lambda: all(len(m.seen) >= 3 for m in crowd.members),
            "the last event", seconds,
        )
        check_members(site, crowd)
        figures["breaks"] = sum(m.breaks for m in crowd.members)
        figures["refused"] = sum(m.refused for m in crowd.members)
        figures["back_at"] = sorted(
            m.opened_at[0] - begun for m in crowd.members
        )
    return figures
