"""docs/operate.md: its commands, run as they stand there, and what they mend.
What is played instead of a real machine is harness/machine.py."""

import os
import re
import sqlite3

import pytest
from harness import leaks
from harness.machine import Machine
from harness.publish import fixture
from harness.runs import PUBLISH_KEY
from harness.site import SECRET
from harness.wait import until
from test_protocol import read

COMPLETED = fixture("runpod-completed.json")
RUNPOD_KEY = leaks.secret("rpa_0123456789abcdef0123456789abcdef")
TEXT = read("docs", "operate.md")


def sections():
    """{heading: [its blocks of commands]}; a line that ends with a backslash
    goes on."""
    found = {}
    parts = re.split(r"^#{2,3} (.+)$", TEXT, flags=re.M)
    for heading, body in zip(parts[1::2], parts[2::2]):
        blocks = re.findall(r"^```sh\n(.*?)^```", body, re.M | re.S)
        found[heading] = [block.strip().splitlines() for block in blocks]
    return found


SECTIONS = sections()
COMMANDS = [
    (heading, command)
    for heading, blocks in SECTIONS.items()
    for block in blocks
    for command in block
]


@pytest.fixture(name="machine")
def fixture_machine(make_site):
    """An installation with jobs, a run that waits, and a web server."""
    site = make_site()
    machine = Machine(site)
    for name, value in (("webhook", SECRET), ("runpod", RUNPOD_KEY)):
        path = os.path.join(machine.etc, f"{name}.key")
        with open(path, "w", encoding="ascii") as file:
            file.write(value + "\n")
        os.chmod(path, 0o640)
    site.configure(
        webhook_secret=f"@{machine.etc}/webhook.key", publish_keys=PUBLISH_KEY,
        runpod_key=f"@{machine.etc}/runpod.key",
        runpod_actions="restore=abc123", runpod_url="http://127.0.0.1:1/v2",
        drain="500ms",
    )
    os.chmod(site.config, 0o640)
    machine.web.start()
    yield machine.start("events", "webhook")
    machine.remove()


def begin(machine):
    """A job, a run that waits, and a copy."""
    site = machine.site
    site.writer.publish("job-1", "progress", {"progress": 40})
    done = site.endpoint("webhook").call(
        "POST", "/api/v1/jobs/job-2/restore",
        {"Content-Type": "application/json",
         "Authorization": f"Bearer {PUBLISH_KEY}"}, b'{"input":{}}',
    )
    assert done.status == 202, done
    return done.json()["run_id"]


# These have tests of their own below.
TASKS = {"Upgrade", "Roll back", "Move to another machine", "A damaged file"}


@pytest.mark.parametrize(
    "heading", [h for h, blocks in SECTIONS.items() if blocks and h not in TASKS]
)
def test_each_command_runs(machine, heading):
    """On a machine that is well: none is misspelt, asks for a terminal, or
    names a flag that there is not."""
    run = begin(machine)
    for block in SECTIONS[heading]:
        for command in block:
            done = machine.run(command, JOB="job-1", RUN=run)
            said = f"{command}\n{done.stdout}{done.stderr}"
            looks = re.search(r"grep|doctor|status|fuser|sysctl|dmesg", command)
            assert done.returncode in ((0, 1) if looks else (0,)), said
            assert not re.search(
                r"usage:|not found|unknown flag|No such file", done.stderr), said
    until(lambda: machine.health() == 200, machine.log, 10)


def test_links_lead_somewhere():
    """To headings of this page, and to files."""
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-")
        for h in re.findall(r"^#{1,3} (.+)$", TEXT, re.M)
    }
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        path, _, anchor = target.partition("#")
        if not path:
            assert anchor in anchors, target
        else:
            assert read("docs", path), target


# -- what the tasks achieve --------------------------------------------------


def task(machine, heading, block=0, **names):
    """Runs a block; each command must succeed. What the doctor says of this
    machine is not the question."""
    machine.site.drop_writer()
    for command in SECTIONS[heading][block]:
        done = machine.run(command, **names)
        said = f"{command}\n{done.stdout}{done.stderr}"
        assert done.returncode == 0 or "doctor" in command, said


def last_id(machine):
    """The newest event's id, as clients get it."""
    return machine.run("jobwire stats --json").stdout.split(
        '"last_event_id":"')[1].split('"')[0]


