"""jobwire backup and jobwire restore: a copy is whole or there is none, and
what takes the database's place is checked, and told apart from what it was."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import threading

import pytest
from harness.inbound import Senders
from harness.publish import ForeignWriter, fixture
from harness.site import program
from harness.sse import data_of
from harness.tmpfs import small_disk
from harness.wait import patience, until

COMPLETED = fixture("runpod-completed.json")


def rows_of(path):
    """The ids of the events in a file, by a foreign program, and that it is
    sound."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    found = [id for (id,) in connection.execute("SELECT id FROM job_events")]
    connection.close()
    return found


def fill(site, n, size=0):
    """So many events, of so many bytes each."""
    site.writer.publish_many(
        ("a", "step", {"n": i, "x": "x" * size}) for i in range(n)
    )


def files(folder):
    return sorted(os.listdir(folder))


def epoch_of(path):
    connection = sqlite3.connect(path)
    (epoch,) = connection.execute(
        "SELECT value FROM meta WHERE key = 'epoch'"
    ).fetchone()
    connection.close()
    return epoch


@pytest.fixture(name="stopped")
def fixture_stopped(make_site):
    """A site whose programs do not run, with 5 events, and a copy of it."""
    site = make_site()
    fill(site, 5)
    site.drop_writer()
    site.copy = os.path.join(site.root, "copy.db")
    site.tool("backup", site.copy)
    return site


# -- backup ----------------------------------------------------------------


def test_one_file_that_is_usable_as_it_is(make_site):
    site = make_site().start_both()
    fill(site, 7)
    folder = os.path.join(site.root, "copies")
    os.mkdir(folder)
    dest = os.path.join(folder, "copy.db")
    told = json.loads(site.tool("backup", dest, "--json").stdout)
    assert told == {
        "copy": dest, "epoch": site.writer.epoch(), "last_id": 7,
        "bytes": os.path.getsize(dest),
    }
    assert files(folder) == ["copy.db"]
    assert rows_of(dest) == list(range(1, 8))
    assert files(folder) == ["copy.db"], "it was opened, and is one file still"
    assert stat.S_IMODE(os.stat(dest).st_mode) == 0o600


def looks(path):
    """What is there, but for when a link was last followed; None: nothing."""
    if not os.path.lexists(path):
        return None
    there = os.lstat(path)
    return there.st_ino, there.st_mode, there.st_size, there.st_mtime_ns


@pytest.mark.parametrize("kind", ["file", "itself", "folder", "link", "journal"])
def test_nothing_is_overwritten(stopped, kind):
    dest = os.path.join(stopped.root, "dest")
    if kind == "file":
        with open(dest, "wb") as file:
            file.write(b"mine")
    elif kind == "itself":
        dest = os.path.join(stopped.root, "alias.db")
        os.symlink(stopped.db, dest)
    elif kind == "folder":
        os.mkdir(dest)
    elif kind == "link":
        os.symlink("/nowhere/at/all", dest)
    else: # SQLite would play it back
        dest = stopped.db + "-journal"
    before = looks(dest)
    done = stopped.tool("backup", dest, check=False)
    assert done.returncode == 1 and dest in done.stderr
    assert looks(dest) == before
    assert not os.path.exists(dest + ".part")
    assert rows_of(stopped.db) == [1, 2, 3, 4, 5]


def test_under_load_it_has_all_that_was_answered_before(make_site):
    site = make_site().start_both()
    with Senders(site, 8) as senders:
        for i in range(5):
            until(lambda n=(i + 1) * 50: len(senders.accepted) > n, "posts", 20)
            answered = {
                int(id.split("-")[1]) for id in senders.accepted.copy().values()
            }
            dest = os.path.join(site.root, f"{i}.db")
            site.tool("backup", dest)
            assert answered <= set(rows_of(dest))
    assert not senders.refusals.total(), "writers were held up"


