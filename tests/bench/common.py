"""What the benchmarks share. They use the harness of the integration tests:
a site of its own for each measurement, real programs, real clients."""

import os
import random
import sys
import time

_HERE = os.path.dirname(os.path.abspath(__file__))
if "BIN" in os.environ:  # how make names it
    os.environ.setdefault("JOBWIRE_BIN", os.environ["BIN"])
sys.path.insert(0, os.path.join(_HERE, "..", "integration"))

# pylint: disable=wrong-import-position
from harness.site import Site  # noqa: E402


def percentile(values, share):
    """The value below which that share of the values lies."""
    return sorted(values)[int(share * (len(values) - 1))]


def milliseconds(values):
    """`p50=..ms p99=..ms max=..ms` of seconds."""
    shares = [("p50", 0.5), ("p99", 0.99), ("max", 1.0)]
    return " ".join(
        f"{name}={percentile(values, share) * 1000:.2f}ms"
        for name, share in shares
    )


def commit_to_event(site, stream, job, samples, pause):
    """Seconds from COMMIT's return on a foreign connection to the event at
    the client, for isolated commits `pause` (a range of seconds) apart."""
    latencies = []
    for number in range(samples):
        time.sleep(random.uniform(*pause))
        site.writer.publish(job, "note", {"n": number})
        committed = time.monotonic()
        latencies.append(stream.next().at - committed)
    return latencies


class BenchSite(Site):
    """A site that removes itself, and fails where the tests would."""

    def __enter__(self):
        return self.init()

    def __exit__(self, kind, *_):
        faults = self.finish()
        if kind is not None or faults:
            for name, text in self.logs():
                print(f"--- {name}\n{text[-4000:]}", file=sys.stderr)
        self.remove()
        assert kind is not None or not faults, "\n".join(faults)
