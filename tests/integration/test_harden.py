"""What the running responders have given up, and that they do their work
without it. What is refused is tried in tests/unit/test_harden.c."""

import os
import re
import signal

import pytest
from harness.process import read_text
from harness.publish import fixture, signed_query
from harness.site import SECRET, is_sanitized, program, webhook_target
from harness.wait import until
from harness.workers import wait_workers, workers_of

COMPLETED = fixture("runpod-completed.json")
NEW_SECRET = "another-secret-0123456789abcdef"
HELP = "hardening (or SELinux) forbids it: if its folder is new, restart"
# A build with sanitizers needs what would be given up.
IS_ON = not is_sanitized(program("jobwire-events"))


def status_of(pid):
    """(no_new_privs, seccomp mode) of every thread."""
    found = set()
    for task in os.listdir(f"/proc/{pid}/task"):
        text = read_text(f"/proc/{pid}/task/{task}/status")
        found.add(tuple(
            int(re.search(rf"(?m)^{name}:\s*(\d+)", text)[1])
            for name in ("NoNewPrivs", "Seccomp")
        ))
    return found


EXPECTED = {(1, 2)} if IS_ON else {(0, 0)}


@pytest.mark.parametrize("name", ["events", "webhook"])
def test_hardened_by_default(make_site, name):
    server = make_site().start(name)
    until(lambda: "event=ready" in server.log_text(), "the threads")
    assert status_of(server.pid) == EXPECTED
    lines = re.findall(r"level=info event=(?:not_)?hardened .*", server.log_text())
    assert len(lines) == 1
    assert ("event=hardened" in lines[0]) == IS_ON


def test_workers_are_hardened(make_site):
    """The parent, its workers, and one that takes another's place."""
    site = make_site()
    site.start("events", "--workers", "2")
    workers = wait_workers(site.events, 2)
    for pid in [site.events.pid, *workers]:
        assert status_of(pid) == EXPECTED
    os.kill(workers[0], signal.SIGKILL)
    until(lambda: set(workers_of(site.events)) - set(workers), "a new worker")
    for pid in wait_workers(site.events, 2):
        assert status_of(pid) == EXPECTED


@pytest.mark.parametrize("name", ["events", "webhook"])
def test_hardening_off(make_site, name):
    server = make_site(hardening="off").start(name)
    until(lambda: "event=ready" in server.log_text(), "the threads")
    assert status_of(server.pid) == {(0, 0)}
    assert "hardened" not in server.log_text()


def test_keys_that_are_replaced(make_site):
    """A new file in the place of the old one is read at SIGHUP."""
    site = make_site(webhook_secret=None)
    keys = os.path.join(site.root, "keys")
    path = os.path.join(keys, "webhook.key")
    os.mkdir(keys)

    def put(secret):
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(secret)
        os.rename(path + ".new", path)

    def post(secret):
        return site.post(
            webhook_target(signed_query(secret, "job")), COMPLETED
        ).status

    put(SECRET)
    site.start("webhook", "--webhook-secret", f"@{path}")
    assert (post(SECRET), post(NEW_SECRET)) == (200, 403)
    put(NEW_SECRET)
    site.webhook.child.send_signal(signal.SIGHUP)
    until(lambda: "keys_reloaded" in site.webhook.log_text(), "the new key")
    assert (post(SECRET), post(NEW_SECRET)) == (403, 200)


def test_body_in_a_spool_of_its_own(make_site):
    """A body too long for memory, kept far from the database."""
    site = make_site()
    spool = os.path.join(site.root, "spool")
    os.mkdir(spool)
    site.start("webhook", "--spool", spool)
    site.deliver("big", {"status": "COMPLETED", "output": "x" * (1 << 20)})
    assert not os.listdir(spool)


def test_database_behind_a_link(make_site):
    """The folder that the link leads to is the database's."""
    site = make_site()
    link = os.path.join(site.root, "link.db")
    os.symlink(site.db, link)
    site.start("webhook", "--db", link)
    site.deliver("linked", COMPLETED)
    assert [row[1] for row in site.writer.rows()] == ["linked"]


def test_folder_that_is_replaced(make_site):
    """The new one is closed to what was hardened before: the log says what
    helps, and it does. The settings are elsewhere: their folder is open."""
    site = make_site()
    os.mkdir(os.path.join(site.root, "etc"))
    site.config = os.path.join(site.root, "etc", "jobwire.conf")
    site.configure()
    site.start_both()
    until(lambda: "event=ready" in site.webhook.log_text(), "the threads")
    if "landlock=on" not in site.webhook.log_text():
        pytest.skip("no Landlock here: every folder is open")
    site.drop_writer()
    os.rename(site.db_folder, site.db_folder + ".old")
    until(lambda: "database_missing" in site.events.log_text(), "the notice")
    os.mkdir(site.db_folder)
    site.init()
    assert site.post(site.signed("job"), COMPLETED).status == 500
    for server in (site.webhook, site.events):
        until(lambda s=server: HELP in s.log_text(), "the reason")
        assert server.terminate() == 0
    site.start_both()
    site.deliver("job", COMPLETED)
    assert [row[1] for row in site.writer.rows()] == ["job"]
