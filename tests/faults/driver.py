#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""usage: driver.py [--seeds FIRST-LAST] [--jobs N] [--faults N,N..]
                 [--kind one|runs|cluster] [--seconds S]     (make faults)

Plays a schedule of faults for each seed over the real programs behind a real
nginx, while publishers publish and pages read (model.py), and judges by what
README promises and nothing else:

  - what was said to be stored is stored, once;
  - each page is told each event of its job once, in order, and the end; or it
    is told that it has missed something, where a database was replaced;
  - an id never means two events;
  - a run that was accepted ends, and is paid for once (starter.py);
  - of a cluster: docs/cluster.md (nodes.py);
  - no program dies, or ends with anything but 0 when it is asked to, or writes
    down a secret.

Of ten seeds six are of one node, two of one that starts runs at a simulated
provider, and two of a cluster. A schedule that fails is cut down to the faults
that are needed, and printed as a command. The last line counts; exit 1 when
something was found."""

import argparse
import collections
import multiprocessing
import os
import random
import re
import sys
import time
import traceback

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(_HERE, "..", "integration"))

# pylint: disable=wrong-import-position
import nodes  # noqa: E402
import scene  # noqa: E402
from harness import leaks  # noqa: E402
from harness.redis import redis_program  # noqa: E402
from model import languages  # noqa: E402

_SECRETS = leaks.secrets()
_FAULTS = {"one": scene.FAULTS, "runs": scene.OF_RUNS, "cluster": nodes.FAULTS}


def kind_of(seed):
    """What a seed is played on."""
    return ["one", "one", "one", "runs", "cluster"][seed % 5]


def schedule(seed, kind):
    """The faults of a seed: (function, seed of its own)."""
    rng = random.Random(f"schedule {seed}")
    count = rng.randint(2, 4) if kind == "cluster" else rng.randint(3, 8)
    return [(rng.choice(_FAULTS[kind]), rng.random()) for _ in range(count)]


def play(seed, kind, faults):
    """Plays these faults; what was promised and not kept, as sentences."""
    leaks.restart(_SECRETS)
    try:
        if kind == "cluster":
            found = nodes.play(seed, faults)
        else:
            found = scene.play(seed, faults, kind == "runs")
    except Exception:  # pylint: disable=broad-exception-caught
        # Of the driver's own: the other seeds are played.
        found = [traceback.format_exc()]
    found += [f"{word} is written down: {where}" for word, where in leaks.hits()]
    return found


def cut_down(seed, kind, faults):
    """The fewest of these faults, one left out at a time, that still fail in
    one of three tries."""
    rest = list(range(len(faults)))
    for number in range(len(faults)):
        fewer = [n for n in rest if n != number]
        if any(play(seed, kind, [faults[n] for n in fewer]) for _ in range(3)):
            rest = fewer
    return rest


def run_seed(seed, options):
    """Plays one; (how many of which fault, how many of which kind failed)."""
    kind = options.kind or kind_of(seed)
    faults = schedule(seed, kind)
    chosen = options.faults if options.faults is not None else range(len(faults))
    counts = collections.Counter(faults[n][0].__name__ for n in chosen)
    found = play(seed, kind, [faults[n] for n in chosen])
    if found:
        names = ", ".join(faults[n][0].__name__ for n in chosen)
        print(f"seed {seed} ({kind}: {names}):", *found[:10], sep="\n  ",
              flush=True)
        rest = chosen if options.no_cut else cut_down(seed, kind, faults)
        print(f"  again: tests/faults/driver.py --kind {kind} --seeds"
              f" {seed}-{seed} --faults {','.join(map(str, rest))}", flush=True)
    return kind, counts, bool(found)


def _run(order):
    seed, options = order
    if time.monotonic() > options.end:
        return None
    if (options.kind or kind_of(seed)) == "cluster" and not redis_program():
        return None
    return run_seed(seed, options)


def parse():
    """The options of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", default="1-20")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--faults", default=None)
    parser.add_argument("--kind", choices=_FAULTS, default=None)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--no-cut", action="store_true")
    options = parser.parse_args()
    seeds = re.fullmatch(r"(\d+)(?:-(\d+))?", options.seeds)
    first, last = (int(seed) for seed in seeds.groups(seeds[1])) if seeds else (1, 0)
    if first > last:
        parser.error(f"--seeds is FIRST-LAST, such as 1-100, not {options.seeds!r}")
    if options.jobs < 1:
        parser.error("--jobs is 1 or more")
    options.seeds = range(first, last + 1)
    options.end = time.monotonic() + options.seconds
    if options.faults is not None:
        options.faults = [int(n) for n in options.faults.split(",") if n]
    return options


def main():
    """All seeds, or as many as there is time for."""
    options = parse()
    orders = [(seed, options) for seed in options.seeds]
    for language, why in languages()[1].items():
        print(f"no publisher in {language}: {why}")
    if not redis_program():
        print("no cluster: neither redis-server nor valkey-server is installed")
    kinds, counts, bad = collections.Counter(), collections.Counter(), 0
    with multiprocessing.Pool(
        options.jobs, initializer=random.seed
    ) as pool:
        for done in filter(None, pool.imap_unordered(_run, orders)):
            kinds[done[0]] += 1
            counts += done[1]
            bad += done[2]
    print(" ".join(f"{name}={n}" for name, n in sorted(counts.items())))
    of_kinds = ", ".join(f"{n} {name}" for name, n in sorted(kinds.items()))
    print(f"{kinds.total()} seeds played ({of_kinds}), {counts.total()} faults,"
          f" {bad} seeds failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
