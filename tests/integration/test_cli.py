"""The command line, and what the programs say about their settings."""

import contextlib
import json
import os
import re
import signal
import subprocess
import urllib.parse

import pytest
from harness.process import read_text
from harness.publish import RUNPOD, fixture, sign
from harness.site import BIN, SECRET, program, run, source_root
from harness.wait import patience, until

PROGRAMS = ["jobwire", "jobwire-events", "jobwire-webhook"]
COMPLETED = fixture("runpod-completed.json")


@pytest.mark.parametrize("name", PROGRAMS)
def test_help(name):
    done = run(name, "--help")
    assert done.returncode == 0
    assert done.stderr == ""
    assert name in done.stdout
    for flag in ("--config", "--db", "--version", "--check"):
        assert flag in done.stdout


@pytest.mark.parametrize("name", PROGRAMS)
def test_version(name):
    version = read_text(os.path.join(source_root(), "VERSION")).strip()
    done = run(name, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{name} {version}\n"


@pytest.mark.parametrize("name", PROGRAMS)
def test_unknown_flag(name):
    done = run(name, "--no-such-flag")
    assert done.returncode == 2
    assert "--no-such-flag" in done.stderr


@pytest.mark.parametrize("name", PROGRAMS)
def test_check_shows_settings_and_no_secret(make_site, name):
    site = make_site(retry_min="1234ms")
    done = run(name, "--check", "--config", site.config)
    assert done.returncode == 0, done.stderr
    assert site.db in done.stdout
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize("name", PROGRAMS)
def test_unknown_key_names_its_line(make_site, name):
    site = make_site()
    with open(site.config, "a", encoding="utf-8") as file:
        file.write("# a comment\nno_such_key = 1\n")
    line = read_text(site.config).count("\n")
    done = run(name, "--check", "--config", site.config)
    assert done.returncode == 2
    assert "no_such_key" in done.stderr
    assert site.config in done.stderr
    assert re.search(rf"\b{line}\b", done.stderr)


@pytest.mark.parametrize(
    "key, value",
    [("retry_min", "soon"), ("retry_min", "6s"), ("drain", "-1s"),
     ("max_streams", "many"), ("api_prefix", "x"), ("inotify", "maybe")],
)
def test_bad_value_names_its_key(make_site, key, value):
    site = make_site(**{key: value}, init=False)
    done = run("jobwire-events", "--check", "--config", site.config)
    assert done.returncode == 2
    assert key in done.stderr


def test_setting_that_is_gone(make_site):
    """An old file or flag keeps no program from starting; who reads the log
    learns of it."""
    site = make_site(auth_failures="60")
    line = read_text(site.config).count("\n")
    for name in ("jobwire-events", "jobwire-webhook"):
        done = run(name, "--check", "--config", site.config)
        assert done.returncode == 0
        assert "auth_failures" not in done.stdout
        assert "level=warn event=setting_gone" in done.stderr
        assert f"{site.config}:{line}: auth_failures has no" in done.stderr
        done = run(name, "--check", "--config", site.config,
                   "--auth-failures", "3")
        assert done.returncode == 0
        assert "--auth-failures: auth_failures has no" in done.stderr
    done = run("jobwire", "stats", "--config", site.config)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", PROGRAMS)
def test_missing_configuration_file(name):
    done = run(name, "--check", "--config", "/nonexistent/jobwire.conf")
    assert done.returncode == 2
    assert "/nonexistent/jobwire.conf" in done.stderr


def test_short_secret_is_refused(make_site):
    site = make_site(webhook_secret="short")
    done = run("jobwire-webhook", "--config", site.config)
    assert done.returncode in (1, 2)
    assert "webhook_secret" in done.stderr
    assert "short" not in done.stderr.replace("shorter", "").replace(
        "too short", ""
    )


def test_nothing_to_listen_on(make_site):
    site = make_site(events_socket=None)
    done = run("jobwire-events", "--config", site.config)
    assert done.returncode in (1, 2)
    assert "socket" in done.stderr


# -- help ------------------------------------------------------------------

COMMANDS = [
    "init", "url", "publish", "tail", "jobs", "show", "delete", "runs", "run",
    "inbox", "token", "ticket", "cluster", "prune", "backup", "restore",
    "stats", "reload", "top", "doctor", "simulate", "completion", "help",
    "version",
]


@pytest.mark.parametrize("arguments", [["help"], ["-h"], ["--help"]], ids=repr)
def test_help_lists_the_commands(arguments):
    done = run("jobwire", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    listed = re.findall(r"(?m)^  ([a-z]+) +\S", done.stdout)
    assert listed == COMMANDS
    assert "--config FILE" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command):
    forms = [
        run("jobwire", "--config", "/nonexistent", *arguments)
        for arguments in (["help", command], [command, "--help"],
                          [command, "-h"], ["--help", command])
    ]
    assert {done.returncode for done in forms} == {0}
    assert {done.stderr for done in forms} == {""}
    assert len({done.stdout for done in forms}) == 1
    assert forms[0].stdout.startswith(f"usage: jobwire [options] {command}")


def test_help_of_a_command_has_its_flags_alone():
    text = run("jobwire", "help", "url").stdout
    listed = re.findall(r"(?m)^  --([a-z-]+)", text)
    assert listed == ["restore-id", "expires", "provider"]


def test_flags_of_commands_are_in_the_manual():
    text = read_text(os.path.join(source_root(), "man", "jobwire.1"))
    for command in COMMANDS:
        assert re.search(rf"(?m)^\.It Cm {command}\b", text), command
        for flag in re.findall(
            r"(?m)^  --([a-z-]+)", run("jobwire", "help", command).stdout
        ):
            assert re.search(rf"Fl -{flag}\b|\| -{flag}\b", text), flag


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["help", "url", "jobs"], "help: too many arguments\nusage: "),
        (["help", "--bogus"], "--bogus: unknown flag\n"),
        (["help", "--sub", "alice"], "--sub: not a flag of this command\n"),
        (["version", "extra"], "version: too many arguments\nusage: "),
        (["version", "--bogus"], "--bogus: unknown flag\n"),
        (["version", "--jsno"], "did you mean --json?"),
    ],
    ids=repr,
)
def test_surplus_words_for_help_and_version(arguments, said):
    done = run("jobwire", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_version_as_a_command():
    done = run("jobwire", "version", "--config", "/nonexistent")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == run("jobwire", "--version").stdout


# -- init ------------------------------------------------------------------


def test_init(make_site):
    site = make_site()
    assert site.writer.epoch()
    assert re.fullmatch("[0-9a-f]{8}", site.writer.epoch())
    epoch = site.writer.epoch()
    site.writer.publish("kept", "note")
    site.tool("init")
    assert site.writer.epoch() == epoch
    assert len(site.writer.rows("kept")) == 1


def test_init_without_folder(make_site):
    site = make_site(init=False)
    done = site.tool("init", "--db", "/nonexistent/x/jobwire.db", check=False)
    assert done.returncode == 1
    assert "/nonexistent/x" in done.stderr


def test_init_on_a_link_that_leads_nowhere(make_site):
    site = make_site(init=False)
    link = os.path.join(site.root, "link.db")
    os.symlink(os.path.join(site.root, "nothing.db"), link)
    for command in ("init", "stats"):
        done = site.tool(command, "--db", link, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"{link} is a symbolic link that leads nowhere" in done.stderr


@pytest.mark.parametrize(
    "path, said", [("/tmp", "is a folder"), ("/dev/null", "is no file")]
)
def test_database_that_cannot_be_one(make_site, path, said):
    site = make_site()
    for command in (["init"], ["publish", "job", "note"], ["stats"]):
        done = site.tool(*command, "--db", path, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"{path} {said}" in done.stderr


# -- url -------------------------------------------------------------------


def test_url(site):
    done = site.tool(
        "url", "job-1", "--restore-id", "r 1/ä", "--expires", "24h"
    )
    assert done.stdout.endswith("\n") and done.stdout.count("\n") == 1
    url = urllib.parse.urlsplit(done.stdout.strip())
    assert f"{url.scheme}://{url.netloc}" == "http://127.0.0.1:8080"
    assert url.path == f"/api/v1/webhooks/{RUNPOD}"
    query = dict(urllib.parse.parse_qsl(url.query, strict_parsing=True))
    assert set(query) == {"job_id", "restore_id", "exp", "sig"}
    assert query["job_id"] == "job-1" and query["restore_id"] == "r 1/ä"
    assert query["sig"] == sign(SECRET, RUNPOD, "job-1", "r 1/ä", query["exp"])
    assert len(query["sig"]) == 43
    answer = site.post(f"{url.path}?{url.query}", COMPLETED)
    assert answer.status == 200
    with site.stream("job-1") as stream:
        assert '"restore_id":"r 1/ä"' in stream.next().data


def test_url_without_restore_id(site):
    url = site.tool("url", "job-2").stdout.strip()
    assert "restore_id" not in url
    target = url[len("http://127.0.0.1:8080") :]
    assert site.post(target, COMPLETED).status == 200


def test_url_of_a_moment(site):
    url = site.tool("url", "job-3", "--expires", "1ms").stdout.strip()
    target = url[len("http://127.0.0.1:8080") :]

    def is_expired():
        return site.post(target, b"no json").status in (401, 403)

    until(is_expired, "the URL to expire")


def test_url_as_json(make_site):
    site = make_site(base_url='https://a"b\\c')
    url = site.tool("url", "job").stdout.strip()
    assert url.startswith('https://a"b\\c/api/v1/webhooks/')
    said = json.loads(site.tool("url", "job", "--json").stdout)["url"]
    assert said.startswith('https://a"b\\c/api/v1/webhooks/')


def test_url_without_secret(make_site):
    site = make_site(webhook_secret=None)
    done = site.tool("url", "job", check=False)
    assert done.returncode in (1, 2)
    assert "webhook_secret" in done.stderr


def test_url_of_a_bad_job(make_site):
    site = make_site()
    assert site.tool("url", "a b", check=False).returncode in (1, 2)
    assert site.tool("url", "", check=False).returncode in (1, 2)


def test_url_without_a_job(make_site):
    """For services that are given one URL for all jobs."""
    site = make_site()
    url = site.tool("url").stdout
    assert "job_id" not in url and "sig=" in url


# -- publish and tail --------------------------------------------------------


def test_publish(site):
    with site.stream("cli") as stream:
        stream.wait_open()
        site.tool("publish", "cli", "progress", '{"progress": 50}')
        event = stream.next()
        assert event.event == "progress"
        assert event.data == (
            '{"job_id":"cli","status":"processing","progress":50}'
        )
        done = site.tool("publish", "cli", "completed", "--json")
        assert stream.wait_end()[0].id in json.dumps(json.loads(done.stdout))


@pytest.mark.parametrize(
    "arguments, status",
    [
        ([], 2),
        (["job"], 2),
        (["job", "note", "{}", "more"], 2),
        (["a b", "note"], 2),
        (["job", "Bad Type"], 2),
        (["job", "resync"], 2),
        (["job", "note", "not json"], 2),
        (["job", "note", "[1]"], 2),
    ],
    ids=repr,
)
def test_publish_refuses(make_site, arguments, status):
    site = make_site()
    done = site.tool("publish", *arguments, check=False)
    assert done.returncode in (1, status)
    assert done.stderr and not done.stdout
    assert site.writer.rows() == []


def test_unknown_command(make_site):
    site = make_site()
    done = site.tool("dance", check=False)
    assert done.returncode == 2
    assert "usage:" in done.stderr
    assert run("jobwire").returncode == 2


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["jobs", "--state"], "--state: needs a value"),
        (["url", "a", "--expires"], "--expires: needs a value"),
        (["jobs", "--stat=failed"], "--stat: unknown flag"),
        (["jobs", "--sub", "alice"], "--sub: not a flag of this command"),
        (["jobs", "--stat=failed"], "did you mean --state?"),
        (["publish", "--cutsom", "j", "t"], "did you mean --custom?"),
        (["jobs", "--jsno"], "did you mean --json?"),
        (["dance", "--sub", "alice"], "no such command: dance\n"),
        (["jobs", "--state", "complted"],
         "jobs: no such state: complted; did you mean completed?\n"),
        (["jobs", "--state", "asleep"], "jobs: no such state: asleep\n"),
        (["url", "--provider", "replicat"],
         "no such provider: replicat; did you mean replicate?\n"),
        (["pubilsh", "j", "t"], "no such command: pubilsh; did you mean publish?"),
        (["help", "job"], "no such command: job; did you mean jobs?"),
        (["job", "--help"], "no such command: job; did you mean jobs?"),
        (["url", "a", "--", "--expires"], "url: too many arguments\nusage: "),
        (["publish", "a"], "publish: too few arguments\nusage: "),
        (["tail", *["a"] * 65], "tail: too many arguments\nusage: "),
        (["tail", "a", "a b"], "tail: not a job id"),
    ],
    ids=repr,
)
def test_wrong_usage_is_named(make_site, arguments, said):
    site = make_site()
    done = run("jobwire", "--config", site.config, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_the_last_of_several_flags_counts(make_site):
    site = make_site()
    for job, state in (("a", "queued"), ("b", "failed")):
        site.writer.publish(job, state)
    lines = site.tool("jobs", "--state=queued", "--state", "failed").stdout
    assert [line.split("\t")[2] for line in lines.splitlines()] == ["b"]


@pytest.mark.parametrize(
    "arguments", [["jobs"], ["url", "a"], ["stats", "--json"], ["tail", "a"]],
    ids=repr,
)
def test_output_that_cannot_be_written(make_site, arguments):
    site = make_site()
    site.writer.publish("a", "note")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [program("jobwire"), *arguments, "--config", site.config],
            stdout=full, stderr=subprocess.PIPE, text=True,
            timeout=patience(20),
        )
    assert done.returncode == 1
    assert done.stderr == "jobwire: standard output: not all was written\n"


