#!/usr/bin/python3
"""Two storms. Publishers at full speed to a stream per job while some clients
reconnect and some stall: nobody may end with anything but its events. And a
restart under many streams: when everybody comes back."""

import collections
import sys

from common import BenchSite
from harness.site import raise_descriptor_limit
from harness.storm import publish_storm, restart_storm

JOBS = 1000
EVENTS = 50000
PUBLISHERS = 8
LAG = 3
STREAMS = 9000
DRAIN = 5
STEP = 0.5  # seconds per line of the histogram


def mib(figures, name):
    """`name=..MiB`."""
    return f"{name}={figures[name] / 2**20:.1f}MiB"


def bench_publish():
    """Prints a line."""
    with BenchSite(
        lag_timeout=f"{LAG}s", retry_min="100ms", retry_max="1s"
    ) as site:
        site.start("events")
        f = publish_storm(site, JOBS, EVENTS, PUBLISHERS, LAG, 600)
    names = ("pss_before", "pss_open", "pss_during", "pss_after")
    print(
        f"storm events={EVENTS} streams={JOBS} publishers={PUBLISHERS}"
        f" published_in={f['publish_seconds']:.1f}s"
        f" rate={EVENTS / f['publish_seconds']:.0f}/s"
        f" connects={f['connects']} cut_for_lag={f['breaks']} lost=0 doubled=0 "
        + " ".join(mib(f, name) for name in names),
        flush=True,
    )


def histogram(times):
    """Lines of `from-to s: count` with a bar."""
    counts = collections.Counter(int(at / STEP) for at in times)
    most = max(counts.values())
    return [
        f"  {step * STEP:4.1f}-{(step + 1) * STEP:4.1f}s {counts[step]:5d} "
        + "#" * -(-40 * counts[step] // most)
        for step in range(max(counts) + 1)
    ]


def bench_restart():
    """Prints a line and the histogram of the reconnects."""
    with BenchSite(drain=f"{DRAIN}s") as site:
        site.start("events")
        f = restart_storm(site, STREAMS, DRAIN, 120)
    print(
        f"restart streams={STREAMS} exit_after={f['exit_seconds']:.2f}s"
        f" drain={DRAIN}s ready_after={f['ready_seconds']:.2f}s"
        f" all_back_after={f['all_back_seconds']:.2f}s"
        f" refused_meanwhile={f['refused']} broken={f['breaks']}"
        " lost=0 doubled=0; seconds after SIGTERM at which a client was back:"
    )
    print("\n".join(histogram(f["back_at"])), flush=True)


if __name__ == "__main__":
    raise_descriptor_limit(2 * STREAMS)
    for which in sys.argv[1:] or ["publish", "restart"]:
        {"publish": bench_publish, "restart": bench_restart}[which]()