def test_killed_while_it_copies(make_site):
    """Whole or none, and what is left over is in nobody's way."""
    site = make_site()
    fill(site, 900, size=20000)
    dest = os.path.join(site.root, "copy.db")
    argv = [program("jobwire"), "backup", dest, "--config", site.config]
    n_none = 0
    for i in range(12):
        child = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        part = dest + ".part"
        with contextlib.suppress(FileNotFoundError):
            while child.poll() is None and (
                os.path.getsize(part) < (i % 4) * 5000000
            ):
                pass
        child.kill()
        child.wait()
        if os.path.exists(dest):
            assert len(rows_of(dest)) == 900
            os.unlink(dest)
        else:
            n_none += 1
    assert n_none > 0, "none was killed in time"
    site.tool("backup", dest)
    assert len(rows_of(dest)) == 900
    assert not os.path.exists(dest + ".part")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_cleans_up(make_site, number):
    site = make_site()
    fill(site, 900, size=50000)
    dest = os.path.join(site.root, "copy.db")
    child = subprocess.Popen(
        [program("jobwire"), "backup", dest, "--config", site.config],
        stderr=subprocess.PIPE,
        # A shell lets what it starts in the background ignore SIGINT.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    until(lambda: os.path.exists(dest + ".part") or child.poll() is not None,
          "the copy to begin")
    child.send_signal(number)
    _, said = child.communicate(timeout=patience(20))
    if child.returncode == 0: # it was faster
        assert len(rows_of(dest)) == 900
    else:
        assert child.returncode == -number
        assert b"interrupted" in said
        assert not os.path.exists(dest)
    assert not os.path.exists(dest + ".part")


def test_full_disk(make_site):
    site = make_site()
    fill(site, 200, size=20000)
    folder = os.path.join(site.root, "small")
    os.mkdir(folder)
    dest = os.path.join(folder, "copy.db")
    done = subprocess.run(
        [*small_disk("1m", folder), "sh", "-c",
         '"$0" backup "$1" --config "$2"; echo "status $?"; ls -A "$3"',
         program("jobwire"), dest, site.config, folder],
        capture_output=True, text=True, timeout=patience(30),
    )
    assert done.stdout == "status 1\n"
    assert "full" in done.stderr and dest in done.stderr
    assert len(rows_of(site.db)) == 200


def test_two_to_one_place(make_site):
    site = make_site()
    fill(site, 500, size=20000)
    dest = os.path.join(site.root, "copy.db")
    argv = [program("jobwire"), "backup", dest, "--config", site.config]
    children = [subprocess.Popen(argv, stderr=subprocess.PIPE,
                                 stdout=subprocess.DEVNULL) for _ in range(4)]
    for child in children:
        child.communicate(timeout=patience(30))
    assert [child.returncode for child in children].count(0) <= 1
    site.tool("backup", dest, check=False)
    assert len(rows_of(dest)) == 500


def test_a_damaged_database_gives_no_copy(make_site):
    site = make_site()
    fill(site, 300, size=2000)
    site.drop_writer()
    connection = sqlite3.connect(site.db)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with open(site.db, "r+b") as file:
        file.seek(40 * 4096)
        file.write(b"\xa5" * 4096 * 20)
    dest = os.path.join(site.root, "copy.db")
    done = site.tool("backup", dest, check=False)
    assert done.returncode == 1 and "damaged" in done.stderr
    assert not os.path.exists(dest) and not os.path.exists(dest + ".part")


# -- restore -----------------------------------------------------------------


def test_restored_file_has_another_epoch(stopped):
    before = epoch_of(stopped.db)
    os.chmod(stopped.db, 0o640)
    fill(stopped, 5)
    stopped.drop_writer()
    with open(stopped.copy, "rb") as file:
        copy = file.read()
    inode = os.stat(stopped.db).st_ino
    stopped.tool("restore", stopped.copy)
    assert rows_of(stopped.db) == [1, 2, 3, 4, 5]
    assert epoch_of(stopped.db) != before
    assert os.stat(stopped.db).st_ino != inode
    assert stat.S_IMODE(os.stat(stopped.db).st_mode) == 0o640
    with open(stopped.copy, "rb") as file:
        assert file.read() == copy, "the source was changed"
    assert files(os.path.dirname(stopped.copy)).count("copy.db") == 1
    # It is told once, by restore itself: nobody finds anything wrong.
    stopped.start_both()
    assert "database_restored" not in stopped.events.log_text()
    assert "database_restored" not in stopped.webhook.log_text()


