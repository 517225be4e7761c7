"""The measurements. Each is a function that alternates between the systems
(A B A B, a round each) and notes figures; see report.py for what is made of
them."""

import collections
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time

from bench_cluster import NodeSystem, measure_latency, three_nodes
from bench_runs import submission_times
from common import BenchSite, commit_to_event, percentile
from driver import Load, count_calls, idle_share
from harness.publish import ForeignWriter, fixture
from harness.redis import redis_program
from harness.site import checkpoint, webhook_target
from systems import (
    BetterSse, Jobwire, Nchan, NchanRedis, OldDesign, cpu_seconds,
)

CONNECTIONS = 32
STREAMS = 9000  # the most that are open; each is two descriptors of nginx
QUICK_STREAMS = 1000
POSTS_PER_SECOND = 25000  # more than can be used
JOBS = 5000  # that publications are about
WEBHOOK = fixture("runpod-completed.json").decode()


class Notes:
    """Figures by system and name, one for each round."""

    def __init__(self, is_quick, base=None, history=6):
        self.is_quick = is_quick
        self.base = base  # an older source tree with its programs, or None
        self.history = history  # the largest one: 10 to the power of it
        self.rounds = 1 if is_quick else 3
        self.values = collections.defaultdict(list)
        self.skipped = {}

    def size(self, full, quick):
        """What this run does."""
        return quick if self.is_quick else full

    def most(self):
        """How many idle streams, or streams of one job."""
        return self.size(STREAMS, QUICK_STREAMS)

    def many(self):
        """How many streams of a job each that get events."""
        return self.size(5000, 500)

    def note(self, system, **figures):
        """Keeps a round's figures."""
        for name, value in figures.items():
            self.values[system, name].append(value)

    def get(self, system, name):
        """The median of the rounds; None where nothing was noted."""
        values = self.values.get((system, name))
        return statistics.median(values) if values else None

    def alternate(self, makers):
        """Each system in its turn, for each round, as (name, system)."""
        for number in range(self.rounds):
            for name, make in makers.items():
                lack = make.lacks() if hasattr(make, "lacks") else None
                if lack:
                    self.skipped[name] = lack
                    continue
                print(f"  round {number + 1}: {name}", flush=True)
                with make() as system:
                    yield name, system


PAIR = {"jobwire": Jobwire, "nchan + Redis": NchanRedis}
# Those that keep events in memory, too.
WIDE = {**PAIR, **{kind.name: kind for kind in (Nchan, BetterSse, OldDesign)}}


def _events(notes, label, jobs, rate, seconds, connections, makers=PAIR):
    """Streams of a job each, and posts at a rate."""
    for name, system in notes.alternate(makers):
        targets = [f"job-{number}" for number in range(jobs)]
        with Load(
            system, map(system.stream_target, targets),
            list(map(system.post_target, targets)),
            rate=rate, time=seconds, deliveries=1, connections=connections,
        ) as load:
            figures = load.run()
        notes.note(name, **{
            f"{label}_p50": figures["event_p50_ms"],
            f"{label}_p99": figures["event_p99_ms"],
            f"{label}_answer": figures["answer_p50_ms"],
            f"{label}_cpu": sum(figures["cpu"].values()),
            f"{label}_open": load.opened["open_seconds"],
        })
        if name == "jobwire":
            notes.note(name, **{f"{label}_held": system.held_ms()})


def stream(notes):
    """One stream, 100 posts a second."""
    _events(notes, "stream", 1, 100, notes.size(8, 2), 1, WIDE)


def streams(notes):
    """Many streams on as many jobs, 500 posts a second."""
    _events(notes, "streams", notes.many(), 500, notes.size(10, 2),
            CONNECTIONS)


def _post(system, posts, body, seconds):
    with Load(
        system, (), posts, body, connections=CONNECTIONS, time=seconds,
    ) as load:
        return load.run()


def _post_webhooks(system, seconds):
    """Each accepted one must be a row, or it was not worth its 200."""
    figures = _post(system, system.webhooks(seconds * POSTS_PER_SECOND),
                    WEBHOOK, seconds)
    rows = system.rows()
    assert rows == figures["accepted"], f"{rows} rows, {figures}"
    assert figures["refused"] == 0, figures
    return figures


def _note_posts(notes, name, label, figures):
    notes.note(name, **{
        f"{label}_rate": figures["rate"],
        f"{label}_p50": figures["answer_p50_ms"],
        f"{label}_p99": figures["answer_p99_ms"],
        f"{label}_us": sum(figures["us"].values()),
        **{f"{label}_us_{program}": value
           for program, value in figures["us"].items()},
    })


