#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""usage: peers.py [--rounds N] [--seed N] [--system NAME] [--fault NAME] [--doc]
(make peers)

The promises of README tried on jobwire and on its peers (contenders.py), by the
same publishers and pages (model.py) under the same faults. Each round starts a
system, lets publishers publish over HTTP and pages read, injects one kind of
fault, ends it, ends the jobs, and asks:

  stored  what was answered 2xx is there for one who comes later, once; where a
          store or a file has it, the rest was started anew before he asks
  told    each page is told each event once, in its publisher's order, through
          all its connections
  said    a page that missed something was told so
  ids     an id never meant two events of a job

A publisher tries again until it is answered 2xx. A page goes on from its last
id after whatever ends a connection, a refusal too, and after some seconds of
silence: more than the browsers' EventSource does, and the same for all. The
tables count what was not kept; exit 1 when jobwire was at fault."""

import argparse
import collections
import contextlib
import itertools
import os
import random
import signal
import sys
import time

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(_HERE, "..", "integration"))

# pylint: disable=wrong-import-position
import contenders  # noqa: E402
import report  # noqa: E402
from harness import contract  # noqa: E402
from harness.http import HttpEndpoint  # noqa: E402
from harness.sse import Parser, Stream  # noqa: E402
from harness.wait import patience, until  # noqa: E402
from model import OURS, Page, Publisher  # noqa: E402

DOC = "docs/peers.md"
JOBS, PUBLISHERS, PAGES = 3, 3, 6
AMPLE, SCANT = 100_000, 20  # events of a job that are kept
END = -1  # the number of a job's last event
_CUT = (OSError, EOFError, AssertionError, ValueError)

contract.MISSING = "peers keep to no contract of ours"


class Lenient(Stream):
    """Any server's stream of events: some send empty ones."""

    def _start(self, last_id):
        super()._start(last_id)
        self.parser = Parser(last_id, is_lenient=True)


class Poster(Publisher):
    """Publishes to a system over HTTP."""

    ways = ("http",)

    def _http(self, told):
        headers, body = self.scene.system.post(
            told.job, told.number, told.number == END)
        with contextlib.suppress(*_CUT):
            return self.scene.endpoint.call(
                "POST", self.scene.system.post_target(told.job), headers,
                body.encode(),
            ).status // 100 == 2
        return False


class Reader(Page):
    """Follows a job of a system up to its last event."""

    is_open = is_away = False

    def _open(self, last_id):
        while self.scene.is_away and not self.scene.is_over:
            self.is_away = True
            time.sleep(0.01)
        self.is_away = False
        stream = Lenient(
            self.scene.endpoint, self.scene.system.stream_target(self.job),
            last_id=last_id,
        )
        self.is_open = stream.status == 200
        return stream

    def _is_leaving(self):
        self.is_done = number_in(self.events[-1]) == END
        return self.is_done or self.scene.is_away or super()._is_leaving()

    def seen(self):
        """(id, number) of what it was told since it was last told of a loss."""
        events = self.events
        for place, event in enumerate(self.events):
            if event.event == "resync":
                events = self.events[place:]
        return [(event.id, number_in(event)) for event in events
                if event.event not in OURS and number_in(event) != END]

    def was_warned(self):
        """Was it told that it has missed something?"""
        return any(event.event == "resync" for event in self.events)


def number_in(event):
    """The publisher's number; None: an event of the system's own."""
    return report.json.loads(event.data).get("n")


class Scene:
    """A system, and who uses it."""

    def __init__(self, system, seed):
        rng = random.Random(seed)
        self.system = system
        self.endpoint = HttpEndpoint(system.port)
        self.is_over = self.is_away = self.is_quiet = False
        self.jobs = [f"job-{n}" for n in range(JOBS)]
        self.publishers = [
            Poster(self, self.jobs, self._numbers(first, rng.random()),
                   rng.random())
            for first in range(PUBLISHERS)
        ]
        self.pages = [Reader(self, self.jobs[n % JOBS], rng.random())
                      for n in range(PAGES)]

    def _numbers(self, first, seed):
        rng = random.Random(seed)
        for number in itertools.count(first, PUBLISHERS):
            if self.is_quiet:
                return
            yield number
            time.sleep(rng.uniform(0, 0.01))

    def stored(self):
        """By job, the numbers that were answered 2xx so far."""
        numbers = collections.defaultdict(set)
        for told in (each for one in self.publishers for each in one.told):
            if told.stored is not None:
                numbers[told.job].add(told.number)
        return numbers

    def wait_published(self, count):
        """Waits until each job has so many events more."""
        before = {job: len(numbers) for job, numbers in self.stored().items()}
        until(lambda: all(
            len(self.stored()[job]) >= before.get(job, 0) + count
            for job in self.jobs
        ) or not any(each.is_alive() for each in self.publishers),
            "publications", 12)

    def settle(self, pages):
        """Until they are done, or nothing has come for too long."""
        count, since = -1, time.monotonic()
        while not all(page.is_done for page in pages):
            now = sum(len(page.events) for page in pages)
            if now != count:
                count, since = now, time.monotonic()
            elif time.monotonic() - since > patience(self.system.quiet_s):
                return
            time.sleep(0.01)


