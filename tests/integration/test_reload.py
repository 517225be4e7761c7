"""SIGHUP: the settings are read again. Those that can change while a program
runs do, all or none; those that cannot are named."""

import grp
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile

import pytest
from harness.process import read_text
from harness.publish import fixture, signed_query
from harness.reading import get
from harness.site import SECRET, program, run, source_root, webhook_target
from harness.tokens import HS_SECRET, bearer, claims, private_key, public_key, token
from harness.users import needs_root
from harness.wait import patience, until
from harness.workers import wait_workers, workers_of

COMPLETED = fixture("runpod-completed.json")
NEW = "a-new-secret-0123456789abcdef0123"


def hang_up(server, event, count=1):
    """Sends SIGHUP; the line that tells what came of it."""

    def lines():
        return [
            line for line in server.log_text().splitlines()
            if f" event={event}" in line
        ]

    before = len(lines())
    server.child.send_signal(signal.SIGHUP)
    until(lambda: len(lines()) == before + count, event)
    return lines()[-1]


def replace(path, old, new):
    """As an editor does it: nobody reads half a file."""
    text = read_text(path)
    assert old in text
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text.replace(old, new))
    os.rename(path + ".new", path)


def statuses(site, text, times=8):
    """What a token gets, of each worker."""
    return {
        get(site, "/events/a?format=json", bearer(text)).status
        for _ in range(times)
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_rotation(make_site, tmp_path, workers):
    """As docs/security.md has it: the new key beside the old one, then the new
    one alone. A worker that takes another's place knows no other."""
    old_file, new_file = tmp_path / "old.pub", tmp_path / "new.pub"
    old_file.write_text(read_text(public_key("ES256")))
    new_file.write_text(read_text(public_key("ES256", "second")))
    settings = {
        "events_auth": "jwt", "jwt_alg": "ES256", "workers": str(workers),
    }
    site = make_site(**settings, jwt_key=f"old=@{old_file}")
    old, new = (
        token(
            claims(jobs=["a"]), "ES256", private_key("ES256", name), {"kid": kid}
        )
        for kid, name in (("old", "first"), ("new", "second"))
    )
    server = site.start("events")
    until(lambda: server.log_text().count("event=ready") == workers, "the keys")
    assert (statuses(site, old), statuses(site, new)) == ({200}, {401})
    both = f"new=@{new_file},old=@{old_file}"
    site.configure(**settings, jwt_key=both)
    line = hang_up(server, "keys_reloaded", workers)
    assert "needs_restart" not in line
    assert (statuses(site, old), statuses(site, new)) == ({200}, {200})
    old_file.unlink()
    site.configure(**settings, jwt_key=both.split(",", maxsplit=1)[0])
    hang_up(server, "keys_reloaded", workers)
    assert (statuses(site, old), statuses(site, new)) == ({401}, {200})
    if workers > 1:
        pids = wait_workers(server, workers)
        os.kill(pids[0], signal.SIGKILL)
        until(lambda: set(workers_of(server)) - set(pids), "a new worker")
        wait_workers(server, workers)
        assert (statuses(site, old), statuses(site, new)) == ({401}, {200})


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    "wrong, reason", [
        ({"jwt_key": "k=@/nonexistent/key"}, "/nonexistent/key"),
        ({"jwt_key": "short"}, "jwt_key"),
        ({"jwt_key": NEW, "no_such_setting": "1"}, "no_such_setting"),
        ({"jwt_key": NEW, "log_level": "loud"}, "log_level"),
    ],
)
def test_bad_settings_change_nothing(make_site, workers, wrong, reason):
    """One line in the log, and a worker that dies afterwards comes back."""
    settings = {"events_auth": "jwt", "workers": str(workers)}
    site = make_site(**settings, jwt_key=HS_SECRET)
    server = site.start("events")
    until(lambda: server.log_text().count("event=ready") == workers, "the keys")
    site.configure(**settings, **wrong)
    assert reason in hang_up(server, "keys_kept")
    good = token(claims(jobs=["a"]))
    other = token(claims(jobs=["a"]), key=NEW)
    assert (statuses(site, good), statuses(site, other)) == ({200}, {401})
    if workers > 1:
        pids = wait_workers(server, workers)
        os.kill(pids[0], signal.SIGKILL)
        until(lambda: set(workers_of(server)) - set(pids), "a new worker")
        wait_workers(server, workers)
        assert statuses(site, good) == {200}