def posts(notes):
    """As many posts as 32 connections bring: webhooks, publications; also
    with the other answer to whether nginx keeps its connections, and by the
    programs of an older revision."""
    seconds = notes.size(5, 2)
    makers = {**WIDE, "turned": lambda: Jobwire(turned=True)}
    if notes.base:
        makers["base"] = lambda: Jobwire(notes.base)
    for name, system in notes.alternate(makers):
        if isinstance(system, Jobwire):
            _note_posts(notes, name, "webhook",
                        _post_webhooks(system, seconds))
            notes.note(name, is_kept=int(system.is_kept))
        if name in WIDE:
            targets = [system.post_target(f"job-{n}") for n in range(JOBS)]
            _note_posts(notes, name, "publication",
                        _post(system, targets,
                              '{"type":"note","data":{"progress":40}}',
                              seconds))


def calls(notes):
    """System calls per post of each program, in short runs of their own."""
    if not shutil.which("perf"):
        notes.skipped["calls"] = "perf is not installed (linux-perf)"
        return
    for name, system in notes.alternate(PAIR):
        if isinstance(system, Jobwire):
            figures, counts = count_calls(
                system, lambda s=system: _post_webhooks(s, 2))
        else:
            figures, counts = count_calls(
                system, lambda s=system: _post(
                    s, [s.post_target("job-1")], WEBHOOK, 2))
        if counts is None:
            notes.skipped["calls"] = "perf may not count system calls here"
            return
        notes.note(name, **{f"calls_{program}": count / figures["accepted"]
                            for program, count in counts.items()})


