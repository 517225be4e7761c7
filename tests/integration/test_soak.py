"""The real programs at a steady rate for half a minute: nothing is lost, and
nothing grows. `make soak` takes hours for it."""

import os
import re
import subprocess
import sys

import pytest

from harness.site import BIN, is_sanitized, program, source_root
from harness.sse import Event
from harness.wait import patience

_FAULTS = os.path.join(source_root(), "tests", "faults")
sys.path.insert(1, _FAULTS)

# pylint: disable=wrong-import-position
import soak  # noqa: E402
from model import Page, judge_rows  # noqa: E402


def test_nothing_is_lost_and_nothing_grows(tmp_path):
    if is_sanitized(program("jobwire-events")):
        pytest.skip("a sanitizer keeps memory that was freed")
    done = subprocess.run(
        ["/usr/bin/python3", os.path.join(_FAULTS, "soak.py"),
         "--hours", "0.008", "--rate", "40", "--pages", "40"],
        capture_output=True, text=True, timeout=patience(120), cwd=tmp_path,
        env={**os.environ, "JOBWIRE_BIN": BIN},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counts = re.search(
        r"(\d+) events of (\d+) jobs, (\d+) deliveries", done.stdout)
    events, jobs, deliveries = map(int, counts.groups())
    assert jobs > 10 and deliveries > events > 0  # also where all is slow
    assert (tmp_path / "build/soak/soak.svg").read_text().count("polyline") > 10
    lines = (tmp_path / "build/soak/soak.csv").read_text().splitlines()
    assert len(lines) > 2  # and fewer where all is slow


def _rows(**columns):
    """Samples of ten minutes."""
    return [
        {"seconds": n * 5, "events_rss_kb": 9000, "pages": 9, "webhook_files": 20,
         "db_kb": 4000, "wal_kb": 8192,
         **{name: start + step * n for name, (start, step) in columns.items()}}
        for n in range(1, 121)
    ]


def test_what_stays_is_no_growth():
    assert not list(soak.growth(_rows()))


@pytest.mark.parametrize("name, start, step", [
    ("events_rss_kb", 9000, 50), ("webhook_files", 20, 0.2), ("db_kb", 4000, 30),
    ("wal_kb", 8192, 100),
])
def test_growth_is_seen(name, start, step):
    (sentence,) = soak.growth(_rows(**{name: (start, step)}))
    assert name.split("_")[0].lower() in sentence.lower()


@pytest.mark.parametrize("seen, what", [
    ([1, 3], "missed [2]"), ([1, 2, 2, 3], "saw twice [2, 2]"),
    ([2, 1, 3], "not in order"),
])
def test_a_page_that_was_told_wrongly_is_seen(seen, what):
    rows = [(n, "job", "note", '{"n":%d}' % n) for n in (1, 2, 3)]
    page = Page(None, "job", 0)
    page.is_done = True
    page.events = [Event(f"e-{n}", "note", '{"n":%d}' % n, 0) for n in seen]
    (sentence,) = judge_rows(rows, [], [page])
    assert what in sentence