@pytest.mark.parametrize("name", ["events", "webhook"])
def test_what_needs_a_restart(make_site, name):
    site = make_site()
    server = site.start(name)
    site.configure(
        cors_origins="https://app.example", max_bodies="512m",
        max_streams="5", jwt_key=NEW,
    )
    line = hang_up(server, "keys_reloaded")
    named = line.split("needs_restart=")[1].strip('"').split(", ")
    assert set(named) == {"cors_origins", "max_bodies"} | (
        {"max_streams"} if name == "events" else set()
    )
    site.configure()
    assert "needs_restart" not in hang_up(server, "keys_reloaded")


def test_flag_still_wins(make_site):
    site = make_site(events_auth="jwt", jwt_key="a-key-that-stays-0123456789abcdef01")
    server = site.start("events", "--jwt-key", HS_SECRET)
    site.configure(events_auth="jwt", jwt_key=NEW)
    hang_up(server, "keys_reloaded")
    assert statuses(site, token(claims(jobs=["a"]))) == {200}


def test_log_level(make_site):
    site = make_site()
    server = site.start("webhook")
    site.deliver("loud", COMPLETED)
    until(lambda: "job_id=loud" in server.log_text(), "its line")
    site.configure(log_level="warn")
    server.child.send_signal(signal.SIGHUP)

    def is_quiet():
        lines = server.log_text().count("event=request")
        site.deliver("quiet", COMPLETED)
        return server.log_text().count("event=request") == lines

    until(is_quiet, "the level")
    site.configure()
    hang_up(server, "keys_reloaded")


def test_webhook_settings(make_site):
    """Every kind of key of the writing half, in the file of settings itself."""
    site = make_site(publish_keys=SECRET)
    server = site.start("webhook")

    def publish(key):
        return site.post(
            "/api/v1/jobs/a/events", b'{"type":"step"}',
            {"Content-Type": "application/json", **bearer(key)},
        ).status

    def report(secret):
        return site.post(
            webhook_target(signed_query(secret, "job")), COMPLETED
        ).status

    assert (publish(SECRET), publish(NEW)) == (201, 401)
    assert (report(SECRET), report(NEW)) == (200, 403)
    site.configure(publish_keys=NEW, webhook_secret=NEW, standard_secret="short")
    assert "standard_secret" in hang_up(server, "keys_kept")
    assert (publish(SECRET), publish(NEW)) == (201, 401)
    assert (report(SECRET), report(NEW)) == (200, 403)
    site.configure(publish_keys=NEW, webhook_secret=f"{NEW},{SECRET}")
    hang_up(server, "keys_reloaded")
    assert (publish(SECRET), publish(NEW)) == (401, 201)
    assert (report(SECRET), report(NEW)) == (200, 200)


@pytest.mark.parametrize("break_it", [
    lambda path: os.truncate(path, 0),
    lambda path: (os.unlink(path), os.mkfifo(path)),
], ids=["empty", "fifo"])
def test_key_file_without_a_key(make_site, tmp_path, break_it):
    """Whoever writes it may be in the middle of that: nobody is shut out, and
    nobody waits for it."""
    path = tmp_path / "keys"
    path.write_text(SECRET)
    site = make_site(publish_keys=f"@{path}")
    server = site.start("webhook")
    break_it(path)
    assert "publish_keys" in hang_up(server, "keys_kept")
    answer = site.post(
        "/api/v1/jobs/a/events", b'{"type":"step"}',
        {"Content-Type": "application/json", **bearer(SECRET)},
    )
    assert answer.status == 201


def test_keys_change_under_load(make_site):
    """A call is checked with the keys of when it came: none is refused, and
    none is checked with keys that are gone."""
    site = make_site(webhook_secret=f"{SECRET},{NEW}")
    server = site.start("webhook")
    body = COMPLETED.replace(b'"Hello World"', b'"%s"' % (b"x" * 200_000), 1)
    calls = []
    list_now, list_next = f"{NEW},{SECRET}", f"{SECRET},{NEW}"
    for number in range(60):
        calls.append(site.endpoint("webhook").open(
            "POST", site.signed(f"job-{number}"),
            {"Content-Type": "application/json"}, body,
        ))
        if number % 3 == 0:
            list_now, list_next = list_next, list_now
            replace(site.config, list_now, list_next)
            server.child.send_signal(signal.SIGHUP)
    assert {call.finish().status for call in calls} == {200}
    assert "keys_kept" not in server.log_text()


def reload(site, *flags):
    """What `jobwire reload` says: its status and its lines."""
    done = site.tool("reload", *flags, check=False)
    return done.returncode, (done.stdout + done.stderr).splitlines()


def wait_for_database(server, workers=1):
    """It listens before it has opened it."""
    until(lambda: server.log_text().count("event=ready") == workers, "the database")


def wait_for_database_in(log):
    until(lambda: log.exists() and "event=ready" in log.read_text(), "the database")