def test_client_is_told(stopped):
    """R8: what it saw after the copy is gone, and new events have ids of
    another epoch."""
    stopped.start_both()
    fill(stopped, 5)
    with stopped.stream("a") as stream:
        seen = stream.take(10)
    stopped.events.terminate()
    stopped.webhook.terminate()
    stopped.drop_writer()
    stopped.tool("restore", stopped.copy)
    stopped.start_both()
    fill(stopped, 8)
    with stopped.stream("a", last_id=seen[-1].id) as stream:
        events = stream.take(14)
    assert events[0].event == "resync"
    assert data_of(events[0])["reason"] == "epoch"
    assert len({event.id for event in seen + events[1:]}) == 10 + 13


def test_keep_epoch(stopped):
    epoch = epoch_of(stopped.db)
    for name in files(stopped.db_folder): # another machine
        os.unlink(os.path.join(stopped.db_folder, name))
    stopped.tool("restore", stopped.copy, "--keep-epoch")
    assert epoch_of(stopped.db) == epoch
    stopped.start_both()
    stopped.deliver("b", COMPLETED)
    assert "database_restored" not in stopped.webhook.log_text()
    assert epoch_of(stopped.db) == epoch


def test_nobody_may_have_it_open(stopped):
    stopped.start_both()
    stopped.deliver("b", COMPLETED)
    done = stopped.tool("restore", stopped.copy, check=False)
    assert done.returncode == 1
    for server in (stopped.events, stopped.webhook):
        assert f"process {server.pid} (jobwire-{server.name})" in done.stderr
    assert len(rows_of(stopped.db)) == 6
    # A foreign program, too.
    site = stopped
    for server in (site.events, site.webhook):
        server.terminate()
    writer = ForeignWriter(site.db)
    writer.rows()
    done = site.tool("restore", site.copy, check=False)
    assert done.returncode == 1 and f"process {os.getpid()} (" in done.stderr
    writer.close()
    site.tool("restore", site.copy)


def damage_middle(path):
    with open(path, "r+b") as file:
        file.seek(10 * 4096)
        file.write(b"\xa5" * 4096 * 5)


