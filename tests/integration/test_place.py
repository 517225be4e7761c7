"""Where a database lies: behind symbolic links, on network file systems, and
copies that are none."""

import contextlib
import os
import pathlib
import shutil
import subprocess

import pytest
from harness.cgi import CgiEndpoint
from harness.site import run
from harness.wait import patience, until

# The base poll cannot be what made a test succeed.
SLOW_POLL = {"poll": "1m"}


def put_behind_a_link(site, link):
    """Moves the database into a folder of its own and leaves a link."""
    target = os.path.join(site.root, "target")
    os.rename(site.db_folder, target)
    os.mkdir(site.db_folder)
    os.symlink(os.path.join(target, "jobwire.db"), link)
    return target


def is_watching(site, folder):
    """Has the responder a watch on that folder?"""
    inode = f"ino:{os.stat(folder).st_ino:x} "
    for number in os.listdir(f"/proc/{site.events.pid}/fdinfo"):
        with contextlib.suppress(OSError), open(
            f"/proc/{site.events.pid}/fdinfo/{number}", encoding="ascii"
        ) as file:
            if any(inode in line for line in file if "inotify" in line):
                return True
    return False


def test_link_to_the_database(make_site):
    """A foreign commit comes at once, and what belongs to the database is
    beside the file."""
    site = make_site(**SLOW_POLL)
    target = put_behind_a_link(site, site.db)
    site.start("events")
    with site.stream("job") as stream:
        stream.wait_open()
        until(lambda: is_watching(site, target), "a watch on the right folder")
        site.writer.publish("job", "note", {"n": 1})
        assert '"n":1' in stream.next(seconds=20).data
        site.tool("publish", "job", "completed")
        assert stream.next(seconds=20).event == "completed"
    until(
        lambda: os.path.exists(os.path.join(target, "jobwire.db-janitor")),
        "the janitor's lock",
    )
    assert os.path.exists(os.path.join(target, "jobwire.db-bell"))
    assert os.listdir(site.db_folder) == ["jobwire.db"]
    assert "wal bytes\t0" not in site.tool("stats").stdout


def test_link_that_is_set_to_another_database(make_site):
    """It is the same as when the database is replaced."""
    site = make_site(hardening="off")
    put_behind_a_link(site, site.db)
    site.start("events")
    with site.stream("job") as stream:
        stream.wait_open()
        other = os.path.join(site.root, "other")
        os.mkdir(other)
        site.tool("init", "--db", os.path.join(other, "jobwire.db"))
        new_link = os.path.join(site.root, "link")
        os.symlink(os.path.join(other, "jobwire.db"), new_link)
        os.rename(new_link, site.db)
        assert stream.next(seconds=20).event == "resync"
        until(lambda: is_watching(site, other), "a watch on the new folder")
        site.drop_writer()
        site.writer.publish("job", "note", {"n": 2})
        assert '"n":2' in stream.next(seconds=20).data


# -- network file systems -----------------------------------------------------


@pytest.fixture(name="remote")
def _remote(make_site):
    """A site whose database's folder is a FUSE."""
    if shutil.which("bindfs") is None or not os.access("/dev/fuse", os.W_OK):
        pytest.skip("needs bindfs and /dev/fuse")
    site = make_site(init=False)
    behind = os.path.join(site.root, "behind")
    os.mkdir(behind)
    done = subprocess.run(
        ["bindfs", behind, site.db_folder], capture_output=True, text=True,
        check=False, timeout=patience(20),
    )
    if done.returncode != 0:
        pytest.skip(f"cannot mount a FUSE here: {done.stderr.strip()}")
    try:
        yield site
    finally:
        for process in site.processes:
            process.kill()
        site.drop_writer()
        subprocess.run(["umount", "-l", site.db_folder], check=True)


def test_writers_refuse_a_network_file_system(remote):
    done = remote.tool("init", check=False)
    assert done.returncode == 1
    assert "is on FUSE" in done.stderr and "allow_remote = on" in done.stderr
    assert os.listdir(remote.db_folder) == []
    assert remote.spawn("webhook").wait_exit() == 1
    assert "is on FUSE" in remote.processes[-1].log_text()
    done = remote.tool("publish", "job", "note", check=False)
    assert done.returncode == 1 and "is on FUSE" in done.stderr


def test_readers_warn_of_a_network_file_system(remote):
    remote.tool("init", "--allow-remote", "on")
    remote.tool("publish", "job", "note", "--allow-remote=on")
    events = remote.start("events")
    assert "event=database_remote filesystem=FUSE" in events.log_text()
    with remote.stream("job") as stream:
        assert stream.next().event == "note"
    assert remote.tool("jobs").stdout.endswith("queued\tjob\t\t\t\n")


def test_network_file_system_that_is_allowed(remote):
    remote.configure(allow_remote="on")
    remote.tool("init")
    remote.start_both()
    remote.deliver("job", {"status": "COMPLETED"})
    with remote.stream("job") as stream:
        assert stream.next().event == "completed"
    assert "database_remote" not in remote.events.log_text()


def test_cgi_programs_refuse_a_network_file_system(remote):
    webhook = CgiEndpoint(remote, "webhook.cgi")
    answer = remote.post(
        remote.signed("job"), b'{"status":"COMPLETED"}', endpoint=webhook
    )
    assert (answer.status, answer.error()) == (500, "database_readonly")
    answer = CgiEndpoint(remote, "events.cgi").call("GET", "/api/v1/healthz")
    assert answer.status == 503
    assert not os.path.exists(remote.db)


# -- copies --------------------------------------------------------------------


@pytest.mark.parametrize("command", [["stats"], ["jobs"], ["tail"], ["publish", "job", "note"],
                ["delete", "job"], ["prune"], ["ticket", "--sub", "alice"],
                ["token", "revoke", "--sub", "alice"]], ids=repr)
def test_copy_without_its_wal(make_site, command):
    site = make_site()
    site.writer.publish("job", "note")
    copy = os.path.join(site.root, "copy.db")
    shutil.copy(site.db, copy)
    before = pathlib.Path(copy).read_bytes()
    done = site.tool(*command, "--db", copy, check=False)
    assert done.returncode == 1
    assert "is empty, as is a copy of a database in use" in done.stderr
    assert "jobwire backup" in done.stderr and "-wal" in done.stderr
    assert pathlib.Path(copy).read_bytes() == before
    site.tool("init", "--db", copy)
    assert site.tool("stats", "--db", copy).returncode == 0


def test_webhook_refuses_a_copy_without_its_wal(make_site):
    site = make_site(init=False)
    with open(site.db, "wb"):
        pass
    for arguments in ([], ["--check"]):
        done = run("jobwire-webhook", "--config", site.config, *arguments)
        assert done.returncode == 1
        assert "is empty, as is a copy of a database in use" in (
            done.stdout + done.stderr
        )
    assert os.path.getsize(site.db) == 0
