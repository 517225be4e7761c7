"""jobwire-runner and its database: locked, full, shared with another runner,
replaced, gone. Nothing is sent twice, and no answer is lost."""

import os
import signal
import sqlite3
import threading

from harness.provider import (  # noqa: F401
    DONE, answer, fixture_make, wait_log,
)
from harness.wait import patience, until


def test_a_locked_database(make):
    """At each step: nothing is sent while it is, and no answer is lost."""
    gate = threading.Event()
    runs = make(status=[answer(200, DONE)], run=[
        lambda *_: gate.wait(patience(30)) and answer(200, {"id": "e1"}),
    ])
    runs.add()
    runs.start()
    runs.provider.wait_calls("run", 1)
    runs.add("later")
    runs.provider.wait_calls("run", 2)
    lock = sqlite3.connect(runs.site.db, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    lock.execute(
        "INSERT INTO runs (job_id, action, endpoint, input)"
        " VALUES ('third', 'restore', 'photos', '{}')"
    )
    gate.set()
    with open(runs.site.log_path("runner"), encoding="utf-8") as log:
        until(lambda: "runner_stuck" in log.read() or log.seek(0), "the log", 10)
    assert runs.run()["state"] == "submitting"
    lock.execute("COMMIT")
    lock.close()
    for job in ("j", "later", "third"):
        runs.wait("ended", job)
    assert runs.provider.names().count("run") == 3


def test_a_database_that_refuses(make):
    """As a full disk does: nothing is sent, nothing is lost."""
    gate = threading.Event()
    runs = make(status=[answer(200, DONE)], run=[
        lambda *_: gate.wait(patience(30)) and answer(200, {"id": "e1"}),
    ])
    runs.add()
    runner = runs.start()
    runs.provider.wait_calls("run", 1)
    connection = runs.site.writer.connection
    connection.execute(
        "CREATE TRIGGER full BEFORE UPDATE ON runs BEGIN"
        " SELECT RAISE(ROLLBACK, 'full'); END"
    )
    runs.add("k")
    gate.set()
    wait_log(runner, "event=runner_stuck")
    assert runs.run()["state"] == "submitting"
    assert runs.provider.names() == ["run"]
    connection.execute("DROP TRIGGER full")
    for job in ("j", "k"):
        runs.wait("ended", job)
    wait_log(runner, "event=runner_works")
    assert runs.provider.names().count("run") == 2


def test_a_database_that_refuses_one_job(make):
    """A trigger of somebody else's holds up the run that it refuses, and no
    other; when it is gone the run ends as it had to."""
    runs = make(status=[answer(200, DONE)], run=[
        lambda _, call: answer(400 if b"bad" in call.body else 200, {"id": "e1"}),
    ])
    connection = runs.site.writer.connection
    connection.execute(
        "CREATE TRIGGER nobad BEFORE INSERT ON job_events"
        " WHEN NEW.job_id = 'bad' AND NEW.type = 'failed'"
        " BEGIN SELECT RAISE(ABORT, 'not this one'); END"
    )
    runs.add("bad", '{"is":"bad"}')
    runner = runs.start()
    wait_log(runner, "event=run_refused")
    for i in range(5):
        runs.add(f"good{i}")
    for i in range(5):
        runs.wait("ended", f"good{i}")
    assert runs.run("bad")["state"] == "submitting"
    connection.execute("DROP TRIGGER nobad")
    runs.wait("ended", "bad")
    assert runner.log_text().count("event=run_refused") == 1
    assert runner.log_text().count("job_id=bad call=submit") == 1


def test_two_runners(make):
    """One works; when it is killed the other one goes on."""
    runs = make(status=[answer(200, DONE)])
    first = runs.start()
    wait_log(first, "event=runner_works")
    second = runs.start(name="runner2")
    wait_log(second, "event=runner_waits")
    for i in range(20):
        runs.add(f"a{i}")
    for i in range(20):
        runs.wait("ended", f"a{i}")
    assert len({call.body for call in runs.provider.calls if call.body}) == 20
    assert runs.provider.names().count("run") == 20
    assert "provider_call" not in second.log_text()
    # One that only does what is due has nothing to do.
    assert runs.start("--once", name="runner3").wait_exit() == 0
    first.kill()
    runs.add("b")
    runs.wait("ended", "b", seconds=20)
    assert "provider_call" in second.log_text()


def test_a_newer_database(make):
    runs = make()
    runs.site.writer.connection.execute("PRAGMA user_version = 99")
    runner = runs.start("--once")
    assert runner.wait_exit() == 1
    assert "upgrade jobwire" in runner.log_text()


def test_a_database_that_was_replaced(make):
    """The answers of the old one's runs are not those of the new one's."""
    gate = threading.Event()
    runs = make(status=[answer(200, DONE)], run=[
        lambda *_: gate.wait(patience(30)) and answer(200, {"id": "e1"}),
        answer(200, {"id": "e2"}),
    ])
    runs.add()
    runner = runs.start()
    runs.provider.wait_calls("run", 1)
    runs.site.replace_database()
    # Not before: what waits in a file that was put back is not sent.
    until(lambda: "database_restored" in runner.log_text(), "the look")
    runs.add()
    runs.wait("ended")
    assert runs.run()["external_id"] == "e2"
    gate.set()
    runs.add("k")
    runs.wait("ended", "k")
    assert runner.is_alive()


def test_a_clock_that_was_set_back(make):
    """What is due only in a day is due now."""
    runs = make({"submit_for": "1m", "unknown_for": "1m"},
                status=[answer(200, DONE)])
    runs.add(next_at="2199-01-01T00:00:00.000Z")
    assert runs.start("--once").wait_exit() == 0
    assert runs.run()["state"] in ("submitted", "ended")


# -- beginning and end -----------------------------------------------------------------


def test_once(make):
    """What is due, and no more."""
    runs = make(status=[answer(200, DONE)])
    runs.add("a")
    runs.add("b")
    assert runs.start("--once").wait_exit() == 0
    for job in ("a", "b"):
        assert runs.run(job)["state"] in ("submitted", "ended")
    runs.set(next_at="2020-01-01T00:00:00.000Z")
    assert runs.start("--once").wait_exit() == 0
    for job in ("a", "b"):
        assert runs.run(job)["state"] == "ended"
    assert runs.start("--once").wait_exit() == 0
    assert runs.provider.names().count("run") == 2


def test_a_stop_waits_for_the_answer(make):
    gate = threading.Event()
    runs = make(run=[
        lambda *_: gate.wait(patience(30)) and answer(200, {"id": "e1"}),
    ])
    runs.add()
    runner = runs.start()
    runs.provider.wait_calls("run", 1)
    os.kill(runner.pid, signal.SIGTERM)
    wait_log(runner, "event=stopping")
    runs.add("k")
    gate.set()
    assert runner.wait_exit() == 0
    assert runs.run()["state"] == "submitted"
    assert runs.run("k")["state"] == "waiting"


def test_a_stop_while_nothing_can_be_done(make):
    """Nobody has to wait for it."""
    runs = make()
    first = runs.start()
    wait_log(first, "event=runner_works")
    second = runs.start(name="runner2")
    wait_log(second, "event=runner_waits")
    assert second.terminate() == 0
    runs.site.writer.connection.execute("BEGIN IMMEDIATE")
    runs.site.writer.connection.execute("UPDATE meta SET value = value")
    assert first.terminate() == 0
    runs.site.writer.connection.execute("ROLLBACK")
