#!/usr/bin/python3
"""Isolated commits of a foreign, long-lived connection (synchronous=FULL):
time from COMMIT's return to the event at a client of jobwire-events (raw
FastCGI), with inotify and without."""

from common import BenchSite, commit_to_event, milliseconds

SAMPLES = 100
PAUSE = (0.05, 0.4)


def measure(inotify):
    """Prints the line for one setting."""
    with BenchSite(inotify=inotify) as site:
        site.start("events")
        with site.stream("bench") as stream:
            stream.wait_open()
            latencies = commit_to_event(site, stream, "bench", SAMPLES, PAUSE)
    print(
        f"commit_to_event inotify={inotify} n={SAMPLES}"
        f" {milliseconds(latencies)}",
        flush=True,
    )


if __name__ == "__main__":
    for setting in ("auto", "off"):
        measure(setting)