# -- the faults: each takes the scene and random numbers -----------------------


def _pause(rng, least=0.0, most=0.25):
    time.sleep(rng.uniform(least, most))


def _kill(scene, name, rng):
    contenders.kill(scene.system, name)
    _pause(rng)
    scene.system.start(name)


def kill(scene, rng):
    """kill -9 of a program that has the events"""
    _kill(scene, rng.choice(scene.system.holders), rng)


def kill_store(scene, rng):
    """kill -9 of the store beside it"""
    _kill(scene, rng.choice(scene.system.stores), rng)


def kill_worker(scene, rng):
    """kill -9 of one of nginx's workers"""
    workers = scene.system.programs()["nginx"][1:]
    with contextlib.suppress(ProcessLookupError):
        os.kill(rng.choice(workers), signal.SIGKILL)


def restart_web(scene, rng):
    """nginx ends and starts"""
    scene.system.process("nginx").terminate()
    _pause(rng)
    scene.system.start("nginx")


def reload_web(scene, _rng):
    """nginx reads its configuration again"""
    scene.system.process("nginx").child.send_signal(signal.SIGHUP)


def stop(scene, rng):
    """SIGSTOP of any process for a while"""
    pid = rng.choice([pid for pids in scene.system.programs().values()
                      for pid in pids])
    os.kill(pid, signal.SIGSTOP)
    _pause(rng, 0.1, 0.6)
    os.kill(pid, signal.SIGCONT)


def power(scene, rng):
    """power cut: what was not synced is gone"""
    for name in scene.system.names():
        contenders.kill(scene.system, name)
    scene.system.cut()
    _pause(rng)
    for name in scene.system.names():
        scene.system.start(name)


def leave(scene, _rng):
    """pages go and come back all the time"""
    for page in scene.pages:
        page.leaves = 0.3
    scene.wait_published(20)


def absence(scene, _rng):
    """pages are away for more events than are kept"""
    scene.is_away = True
    until(lambda: all(page.is_away for page in scene.pages), "pages to leave")
    scene.wait_published(3 * SCANT)
    scene.system.prune()
    scene.is_away = False


FAULTS = {each.__name__: each for each in (
    kill, kill_store, power, restart_web, kill_worker, reload_web, stop, leave,
    absence)}
SEVERAL = (kill, kill_store, stop)  # times a round


# -- a round -------------------------------------------------------------------


def play(kind, fault, seed):
    """One system, one kind of fault; what was counted."""
    keep = SCANT if fault is absence else AMPLE
    counts = collections.Counter()
    with contenders.enter(kind, keep, fault is power) as system:
        scene = Scene(system, seed)
        try:
            _play(scene, fault, random.Random(seed), counts)
        finally:
            scene.is_over = scene.is_quiet = True
            for each in (*scene.pages, *scene.publishers):
                each.join(patience(4))
    return counts


def _play(scene, fault, rng, counts):
    for page in scene.pages:
        page.start()
    until(lambda: all(page.is_open for page in scene.pages), "open streams")
    for each in scene.publishers:
        each.start()
    scene.wait_published(2 * SCANT if fault is absence else 5)
    for _ in range(3 if fault in SEVERAL else 1):
        fault(scene, rng)
        try:
            scene.system.wait_ready()
        except AssertionError:
            counts["dead"] += 1
            break
        scene.wait_published(5)
    scene.is_quiet = True
    ends = [Poster(scene, [job], [END], 0) for job in scene.jobs]
    for each in scene.publishers:
        each.join(patience(20))
    for each in ends:
        each.start()
    for each in ends:
        each.join(patience(20))
    counts["crashed"] += scene.system.crashes()
    counts["refused"] += sum(
        each.fault is not None for each in (*scene.publishers, *ends))
    scene.settle(scene.pages)
    later = []
    if fault is not absence and scene.system.has_history:
        scene.system.refresh()
        later = [Reader(scene, job, 0) for job in scene.jobs]
        for page in later:
            page.leaves = 0
            page.start()
        scene.settle(later)
    judge(scene, fault, later, counts)


def judge(scene, fault, later, counts):
    """Adds what was asked for, and what of it was not kept."""
    stored = scene.stored()
    if fault is not absence:
        _judge_stored(stored, later, counts)
    for page in scene.pages:
        _judge_page(page, stored[page.job], counts)
    meanings = {}
    for page in (*scene.pages, *later):
        for id_, number in page.seen():
            meanings.setdefault((page.job, id_), set()).add(number)
    meanings = {key: value for key, value in meanings.items() if key[1]}
    counts["ids"] += len(meanings)
    counts["ambiguous"] += sum(len(value) > 1 for value in meanings.values())


def _judge_stored(stored, later, counts):
    counts["answered"] += sum(map(len, stored.values()))
    there = collections.defaultdict(set)
    for page in later:
        for id_, number in page.seen():
            there[page.job, number].add(id_)
    counts["lost"] += sum((job, number) not in there
                          for job, numbers in stored.items()
                          for number in numbers)
    counts["twice"] += sum(len(ids) > 1 for ids in there.values())


