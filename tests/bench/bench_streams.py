#!/usr/bin/python3
"""Many idle streams on one jobwire-events (raw FastCGI): its memory per
stream, its CPU while idle, and an event to one of them while other
connections sit silent or half-sent."""

import contextlib
import sys
import time

from common import BenchSite, commit_to_event, milliseconds
from harness.fastcgi import environ, request
from harness.site import raise_descriptor_limit
from harness.wait import until

STREAMS = 9000
STUCK = 200
SAMPLES = 100
PAUSE = (0.02, 0.06)


def open_streams(site, stack, count):
    """Opens streams of a job each; they stay until the stack is left."""
    begun = time.monotonic()
    streams = [
        stack.enter_context(site.stream(f"job-{number}"))
        for number in range(count)
    ]
    for stream in streams:
        stream.wait_open()
    return streams, time.monotonic() - begun


def open_stuck(site, stack, count):
    """Connections that send nothing, or only a part of a head."""
    data = request(environ("GET", "/api/v1/events/stuck"))
    before = site.events.sockets()
    for number in range(count):
        connection = stack.enter_context(site.endpoint("events").connect())
        connection.send(data[: number % 4 * 60])
    until(
        lambda: site.events.sockets() == before + count,
        "the stuck connections to be accepted",
    )


def idle_cpu(server, seconds):
    """Its share of one core over that time."""
    before = server.cpu_seconds()
    time.sleep(seconds)
    return (server.cpu_seconds() - before) / seconds


def main(idle_seconds):
    """Prints the line."""
    raise_descriptor_limit(2 * STREAMS)
    with BenchSite() as site, contextlib.ExitStack() as stack:
        server = site.start("events")
        empty = server.pss()
        streams, seconds = open_streams(site, stack, STREAMS)
        pss = server.pss()
        cpu = idle_cpu(server, idle_seconds)
        open_stuck(site, stack, STUCK)
        latencies = commit_to_event(
            site, streams[STREAMS // 2], f"job-{STREAMS // 2}", SAMPLES, PAUSE
        )
    print(
        f"streams n={STREAMS} opened_in={seconds:.2f}s pss={pss / 2**20:.1f}MiB"
        f" pss_per_stream={pss / STREAMS:.0f}B"
        f" grown_per_stream={(pss - empty) / STREAMS:.0f}B"
        f" idle_cpu={cpu * 100:.2f}%_over_{idle_seconds}s"
        f" event_beside_{STUCK}_stuck: {milliseconds(latencies)}",
        flush=True,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
