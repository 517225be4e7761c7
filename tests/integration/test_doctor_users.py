"""What `jobwire doctor` says of those who use the database: whose it is, who
may not, and who keeps all others from writing."""

import os
import subprocess
import sys

import pytest
from harness.doctor import examine
from harness.users import NOBODY, as_nobody, needs_root
from harness.wait import Deadline


def folder_faults(site, **options):
    """What is wrong with the database's folder."""
    found = examine(site, **options).of("folder")
    return [f for f in found if f.finding != "ok"]


@needs_root
def test_what_root_left_behind(make_site):
    """In a folder of another user's."""
    site = make_site()
    site.tool("publish", "a", "note")
    assert os.stat(site.db + "-bell").st_uid == os.stat(site.db).st_uid
    os.chown(site.db, 12345, 12345)
    with open(site.db + "-janitor", "wb"):
        pass
    found = examine(site).of("folder")
    assert any("-janitor" in f.text and "chown" in f.remedy for f in found)
    site.tool("publish", "a", "note")  # the bell goes to the new owner
    assert os.stat(site.db + "-bell").st_uid == 12345


@needs_root
def test_another_users_database(make_site):
    """Who owns it, who runs, and three ways to mend it."""
    site = make_site()
    give(site, 12345, 23456, 0o2770, 0o660)
    findings = examine(site, **as_nobody(site))
    assert findings.one("database").finding == "fail"
    assert findings.of("lock") == []
    (fault,) = findings.of("folder")
    assert fault.finding == "fail"
    for word in (site.db_folder, "12345:23456, mode 2770", "nobody"):
        assert word in fault.text
    for word in (
        "runuser -u 12345 -- jobwire doctor",
        f"chown -R nobody: {site.db_folder}", "usermod -aG 23456 nobody",
        f"chmod 2770 {site.db_folder}", "umask 007",
    ):
        assert word in fault.remedy


@needs_root
def test_a_file_that_the_group_may_not_write(make_site):
    """As `jobwire init` makes it with the usual umask."""
    site = make_site()
    give(site, 12345, NOBODY.pw_gid, 0o2770, 0o640)
    (fault,) = folder_faults(site, **as_nobody(site))
    assert fault.finding == "fail" and "mode 0640" in fault.text
    (fault,) = folder_faults(site)
    assert fault.finding == "warn" and "chmod g+rw" in fault.remedy


@needs_root
def test_a_database_that_root_made(make_site):
    site = make_site()
    os.chown(site.db_folder, NOBODY.pw_uid, NOBODY.pw_gid)
    os.chmod(site.db_folder, 0o2770)
    (fault,) = folder_faults(site)
    assert fault.finding == "fail" and "root:root" in fault.text
    assert f"chown --reference={site.db_folder}" in fault.remedy
    (fault,) = folder_faults(site, **as_nobody(site))
    assert fault.finding == "fail" and f"{site.db} is root:root" in fault.text


@needs_root
@pytest.mark.parametrize("mode, faults", [(0o2770, 0), (0o770, 1)])
def test_a_database_of_a_group(make_site, mode, faults):
    """New files there must be the group's, too."""
    site = make_site()
    give(site, 12345, NOBODY.pw_gid, mode, 0o660)
    found = folder_faults(site, **as_nobody(site))
    assert [f.finding for f in found] == ["warn"] * faults
    assert all("chmod g+s" in f.remedy for f in found)


def give(site, uid, gid, folder_mode, file_mode):
    """The database with all its files, and the folder."""
    site.drop_writer()
    for name in os.listdir(site.db_folder):
        path = os.path.join(site.db_folder, name)
        os.chown(path, uid, gid)
        os.chmod(path, file_mode)
    os.chown(site.db_folder, uid, gid)
    os.chmod(site.db_folder, folder_mode)


# -- locks -------------------------------------------------------------------

# Programs that say when they have begun, and end with their input.

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
for statement in sys.argv[2:]:
    connection.execute(statement)
print("begun", flush=True)
sys.stdin.read()
"""

# With the lock of an open file description, F_OFD_SETLK, of the writer's byte.
HOLD_ANONYMOUSLY = """
import fcntl, sqlite3, struct, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT 1 FROM jobs").fetchall()  # makes -shm
file = open(sys.argv[1] + "-shm", "r+b")
fcntl.fcntl(file, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 120, 1, 0))
print("begun", flush=True)
sys.stdin.read()
"""

WRITE_ALL_THE_TIME = """
import sqlite3, sys, threading
connection = sqlite3.connect(sys.argv[1], timeout=60)
connection.execute("PRAGMA synchronous = OFF")
is_over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), is_over.set())).start()
print("begun", flush=True)
while not is_over.is_set():
    with connection:
        connection.execute(
            "INSERT INTO job_events (job_id, type) VALUES ('a', 'note')"
        )
"""


class Other:
    """Another program on the database, while the block runs."""

    def __init__(self, site, script, *arguments, **options):
        self.child = subprocess.Popen(
            [sys.executable, "-c", script, site.db, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options,
        )

    def __enter__(self):
        assert self.child.stdout.readline() == "begun\n"
        return self.child

    def __exit__(self, *_):
        self.child.communicate(timeout=Deadline(10).left())


@pytest.mark.parametrize(
    "statements, lock",
    [(["BEGIN IMMEDIATE"], "write lock"),
     (["PRAGMA locking_mode = EXCLUSIVE", "BEGIN IMMEDIATE"],
      "exclusive lock")],
    ids=["transaction", "exclusive"],
)
def test_who_holds_the_lock(make_site, statements, lock):
    """Is named, also without a URL; when it is over, all is well again."""
    site = make_site()
    with Other(site, HOLD, *statements) as child:
        fault = examine(site).one("lock")
        assert fault.finding == "fail" and lock in fault.text
        assert f"process {child.pid} (python" in fault.text
        assert f"kill {child.pid}" in fault.remedy
    assert examine(site).one("lock").finding == "ok"


def test_who_holds_the_lock_behind_a_link(make_site):
    """The companions are beside the file itself."""
    site = make_site()
    link = os.path.join(site.root, "link.db")
    os.symlink(site.db, link)
    with Other(site, HOLD, "BEGIN IMMEDIATE") as child:
        findings = examine(site, "--db", link)
    assert f"process {child.pid} " in findings.one("lock").text
    assert findings.one("folder").finding == "ok"


@needs_root
def test_a_holder_of_another_user(make_site):
    site = make_site()
    give(site, NOBODY.pw_uid, NOBODY.pw_gid, 0o750, 0o660)
    user = {"user": NOBODY.pw_uid, "group": NOBODY.pw_gid, "extra_groups": []}
    with Other(site, HOLD, "BEGIN IMMEDIATE", **user):
        assert "user nobody" in examine(site).one("lock").text


def test_a_holder_that_the_system_does_not_name(make_site):
    site = make_site()
    with Other(site, HOLD_ANONYMOUSLY):
        fault = examine(site).one("lock")
    assert fault.finding == "fail" and "does not say" in fault.text
    assert f"fuser -v {site.db} {site.db}-shm" in fault.remedy


def test_a_busy_writer_is_no_holder(make_site):
    """Who commits now and then."""
    site = make_site()
    with Other(site, WRITE_ALL_THE_TIME):
        assert examine(site).one("lock").finding == "ok"