def _judge_page(page, stored, counts):
    seen = page.seen()
    numbers = [number for _, number in seen]
    missed = len(stored.difference(numbers))
    counts["due"] += len(stored)
    # The same event again; what is stored twice comes under another id.
    counts["doubled"] += len(seen) - len(set(seen)) if page.events[-1].id else 0
    firsts = list(dict.fromkeys(numbers))
    for publisher in range(PUBLISHERS):
        own = [n for n in firsts if n % PUBLISHERS == publisher]
        counts["disordered"] += sum(a > b for a, b in zip(own, own[1:]))
    if missed or not page.is_done:
        counts["short"] += 1
        counts["silent"] += not page.was_warned()
    if not page.was_warned():
        counts["missed"] += missed
    elif page.was_warned() and not missed:
        counts["false"] += 1


# -- the tables ----------------------------------------------------------------


def _cell(counts, *kinds):
    """What was not kept, in words."""
    found = [f"{word} {counts[name]:,}" for name, word in kinds if counts[name]]
    return ", ".join(found) or "kept"


_STORED = (("lost", "lost"), ("twice", "stored twice"))
_TOLD = (("missed", "missed"), ("doubled", "doubled"),
         ("disordered", "out of order"))
_SAID = (("silent", "silent"),)
_IDS = (("ambiguous", "ambiguous"),)


def promises_table(results):
    """Each system and promise, all faults together."""
    lines = []
    for kind in dict.fromkeys(kind for kind, _ in results):
        total = sum((counts for (who, _), counts in results.items()
                     if who is kind), collections.Counter())
        lines.append([
            kind.name,
            f"{_cell(total, *_STORED)} of {total['answered']:,}",
            f"{_cell(total, *_TOLD)} of {total['due']:,}",
            f"{_cell(total, *_SAID)} of {total['short']:,} pages"
            if total["short"] else "nothing to say",
            f"{_cell(total, *_IDS)} of {total['ids']:,}"
            if total["ids"] else "has none",
        ])
    return report.markdown(
        ["system", "200 is stored, once", "told once, in order",
         "loss is said", "one id, one event"], lines)


def faults_table(results):
    """Each fault and system: what was not kept."""
    kinds = list(dict.fromkeys(kind for kind, _ in results))
    lines = []
    for fault in FAULTS.values():
        cells = [
            _cell(results[kind, fault], *_STORED, *_TOLD,
                  ("silent", "pages not told"), *_IDS,
                  ("crashed", "workers crashed"),
                  ("dead", "takes no posts any more"),
                  ("refused", "publishers given up"))
            if (kind, fault) in results else "-" for kind in kinds]
        if any(cell != "-" for cell in cells):
            lines.append([fault.__doc__, *cells])
    return report.markdown(["fault", *(kind.name for kind in kinds)], lines)


def main():
    """All systems, all faults, by turns."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--system", default="")
    parser.add_argument("--fault", default=None, choices=FAULTS)
    parser.add_argument("--doc", action="store_true")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds is 1 or more")
    begun = time.monotonic()
    results = collections.defaultdict(collections.Counter)
    kinds = [kind for kind in contenders.ALL if options.system in kind.name]
    faults = [FAULTS[options.fault]] if options.fault else FAULTS.values()
    for kind in kinds[:]:
        lack = kind.lacks() if hasattr(kind, "lacks") else None
        if lack:
            print(f"{kind.name} is left out: {lack}")
            kinds.remove(kind)
    for number, fault, kind in itertools.product(
        range(options.rounds), faults, kinds
    ):
        if fault is kill_store and not kind.stores:
            continue
        seed = f"{options.seed} {number} {fault.__name__}"
        try:
            counts = play(kind, fault, seed)
        except AssertionError as failure:
            if kind is contenders.Ours:
                raise
            print(f"{kind.name} is tried again, for it did not start: {failure}")
            counts = play(kind, fault, seed)
        results[kind, fault] += counts
        print(f"round {number + 1}, {fault.__name__}, {kind.name}:",
              *(f"{name}={n}" for name, n in counts.items() if n), flush=True)
    order = {(kind, fault): results[kind, fault] for kind in kinds
             for fault in FAULTS.values() if (kind, fault) in results}
    text = (f"{report.facts()}; seed {options.seed}, {options.rounds} rounds of each"
            f" fault, {(time.monotonic() - begun) / 60:.0f} minutes.\n\n"
            + promises_table(order) + "\n" + faults_table(order))
    print("\n" + text)
    if options.doc:
        report.write_made(DOC, text)
    wrong = sum(
        (counts for (kind, _), counts in results.items()
         if kind is contenders.Ours), collections.Counter())
    names = ("lost", "twice", "missed", "doubled", "disordered", "silent",
             "ambiguous", "refused", "false", "crashed", "dead")
    return 1 if any(wrong[name] for name in names) else 0


if __name__ == "__main__":
    sys.exit(main())
