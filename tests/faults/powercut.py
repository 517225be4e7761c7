#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""usage: powercut.py [--states N] [--calls N] [--seed N] [--scenes LIST]
[--restarts SHARE] [--lying-disk] [--recording FOLDER]
(make powercut)

Power cuts without a switch. Programs write a database under a recorder; then,
for sampled moments of the recording, disks that a cut could have left are
built (disk.py), opened and judged (scenes.py):

  - whatever was answered is there, under the id that the answer gave;
  - a row that is there is the row that bore this id: no id means two events;
  - the next id is above all that were given out;
  - PRAGMA quick_check has nothing to say, and each job's state is that of its
    newest event;
  - now and then: the responder starts on it, stores one event more under a new
    id, and does not take the database for one that was put back.

The scenes: `usual` is the above; `birth` begins before there is a database;
`raise` brings an old one up to date, `upkeep` makes a copy and puts it back:
each database is whole, the old or the new one, and so is each copy; in `runs`
what was accepted is there, and what was sent to the provider is not sent again;
`applied` is a node of a cluster: rows, marks and cursor fall back together, and
what was answered is a row or still in the outbox.

With --lying-disk no sync counts, as on hardware that says it has stored what it
has not: then events are lost, and the judge must see it.

The last line says how many; exit 1 with the command that repeats a failure.
Programs are not as quick a second time, so what they wrote is kept with it."""

import argparse
import collections
import concurrent.futures
import json
import os
import random
import shutil
import sys
import tempfile

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(_HERE, "..", "integration"))

# pylint: disable=wrong-import-position
import disk  # noqa: E402
from harness.redis import redis_program  # noqa: E402
from scenes import SCENES, Recording, read_recording  # noqa: E402

STATES_PER_MOMENT = 20


class Workshop:
    """A folder in memory, to build one state after the other in."""

    def __init__(self):
        self._folder = tempfile.mkdtemp(prefix="jobwire-cut-", dir="/dev/shm")
        self.path = os.path.join(self._folder, "jobwire.db")

    def close(self):
        """Removes what is left."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def build(self, folder, choose):
        """Puts one state there."""
        for name in os.listdir(self._folder):
            os.unlink(os.path.join(self._folder, name))
        for suffix, image in folder.state(choose):
            with open(self.path + suffix, "wb") as out:
                out.write(image.data)
                out.truncate(image.size)


def choices(rng, n_pending, count):
    """So many states, the plainest first: names, and functions that choose
    alike each time."""
    yield "nothing", lambda: disk.nothing
    yield "everything", lambda: disk.everything
    for n in range(2, count):
        seed = rng.random()
        if n % 3 == 0:
            count = int(seed * (n_pending + 1))
            yield "first", lambda count=count: disk.first(count)
        elif n % 3 == 1:
            yield "some", lambda seed=seed: disk.some(random.Random(seed))
        else:
            yield "torn", lambda seed=seed: disk.torn(random.Random(seed))


def play(records, folder, name, moments, options, part, parts):
    """Judges this part of the moments; (states, restarts, faults)."""
    scene, files, workshop = SCENES[name](folder), disk.Folder(), Workshop()
    states, restarted, faults = 0, 0, []
    try:
        for number, each in enumerate(records):
            scene.take(each)
            files.take(each)
            if number not in moments or moments[number] % parts != part:
                continue
            rng = random.Random(f"{options.seed}/{number}")
            for kind, choose in choices(rng, files.pending(), STATES_PER_MOMENT):
                workshop.build(files, choose())
                bad = list(scene.examine(workshop.path))
                states += 1
                # Opened, it is not what the cut left any more.
                if not bad and rng.random() < options.restarts:
                    workshop.build(files, choose())
                    bad = scene.restart(workshop.path)
                    restarted += 1
                faults += [f"moment {number}, {kind}: {f}" for f in bad]
            if len(faults) > 20:
                break
    finally:
        workshop.close()
    return states, restarted, faults


def sample(records, first_moment, states, rng):
    """Moments, with the number of each: evenly over what can change a state,
    an answer being the most telling one."""
    recorded = range(first_moment, len(records))
    telling = [n for n in recorded if records[n].op == "A"]
    wanted = max(1, states // STATES_PER_MOMENT)
    first = [n for n in recorded if records[n].op != "A"]
    chosen = set(rng.sample(telling, min(len(telling), wanted // 2)))
    chosen.update(rng.sample(first, min(len(first), wanted - len(chosen))))
    return {number: index for index, number in enumerate(sorted(chosen))}


def _options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--states", type=int, default=2000)
    parser.add_argument("--calls", type=int, default=600)
    parser.add_argument("--seed", default=str(random.randrange(10**9)))
    parser.add_argument("--scenes", default=",".join(SCENES))
    parser.add_argument("--restarts", type=float, default=0.01)
    parser.add_argument("--lying-disk", action="store_true")
    parser.add_argument("--recording", default=None)
    options = parser.parse_args()
    if options.states < 1:
        parser.error("--states is 1 or more")
    return options


def _record_anew(name, options):
    """The folder of a new recording."""
    folder = tempfile.mkdtemp(prefix=f"jobwire-{name}-")
    site = SCENES[name].make_site()
    try:
        recording = Recording(folder, site)
        SCENES[name].record(
            recording, random.Random(f"{options.seed} {name}"), options.calls)
        recording.keep()
    finally:
        site.remove()
    return folder


def _play_scene(name, states, options):
    """One recording, and its states on all processors; (states, faults)."""
    folder = options.recording or _record_anew(name, options)
    records, first = read_recording(folder)
    if options.lying_disk:
        records[first:] = [r for r in records[first:] if r.op not in "SD"]
    moments = sample(records, first, states, random.Random(options.seed))
    parts = os.cpu_count() or 1
    with concurrent.futures.ProcessPoolExecutor(parts) as pool:
        done = list(pool.map(play, *zip(*[
            (records, folder, name, moments, options, part, parts)
            for part in range(parts)
        ])))
    states, restarts = (sum(each[n] for each in done) for n in (0, 1))
    faults = [fault for each in done for fault in each[2]]
    for fault in faults[:20]:
        print(f"{name}: {fault}")
    if faults and not options.lying_disk:
        print(f"again: {sys.argv[0]} --states {states} --scenes {name} --seed"
              f" {options.seed} --restarts {options.restarts}"
              f" --recording {folder}")
    elif options.recording is None:
        shutil.rmtree(folder)
    ops = collections.Counter(record.op for record in records)
    print(f"{name}: {json.dumps(ops)}, {states} states of {len(moments)}"
          f" moments opened, {restarts} of them by programs, seed"
          f" {options.seed}: {len(faults)} faults", flush=True)
    return states, len(faults)


def main():
    """Half of the states is of the first scene."""
    options = _options()
    names = options.scenes.split(",")
    states = faults = 0
    for place, name in enumerate(names):
        if name == "applied" and redis_program() is None:
            print("applied is left out: there is no Redis or Valkey")
            continue
        share = 1 if len(names) == 1 else 2 if place == 0 else 2 * len(names) - 2
        done = _play_scene(name, options.states // share, options)
        states, faults = states + done[0], faults + done[1]
    print(f"{states} states opened: {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
