"""Schedules of faults over the real programs behind a real nginx; here a few,
each time others. `make faults` plays more."""

import contextlib
import importlib
import json
import os
import random
import signal
import sqlite3
import subprocess

import pytest

from harness import leaks
from harness.reading import get
from harness.redis import redis_program
from harness.site import BIN, FAULTS, is_sanitized, program, source_root
from harness.sse import StreamEnded, data_of
from harness.tokens import HS_SECRET
from harness.wait import patience, until

_FOLDER = os.path.join(source_root(), "tests", "faults")
SEEDS = 10  # of each kind two at least


@pytest.fixture(name="faults", autouse=True)
def fixture_faults():
    """What lets the system fail, or a skip with the reason."""
    if is_sanitized(program("jobwire-webhook")):
        pytest.skip("a sanitizer's library must be the first that is loaded")
    if not os.path.exists(FAULTS):
        pytest.skip("nothing to let the system fail with: make unit-programs")


@pytest.fixture(name="scene")
def fixture_scene(monkeypatch):
    """What a schedule is played on; nobody uses it."""
    monkeypatch.syspath_prepend(_FOLDER)
    monkeypatch.setenv("FAULTS", FAULTS)
    made = importlib.import_module("scene").Scene(0, False, False)
    yield made
    try:
        assert not list(made.finish())
    finally:
        made.remove()


def test_what_was_promised_is_kept():
    first = random.randrange(10**6)
    done = subprocess.run(
        ["/usr/bin/python3", os.path.join(_FOLDER, "driver.py"), "--jobs", "2",
         "--seeds", f"{first}-{first + SEEDS - 1}"],
        capture_output=True, text=True, timeout=patience(300),
        env={**os.environ, "FAULTS": FAULTS, "JOBWIRE_BIN": BIN},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    kinds = ["6 one", "2 runs"]
    if redis_program():
        kinds.insert(0, "2 cluster")
    assert f"seeds played ({', '.join(kinds)})" in done.stdout


@pytest.mark.parametrize("name, option, value", [
    ("driver", "--seeds", "abc"), ("driver", "--seeds", "3-1"),
    ("driver", "--seeds", "-3"), ("driver", "--jobs", "0"),
    ("powercut", "--states", "0"), ("soak", "--hours", "-1"),
    ("soak", "--hours", "nan"), ("peers", "--rounds", "0"),
])
def test_nothing_to_try_is_an_error(name, option, value):
    """Nobody takes a run that tried nothing for one without a fault."""
    done = subprocess.run(
        ["/usr/bin/python3", os.path.join(_FOLDER, f"{name}.py"),
         f"{option}={value}"],
        capture_output=True, text=True, timeout=patience(10), check=False,
        env={**os.environ, "FAULTS": FAULTS, "JOBWIRE_BIN": BIN},
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"error: {option} is" in done.stderr


def _replace(site, copy):
    """Puts a copy in the database's place, as administrators do."""
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(site.db + suffix)
    os.replace(copy, site.db)


def _copy(site, path):
    with contextlib.closing(sqlite3.connect(path)) as target:
        site.writer.connection.backup(target)


def _publish(site, text):
    site.writer.publish("job", "note", {"text": text})


def _has_old_file(server):
    """Is the database still open that was replaced?"""
    folder = f"/proc/{server.pid}/fd"
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"{folder}/{name}").endswith("jobwire.db (deleted)"):
                return True
    return False


def test_an_older_copy_is_told_of_although_the_disk_is_full(scene):
    site = scene.site
    _publish(site, "kept")
    _copy(site, site.db + ".copy")
    _publish(site, "lost")
    with site.stream("job") as page:
        seen = page.take(2)
        site.drop_writer()
        scene.orders.is_full = 1
        _replace(site, site.db + ".copy")
        _publish(site, "new")  # by who has room, under the id of `lost`
        until(lambda: not _has_old_file(site.events), "the copy to be seen")
        with site.stream("job", last_id=seen[0].id) as other:
            with contextlib.suppress(TimeoutError, StreamEnded):
                other.next(0.2)
            assert other.events == []  # there is no room for another epoch
        scene.heal()
        _publish(site, "newer")
        events = page.take(4)
    assert [event.event for event in events] == ["resync", "note", "note", "note"]
    texts = [data_of(event)["text"] for event in events[1:]]
    assert texts == ["kept", "new", "newer"]
    assert len({event.id for event in [*seen, *events[1:]]}) == 5


@pytest.mark.parametrize("order", ["no_wal", "no_shm"])
def test_what_was_opened_for_reading_is_opened_again(scene, order):
    """SQLite takes a moment without a descriptor for a file that may not be
    written, and keeps that for as long as it has the file open."""
    site = scene.site
    assert site.events.terminate() == 0  # the order is for the other one
    report = {"id": "r", "status": "IN_PROGRESS"}
    site.deliver("job", report)
    _copy(site, site.db + ".copy")
    site.drop_writer()
    _replace(site, site.db + ".copy")
    _publish(site, "both files are there")
    setattr(scene.orders, order, 1)
    body = json.dumps({**report, "executionTime": 1}).encode()
    statuses = []

    def is_stored():
        statuses.append(site.post(site.signed("job"), body).status)
        return statuses[-1] == 200

    until(is_stored, "the database to be written")
    assert statuses[0] == 500 and getattr(scene.orders, order) == 0
    scene.start("events")


def test_tickets_are_taken_after_a_reader_has_opened_for_reading(scene):
    """Its connection is one with that of the tickets, as far as -shm goes."""
    site = scene.site
    for server in (site.webhook, site.events):
        assert server.terminate() == 0  # the order is for the reader alone
    site.configure(events_auth="ticket", jwt_key=HS_SECRET)
    scene.start("events")
    _publish(site, "here")
    _copy(site, site.db + ".copy")
    site.drop_writer()
    os.kill(site.events.pid, signal.SIGSTOP)
    _replace(site, site.db + ".copy")
    _publish(site, "both files are there")
    scene.orders.no_shm = 1
    os.kill(site.events.pid, signal.SIGCONT)
    until(lambda: scene.orders.no_shm == 0, "the reader to open it")
    text = leaks.secret(
        site.tool("ticket", "--sub", "alice", "--jobs", "job").stdout.strip())
    statuses = []

    def is_taken():
        answer = get(site, f"/events/job?format=json&ticket={text}")
        statuses.append(answer.status)
        return answer.status == 200

    until(is_taken, "the ticket to be taken")
    assert statuses[0] == 503 and set(statuses) == {503, 200}
    scene.start("webhook")
