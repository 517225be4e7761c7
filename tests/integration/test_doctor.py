"""`jobwire stats`, and what `jobwire doctor` says of a machine without asking
its web server."""

import contextlib
import json
import os
import resource
import sqlite3
import subprocess

import pytest
from harness.doctor import Findings, examine
from harness.site import checkpoint, program
from harness.tmpfs import small_disk
from harness.wait import patience


def test_stats(make_site):
    site = make_site()
    site.writer.publish("a", "completed")
    last = site.writer.publish("b", "progress", {"progress": 1})
    numbers = json.loads(site.tool("stats", "--json").stdout)
    assert numbers.pop("jobs") == {
        "queued": 0, "processing": 1, "completed": 1, "failed": 0,
        "cancelled": 0, "timed_out": 0,
    }
    assert numbers.pop("oldest") <= numbers.pop("newest")
    assert numbers == {
        "events": 2,
        "unclaimed": 0,
        "last_event_id": f"{site.writer.epoch()}-{last}",
        "database_bytes": os.path.getsize(site.db),
        "wal_bytes": os.path.getsize(site.db + "-wal"),
    }


def test_stats_as_lines(make_site):
    site = make_site()
    site.writer.publish("a", "failed")
    lines = dict(
        line.split("\t") for line in site.tool("stats").stdout.splitlines()
    )
    assert lines["jobs failed"] == lines["events"] == "1"
    assert lines["unclaimed"] == "0"


def test_stats_of_nothing(make_site):
    numbers = json.loads(make_site().tool("stats", "--json").stdout)
    assert numbers["events"] == 0
    assert numbers["oldest"] is None and numbers["newest"] is None


