#!/usr/bin/python3
"""A cluster of three nodes and a Redis (AOF, everysec) on this machine: how
soon a webhook on one is an event on another, beside a single node in turns;
2,000 events a second over all of them; and what happens when Redis is away."""

import contextlib
import os
import sys
import tempfile
import threading
import time

from common import BenchSite
from driver import Load
from harness.cluster import Cluster
from harness.publish import RUNPOD, signature
from harness.redis import Redis
from harness.site import SECRET, webhook_target
from systems import Jobwire

QUICK = bool(os.environ.get("QUICK"))
ROUNDS = 1 if QUICK else 3
# Each webhook is a report of its own of a job that goes on.
WEBHOOK = '{"id":"@@@########","status":"IN_PROGRESS"}'


def webhook_to(job):
    """A signed URL."""
    exp = int(time.time()) + 3600
    return webhook_target(
        f"job_id={job}&exp={exp}&sig=" + signature(SECRET, RUNPOD, job, "", exp)
    )


class NodeSystem:
    """A node, as driver.Load wants a system."""

    header = "X-Bench: 1"

    def __init__(self, cluster, node):
        self._cluster = cluster
        self.node = node
        self.port = node.web.port

    def programs(self):
        """All processes of the cluster, by program."""
        found = {"redis": [self._cluster.redis.process.pid]}
        for node in self._cluster:
            found.setdefault("jobwire-relay", []).append(node.relay.pid)
            found.setdefault("jobwire-webhook", []).append(node.site.webhook.pid)
            found.setdefault("jobwire-events", []).append(node.site.events.pid)
        return found


@contextlib.contextmanager
def three_nodes(**settings):
    """A cluster, running."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        redis = Redis(folder).start()
        stack.callback(redis.kill)

        def make_site(**values):
            return stack.enter_context(BenchSite(**values))

        cluster = Cluster(
            make_site, redis, max_streams="20000", drain="1s",
            keep_events=None, **settings
        ).start()
        stack.callback(cluster.finish)
        yield cluster


def measure_latency(label, system, stream_port, seconds):
    """One stream, 100 webhooks a second."""
    with Load(
        system, ["/api/v1/events/job-0"], [webhook_to("job-0")], WEBHOOK,
        rate=100, time=seconds, deliveries=1, connections=1, S=stream_port,
    ) as load:
        figures = load.run()
    print(
        f"cluster_{label} event_p50={figures['event_p50_ms']:.2f}ms"
        f" event_p99={figures['event_p99_ms']:.2f}ms"
        f" answer_p50={figures['answer_p50_ms']:.2f}ms"
        f" answer_p99={figures['answer_p99_ms']:.2f}ms", flush=True,
    )
    return figures


def latency():
    """Webhook on A → event on C, and on a single node, in turns."""
    ratios = []
    for _ in range(ROUNDS):
        with Jobwire() as single:
            one = measure_latency("single", single, single.port, 2 if QUICK else 8)
        with three_nodes() as cluster:
            three = measure_latency(
                "a_to_c", NodeSystem(cluster, cluster[0]), cluster[2].web.port,
                2 if QUICK else 8,
            )
        ratios.append(three["event_p50_ms"] / one["event_p50_ms"])
    print(f"cluster_ratio_p50 {sorted(ratios)[len(ratios) // 2]:.2f}", flush=True)


def throughput():
    """2,000 webhooks a second over three nodes; then every event is on every
    node, the same."""
    seconds, rate = (3, 600) if QUICK else (30, 2000)
    with three_nodes() as cluster:
        jobs = [f"job-{n}" for n in range(1000)]
        targets = [webhook_to(job) for job in jobs]
        loads = [
            Load(NodeSystem(cluster, node), [], targets, WEBHOOK.replace(
                "@@@", node.name * 3), rate=rate / 3, time=seconds, connections=16)
            for node in cluster
        ]
        figures = [None] * len(loads)

        def run(index):
            figures[index] = loads[index].run()

        threads = [threading.Thread(target=run, args=(n,)) for n in range(3)]
        begun = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - begun
        ended = time.monotonic()
        contents = cluster.settle(120)
        level = time.monotonic() - ended
        accepted = sum(figure["accepted"] for figure in figures)
        rows = len(contents["job_events"])
        assert rows == accepted, f"{rows} rows, {accepted} accepted"
        for figure in figures:
            assert figure["refused"] == 0, figure
        cpu = figures[0]["cpu"]
        each = " ".join(
            f"{name}={1e6 * seconds_ / accepted:.0f}us"
            for name, seconds_ in cpu.items()
        )
        print(
            f"cluster_throughput rate={accepted / took:.0f}/s n={accepted}"
            f" answer_p50={max(f['answer_p50_ms'] for f in figures):.2f}ms"
            f" answer_p99={max(f['answer_p99_ms'] for f in figures):.2f}ms"
            f" level_after={level:.2f}s cpu_per_event: {each}", flush=True,
        )


def away():
    """Redis is away for a minute, at 200 webhooks a second."""
    seconds = 5 if QUICK else 60
    with three_nodes(cluster_wait="100ms") as cluster:
        targets = [webhook_to(f"job-{n}") for n in range(100)]
        load = Load(NodeSystem(cluster, cluster[0]), [], targets, WEBHOOK,
                    rate=200, time=seconds, connections=64)
        cluster.redis.kill()
        load.system.programs = lambda: {}
        figures = load.run()
        assert figures["refused"] == 0, figures
        back = time.monotonic()
        cluster.redis.start()
        cluster.settle(120)
        took = time.monotonic() - back
        print(
            f"cluster_away seconds={seconds} accepted={figures['accepted']}"
            f" refused={figures['refused']}"
            f" answer_p50={figures['answer_p50_ms']:.2f}ms"
            f" answer_p99={figures['answer_p99_ms']:.2f}ms"
            f" caught_up_after={took:.2f}s", flush=True,
        )


if __name__ == "__main__":
    for measure in sys.argv[1:] or ["latency", "throughput", "away"]:
        {"latency": latency, "throughput": throughput, "away": away}[measure]()
