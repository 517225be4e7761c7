"""What is written about the settings, against what the programs say of them:
the manuals and the example file."""

import os
import re

import pytest
from harness.process import read_text
from harness.site import run, source_root

PROGRAMS = {
    "jobwire": 1, "jobwire-events": 8, "jobwire-webhook": 8, "jobwire-runner": 8,
    "jobwire-relay": 8,
}
EXAMPLE = os.path.join(source_root(), "contrib", "jobwire.conf.example")
# Flags that are about one run and say nothing in a file.
_NOT_IN_FILE = {"help", "version", "check", "json", "config", "once"}
_HELP_LINE = re.compile(
    r"  --(?P<flag>[a-z-]+)(?: \S+)? +\S.*?(?: \((?P<default>[^()]*)\))?"
)
_EXAMPLE_LINE = re.compile(r"(?P<off>#?)(?P<name>[a-z_]+) = (?P<value>\S.*)")
_MANUAL_ITEM = re.compile(r"\.It Ic (?P<name>[a-z_]+) No = .* Pq (?P<default>.*)")


def manual(name, section):
    """The source of a manual page."""
    return read_text(os.path.join(source_root(), "man", f"{name}.{section}"))


def flags(name):
    """Every flag of a program, as a setting is written in a file, with its
    default or None."""
    lines = [
        _HELP_LINE.fullmatch(line)
        for line in run(name, "--help", check=True).stdout.splitlines()
        if line.startswith("  --")
    ]
    assert lines and all(lines)
    return {m["flag"].replace("-", "_"): m["default"] for m in lines}


def settings():
    """All settings of all programs, with their defaults."""
    found = {}
    for name in PROGRAMS:
        found.update(flags(name))
    return {k: v for k, v in found.items() if k not in _NOT_IN_FILE}


def example():
    """The settings in the example file: {name: (is switched on, value)}."""
    found = {}
    for line in read_text(EXAMPLE).splitlines():
        match = _EXAMPLE_LINE.fullmatch(line)
        if match:
            assert match["name"] not in found, f"{match['name']} twice"
            found[match["name"]] = (not match["off"], match["value"])
        else:
            assert not line or line == "#" or line.startswith("# "), line
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_flag_is_in_its_manual(name):
    text = manual(name, PROGRAMS[name])
    options = text[text.index(".Ss Options") :]
    listed = re.findall(r"(?m)^(?:\.It Fl|\.Fl) -([a-z-]+)", options)
    assert set(listed) == {flag.replace("_", "-") for flag in flags(name)}


@pytest.mark.parametrize(
    "name, daemon",
    [("events.cgi", "jobwire-events"), ("webhook.cgi", "jobwire-webhook")],
)
def test_cgi_programs_differ_as_their_manual_says(name, daemon):
    own, others = flags(name), flags(daemon)
    assert set(others) - set(own) == {
        "socket", "socket_mode", "workers", "hardening",
    }
    written = dict(
        re.findall(r"(?m)^\.It Ic (\w+) Pq (.*)", manual("events.cgi", 8))
    )
    changed = {k: v for k, v in own.items() if others[k] != v}
    assert changed == {k: v for k, v in written.items() if k in own}


def test_every_command_is_in_the_manual():
    text = run("jobwire", "--help", check=True).stdout
    usage = text.split("Exit status:")[0]
    commands = re.findall(r"(?m)^  (\w+)", usage)
    synopsis, description = manual("jobwire", 1).split(".Sh DESCRIPTION")
    written = re.findall(r"(?m)^\.It Cm (\w+)", description)
    # token has an item for each thing it does.
    assert list(dict.fromkeys(written)) == commands
    written = re.findall(r"(?m)^\.Cm (\w+)", synopsis)
    assert list(dict.fromkeys(written)) == commands


def test_every_setting_is_in_its_manual_with_its_default():
    written = {
        m["name"]: m["default"].removeprefix("Pa ")
        for m in _MANUAL_ITEM.finditer(manual("jobwire.conf", 5))
    }
    expected = {k: v or "none" for k, v in settings().items()}
    assert written == expected


def test_every_setting_is_in_the_example_with_its_default():
    shown = example()
    for name, default in settings().items():
        if name == "socket":
            assert {"events_socket", "webhook_socket"} <= set(shown)
            continue
        is_on, value = shown[name]
        assert default is None or (is_on, value) == (False, default), name
    known = set(settings()) | {"events_socket", "webhook_socket"}
    assert set(shown) <= known


def write_key(folder, name):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="ascii") as file:
        file.write("0123456789abcdef\n")
    return path


def check(name, config, database):
    """The settings that a program ends up with."""
    more = []  # the files that the example names are not there
    if name != "jobwire-events":
        more += ["--webhook-secret", "0123456789abcdef"]
    if name == "jobwire-webhook":
        for flag in ("--publish-keys", "--standard-secret", "--fal-jwks"):
            more += [flag, ""]
    if name == "jobwire-relay":
        more = ["--redis-url", "redis://127.0.0.1:6379/0"]
    if name == "jobwire-runner":
        key = write_key(os.path.dirname(database), "runpod.key")
        more += ["--runpod-key", f"@{key}"]
    lines = run(
        name, "--check", "--config", config, "--db", database, *more, check=True
    ).stdout
    return dict(
        re.fullmatch(r"(\w+) = (.*)", line).groups()
        for line in lines.splitlines()
        if " = " in line
    )


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_example_loads(make_site, tmp_path, name):
    site = make_site()
    all_on = tmp_path / "all-on.conf"
    all_on.write_text(re.sub(r"(?m)^#(?=\S)", "", read_text(EXAMPLE)))
    defaults = tmp_path / "defaults.conf"
    defaults.write_text("")
    plain = check(name, str(defaults), site.db)
    as_shipped = check(name, EXAMPLE, site.db)
    changed = {k for k in plain if plain[k] != as_shipped[k]}
    assert changed <= {"config", "socket", "webhook_secret"}
    switched_on = check(name, str(all_on), site.db)
    changed = {k for k in as_shipped if as_shipped[k] != switched_on[k]}
    assert changed <= {
        "config", "cors_origins", "jwt_key", "jwt_issuer", "jwt_audience",
        "jwt_cookie", "log_file", "runpod_actions", "runpod_key", "node_id",
        "redis_url",
    }


def test_check_reads_the_secret(make_site):
    """A secret that cannot be used is found before the start."""
    site = make_site()
    for value in ("@/nonexistent", "short"):
        done = run(
            "jobwire-webhook", "--check", "--db", site.db,
            "--webhook-secret", value,
        )
        assert done.returncode == 1
        assert "event=bad_secret" in done.stderr
        assert "short" not in done.stderr.replace("shorter", "")


def test_stray_arguments_are_refused():
    for name in ("jobwire-events", "jobwire-webhook", "jobwire-runner", "jobwire-relay"):
        done = run(name, "extra")
        assert done.returncode == 2
        assert "usage:" in done.stderr