def damage_cut(path):
    os.truncate(path, os.path.getsize(path) // 2 // 4096 * 4096)


def make_text(path):
    with open(path, "wb") as file:
        file.write(b"no database\n" * 1000)


def make_empty(path):
    os.truncate(path, 0)


def make_foreign(path):
    os.unlink(path)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE bookmarks(url)")
    connection.commit()
    connection.close()


def set_version(version):
    def change(path):
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.commit()
        connection.close()
    return change


@pytest.mark.parametrize("change, said", [
    (damage_middle, "malformed|damaged"), (damage_cut, "malformed|damaged"),
    (make_text, "not a database"), (make_empty, "empty"),
    (make_foreign, "another program"), (set_version(99), "newer"),
    (set_version(5), "before the first release"), (os.unlink, "there is no copy"),
], ids=["middle", "cut", "text", "empty", "foreign", "newer", "older",
        "missing"])
def test_what_is_not_taken(stopped, change, said):
    change(stopped.copy)
    before = files(stopped.db_folder)
    done = stopped.tool("restore", stopped.copy, check=False)
    assert done.returncode == 1
    assert any(word in done.stderr for word in said.split("|")), done.stderr
    assert rows_of(stopped.db) == [1, 2, 3, 4, 5]
    assert files(stopped.db_folder) == before


def test_the_database_itself(stopped):
    alias = os.path.join(stopped.root, "alias.db")
    os.symlink(stopped.db, alias)
    done = stopped.tool("restore", alias, check=False)
    assert done.returncode == 1 and "itself" in done.stderr


def test_a_damaged_database_is_replaced(stopped):
    with open(stopped.db, "wb") as file:
        file.write(b"\xa5" * 100000)
    stopped.tool("restore", stopped.copy)
    assert rows_of(stopped.db) == [1, 2, 3, 4, 5]


def test_full_disk_at_the_restore(make_site):
    site = make_site()
    fill(site, 200, size=20000)
    site.drop_writer()
    copy = os.path.join(site.root, "copy.db")
    site.tool("backup", copy)
    shutil.rmtree(site.db_folder)
    os.mkdir(site.db_folder)
    done = subprocess.run(
        [*small_disk("2m", site.db_folder), "sh", "-c",
         '"$0" init --config "$1" >/dev/null; "$0" publish a step --config'
         ' "$1" >/dev/null; "$0" restore "$2" --config "$1"; echo $?; '
         '"$0" stats --config "$1" | grep ^events; ls -A "$3" | grep part',
         program("jobwire"), site.config, copy, site.db_folder],
        capture_output=True, text=True, timeout=patience(30),
    )
    assert done.stdout == "1\nevents\t1\n", done
    assert "full" in done.stderr


def test_killed_at_the_restore(make_site):
    """The old database or the new one, whole, at whatever moment."""
    site = make_site()
    fill(site, 300, size=20000)
    site.drop_writer()
    copy = os.path.join(site.root, "copy.db")
    site.tool("backup", copy)
    fill(site, 100)
    site.drop_writer()
    argv = [program("jobwire"), "restore", copy, "--config", site.config]
    for i in range(12):
        child = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        timer = threading.Timer(0.002 * i * i, child.kill)
        timer.start()
        child.wait()
        timer.cancel()
        connection = sqlite3.connect(site.db)
        assert connection.execute(
            "PRAGMA integrity_check").fetchall() == [("ok",)]
        (n,) = connection.execute("SELECT count(*) FROM job_events").fetchone()
        connection.close()
        assert n == (300 if child.returncode == 0 else n)
        assert n in (300, 400)
    site.tool("restore", copy)
    assert len(rows_of(site.db)) == 300


# -- steps of the schema -----------------------------------------------------


def make_version_7(path):
    """A database as version 7 made it."""
    with open(os.path.join(os.path.dirname(__file__), "..", "..",
                           "schema.sql"), encoding="utf-8") as file:
        schema = file.read().split("PRAGMA user_version = 7;")[0]
    connection = sqlite3.connect(path)
    connection.executescript(
        "PRAGMA journal_mode = WAL;" + schema + "PRAGMA user_version = 7;"
    )
    connection.execute(
        "INSERT INTO job_events (job_id, type) VALUES ('a', 'queued')"
    )
    connection.commit()
    connection.close()


def version_of(path):
    connection = sqlite3.connect(path)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return version


def test_a_copy_is_made_before_a_step(make_site):
    site = make_site(init=False)
    make_version_7(site.db)
    site.start("webhook")
    copy = site.db + "-schema-7"
    until(lambda: version_of(site.db) > 7, "the step")
    assert version_of(copy) == 7
    log = site.webhook.log_text()
    assert log.count("event=schema_raised") == 1
    assert f"copy={copy}" in log and "jobwire restore" in log
    # The way back.
    site.deliver("a", COMPLETED)
    site.webhook.terminate()
    site.tool("restore", copy)
    assert version_of(site.db) == 7 and rows_of(site.db) == [1]
    # And up again, over the copy of before.
    site.start("webhook")
    until(lambda: version_of(site.db) > 7, "the step")
    assert version_of(copy) == 7


def test_a_backup_of_an_older_version_leaves_it(make_site):
    site = make_site(init=False)
    make_version_7(site.db)
    dest = os.path.join(site.root, "copy.db")
    site.tool("backup", dest)
    assert version_of(site.db) == version_of(dest) == 7
    assert not os.path.exists(site.db + "-schema-7")


def test_programs_that_start_together_make_one_step(make_site):
    site = make_site(init=False)
    make_version_7(site.db)
    children = [
        subprocess.Popen(
            [program("jobwire"), "publish", f"job{i}", "step", "--config",
             site.config],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for i in range(6)
    ]
    said = "".join(c.communicate(timeout=patience(30))[1] for c in children)
    assert [child.returncode for child in children] == [0] * 6, said
    assert said.count("event=schema_raised") == 1
    assert len(rows_of(site.db)) == 7


def test_no_room_for_the_copy_no_step(make_site):
    site = make_site(init=False)
    make_version_7(site.db)
    connection = sqlite3.connect(site.db)
    connection.executemany(
        "INSERT INTO job_events (job_id, type, data) VALUES ('a', 'step', ?)",
        [(json.dumps({"x": "x" * 20000}),)] * 100,
    )
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    old = os.path.join(site.root, "old.db")
    shutil.move(site.db, old)
    done = subprocess.run(
        [*small_disk("3m", site.db_folder), "sh", "-c",
         'cp "$2" "$3"; "$0" init --config "$1"; echo $?; '
         'ls "${3%/*}" | grep schema',
         program("jobwire"), site.config, old, site.db],
        capture_output=True, text=True, timeout=patience(30),
    )
    assert done.stdout == "1\n"
    assert "a copy is made" in done.stderr and "free" in done.stderr
