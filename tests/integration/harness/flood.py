"""A publisher as another program would be: python's sqlite3, one commit per
event with synchronous=FULL, as fast as it goes.

    python -m harness.flood DB JOBS FIRST STEP COUNT LARGE

Publishes COUNT events to jobs `job-N`, N = FIRST, FIRST + STEP .. below JOBS,
in turns; those with N < LARGE get 800 kB each. Begins when stdin says so.
"""

import json
import os
import subprocess
import sys

from .publish import ForeignWriter


def main(path, *numbers):
    """Publishes."""
    jobs, first, step, count, large = map(int, numbers)
    writer = ForeignWriter(path)
    mine = range(first, jobs, step)
    filler = "x" * (800_000 * len(mine) // count)
    sys.stdin.readline()
    for number in range(count):
        job = mine[number % len(mine)]
        data = {"n": number}
        if job < large:
            data["filler"] = filler
        writer.publish(f"job-{job}", "step", json.dumps(data))
    writer.close()


class Flood:
    """Several of these programs at work on one database."""

    def __init__(self, path, publishers, jobs, count, large=0):
        folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        share = count // publishers
        self._children = [
            subprocess.Popen(
                [sys.executable, "-m", "harness.flood", path, str(jobs),
                 str(first), str(publishers), str(share), str(large)],
                cwd=folder, stdin=subprocess.PIPE,
            )
            for first in range(publishers)
        ]

    def begin(self):
        """Lets them all go."""
        for child in self._children:
            child.stdin.write(b"\n")
            child.stdin.close()

    def is_over(self):
        """Have all ended? None may have failed."""
        codes = [child.poll() for child in self._children]
        assert not any(codes), f"a publisher failed: {codes}"
        return None not in codes

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for child in self._children:
            if child.poll() is None:
                child.kill()
            child.wait()
            child.stdin.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
