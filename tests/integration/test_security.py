"""docs/security.md, against the tests that it names."""

import glob
import os
import re

from harness.process import read_text
from harness.site import source_root


def test_named_tests_exist():
    """In Python or in C."""
    text = read_text(os.path.join(source_root(), "docs", "security.md"))
    named = set(re.findall(r"`(test_\w+)`", text))
    there = set()
    for pattern in ("integration/test_*.py", "unit/test_*.c"):
        for path in glob.glob(os.path.join(source_root(), "tests", pattern)):
            there.update(
                re.findall(r"^(?:def )?(test_\w+)\(", read_text(path), re.M)
            )
    assert len(named) > 30
    assert named <= there, sorted(named - there)


def test_every_row_names_tests():
    """Of those who want more than is theirs."""
    text = read_text(os.path.join(source_root(), "docs", "security.md"))
    section = text.split("## Who may want more")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    assert len(rows) > 10
    for row in rows[1:]:
        assert "`test_" in row.rstrip("| ").rpartition("|")[2], row
