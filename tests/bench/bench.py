#!/usr/bin/python3
"""usage: bench.py [NAME...]    (by `make bench`; see docs/benchmarks.md)
Measures jobwire against its budgets and the peers. Environment: QUICK=1 small
and once; BASE=revision compares with it; HISTORY=7 fills ten million rows;
DOC=1 writes the tables into docs/benchmarks.md."""

import os
import subprocess
import sys
import time

import report
from measures import MEASURES, STREAMS, Notes, build_base
from harness.site import raise_descriptor_limit

# Of programs alone, without a budget; they run only when they are named.
OTHERS = ("cgi", "storm", "runs", "cluster")


def main(names):
    """Exit status 1: a measurement failed. A budget that is not met is said,
    and is no failure."""
    for name in names:
        if name not in MEASURES and name not in OTHERS:
            sys.exit(f"bench: no measurement {name!r}; there are: "
                     + " ".join([*MEASURES, *OTHERS]))
    base = os.environ.get("BASE")
    raise_descriptor_limit(2 * STREAMS)
    notes = Notes(
        is_quick=bool(os.environ.get("QUICK")),
        base=build_base(base) if base else None,
        history=int(os.environ.get("HISTORY") or 6),
    )
    failed = []
    begun = time.monotonic()
    for name in names or MEASURES:
        print(f"{name}: {time.monotonic() - begun:.0f} s", flush=True)
        try:
            if name in OTHERS:
                here = os.path.dirname(os.path.abspath(__file__))
                subprocess.run([sys.executable, f"{here}/bench_{name}.py"],
                               check=True)
            else:
                MEASURES[name](notes)
        except (AssertionError, OSError, TimeoutError,
                subprocess.CalledProcessError) as fault:
            print(f"bench: {name} failed: {fault}", file=sys.stderr)
            failed.append(name)
    for name, why in notes.skipped.items():
        print(f"skipped {name}: {why}")
    if notes.values:
        report.write(notes, time.monotonic() - begun)
    sys.exit(f"bench: failed: {' '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