@contextlib.contextmanager
def tail(site, *arguments):
    """A running `jobwire tail`; yields its output, read line by line."""
    process = site.run_command(
        "tail",
        [os.path.join(BIN, "jobwire"), "tail", *arguments, "--config",
         site.config],
        stdout=subprocess.PIPE, text=True,
    )
    try:
        yield process.child.stdout
    finally:
        process.child.stdout.close()
        process.kill()


def test_tail(site):
    site.writer.publish("watched", "processing", {"n": 1})
    with tail(site, "watched") as lines:
        assert "processing" in lines.readline()
        site.writer.publish("ignored", "processing")
        site.writer.publish("watched", "completed", {"n": 2})
        line = lines.readline()
        assert "completed" in line and "watched" in line


def test_tail_as_json(site):
    with tail(site, "watched", "--json") as lines:
        number = site.writer.publish("watched", "note", {"n": 1})
        event = json.loads(lines.readline())
        assert event["id"] == f"{site.writer.epoch()}-{number}"
        assert event["event"] == "note"
        assert event["data"] == {"job_id": "watched", "status": "queued", "n": 1}


def test_tail_ends_with_its_reader(site):
    """As any filter does: without a word."""
    site.writer.publish("a", "note")
    with subprocess.Popen(
        [program("jobwire"), "tail", "a", "--config", site.config],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as child:
        child.stdout.readline()
        child.stdout.close()
        site.writer.publish("a", "note")
        assert child.wait(patience(10)) == -signal.SIGPIPE
        assert child.stderr.read() == ""