def foreign(notes):
    """Lone commits of another program: CPU while nobody listens; then how
    soon a client has them."""
    count = notes.size(200, 50)
    for _ in range(notes.rounds):
        with BenchSite() as site:
            server = site.start("events")
            site.writer.publish("other", "note")
            time.sleep(1)  # what a start leads to
            before = cpu_seconds([server.pid])
            for _ in range(count):
                time.sleep(0.02)
                site.writer.publish("other", "note")
            time.sleep(0.1)  # what the last commit led to
            used = cpu_seconds([server.pid]) - before
            notes.note("jobwire", foreign_us=used * 1e6 / count)
            with site.stream("bench") as client:
                client.wait_open()
                times = commit_to_event(
                    site, client, "bench", count // 2, (0.02, 0.1))
            notes.note("jobwire", foreign_ms=percentile(times, 0.5) * 1e3)


def _slowest(ask, is_over):
    """The longest of all answers until the event is set, in ms."""
    worst = 0.0
    while not is_over.is_set():
        begun = time.monotonic()
        ask()
        worst = max(worst, time.monotonic() - begun)
        is_over.wait(0.005)
    return worst * 1e3


def lock(notes):
    """Another program holds the write lock for 3 s, with a webhook waiting."""
    for _ in range(notes.rounds):
        with BenchSite() as site:
            site.start("webhook")
            site.deliver("first", {"id": "1", "status": "COMPLETED"})
            is_over, worst = threading.Event(), {}

            def ask(name, method, target, wanted):
                endpoint = site.endpoint("webhook")
                headers = {"Content-Type": "application/json"}

                def once():
                    body = b"{}" if method == "POST" else None
                    answer = endpoint.call(method, target, headers, body)
                    assert answer.status in wanted, answer

                worst[name] = _slowest(once, is_over)

            askers = [
                threading.Thread(target=ask, args=arguments)
                for arguments in (
                    ("lock_health", "GET", "/api/v1/webhooks/healthz",
                     (200, 503)),
                    ("lock_refusal", "POST",
                     webhook_target("job_id=a&exp=1&sig=x"), (401, 403)),
                )
            ]
            waiting = threading.Thread(target=site.deliver, args=(
                "second", {"id": "2", "status": "COMPLETED"}))
            site.writer.connection.execute("BEGIN IMMEDIATE")
            for thread in (waiting, *askers):
                thread.start()
            time.sleep(3)
            is_over.set()
            site.writer.connection.execute("ROLLBACK")
            for thread in (waiting, *askers):
                thread.join()
            notes.note("jobwire", **worst)


def idle(notes):
    """As many streams of a job each: memory and CPU of jobwire-events."""
    count = notes.most()
    with Jobwire() as system:
        server = system.site.events
        empty = server.anonymous()
        targets = [system.stream_target(f"job-{n}") for n in range(count)]
        with Load(system, targets) as load:
            grown = server.anonymous() - empty
            notes.note(
                "jobwire", idle_bytes=grown / count,
                idle_cpu=idle_share([server.pid], notes.size(15, 3)) * 100,
                idle_open=load.opened["open_seconds"],
            )


def fan(notes):
    """An event to as many streams of one job: when the last one has it."""
    count = notes.most()
    for name, system in notes.alternate({"jobwire": Jobwire, "nchan": Nchan}):
        with Load(
            system, [system.stream_target("one")] * count,
            [system.post_target("one")], rate=1, time=notes.size(6, 3),
            deliveries=count, connections=1,
        ) as load:
            figures = load.run()
        notes.note(name, fan_last=figures["last_p50_ms"],
                   fan_p50=figures["event_p50_ms"],
                   fan_us=sum(figures["cpu"].values()) * 1e6
                   / figures["accepted"] / count)


def _fill(path, rows):
    """Events of jobs that have 100 each, in a few large transactions."""
    writer = ForeignWriter(path)
    step = 100000
    for first in range(0, rows, step):
        writer.connection.execute(
            "WITH RECURSIVE k(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM k"
            " WHERE i + 1 < ?2) INSERT INTO job_events (job_id, type, data)"
            " SELECT 'old-' || (i / 100), 'note', '{\"progress\":40}' FROM k",
            (first, min(rows, first + step)),
        )
    writer.close()


def _with_history(site, name):
    """Milliseconds to connect, to replay 100 events, to publish; the name is
    that of a new job."""
    moments = [time.monotonic()]
    with site.stream(name) as client:
        client.wait_open()
        moments.append(time.monotonic())
    with site.stream("old-1") as client:
        client.take(100)
        moments.append(time.monotonic())
    site.deliver(name, {"id": "1", "status": "COMPLETED"})
    moments.append(time.monotonic())
    return {
        f"history_{what}": (end - begin) * 1e3
        for what, begin, end in zip(
            ("connect", "replay", "publish"), moments, moments[1:])
    }


def history(notes):
    """A short history and a long one, side by side, by turns."""
    powers = {"short": 3, "long": notes.size(notes.history, 4)}
    with BenchSite() as short, BenchSite() as long:
        sites = {"short": short, "long": long}
        for name, site in sites.items():
            print(f"  filling 10^{powers[name]}", flush=True)
            _fill(site.db, 10 ** powers[name])
            checkpoint(site.db)
            site.start_both()
        for number in range(notes.size(300, 30)):
            for name, site in sites.items():
                notes.note(name, **_with_history(site, f"new-{number}"))
    notes.note("long", history_power=powers["long"])


def submission(notes):
    """From 202 to the moment at which a simulated RunPod has the job."""
    for _ in range(notes.rounds):
        times = submission_times(notes.size(200, 50))
        notes.note("jobwire", submitted_ms=percentile(times, 0.5) * 1e3,
                   submitted_p99_ms=percentile(times, 0.99) * 1e3)


def nodes(notes):
    """A webhook on node A to its event on node C, beside a single node."""
    if redis_program() is None:
        notes.skipped["nodes"] = "redis-server is not installed"
        return
    seconds = notes.size(8, 2)
    for _ in range(notes.rounds):
        with Jobwire() as single:
            alone = measure_latency("single", single, single.port, seconds)
        with three_nodes() as cluster:
            system = NodeSystem(cluster, cluster[0])
            three = measure_latency("a_to_c", system, cluster[2].web.port,
                                    seconds)
        notes.note("single", nodes_p50=alone["event_p50_ms"])
        notes.note("jobwire", nodes_p50=three["event_p50_ms"])


def _sync_ms(folder, count):
    """The median of an append of 4 KiB with fdatasync."""
    path, times = os.path.join(folder, "append"), []
    with open(path, "wb", buffering=0) as file:
        for _ in range(count):
            time.sleep(0.01)
            begun = time.monotonic()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            times.append(time.monotonic() - begun)
    os.unlink(path)
    return statistics.median(times) * 1e3


def floor(notes):
    """What no durable design behind nginx is below: a sync, and a request
    that a responder refuses without looking into the database."""
    count = notes.size(300, 100)
    for _ in range(notes.rounds):
        with Jobwire() as system:
            sync = _sync_ms(system.site.db_folder, count)
            with Load(
                system, (), ["/api/v1/webhooks/nobody"], "{}", rate=100,
                time=count / 100, connections=1,
            ) as load:
                figures = load.run()
            assert figures["accepted"] == 0, figures
        notes.note("jobwire", floor_sync=sync,
                   floor_trip=figures["answer_p50_ms"])


MEASURES = {
    "floor": floor, "stream": stream, "streams": streams, "posts": posts,
    "calls": calls, "foreign": foreign, "lock": lock, "idle": idle,
    "fan": fan, "history": history, "submission": submission, "nodes": nodes,
}


def build_base(revision):
    """The programs of another revision; the folder of its source."""
    revision = subprocess.run(
        ["git", "rev-parse", "--short", f"{revision}^{{commit}}"], check=True,
        capture_output=True, text=True).stdout.strip()
    folder = os.path.abspath(f"build/base/{revision}")
    if not os.path.exists(f"{folder}/build/bin/jobwire-webhook"):
        os.makedirs(folder, exist_ok=True)
        archive = subprocess.run(["git", "archive", revision], check=True,
                                 capture_output=True).stdout
        subprocess.run(["tar", "-xC", folder], input=archive, check=True)
        environment = {name: value for name, value in os.environ.items()
                       if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS",
                                       "BIN", "MAKEOVERRIDES", "BASE")}
        done = subprocess.run(
            ["make", "-s", f"-j{os.cpu_count()}", "all"], check=False,
            cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        if done.returncode != 0:
            sys.exit(f"bench: {revision} cannot be built here; what it needs:"
                     f" (cd build/base/{revision} && scripts/deps build)")
    return folder