@pytest.mark.parametrize("workers", [1, 2])
def test_command(make_site, workers):
    """All programs of this database, each process by itself, and no other."""
    site, other = make_site(workers=str(workers)), make_site()
    server, stranger = site.start("events"), other.start("webhook")
    wait_for_database(server, workers)
    wait_for_database(site.start("webhook"))
    wait_for_database(stranger)
    pids = {site.webhook.pid, *(workers_of(server) if workers > 1 else [server.pid])}
    site.configure(workers=str(workers), cors_origins="https://app.example")
    status, lines = reload(site)
    assert status == 0
    assert sorted(lines) == sorted(
        [f"jobwire-webhook {site.webhook.pid}: reloaded; needs a restart: cors_origins"]
        + [
            f"jobwire-events {pid}: reloaded; needs a restart: cors_origins"
            for pid in pids - {site.webhook.pid}
        ]
    )
    site.configure(workers=str(workers))
    said = [json.loads(line) for line in reload(site, "--json")[1]]
    assert {line.pop("pid") for line in said} == pids
    assert all(line["ok"] and line["needs_restart"] is None for line in said)
    assert "keys_reloaded" not in stranger.log_text()
    assert not os.path.exists(site.db + "-reload")


@pytest.mark.parametrize("workers", [1, 2])
def test_command_with_bad_settings(make_site, workers):
    settings = {"workers": str(workers), "events_auth": "jwt"}
    site = make_site(**settings, jwt_key=HS_SECRET)
    server = site.start("events")
    wait_for_database(server, workers)
    site.configure(**settings, jwt_key="short")
    status, lines = reload(site)
    assert status == 1
    assert len(lines) == workers
    assert all("nothing changed: " in line and "jwt_key" in line for line in lines)
    site.configure(**settings, jwt_key=HS_SECRET, log_level="loud")
    # The command has settings of its own, which are as bad.
    done = site.tool("reload", check=False)
    assert (done.returncode, "log_level" in done.stderr) == (2, True)


def test_command_with_much_to_say(make_site):
    """The reason is cut, and it stays text."""
    settings = {"events_auth": "jwt"}
    site = make_site(**settings, jwt_key=HS_SECRET)
    server = site.start("events")
    wait_for_database(server)
    n_halves = 0
    for more in ("", "x"):  # one of them is cut in the middle of a character
        path = f"/nonexistent{more}/" + "ü" * 1200
        site.configure(**settings, jwt_key=f"@{path}")
        status, (line,) = reload(site)
        assert status == 1
        begin = f"jobwire-events {server.pid}: nothing changed: jwt_key: "
        assert line.startswith(begin + path[:400]), line
        assert len(line.encode()) < 1200
        n_halves += line.count("\ufffd")
        said = json.loads(reload(site, "--json")[1][0])
        assert said["error"].startswith(f"jwt_key: {path[:400]}"), said
    assert n_halves == 1
    site.configure(**settings, jwt_key=HS_SECRET)
    assert reload(site)[0] == 0


def test_command_without_a_program(make_site):
    site = make_site()
    status, lines = reload(site)
    assert status == 1
    assert "no program has it open" in lines[0]
    os.unlink(site.db)
    assert "no database" in reload(site)[1][0]


def test_command_by_a_link(make_site):
    """The database is known by what it is."""
    site = make_site()
    wait_for_database(site.start("webhook"))
    link = os.path.join(site.root, "link.db")
    os.symlink(site.db, link)
    assert reload(site, "--db", link)[0] == 0


def test_credentials_are_copies(make_site, tmp_path):
    """A key that systemd has handed on is not the one in /etc any more."""
    (tmp_path / "webhook.key").write_text(SECRET)
    site = make_site(webhook_secret=f"@{tmp_path}/webhook.key")
    wait_for_database(site.start(
        "webhook", launcher=["env", f"CREDENTIALS_DIRECTORY={tmp_path}"]
    ))
    status, lines = reload(site)
    assert status == 0
    assert lines[0].endswith(
        "reloaded; needs a restart: webhook_secret (a copy of systemd's)"
    )


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("settings_are_good", [True, False])
def test_log_file(make_site, workers, settings_are_good):
    """As logrotate does it: move the file, send the signal. What is said after
    that stands in a new one, also while somebody edits the settings."""
    folder = tempfile.mkdtemp(prefix="jobwire-log-")
    path = os.path.join(folder, "events.txt")
    settings = {
        "workers": str(workers), "log_file": path, "events_auth": "jwt",
    }
    site = make_site(**settings, jwt_key=HS_SECRET)
    server = site.start("events")
    until(lambda: read_text(path).count("event=ready") == workers, "the start")
    assert server.log_text() == ""
    assert stat.S_IMODE(os.stat(path).st_mode) & 0o007 == 0
    os.rename(path, path + ".1")
    if settings_are_good:
        assert reload(site, "--logs")[0] == 0
        until(lambda: os.path.exists(path), "the new file")
    site.configure(
        **settings, jwt_key=HS_SECRET if settings_are_good else "short"
    )
    server.child.send_signal(signal.SIGHUP)
    event = "keys_reloaded" if settings_are_good else "keys_kept"
    until(lambda: os.path.exists(path) and f"event={event}" in read_text(path), event)
    old = read_text(path + ".1")
    assert event not in old
    site.events.terminate()
    until(lambda: read_text(path).count("event=stopped") == workers, "the end")
    assert read_text(path + ".1") == old
    shutil.rmtree(folder)


