"""`make peers`: it finds nothing wrong with jobwire, and what is wrong with a
server that keeps events in memory."""

import os
import re
import subprocess
import sys

import pytest

from harness.site import BIN, FAULTS, is_sanitized, program, source_root
from harness.wait import patience

PROGRAM = os.path.join(source_root(), "tests", "faults", "peers.py")


def run(*arguments):
    """The program with a fault or two."""
    return subprocess.run(
        [sys.executable, PROGRAM, "--rounds", "1", *arguments],
        capture_output=True, text=True, check=False, cwd=source_root(),
        timeout=patience(60),
        env={**os.environ, "FAULTS": FAULTS, "JOBWIRE_BIN": BIN},
    )


@pytest.mark.parametrize("fault", ["kill", "absence"])
def test_jobwire_keeps_its_promises(fault):
    """Also beside what peers are asked for."""
    done = run("--system", "jobwire", "--fault", fault)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| kept of " in done.stdout, done.stdout


def test_jobwire_keeps_its_promises_at_a_power_cut():
    """It is given the disk that the cut leaves."""
    if is_sanitized(program("jobwire-webhook")):
        pytest.skip("a sanitizer's library must be the first that is loaded")
    if not os.path.exists(FAULTS):
        pytest.skip("no recorder: make unit-programs")
    done = run("--fault", "power", "--system", "jobwire")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| kept of " in done.stdout, done.stdout


def test_memory_is_found_out():
    """Or the table of the others would mean nothing."""
    done = run("--system", "old design", "--fault", "restart_web")
    if "is left out" in done.stdout:
        pytest.skip(done.stdout.splitlines()[0])
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\| lost [\d,]+ of ", done.stdout), done.stdout
