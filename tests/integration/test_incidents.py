"""Twenty ways in which an installation breaks. Each is found by the commands of
docs/operate.md or by `jobwire doctor`, which names what mends it; then that is
done, and all is well again."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys

import pytest
from harness.publish import fixture
from harness.site import checkpoint
from harness.wait import until
from test_operate import (  # noqa: F401
    PUBLISH_KEY, RUNPOD_KEY, SECTIONS, begin, damage, fixture_machine, last_id,
)

COMPLETED = fixture("runpod-completed.json")


def doctor(machine, check, url=""):
    """The doctor's finding of a check that is not ok: its text and remedy."""
    done = machine.run(f"jobwire --json doctor --gap 50ms {url}")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    faults = [f for f in found if f["check"] == check and f["finding"] != "ok"]
    assert len(faults) == 1, f"{check}: {done.stdout}{done.stderr}"
    fault = faults[0]
    return fault["text"], fault.get("remedy", "")


def is_well(machine):
    """A webhook is taken, and a stream has what came of it."""
    site = machine.site
    until(lambda: machine.health() == 200, machine.log, 15)
    assert site.post(site.signed("after"), COMPLETED).status == 200
    with site.stream("after") as stream:
        assert stream.wait_end()[-1].event == "completed"


def page(machine):
    """What top shows."""
    return machine.run("jobwire top --once").stdout


def settle(machine, name, value):
    """Changes a line of the settings."""
    with open(machine.site.config, encoding="utf-8") as file:
        text = file.read()
    with open(machine.site.config, "w", encoding="utf-8") as file:
        file.write(re.sub(rf"(?m)^{name} = .*\n", "", text) + value)


def ask_url(machine):
    """The site's address, for the doctor."""
    return f"http://127.0.0.1:{machine.web.port}"


def edit_web(machine, old, new):
    """Changes the web server's configuration, and restarts it."""

    def change(text):
        assert old in text
        return text.replace(old, new)

    machine.web.stop()
    machine.web.rewrite(change)
    machine.web.start()


# -- the programs ------------------------------------------------------------


def incident_events_killed(machine):
    """The socket is left behind."""
    os.kill(machine.pid("events"), 9)
    text, remedy = doctor(machine, "events_socket")
    assert "program dead" in text and "start jobwire-events" in remedy
    assert machine.run("systemctl start jobwire-events").returncode == 0


def incident_webhook_away(machine):
    """Nobody writes; streams go on."""
    machine.run("systemctl stop jobwire-webhook")
    text, remedy = doctor(machine, "webhook_socket")
    assert "program dead" in text and "start jobwire-webhook" in remedy
    until(lambda: "webhook away" in page(machine), "top to see it", 15)
    for command in SECTIONS["JobwireWritingAway"][0]:
        assert machine.run(command).returncode == 0


def incident_webhook_hangs(machine):
    """It lives and says nothing."""
    os.kill(machine.pid("webhook"), 19)
    text, remedy = doctor(machine, "webhook_socket")
    assert "no answer" in text and "start jobwire-webhook again" in remedy
    assert machine.run("systemctl restart jobwire-webhook").returncode == 0


def incident_run_folder_gone(machine):
    """As after a restart of the machine without tmpfiles."""
    machine.run("systemctl stop jobwire-events jobwire-webhook")
    shutil.rmtree(machine.site.run_folder)
    text, remedy = doctor(machine, "events_socket")
    assert "socket missing" in text
    assert f"install -d -o jobwire -g www-data -m 2750 {machine.site.run_folder}" in remedy
    os.mkdir(machine.site.run_folder)
    machine.run("systemctl start jobwire-events jobwire-webhook")


# -- settings and keys -------------------------------------------------------


def incident_setting_misspelt(machine):
    """The program does not start, and the doctor says what was meant."""
    settle(machine, "max_stream", "max_stream = 20\n")
    machine.run("systemctl restart jobwire-events")
    done = machine.run("jobwire doctor")
    assert "max_streams" in done.stdout + done.stderr
    settle(machine, "max_stream", "")
    machine.run("systemctl start jobwire-events")


def incident_key_missing(machine):
    """Its file was removed."""
    key = os.path.join(machine.etc, "webhook.key")
    os.rename(key, key + ".away")
    machine.run("systemctl restart jobwire-webhook")
    text, _ = doctor(machine, "settings")
    assert key in text
    assert "bad_secret" in machine.run("journalctl -u jobwire-webhook").stdout
    os.rename(key + ".away", key)
    machine.run("systemctl start jobwire-webhook")


def incident_key_open_to_all(machine):
    """Everybody can read it."""
    key = os.path.join(machine.etc, "webhook.key")
    os.chmod(key, 0o644)
    text, remedy = doctor(machine, "secrets")
    assert key in text and remedy == f"chmod o= {key}"
    assert machine.run(remedy).returncode == 0
    assert os.stat(key).st_mode & 0o777 == 0o640