def test_log_file_that_cannot_be_made_again(make_site, tmp_path):
    """What is said after the signal stands in the old one, with the reason,
    until it can."""
    folder, away = tmp_path / "log", tmp_path / "away"
    folder.mkdir()
    path = folder / "webhook.txt"
    site = make_site(log_file=str(path))
    server = site.start("webhook")
    wait_for_database_in(path)
    folder.rename(away)
    server.child.send_signal(signal.SIGUSR1)
    old = away / path.name
    until(lambda: "event=log_file_kept" in old.read_text(), "the reason")
    assert f"path={path} " in old.read_text()
    assert "No such file or directory" in old.read_text()
    site.deliver("a", COMPLETED)
    until(lambda: "job_id=a" in old.read_text(), "its line")
    old.rename(tmp_path / "old.txt")
    away.rename(folder)
    server.child.send_signal(signal.SIGUSR1)
    until(path.exists, "the new file")
    site.deliver("b", COMPLETED)
    until(lambda: "job_id=b" in path.read_text(), "its line")
    assert "job_id=b" not in (tmp_path / "old.txt").read_text()


def test_log_file_that_cannot_be_made(make_site):
    site = make_site(log_file="/nonexistent/events.log")
    done = run("jobwire-events", "--config", site.config)
    assert done.returncode == 2
    assert done.stderr == (
        "jobwire-events: log_file: /nonexistent/events.log: "
        "No such file or directory\n"
    )
    run("jobwire-events", "--config", site.config, "--check", check=True)


def test_logrotate(make_site, tmp_path):
    """The file in contrib, as it is but for its paths and users."""
    logrotate = shutil.which("logrotate", path=os.environ["PATH"] + ":/usr/sbin")
    if logrotate is None:
        pytest.skip("no logrotate")
    log = tmp_path / "log" / "webhook.log"
    log.parent.mkdir(mode=0o750)
    site = make_site(log_file=str(log))
    server = site.start("webhook")
    wait_for_database_in(log)
    rules = read_text(os.path.join(source_root(), "contrib", "logrotate", "jobwire"))
    us = f"{pwd.getpwuid(os.geteuid()).pw_name} {grp.getgrgid(os.getegid()).gr_name}"
    command = f"{program('jobwire')} reload --logs --config {site.config}"
    for old, new in (
        ("/var/log/jobwire", str(log.parent)), ("jobwire adm", us),
        ("/usr/local/bin/jobwire reload --logs", command),
    ):
        assert old in rules
        rules = rules.replace(old, new)
    (tmp_path / "rules").write_text(rules)
    (tmp_path / "rules").chmod(0o644)
    subprocess.run(
        [logrotate, "--force", "-s", tmp_path / "state", tmp_path / "rules"],
        check=True, timeout=patience(30),
    )
    old = read_text(f"{log}.1")
    assert "event=ready" in old
    # logrotate has made the file; that it is the one that is open is told by this:
    until(lambda: os.path.samefile(f"/proc/{server.pid}/fd/2", log), "the new file")
    site.deliver("a", COMPLETED)
    until(lambda: "job_id=a" in log.read_text(), "its line")
    assert read_text(f"{log}.1") == old


@needs_root
def test_command_beside_one_that_has_ended(make_site):
    """Another user's, whose parent has not asked for its end: it has nothing
    open, though nobody may look."""
    site = make_site()
    os.chmod(site.db_folder, 0o755)
    os.chmod(site.db, 0o644)
    twin = shutil.copy("/bin/true", os.path.join(site.root, "jobwire-events"))
    tool = shutil.copy(program("jobwire"), site.root)
    with subprocess.Popen([twin], user=12345) as ended:
        until(lambda: "State:\tZ" in read_text(f"/proc/{ended.pid}/status"),
              "it to end")
        done = subprocess.run(
            [tool, "reload", "--config", site.config],
            user=23456, capture_output=True, text=True, cwd="/", check=False,
        )
    assert done.returncode == 1
    assert f"jobwire-events {ended.pid}" not in done.stdout
