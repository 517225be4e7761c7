#!/usr/bin/python3
"""events.cgi, a process per stream: what an idle one costs, how late events
are, and what many of them cost a writer at each commit."""

import contextlib
import os
import sys
import time

from common import BenchSite, commit_to_event, milliseconds
from harness.cgi import CgiEndpoint, cgi_stream
from harness.process import read_text

FEW, MANY = 15, 100
SAMPLES = 100
COMMITS = 500


def open_streams(endpoint, stack, count):
    """That many, on the job `other`; they stay until the stack is left."""
    streams = [
        stack.enter_context(cgi_stream(endpoint, "other")) for _ in range(count)
    ]
    for stream in streams:
        stream.wait_open()
    return streams


def cpu_seconds(stream):
    """What its process has used, to the nanosecond."""
    text = read_text(f"/proc/{stream.exchange.process.pid}/schedstat")
    return int(text.split()[0]) / 1e9


def pss(stream):
    """The proportional set size of its process in bytes."""
    text = read_text(f"/proc/{stream.exchange.process.pid}/smaps_rollup")
    return int(text.split("Pss:")[1].split()[0]) * 1024


def idle(seconds):
    """Memory and CPU of one among FEW."""
    with BenchSite(heartbeat="15s", lifetime="1h") as site, (
        contextlib.ExitStack()
    ) as stack:
        streams = open_streams(CgiEndpoint(site), stack, FEW)
        before = [cpu_seconds(stream) for stream in streams]
        time.sleep(seconds)
        used = [cpu_seconds(s) - b for s, b in zip(streams, before)]
        sizes = [pss(stream) for stream in streams]
    print(
        f"cgi_idle streams={FEW} over={seconds}s"
        f" cpu_per_stream={100 * sum(used) / FEW / seconds:.3f}%"
        f" pss_per_stream={sum(sizes) / FEW / 1024:.0f}KiB",
        flush=True,
    )


def latency():
    """From a commit to the client: through the bell, and by the poll."""
    with BenchSite(lifetime="1h") as site, contextlib.ExitStack() as stack:
        stream = open_streams(CgiEndpoint(site), stack, 1)[0]
        polled = commit_to_event(site, stream, "other", SAMPLES, (0.02, 0.15))
        bell = os.open(site.db + "-bell", os.O_WRONLY | os.O_CREAT)
        rung = []
        for number in range(SAMPLES):
            time.sleep(0.01)
            site.writer.publish("other", "note", {"n": number})
            committed = time.monotonic()
            os.pwrite(bell, b"x", 0)
            rung.append(stream.next().at - committed)
        os.close(bell)
    for way, times in (("poll", polled), ("bell", rung)):
        print(
            f"cgi_commit_to_event way={way} n={SAMPLES} {milliseconds(times)}",
            flush=True,
        )


def commits(count, rings):
    """What a commit takes beside that many streams, the bell included where it
    is rung."""
    with BenchSite(lifetime="1h", max_streams="1000") as site, (
        contextlib.ExitStack()
    ) as stack:
        open_streams(CgiEndpoint(site), stack, count)
        times = []
        bell = os.open(site.db + "-bell", os.O_WRONLY | os.O_CREAT)
        for number in range(COMMITS):
            time.sleep(0.005)
            begun = time.monotonic()
            site.writer.publish("mine", "note", {"n": number})
            if rings:
                os.pwrite(bell, b"x", 0)
            times.append(time.monotonic() - begun)
        os.close(bell)
    print(
        f"cgi_commit streams={count} bell={'yes' if rings else 'no'}"
        f" n={COMMITS} {milliseconds(times)}",
        flush=True,
    )


if __name__ == "__main__":
    idle(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
    latency()
    for beside in (0, MANY):
        for with_bell in (False, True):
            commits(beside, with_bell)