def test_upgrade_and_roll_back(machine):
    """What came after the copy is gone, and ids are of a new epoch."""
    begin(machine)
    task(machine, "Upgrade")
    until(lambda: machine.health() == 200, machine.log, 10)
    before = last_id(machine)
    assert machine.run("jobwire publish job-1 completed").returncode == 0
    task(machine, "Roll back")
    until(lambda: machine.health() == 200, machine.log, 10)
    after = last_id(machine)
    assert after.split("-")[0] != before.split("-")[0]
    assert "completed" not in machine.run("jobwire show job-1").stdout


def test_move_keeps_ids(machine):
    """A client that comes back with its id misses and repeats nothing."""
    begin(machine)
    before = last_id(machine)
    task(machine, "Move to another machine", 0)
    os.remove(machine.site.db)
    for suffix in ("-wal", "-shm", "-bell"):
        path = machine.site.db + suffix
        if os.path.exists(path):
            os.remove(path)
    task(machine, "Move to another machine", 1)
    until(lambda: machine.health() == 200, machine.log, 10)
    assert last_id(machine) == before


def damage(machine):
    """Overwrites pages in the middle of the file, as a bad disk would."""
    machine.site.drop_writer()
    machine.run("systemctl stop jobwire-events jobwire-webhook")
    connection = sqlite3.connect(machine.site.db)
    for number in range(400):
        connection.execute(
            "INSERT INTO job_events (job_id, type, data)"
            " VALUES (?, 'note', ?)",
            (f"filler-{number}", '{"x":"%s"}' % ("x" * 500)),
        )
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    size = os.path.getsize(machine.site.db)
    with open(machine.site.db, "r+b") as file:
        file.seek(size // 8192 * 4096)
        file.write(b"\xaa" * 8192)
    machine.run("systemctl start jobwire-events jobwire-webhook")


@pytest.mark.parametrize("has_copy", [True, False])
def test_a_damaged_file(machine, has_copy):
    """The doctor sees it; the copy, or what SQLite can save, takes its place."""
    begin(machine)
    machine.run("jobwire backup /var/backups/jobwire/last.db")
    damage(machine)
    assert re.search(r"^fail +database", machine.run("jobwire doctor").stdout,
                     re.M)
    first, second = SECTIONS["A damaged file"]
    for command in first:
        if has_copy or "restore" not in command:
            assert machine.run(command).returncode == 0, command
        else:
            for other in second:
                done = machine.run(other)
                assert done.returncode == 0, f"{other}\n{done.stderr}"
    until(lambda: machine.health() == 200, machine.log, 10)
    assert "job-1" in machine.run("jobwire jobs").stdout


def test_change_a_key(machine):
    """URLs that the old one signed are good, and new ones, at once."""
    old = machine.run("jobwire url job-1").stdout
    task(machine, "Change a key")
    new = machine.run("jobwire url job-1").stdout

    def status(url):
        target = "/" + url.strip().split("/", 3)[3]
        return machine.site.post(target, COMPLETED).status

    assert old != new
    assert status(old) == 200 and status(new) == 200
    mode = os.stat(os.path.join(machine.etc, "webhook.key")).st_mode
    assert mode & 0o777 == 0o640, "it keeps its mode"


def test_a_flood_names_its_client(machine):
    """By the web server's log, and by ours."""
    for _ in range(20):
        machine.web.endpoint.call(
            "POST", "/api/v1/webhooks/runpod-completion?job_id=a", {}, b"{}")
    ours, webs = SECTIONS["A flood from one client"][0]
    assert re.search(r"\b2\d peer=127", machine.run(ours).stdout)
    assert re.search(r"\b\d+ 127\.0\.0\.1", machine.run(webs).stdout)


def test_a_run_that_is_stuck(machine):
    """It is found by the lists, and its cancellation is told."""
    run = begin(machine)
    listed = machine.run(SECTIONS["A run that is stuck"][0][0]).stdout
    assert "job-2" in listed and "waiting" in listed
    task(machine, "A run that is stuck", 1, RUN=run)
    assert "cancelled" in machine.run("jobwire show job-2").stdout


def test_a_silent_job_is_ended(machine):
    """By an event that says how."""
    begin(machine)
    first, second = SECTIONS["JobwireJobSilent"]
    assert "job-1" in machine.run(first[0]).stdout
    assert machine.run(second[0], JOB="job-1").returncode == 0
    assert "The worker was lost." in machine.run("jobwire show job-1").stdout


