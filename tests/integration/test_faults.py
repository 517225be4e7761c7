"""Schedules of faults over the real programs behind a real nginx; here a few,
each time others. `make faults` plays more."""

import os
import random
import subprocess

import pytest

from harness.redis import redis_program
from harness.site import BIN, is_sanitized, program, source_root
from harness.wait import patience

_SCRIPT = os.path.join(source_root(), "tests", "faults", "driver.py")
_FAULTS = os.path.join(source_root(), "build", "release", "faults")
SEEDS = 10  # of each kind two at least


def test_what_was_promised_is_kept():
    if is_sanitized(program("jobwire-webhook")):
        pytest.skip("a sanitizer's library must be the first that is loaded")
    if not os.path.exists(_FAULTS):
        pytest.skip("nothing to let the system fail with: make unit-programs")
    first = random.randrange(10**6)
    done = subprocess.run(
        ["/usr/bin/python3", _SCRIPT, "--jobs", "2", "--seeds",
         f"{first}-{first + SEEDS - 1}"],
        capture_output=True, text=True, timeout=patience(300),
        env={**os.environ, "FAULTS": _FAULTS, "JOBWIRE_BIN": BIN},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    kinds = ["6 one", "2 runs"]
    if redis_program():
        kinds.insert(0, "2 cluster")
    assert f"seeds played ({', '.join(kinds)})" in done.stdout