def incident_key_changed_on_one_side(machine):
    """Services still have URLs that the old key signed."""
    old = machine.site.signed("a")
    key = os.path.join(machine.etc, "webhook.key")
    with open(key, encoding="ascii") as file:
        before = file.read()
    with open(key, "w", encoding="ascii") as file:
        file.write("another-key-0123456789abcdef0123456789\n")
    machine.run("jobwire reload")
    assert machine.site.post(old, COMPLETED).status == 403
    found = machine.run(SECTIONS["JobwireSignaturesRefused"][0][0]).stdout
    assert "signature_invalid" in found and "peer=" in found
    with open(key, "a", encoding="ascii") as file:
        file.write(before)
    assert machine.run("jobwire reload").returncode == 0
    assert machine.site.post(old, COMPLETED).status == 200


def incident_runpod_key_missing(machine):
    """What is started is never submitted."""
    path = os.path.join(machine.etc, "runpod.key")
    os.remove(path)
    text, remedy = doctor(machine, "runpod")
    assert path in text and "RunPod's API key" in remedy
    with open(path, "w", encoding="ascii") as file:
        file.write(RUNPOD_KEY + "\n")
    assert "fail     runpod" not in machine.run("jobwire doctor").stdout


# -- the database ------------------------------------------------------------

HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute(sys.argv[2]); db.execute("SELECT count(*) FROM jobs").fetchone()
print("held", flush=True)
sys.stdin.read()
"""


def hold(machine, statement):
    """A program that has a transaction open."""
    process = subprocess.Popen(  # pylint: disable=consider-using-with
        [sys.executable, "-c", HOLD, machine.site.db, statement],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def incident_locked(machine):
    """An editor with an open transaction keeps all others from writing."""
    holder = hold(machine, "BEGIN IMMEDIATE")
    text, _ = doctor(machine, "lock")
    assert str(holder.pid) in text
    holder.kill()
    holder.communicate()


def incident_reader_left_open(machine):
    """The WAL grows, and fuser names the reader."""
    holder = hold(machine, "BEGIN")
    machine.site.writer.publish_many(
        [("big", "note", {"x": "x" * 90000})] * 200)
    until(lambda: re.search(r"WAL \d\d\.\d MiB", page(machine)), "the WAL", 15)
    done = machine.run(SECTIONS["JobwireWalGrows"][0][0])
    assert str(holder.pid) in done.stdout
    holder.kill()
    holder.communicate()

    def is_small():
        machine.site.writer.publish("big", "note")
        return re.search(r"WAL (\d+ B|[\d.]+ KiB|\d\.\d MiB)", page(machine))

    until(is_small, "it to begin at its front again", 20)


def incident_database_deleted(machine):
    """All three files: the copy takes their place."""
    machine.run("jobwire backup /var/backups/jobwire/last.db")
    machine.site.drop_writer()
    for suffix in ("", "-wal", "-shm"):
        os.remove(machine.site.db + suffix)
    text, _ = doctor(machine, "database")
    assert machine.site.db in text
    restore(machine)


def restore(machine):
    """As A damaged file says."""
    for command in SECTIONS["A damaged file"][0]:
        if command.startswith("cp "):
            continue
        done = machine.run(command)
        assert done.returncode == 0, command + done.stderr
    until(lambda: machine.health() == 200, machine.log, 15)
    assert "job-1" in machine.run("jobwire jobs").stdout


def incident_database_is_a_text(machine):
    """Somebody wrote into it."""
    machine.run("jobwire backup /var/backups/jobwire/last.db")
    machine.site.drop_writer()
    machine.run("systemctl stop jobwire-events jobwire-webhook")
    checkpoint(machine.site.db)  # what is in the WAL would come back
    with open(machine.site.db, "w", encoding="ascii") as file:
        file.write("hello\n" * 1000)
    text, _ = doctor(machine, "database")
    assert "not a database" in text
    restore(machine)


def incident_database_damaged(machine):
    """Pages are overwritten."""
    machine.run("jobwire backup /var/backups/jobwire/last.db")
    damage(machine)
    text, _ = doctor(machine, "database")
    assert text
    restore(machine)


def incident_old_copy_put_back(machine):
    """By cp: ids are not given out a second time."""
    machine.site.drop_writer()
    machine.run("systemctl stop jobwire-events jobwire-webhook")
    checkpoint(machine.site.db)
    shutil.copy(machine.site.db, machine.backups)
    machine.run("systemctl start jobwire-events jobwire-webhook")
    before = last_id(machine)
    assert machine.run("jobwire publish job-1 note").returncode == 0
    machine.run("systemctl stop jobwire-events jobwire-webhook")
    shutil.copy(os.path.join(machine.backups, "jobwire.db"), machine.site.db)
    for suffix in ("-wal", "-shm"):
        if os.path.exists(machine.site.db + suffix):
            os.remove(machine.site.db + suffix)
    machine.run("systemctl start jobwire-events jobwire-webhook")
    until(lambda: machine.health() == 200, machine.log, 15)
    assert "database_restored" in machine.log()
    assert last_id(machine).split("-")[0] != before.split("-")[0]


def incident_no_wal(machine):
    """Somebody switched the journal, with all stopped."""
    machine.site.drop_writer()
    machine.run("systemctl stop jobwire-events jobwire-webhook")
    connection = sqlite3.connect(machine.site.db)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    text, _ = doctor(machine, "journal")
    assert "WAL" in text
    machine.run("systemctl start jobwire-events jobwire-webhook")
    until(lambda: machine.health() == 200, machine.log, 15)
    assert re.search(r"^ok +journal", machine.run("jobwire doctor").stdout, re.M)


def incident_database_of_a_newer_version(machine):
    """After a roll-back without the copy."""
    machine.run("jobwire backup /var/backups/jobwire/before-upgrade.db")
    machine.site.writer.connection.execute("PRAGMA user_version = 99")
    machine.site.drop_writer()
    machine.run("systemctl restart jobwire-events jobwire-webhook")
    text, _ = doctor(machine, "database")
    assert "newer" in text or "99" in text
    for command in SECTIONS["Roll back"][0]:
        done = machine.run(command)
        assert done.returncode == 0, command + done.stderr


# -- the web server ----------------------------------------------------------


def incident_web_buffers(machine):
    """Streams open, and nothing comes."""
    good = "fastcgi_buffering off;"
    bad = "fastcgi_buffering on; fastcgi_ignore_headers X-Accel-Buffering;"
    edit_web(machine, good, bad)
    text, remedy = doctor(machine, "buffered", ask_url(machine))
    assert text and good in remedy
    edit_web(machine, bad, good)


def incident_web_limits_bodies(machine):
    """Large webhooks are refused before they reach us."""
    edit_web(machine, "client_max_body_size 32m;", "client_max_body_size 1m;")
    _, remedy = doctor(machine, "body", ask_url(machine))
    assert "client_max_body_size 32m;" in remedy
    edit_web(machine, "client_max_body_size 1m;", "client_max_body_size 32m;")


def incident_base_url_leads_elsewhere(machine):
    """Services are given URLs at which nobody is."""
    settle(machine, "base_url", "base_url = http://127.0.0.1:1\n")
    text, remedy = doctor(machine, "events")
    assert "127.0.0.1 port 1" in text and "another name" in remedy
    settle(machine, "base_url", f"base_url = {ask_url(machine)}\n")
    machine.run("systemctl restart jobwire-webhook")
    assert str(machine.web.port) in machine.run("jobwire url a").stdout


# -- jobs and clients --------------------------------------------------------


def incident_no_runner(machine):
    """A run waits for one that was never started."""
    machine.site.writer.connection.execute(
        "UPDATE runs SET created_at = '2020-01-01T00:00:00.000Z'"
    )
    text, remedy = doctor(machine, "runner")
    assert "1 run" in text and "jobwire-runner" in remedy
    until(lambda: "1 waiting" in page(machine), "top to see it")
    assert machine.run(SECTIONS["JobwireRunsWait"][0][0]).returncode == 0
    until(lambda: not re.search(
        r"^(warn|fail) +runner", machine.run("jobwire doctor").stdout, re.M),
        "the runner")


def incident_worker_lost(machine):
    """A job has been silent since."""
    machine.site.writer.connection.execute(
        "UPDATE jobs SET updated_at = '2020-01-01T00:00:00.000Z'"
        " WHERE job_id = 'job-1'"
    )
    first, second = SECTIONS["JobwireJobSilent"]
    assert "job-1" in machine.run(first[0]).stdout.splitlines()[0]
    assert machine.run(second[0], JOB="job-1").returncode == 0
    assert "failed" in machine.run("jobwire jobs --state failed").stdout


def incident_one_client_takes_all_streams(machine):
    """The others are told to come back."""
    settle(machine, "max_streams", "max_streams = 3\n")
    machine.run("systemctl restart jobwire-events")
    until(lambda: machine.health() == 200, machine.log, 15)
    streams = [machine.site.stream("a") for _ in range(3)]
    for stream in streams:
        stream.wait_open()
    turned_away = machine.web.endpoint.call(
        "GET", "/api/v1/events/b", {"Accept": "text/event-stream"})
    assert turned_away.status == 200
    shown = page(machine)
    assert "3 open" in shown and "1 turned away" in shown, shown
    by_address = machine.run(SECTIONS["A flood from one client"][0][1])
    assert "127.0.0.1" in by_address.stdout
    for stream in streams:
        stream.close()


INCIDENTS = {
    name.removeprefix("incident_"): function
    for name, function in sorted(globals().items())
    if name.startswith("incident_")
}


@pytest.mark.parametrize("name", INCIDENTS)
def test_incident(machine, name):
    begin(machine)
    INCIDENTS[name](machine)
    is_well(machine)


def test_there_are_at_least_twenty():
    assert len(INCIDENTS) >= 20
