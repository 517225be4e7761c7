"""A database that was put back by other means than `jobwire restore`: it is
noticed by whoever opens it, once, and an id never means two events. A restart,
a crash, retention and whole folders that move raise no alarm."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import threading

import pytest
from harness.cgi import CgiEndpoint, cgi_stream
from harness.provider import (  # noqa: F401
    DONE, answer, fixture_make, wait_log,
)
from harness.publish import ForeignWriter, fixture
from harness.site import checkpoint, program
from harness.sse import data_of
from harness.wait import patience, until

COMPLETED = fixture("runpod-completed.json")
ALARM = "event=database_restored"


def copy_now(site, name="copy.db"):
    """A copy as SQLite's own tools make it."""
    path = os.path.join(site.root, name)
    source, dest = sqlite3.connect(site.db), sqlite3.connect(path)
    source.backup(dest)
    source.close()
    dest.close()
    return path


def publish(site, n, kind="step", job="a"):
    for i in range(n):
        site.writer.publish(job, kind, {"n": i})


def stop(site):
    site.drop_writer()
    for process in site.processes:
        if process.is_alive():
            assert process.terminate() == 0


def put_back(site, copy):
    """As one should, by hand: without the old -wal."""
    site.drop_writer()
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(site.db + suffix)
    shutil.copy(copy, site.db + ".new")
    os.rename(site.db + ".new", site.db)


def epoch_of(site):
    connection = sqlite3.connect(site.db, timeout=patience(20))
    (epoch,) = connection.execute(
        "SELECT value FROM meta WHERE key = 'epoch'"
    ).fetchone()
    connection.close()
    return epoch


def alarms(site):
    """How often it was told, in all logs."""
    return sum(text.count(ALARM) for _, text in site.logs())


def seen(site, n, last_id=""):
    """The next n events of the job."""
    with site.stream("a", last_id=last_id) as stream:
        return stream.take(n)


@pytest.fixture(name="old")
def fixture_old(make_site):
    """A site with a copy of id 5, whose programs gave out 10 ids and have
    ended."""
    site = make_site().start_both()
    publish(site, 5)
    site.copy = copy_now(site)
    publish(site, 5)
    site.events_seen = seen(site, 10)
    stop(site)
    site.epoch = epoch_of(site)
    return site


def assert_noticed(site, n_new):
    """After n_new further events: a client that comes back is told, and every
    id it ever gets is another one."""
    until(lambda: alarms(site) == 1, "the alarm")
    assert epoch_of(site) != site.epoch
    events = seen(site, 1 + 5 + n_new, site.events_seen[-1].id)
    assert events[0].event == "resync"
    assert data_of(events[0])["reason"] == "epoch"
    ids = [event.id for event in site.events_seen + events[1:]]
    assert len(set(ids)) == len(ids)


# -- what is noticed -------------------------------------------------------


def test_copied_back_then_new_events(old):
    """R8."""
    put_back(old, old.copy)
    old.start_both()
    publish(old, 8)
    assert_noticed(old, 8)
    log = old.webhook.log_text() + old.events.log_text()
    (line,) = [line for line in log.splitlines() if ALARM in line]
    assert f"old_epoch={old.epoch} new_epoch={epoch_of(old)} " in line
    assert "highest_id=10 newest_id=5" in line and "level=warn" in line


def test_others_wrote_before_any_of_ours_looked(old):
    """Then the ids are as high as before, but the rows are others."""
    put_back(old, old.copy)
    publish(old, 8)
    old.start_both()
    assert_noticed(old, 8)


@pytest.mark.parametrize("first", ["events", "webhook", "tool", "cgi"])
def test_whoever_comes_first(old, first):
    put_back(old, old.copy)
    publish(old, 8)
    if first == "tool":
        done = old.tool("publish", "b", "step")
        assert done.stderr.count(ALARM) == 1
        assert not done.stdout.startswith(old.epoch)
    elif first == "cgi":
        hook = CgiEndpoint(old, "webhook.cgi")
        assert old.deliver("b", COMPLETED, endpoint=hook)["event_id"]
        assert epoch_of(old) != old.epoch
    else:
        old.start(first)
        until(lambda: epoch_of(old) != old.epoch, "the new epoch")
    epoch = epoch_of(old)
    for name in ("events", "webhook"):
        if name != first:
            old.start(name)
    old.tool("publish", "b", "step")
    assert epoch_of(old) == epoch != old.epoch
    events = seen(old, 3, old.events_seen[-1].id)
    assert events[0].event == "resync"


