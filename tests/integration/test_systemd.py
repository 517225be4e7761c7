"""The units in contrib/systemd, as far as systemd-analyze can tell without a
systemd that runs."""

import glob
import os
import re
import shutil
import subprocess

import pytest
from harness.process import read_text
from harness.site import BIN, source_root
from harness.wait import patience

FOLDER = os.path.join(source_root(), "contrib", "systemd")
RESPONDERS = ["jobwire-events", "jobwire-webhook"]
SERVICES = [*RESPONDERS, "jobwire-runner", "jobwire-relay"]


def analyze(*arguments):
    """systemd-analyze, run to its end."""
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments], capture_output=True,
        text=True, timeout=patience(60), check=False,
        env={**os.environ, "SYSTEMD_COLORS": "0", "LC_ALL": "C.UTF-8"},
    )


@pytest.fixture(autouse=True)
def fixture_tool():
    """All tests here need a systemd-analyze that reads files."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    version = int(re.search(r"systemd (\d+)", analyze("--version").stdout)[1])
    if version < 250:
        pytest.skip(f"systemd-analyze {version} cannot judge files (--offline)")


@pytest.fixture(name="units")
def fixture_units(tmp_path):
    """Copies of the units that start the programs of this build."""
    for path in glob.glob(os.path.join(FOLDER, "*.s[eo]*")):
        text = read_text(path).replace("/usr/local/bin", BIN)
        (tmp_path / os.path.basename(path)).write_text(text)
    return tmp_path


@pytest.mark.parametrize("name", SERVICES)
def test_exposure(units, name):
    """Of 10, as systemd counts it."""
    done = analyze("security", "--offline=true", str(units / f"{name}.service"))
    level = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert level, done.stdout + done.stderr
    assert float(level[1]) < 2.0, done.stdout


def test_units_are_understood(units):
    names = [f"{s}.service" for s in SERVICES]
    names += [f"{s}.socket" for s in RESPONDERS]
    done = analyze("verify", "--man=no", *(str(units / name) for name in names))
    said = [line for line in done.stderr.splitlines() if "jobwire" in line]
    assert (done.returncode, said) == (0, []), done.stderr


def expand(name, sets):
    """The system calls of a filter's word; a set may name other sets."""
    if not name.startswith("@"):
        return {name}
    return set().union(*(expand(part, sets) for part in sets[name]))


def filter_sets():
    """systemd's named sets: {name: [what is in it]}."""
    sets = {}
    for line in analyze("syscall-filter").stdout.splitlines():
        word = line.strip()
        if line.startswith("@"):
            sets[word] = current = []
        elif word and not word.startswith("#"):
            current.append(word)
    return sets


# In the program's list for those that may connect, which the responders are not.
CONNECTS = {"socket", "socketpair", "connect", "sendmmsg"}


@pytest.mark.parametrize("name", SERVICES)
def test_the_unit_allows_what_the_program_allows_itself(units, name):
    """Of the two lists of system calls, the program's is the shorter."""
    sets = filter_sets()
    allowed = set()
    text = read_text(units / f"{name}.service")
    for line in re.findall(r"(?m)^SystemCallFilter=(.*)", text):
        words = line.removeprefix("~").split()
        calls = set().union(*(expand(word, sets) for word in words))
        allowed = allowed - calls if line.startswith("~") else allowed | calls
    allowed |= expand("@default", sets)
    source = read_text(os.path.join(source_root(), "src", "app", "harden.c"))
    ours = set(re.findall(r"SCMP_SYS\((\w+)\)", source))
    if name in RESPONDERS:
        ours -= CONNECTS
    assert len(ours) > 80
    # The owner of files is set by root alone, which the service is not.
    assert ours - allowed == {"fchown"}


def test_the_services_are_shut_in_alike():
    events, webhook = (
        read_text(os.path.join(FOLDER, f"{name}.service")).split("\n\n", 3)
        for name in RESPONDERS
    )
    assert events[3] == webhook[3].replace("jobwire-webhook", "jobwire-events")
    assert "SystemCallFilter" in events[3]


def test_sockets_are_where_the_web_server_looks():
    for name in RESPONDERS:
        text = read_text(os.path.join(FOLDER, f"{name}.socket"))
        path = re.search(r"(?m)^ListenStream=(.*)", text)[1]
        for example in ("nginx", "apache", "lighttpd"):
            config = os.path.join(source_root(), f"{example}.conf.example")
            assert path in read_text(config)
