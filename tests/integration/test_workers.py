"""`--workers 4`: one dies, the parent dies, all are asked to stop."""

import os
import re
import signal
import socket
import time

import pytest
from harness.crowd import Crowd
from harness.publish import Flood
from harness.metrics import read_metrics
from harness.process import read_text
from harness.reading import get
from harness.storm import check_members, publish_storm, restart_storm
from harness.wait import patience, until
from harness.workers import (
    clients_of, exists, only_worker, wait_workers, workers_of,
)

WORKERS = 4
EACH = 15  # streams per worker


@pytest.fixture(name="start")
def fixture_start(make_site):
    """Starts a site with workers."""

    def start(**settings):
        site = make_site(**settings)
        site.start("events", "--workers", str(WORKERS))
        wait_workers(site.events, WORKERS)
        # One that is made to stand still now may hold a lock of its start.
        until(
            lambda: site.events.log_text().count("event=ready") == WORKERS,
            "the workers to be ready", 10,
        )
        return site

    return start


def populate(site, crowd):
    """EACH streams on every worker; the members by worker."""
    workers = workers_of(site.events)
    members = {}
    for pid in workers:
        with only_worker(pid, workers, site.db):
            first = len(crowd.members)
            members[pid] = [
                crowd.add(f"job-{first + n}") for n in range(EACH)
            ]
            crowd.until(crowd.all_open, "the streams to be open", 10)
        assert clients_of(pid) == EACH
    return members


def open_streams(site):
    """The gauge, summed over the workers."""
    return read_metrics(site).value("streams_open")


def test_sums_over_workers(start):
    """Any worker answers for all."""
    site = start()
    workers = workers_of(site.events)
    with Crowd(site.sockets["events"]) as crowd:
        populate(site, crowd)
        for pid in workers:
            with only_worker(pid, workers, site.db):
                metrics = read_metrics(site)
                assert metrics.value("workers") == WORKERS
                assert metrics.value("streams_open") == WORKERS * EACH
                assert metrics.value("streams_opened_total") == WORKERS * EACH
    until(lambda: open_streams(site) == 0, "all to be gone")


def test_kill_one_worker_under_load(start):
    site = start(retry_min="50ms", retry_max="200ms")
    jobs = WORKERS * EACH
    with Crowd(site.sockets["events"]) as crowd, Flood(
        site.db, 2, jobs, 3000
    ) as flood:
        members = populate(site, crowd)
        victim, *others = members
        flood.begin()
        crowd.until(
            lambda: min(len(m.seen) for m in crowd.members) >= 5,
            "some events", 30,
        )
        os.kill(victim, signal.SIGKILL)
        crowd.until(
            lambda: all(m.breaks for m in members[victim]), "the break", 10
        )
        crowd.until(crowd.all_open, "them to be back", 10)
        crowd.until(flood.is_over, "the publishers", 60)
        site.writer.publish_many(
            [(f"job-{n}", "completed") for n in range(jobs)]
        )
        crowd.until(crowd.all_finished, "all to end", 30)
        check_members(site, crowd)
        for pid in others:
            for member in members[pid]:
                assert member.breaks == 0, "a stream of another worker broke"
                assert len(member.opened_at) == 1
        for member in members[victim]:
            assert (member.breaks, len(member.opened_at)) == (1, 2)
    alive = wait_workers(site.events, WORKERS)
    assert victim not in alive and set(others) < set(alive)
    until(lambda: open_streams(site) == 0, "the gauge to be right")
    log = read_text(site.log_path("events"))
    assert log.count("event=worker_died") == 1
    assert f"pid={victim} signal=9" in log


def wait_settled(site, name):
    """Waits until the workers' snapshots of that counter, taken four times a
    second, are all of now."""
    last, since = -1, time.monotonic()

    def is_settled():
        nonlocal last, since
        value = read_metrics(site).value(name)
        if value != last:
            last, since = value, time.monotonic()
        return time.monotonic() - since > 0.6

    until(is_settled, f"{name} to stay")


def test_gauges_after_a_worker_died(start):
    """What the dead one held is gone at once."""
    site = start(retry_min="30s", retry_max="31s")
    with Crowd(site.sockets["events"]) as crowd:
        members = populate(site, crowd)
        os.kill(next(iter(members)), signal.SIGKILL)
        left = (WORKERS - 1) * EACH
        until(lambda: open_streams(site) == left, "the gauge to be right")
        until(
            lambda: read_metrics(site).value("connections_open") == left + 1,
            "the connections to be right",
        )
    until(lambda: open_streams(site) == 0, "all to be gone")
    wait_workers(site.events, WORKERS)


def test_counters_never_fall_when_a_worker_dies(start):
    """Not even while the next one begins to count."""
    site = start(retry_min="30s", retry_max="31s")

    def has_woken_often():
        site.writer.publish("other", "progress")
        return read_metrics(site).value("watch_wakes_total") >= 1000

    with Crowd(site.sockets["events"]) as crowd:
        populate(site, crowd)  # without a stream nothing wakes a worker
        until(has_woken_often, "a thousand wakes", 60)
        wait_settled(site, "watch_wakes_total")
        before = read_metrics(site)
        old = set(workers_of(site.events))
        os.kill(min(old), signal.SIGKILL)
        until(lambda: set(workers_of(site.events)) - old, "a new worker")
        wait_settled(site, "watch_wakes_total")
        after = read_metrics(site)
    for key, number in before.counters().items():
        assert after.samples[key] >= number, f"{key[0]} fell"


