"""Runs `jobwire doctor`, and reads what it found."""

import json
from dataclasses import dataclass


@dataclass
class Finding:
    """One line of the doctor's."""

    finding: str  # ok, warn, fail
    check: str
    text: str
    remedy: str = ""


class Findings:
    """All that one run said, in order."""

    def __init__(self, done):
        assert done.stderr == "", done.stderr
        self.list = [Finding(**json.loads(l)) for l in done.stdout.splitlines()]
        failed = any(f.finding == "fail" for f in self.list)
        assert done.returncode == (1 if failed else 0)

    def of(self, check):
        """The findings of one check."""
        return [f for f in self.list if f.check == check]

    def one(self, check):
        """The only finding of a check."""
        (found,) = self.of(check)
        return found

    def faults(self):
        """{check: finding} of all that is not ok."""
        return {f.check: f for f in self.list if f.finding != "ok"}


def examine(site, *arguments, **options):
    """Runs the doctor."""
    return Findings(
        site.tool("doctor", *arguments, "--json", check=False, **options)
    )