def test_stats_without_database(make_site):
    done = make_site(init=False).tool("stats", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "jobwire init" in done.stderr


# -- doctor ------------------------------------------------------------------

# What the machine that runs the tests may have: old SQLite, no NTP, few
# descriptors, a file system in memory.
_OF_THE_MACHINE = {"sqlite", "clock", "descriptors", "filesystem", "space"}


def faults(site, *arguments):
    """What is wrong with the site, and not with the machine."""
    found = examine(site, *arguments).faults()
    return {k: v for k, v in found.items() if k not in _OF_THE_MACHINE}


def test_doctor_of_a_healthy_site(make_site):
    site = make_site().start_both()
    os.chmod(site.config, 0o640)
    os.chmod(site.db_folder, 0o750)
    assert faults(site) == {}
    checks = [finding.check for finding in examine(site).list]
    assert checks == [
        "settings", "secrets", "lock", "database", "journal", "filesystem",
        "space", "folder", "inotify", "descriptors", "sqlite", "clock",
        "events_socket", "webhook_socket",
    ]


def test_doctor_as_lines(make_site):
    site = make_site(inotify="off")
    os.chmod(site.config, 0o644)
    done = site.tool("doctor", check=False)
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert any(
        line.startswith("fail  secrets: ") and f" => chmod o= {site.config}" in line
        for line in lines
    )
    assert any(line.startswith("ok    database: ") for line in lines)
    assert any(line.startswith("warn  inotify: ") for line in lines)


@pytest.mark.parametrize(
    "settings, program, words",
    [
        ({"retry_min": "9s"}, "jobwire-events", "retry_min"),
        ({"max_body": "1"}, "jobwire-webhook", "max_body"),
        ({"webhook_secret": "@/nonexistent/key"}, "", "webhook_secret"),
        ({"publish_keys": "short"}, "", "publish_keys"),
        ({"events_auth": "jwt"}, "", "jwt_key"),
    ],
    ids=lambda value: "" if not isinstance(value, dict) else str(*value),
)
def test_doctor_and_settings(make_site, settings, program, words):
    """What would keep a program from starting; the rest is looked at."""
    site = make_site(**settings)
    findings = examine(site)
    (fault,) = [f for f in findings.of("settings") if f.finding == "fail"]
    assert program in fault.text and words in fault.text
    assert "short" not in fault.text.replace("shorter", "")
    assert findings.one("database").finding == "ok"


@pytest.mark.parametrize(
    "settings, remedy",
    [({"webhook_secret": None}, "webhook_secret"),
     ({"webhook_auth": "none"}, "webhook_auth")],
    ids=["no secret", "open"],
)
def test_doctor_warns_of_settings(make_site, settings, remedy):
    found = examine(make_site(**settings)).one("settings")
    assert found.finding == "warn" and remedy in found.remedy


def test_doctor_and_secret_files(make_site, tmp_path):
    """Each file that everybody can read, and no other."""
    files = {}
    for name, mode in (("open", 0o644), ("closed", 0o600), ("jwt", 0o604)):
        files[name] = tmp_path / name
        files[name].write_text("0123456789abcdef" * 2)
        files[name].chmod(mode)
    site = make_site(
        webhook_secret=f"@{files['open']}", publish_keys=f"@{files['closed']}",
        jwt_key=f"a=@{files['jwt']}",
    )
    os.chmod(site.config, 0o644)  # only names are in it
    found = examine(site).of("secrets")
    assert [f.finding for f in found] == ["fail", "fail"]
    remedies = {f.remedy for f in found}
    assert remedies == {f"chmod o= {files[n]}" for n in ("open", "jwt")}


def test_doctor_without_database(make_site):
    found = examine(make_site(init=False)).one("database")
    assert found.finding == "fail" and "jobwire init" in found.text


def test_doctor_of_a_damaged_database(make_site):
    site = make_site()
    site.writer.publish_many(("job", "note", None) for _ in range(5000))
    checkpoint(site.db)
    site.drop_writer()
    with open(site.db, "r+b") as file:
        pages = os.path.getsize(site.db) // 4096
        file.seek(4096 * (pages // 2))  # not one that opening it reads
        file.write(b"\0" * 4096)
    found = examine(site).one("database")
    assert found.finding == "fail" and "damaged" in found.text


def test_doctor_of_another_journal_mode(make_site):
    site = make_site()
    with contextlib.closing(sqlite3.connect(site.db)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    found = examine(site).one("journal")
    assert found.finding == "fail" and "journal_mode = WAL" in found.remedy


def test_doctor_of_a_large_wal(make_site):
    site = make_site()
    os.truncate(site.db + "-wal", 65 << 20)
    found = examine(site).one("journal")
    assert found.finding == "warn" and "65 MiB" in found.text


def test_doctor_and_strange_files(make_site):
    site = make_site()
    with open(os.path.join(site.db_folder, "backup.sql"), "w", encoding="ascii"):
        pass
    found = faults(site)["folder"]
    assert found.finding == "warn" and "backup.sql" in found.text


@pytest.mark.parametrize(
    "mode, name", [(0o777, ""), (0o666, "jobwire.db"), (0o606, "jobwire.db-wal")]
)
def test_doctor_and_modes(make_site, mode, name):
    site = make_site()
    os.chmod(os.path.join(site.db_folder, name), mode)
    found = examine(site).of("folder")
    assert any(f.finding == "fail" and f"{mode:04o}" in f.text for f in found)


def test_doctor_and_readers(make_site):
    site = make_site()
    os.chmod(site.db, 0o644)
    assert examine(site).one("folder").finding == "warn"


def test_doctor_without_inotify(make_site):
    site = make_site(inotify="off")
    assert faults(site)["inotify"].finding == "warn"


def test_doctor_without_descriptors(make_site):
    site = make_site(max_streams="1000")

    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

    found = examine(site, preexec_fn=limit).one("descriptors")
    assert found.finding == "warn" and "LimitNOFILE=1032" in found.remedy


def test_programs_raise_the_soft_limit_of_descriptors(make_site):
    """Which shells and systemd leave at 1024."""
    site = make_site(max_streams="300")

    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 400))

    for name in ("events", "webhook"):
        server = site.start(name, preexec_fn=limit)
        limits = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        assert limits == (400, 400)
    assert examine(site, preexec_fn=limit).one("descriptors").finding == "ok"


@pytest.mark.parametrize("size, finding", [("8m", "fail"), ("99m", "warn")])
def test_doctor_of_a_small_disk_in_memory(make_site, size, finding):
    site = make_site()
    command = [program("jobwire"), "doctor", "--json", "--config", site.config]
    done = subprocess.run(
        [*small_disk(size, site.db_folder), *command], capture_output=True,
        text=True, timeout=patience(30), stdin=subprocess.DEVNULL,
    )
    findings = Findings(done)
    assert findings.one("space").finding == finding
    found = findings.one("filesystem")
    assert found.finding == "warn" and "tmpfs" in found.text