def test_the_new_worker_streams(start):
    site = start()
    old = workers_of(site.events)
    os.kill(old[0], signal.SIGKILL)
    until(
        lambda: set(workers_of(site.events)) - set(old), "a new worker"
    )
    alive = wait_workers(site.events, WORKERS)
    new = (set(alive) - set(old)).pop()
    with only_worker(new, alive, site.db), site.stream("job") as stream:
        stream.wait_open()
        site.writer.publish("job", "completed")
        assert [e.event for e in stream.wait_end()] == ["completed"]


def test_a_worker_that_dies_again_and_again(start):
    """The parent waits longer and longer; the others serve."""
    site = start()
    seen = set(workers_of(site.events))
    stays = sorted(seen)[1:]
    victim = sorted(seen)[0]
    for _ in range(4):
        os.kill(victim, signal.SIGKILL)
        until(
            lambda: set(workers_of(site.events)) - seen, "a new worker", 10
        )
        (victim,) = set(workers_of(site.events)) - seen
        seen.add(victim)
        assert get(site, "/healthz").status == 200
    pauses = re.findall(r"again_in_ms=(\d+)", site.events.log_text())
    assert pauses == ["100", "200", "400", "800"]
    assert set(stays) < set(workers_of(site.events))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_drain_for_all(start, number):
    """Every stream ends cleanly within `drain`, then the parent says 0."""
    site = start(drain="1s", retry_min="20s", retry_max="21s")
    with Crowd(site.sockets["events"]) as crowd:
        populate(site, crowd)
        begun = time.monotonic()
        site.events.is_expected_dead = True
        site.events.child.send_signal(number)
        ended = []

        def look():
            ended.append(sum(m.clean_ends for m in crowd.members))
            return not site.events.is_alive()

        crowd.until(look, "the parent to end", 2)
        assert time.monotonic() - begun < 1 + patience(1)
        assert site.events.child.returncode == 0
        crowd.until(
            lambda: all(m.clean_ends for m in crowd.members), "the ends", 1
        )
        assert all(m.breaks == 0 for m in crowd.members)
        assert all(20000 <= m.retry <= 21000 for m in crowd.members)
        assert len(set(ended)) > 2, f"not spread: {ended}"


def test_nothing_is_accepted_in_a_drain(start):
    """A connection that nobody will ever accept would keep a client, and the
    web server, waiting for the whole drain."""
    site = start(drain="60s")
    with Crowd(site.sockets["events"]) as crowd:
        populate(site, crowd)
        site.events.is_expected_dead = True
        site.events.child.terminate()
        until(
            lambda: read_text(site.log_path("events")).count("event=stopping")
            == WORKERS,
            "the drain to begin",
        )
        with socket.socket(socket.AF_UNIX) as late:
            late.settimeout(patience(2))
            with pytest.raises(ConnectionError):
                late.connect(site.sockets["events"])
                late.recv(1)
        assert site.events.is_alive()
        site.events.terminate()  # a second signal ends it at once


def test_killed_parent_takes_its_workers_along(start):
    site = start(retry_min="20s", retry_max="21s")
    with Crowd(site.sockets["events"]) as crowd:
        populate(site, crowd)
        workers = workers_of(site.events)
        site.events.kill()
        crowd.until(
            lambda: not any(exists(pid) for pid in workers),
            "the workers to leave", 3,
        )
        crowd.until(
            lambda: all(m.clean_ends for m in crowd.members), "the ends", 1
        )
    site.start("events", "--workers", str(WORKERS))
    site.writer.publish("job", "completed")
    with site.stream("job") as stream:
        assert len(stream.wait_end()) == 1


def test_database_replaced_under_workers(start):
    """All of them notice."""
    site = start()
    with Crowd(site.sockets["events"]) as crowd:
        populate(site, crowd)
        site.replace_database()
        crowd.until(
            lambda: all(m.resyncs for m in crowd.members), "the resyncs", 5
        )
        assert read_metrics(site).value("resyncs_total") == WORKERS * EACH
        assert get(site, "/healthz").status == 200


# -- the storms of tests/bench/bench_storm.py, small -------------------------


def test_publish_storm(make_site):
    site = make_site(lag_timeout="500ms", retry_min="50ms", retry_max="200ms")
    site.start("events")
    figures = publish_storm(site, 100, 3000, 4, 0.5, 60)
    assert figures["breaks"] >= 1, "nobody was closed for lagging"
    assert figures["connects"] > 100
    metrics = read_metrics(site)
    assert metrics.value("streams_open") == 0
    assert metrics.value("streams_lagging") == 0


def test_restart_storm(make_site):
    """Nobody is lost, and they do not come back all at once."""
    site = make_site(drain="1s", retry_min="200ms", retry_max="1s")
    site.start("events")
    figures = restart_storm(site, 200, 1, 30)
    assert figures["exit_seconds"] < 1 + patience(1)
    assert figures["breaks"] == 0
    slots = {int(at / 0.05) for at in figures["back_at"]}
    assert len(slots) >= 5, figures["back_at"]