def test_a_reader_alone(old):
    """events.cgi that has never written looks, too."""
    put_back(old, old.copy)
    publish(old, 8)
    reader = CgiEndpoint(old, "events.cgi")
    with cgi_stream(reader, "a", last_id=old.events_seen[-1].id) as stream:
        events = stream.take(14)
    assert events[0].event == "resync" and epoch_of(old) != old.epoch


def test_while_the_programs_run(make_site):
    site = make_site().start_both()
    publish(site, 5)
    copy = copy_now(site)
    publish(site, 5)
    epoch = epoch_of(site)
    with site.stream("a") as stream:
        before = stream.take(10)
        put_back(site, copy)
        site.deliver("b", COMPLETED)
        events = stream.take(6)
        assert [event.event for event in events] == ["resync"] + ["step"] * 5
    until(lambda: alarms(site) == 1, "the alarm")
    assert epoch_of(site) != epoch
    assert not {e.id for e in before} & {e.id for e in events}


def test_with_no_bell(old):
    """Nobody can know how old it is."""
    put_back(old, old.copy)
    os.unlink(old.db + "-bell")
    old.start_both()
    publish(old, 8)
    assert_noticed(old, 8)


def test_with_a_broken_bell(old):
    put_back(old, old.copy)
    with open(old.db + "-bell", "r+b") as bell:
        bell.seek(20)
        bell.write(b"\xff" * 8)
    old.start_both()
    publish(old, 8)
    assert_noticed(old, 8)


def test_an_older_copy_again(old):
    """Of an epoch that is gone already: a third one."""
    put_back(old, old.copy)
    old.start_both()
    publish(old, 3)
    until(lambda: alarms(old) == 1, "the alarm")
    second = epoch_of(old)
    stop(old)
    for log in ("events", "webhook"):
        os.unlink(old.log_path(log))
    put_back(old, old.copy)
    publish(old, 20)
    old.start_both()
    until(lambda: alarms(old) == 1, "the alarm")
    assert len({old.epoch, second, epoch_of(old)}) == 3


def test_a_lost_wal(make_site):
    """What a stop left in it was thrown away."""
    site = make_site().start_both()
    site.deliver("a", COMPLETED)
    stop(site)
    checkpoint(site.db)
    epoch = epoch_of(site)
    site.start("webhook")
    site.deliver("b", COMPLETED)
    stop(site)
    for suffix in ("-wal", "-shm"):
        os.unlink(site.db + suffix)
    done = site.tool("publish", "c", "step")
    assert done.stderr.count(ALARM) == 1 and epoch_of(site) != epoch


