"""Disks that a power cut may have left: nothing that was answered is missing on
any of them. Here a few hundred; `make powercut` opens more."""

import os
import re
import subprocess

import pytest

from harness.site import BIN, FAULTS, is_sanitized, program, source_root
from harness.wait import patience

_SCRIPT = os.path.join(source_root(), "tests", "faults", "powercut.py")


def cut(*options):
    """Runs the script; its exit status and how many faults it found."""
    if is_sanitized(program("jobwire-webhook")):
        pytest.skip("a sanitizer's library must be the first that is loaded")
    if not os.path.exists(FAULTS):
        pytest.skip("no recorder: make unit-programs")
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("no /dev/shm to build the states in")
    done = subprocess.run(
        ["/usr/bin/python3", _SCRIPT, *options], capture_output=True,
        text=True, timeout=patience(240),
        env={**os.environ, "FAULTS": FAULTS, "JOBWIRE_BIN": BIN},
    )
    if "is left out" in done.stdout:
        pytest.skip(done.stdout)
    last = re.search(r"(\d+) states .* (\d+) faults$", done.stdout.strip())
    assert last, done.stdout + done.stderr
    assert int(last[1]) > 0
    return done.returncode, int(last[2]), done.stdout


@pytest.mark.parametrize("scene, states, restarts", [
    ("usual", 300, 0.15), ("birth", 100, 0.3), ("raise", 200, 0.5),
    ("upkeep", 160, 0.1), ("runs", 160, 0.1), ("applied", 200, 0.1),
])
def test_no_cut_takes_what_was_answered(scene, states, restarts):
    status, faults, text = cut(
        "--scenes", scene, "--states", str(states), "--calls", "80",
        "--restarts", str(restarts),
    )
    assert (status, faults) == (0, 0), text


@pytest.mark.parametrize("scene, sentence", [
    ("usual", "was answered and is not there"),
    ("birth", "no such table: meta"),
    ("raise", "the copy"),
    ("upkeep", "was answered and is not there"),
    ("runs", "was accepted and is not there"),
    ("applied", "was answered and is nowhere"),
])
def test_the_judge_sees_a_disk_that_lies(scene, sentence):
    """The same where no sync counts: what was answered is missing."""
    status, faults, text = cut(
        "--scenes", scene, "--states", "100", "--calls", "40", "--lying-disk",
        "--restarts", "0",
    )
    assert status == 1 and faults > 0, text
    assert sentence in text
