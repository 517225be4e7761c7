"""A database that is missing, locked, read-only, newer, or none at all: at
start-up a message that names it, while running an answer in the contract's
form; and nothing lost."""

import os
import pwd
import shutil
import sqlite3
import threading
import time

import pytest
from harness.publish import fixture
from harness.site import program
from harness.wait import patience, until

COMPLETED = fixture("runpod-completed.json")
PROGRAMS = ["events", "webhook"]


def stored(site, job):
    """The number of the job's rows, seen by a new connection."""
    connection = sqlite3.connect(site.db, timeout=patience(20))
    (count,) = connection.execute(
        "SELECT count(*) FROM job_events WHERE job_id = ?", (job,)
    ).fetchone()
    connection.close()
    return count


# -- at start-up -----------------------------------------------------------


def make_missing(site):
    """No file at all."""
    assert not os.path.exists(site.db)


def make_garbage(site):
    """A file, but not a database."""
    with open(site.db, "wb") as file:
        file.write(b"This is no database, whatever its name says.\n" * 500)


def make_other(site):
    """A database, but another program's."""
    connection = sqlite3.connect(site.db)
    connection.execute("CREATE TABLE bookmarks(url)")
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()


def make_newer(site):
    """Made by a jobwire of the future."""
    site.init()
    connection = sqlite3.connect(site.db)
    connection.execute("PRAGMA user_version = 9999")
    connection.commit()
    connection.close()


def ends_with_a_message(site, name, **options):
    """The responder ends by itself, not with 0, and its log names the
    database."""
    server = site.spawn(name, **options)
    assert server.wait_exit(30) not in (0, None)
    assert server.child.returncode > 0, "killed by a signal"
    text = server.log_text()
    assert "level=error" in text
    assert site.db in text


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize(
    "make", [make_missing, make_garbage, make_other, make_newer]
)
def test_unusable_at_start(make_site, name, make):
    site = make_site(init=False)
    make(site)
    ends_with_a_message(site, name)


@pytest.mark.parametrize(
    "make", [make_missing, make_garbage, make_other, make_newer]
)
def test_unusable_for_the_command_line(make_site, make):
    site = make_site(init=False)
    make(site)
    done = site.tool("publish", "job", "note", check=False)
    assert done.returncode == 1
    assert site.db in done.stderr


@pytest.mark.parametrize("make", [make_garbage, make_other, make_newer])
def test_init_destroys_nothing(make_site, make):
    site = make_site(init=False)
    make(site)
    with open(site.db, "rb") as file:
        before = file.read()
    done = site.tool("init", check=False)
    assert done.returncode == 1
    assert site.db in done.stderr
    with open(site.db, "rb") as file:
        assert file.read() == before


def unprivileged(site, name):
    """How to start a responder as a user who may not write the database:
    ourselves, or nobody where we are root, whom no mode stops."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    binary = shutil.copy(program(f"jobwire-{name}"), site.root)
    os.chmod(binary, 0o755)
    os.chmod(site.run_folder, 0o777)
    return {
        "binary": binary, "user": nobody.pw_uid, "group": nobody.pw_gid,
        "extra_groups": [],
    }


@pytest.mark.parametrize("name", PROGRAMS)
def test_read_only_at_start(make_site, name):
    site = make_site()
    site.writer.publish("kept", "note")
    site.drop_writer()
    for file in os.listdir(site.db_folder):
        os.chmod(os.path.join(site.db_folder, file), 0o444)
    os.chmod(site.db_folder, 0o555)
    ends_with_a_message(site, name, **unprivileged(site, name))
    os.chmod(site.db_folder, 0o755)


@pytest.mark.parametrize("name", PROGRAMS)
def test_locked_at_start(make_site, name):
    """A writer that holds its lock delays nobody's start for good."""
    site = make_site()
    site.writer.connection.execute("BEGIN IMMEDIATE")
    server = site.spawn(name)
    until(
        lambda: not server.is_alive() or os.path.exists(server.address),
        "the program to start or to give up", 30,
    )
    if not server.is_alive():
        server.is_expected_dead = True
        assert server.child.returncode > 0
        assert site.db in server.log_text()
    site.writer.connection.execute("COMMIT")
    if server.is_alive():
        server.wait_ready()
        assert site.endpoint(name).call("GET", "/nothing").status == 404


# -- while running ---------------------------------------------------------


def refused_for_now(answer):
    """A 503 in the contract's form, which asks to come back."""
    assert answer.status == 503, answer
    assert answer.error()
    assert int(answer.headers["retry-after"]) > 0


def test_locked_for_10_seconds(site):
    """Answered in time for the sender, and accepted when the lock is gone;
    streams go on meanwhile."""
    writer = site.writer.connection
    target = site.signed("locked")
    with site.stream("locked") as stream:
        stream.wait_open()
        writer.execute("BEGIN IMMEDIATE")
        release = time.monotonic() + 10
        answers = []
        poster = threading.Thread(
            target=lambda: answers.append(site.post(target, COMPLETED))
        )
        poster.start()
        with site.stream("other") as other:
            other.wait_open()
        poster.join(10)
        assert answers, "no answer within the 10 s after which senders give up"
        refused_for_now(answers[0])
        until(lambda: time.monotonic() >= release, "10 s to pass", 11)
        writer.execute("COMMIT")
        answer = site.post(target, COMPLETED)
        assert answer.status == 200 and answer.json()["duplicate"] is False
        assert stream.next().id == answer.json()["event_id"]
    assert stored(site, "locked") == 1


def move_database(site, source, target):
    """Moves the database with the files that belong to it."""
    os.makedirs(target, exist_ok=True)
    for suffix in ("", "-wal", "-shm"):
        path = os.path.join(source, "jobwire.db" + suffix)
        if os.path.exists(path):
            os.rename(path, os.path.join(target, "jobwire.db" + suffix))


def test_missing_while_running(site):
    target = site.signed("missing")
    aside = os.path.join(site.root, "aside")
    site.deliver("before", COMPLETED)
    with site.stream("missing") as stream:
        stream.wait_open()
        move_database(site, site.db_folder, aside)
        refused_for_now(site.post(target, COMPLETED))
        assert not os.path.exists(site.db), "a new database was made"
        move_database(site, aside, site.db_folder)

        def accepted():
            answer = site.post(target, COMPLETED)
            if answer.status != 200:
                refused_for_now(answer)
                return None
            return answer

        value = until(accepted, "the database to be in use again", 10).json()
        assert stored(site, "missing") == 1
        seen = stream.next()
        if seen.event == "resync":  # allowed: it had been another place
            seen = stream.next()
        assert seen.id == value["event_id"]
    assert stored(site, "before") == 1


def test_replaced_while_running(site):
    """Whatever is answered 200 is in the database that is there now."""
    site.deliver("old", COMPLETED)
    site.replace_database()

    def accepted():
        answer = site.post(site.signed("new"), COMPLETED)
        if answer.status == 200:
            return answer
        refused_for_now(answer)
        return None

    answer = until(accepted, "the new database to be in use", 10)
    assert stored(site, "new") == 1
    assert stored(site, "old") == 0
    assert answer.json()["event_id"].startswith(site.writer.epoch())