def test_many_that_open_it_at_once(old):
    put_back(old, old.copy)
    children = [
        subprocess.Popen(
            [program("jobwire"), "publish", f"job{i}", "step", "--config",
             old.config],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for i in range(12)
    ]
    done = [child.communicate(timeout=patience(30)) for child in children]
    assert [child.returncode for child in children] == [0] * 12
    assert sum(said.count(ALARM) for _, said in done) == 1
    ids = [out.strip() for out, _ in done]
    assert {id.split("-")[0] for id in ids} == {epoch_of(old)}
    assert len(set(ids)) == 12


def test_only_others_write(make_site):
    """Readers mark what they give out."""
    site = make_site()
    site.start("events")
    publish(site, 5)
    copy = copy_now(site)
    publish(site, 5)
    assert len(seen(site, 10)) == 10
    stop(site)
    epoch = epoch_of(site)
    put_back(site, copy)
    publish(site, 6)
    site.start("events")
    until(lambda: epoch_of(site) != epoch, "the new epoch")
    assert alarms(site) == 1


# -- what is not -------------------------------------------------------------


def assert_quiet(site):
    site.start_both()
    site.deliver("quiet", COMPLETED)
    with site.stream("quiet") as stream:
        stream.take(1)
    site.tool("publish", "b", "step")
    stop(site)
    assert alarms(site) == 0
    assert epoch_of(site) == site.epoch


def test_restart(old):
    for _ in range(3):
        assert_quiet(old)


@pytest.mark.parametrize("name", ["events", "webhook"])
def test_killed_while_it_writes(make_site, name):
    site = make_site()
    site.epoch = epoch_of(site)
    for i in range(10):
        site.start_both()
        over = threading.Event()

        def send():
            while not over.is_set():
                with contextlib.suppress(Exception):
                    site.deliver(f"job{i}", {"id": os.urandom(8).hex(),
                                             "status": "COMPLETED"})
        thread = threading.Thread(target=send)
        thread.start()
        before = len(site.writer.rows())
        until(lambda n=before: len(site.writer.rows()) > n + 5 + 3 * i, "posts")
        getattr(site, name).kill()
        over.set()
        thread.join()
        stop(site)
    assert_quiet(site)


def test_retention_that_took_the_newest(old):
    connection = sqlite3.connect(old.db)
    connection.execute("DELETE FROM job_events WHERE id > 3")
    connection.commit()
    connection.close()
    assert_quiet(old)


def test_every_row_is_gone(old):
    connection = sqlite3.connect(old.db)
    connection.execute("DELETE FROM jobs")
    connection.commit()
    connection.close()
    assert_quiet(old)


def test_the_whole_folder_moves(old):
    place = os.path.join(old.root, "moved")
    shutil.copytree(old.db_folder, place)
    shutil.rmtree(old.db_folder)
    os.rename(place, old.db_folder)
    assert_quiet(old)


def test_an_older_bell_says_less(old):
    """As a power cut may leave it: nothing of it is wrong."""
    shutil.copy(old.db + "-bell", old.copy + "-bell")
    old.start_both()
    publish(old, 3)
    seen(old, 13)
    stop(old)
    shutil.copy(old.copy + "-bell", old.db + "-bell")
    assert_quiet(old)


def test_a_new_database_beside_the_bell_of_another(old):
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(old.db + suffix)
    assert ALARM not in old.tool("init").stderr
    old.epoch = epoch_of(old)
    assert_quiet(old)


def test_a_bell_of_before(make_site):
    """One byte, as it was before it said anything, and a database without a
    mark: it is of an older jobwire."""
    site = make_site()
    publish(site, 5)
    site.writer.connection.execute("DELETE FROM meta WHERE key = 'bell'")
    site.drop_writer()
    with open(site.db + "-bell", "wb") as bell:
        bell.write(b"\0")
    site.epoch = epoch_of(site)
    assert_quiet(site)
    assert os.path.getsize(site.db + "-bell") > 1


# -- runs ----------------------------------------------------------------------


def test_runs_are_not_sent_again(make):
    """What waited in the copy was submitted since: it may not be again, and
    a webhook of it is the proof."""
    runs = make({"unknown_for": "1m"}, status=[answer(200, DONE)], run=[
        answer(200, {"id": "e1"}),
    ])
    runs.add("a")
    runs.add("b")
    copy = copy_now(runs.site)
    runner = runs.start()
    runs.wait("ended", "a")
    runs.wait("ended", "b")
    assert runs.provider.names().count("run") == 2
    assert runner.terminate() == 0
    put_back(runs.site, copy)
    again = runs.start(name="again")
    wait_log(again, ALARM)
    runs.wait("unknown", "a")
    runs.wait("unknown", "b")
    runs.add("c")
    runs.wait("ended", "c")
    assert runs.provider.names().count("run") == 3
    assert runs.run("a")["deadline"] is not None
    # By hand, who knows that it is not there.
    runs.site.tool("run", "retry", str(runs.run("b")["run_id"]))
    runs.wait("ended", "b")
    assert runs.provider.names().count("run") == 4
