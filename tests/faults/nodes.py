"""A cluster and what goes wrong with it: three nodes, each behind its nginx, and
two Redis; pages move between nodes. The rounds and their judge are those of
test_cluster_faults.py."""

import contextlib
import io
import os
import random
import shutil
import tempfile

from harness.cluster import Cluster
from harness.cluster_faults import DOUBLING, Drama, Engine, Faults
from harness.redis import Redis
from harness.site import Site


class Nodes:
    """A cluster that runs, and where its parts are."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="jobwire-")
        self.sites, self.servers = [], []
        self.cluster = None

    def start(self, seed):
        """Starts it; what is played on it."""
        engine = Engine(self._make_redis)
        self.cluster = Cluster(self._make_site, engine)
        return Drama(self.cluster.start(), engine, seed)

    def _make_redis(self, name, place):
        self.servers.append(Redis(self.folder, name, place=place))
        return self.servers[-1]

    def _make_site(self, **settings):
        self.sites.append(Site(**settings))
        return self.sites[-1].init()

    def finish(self):
        """The end of all programs; what was wrong, as sentences."""
        self.cluster.finish()
        for site in self.sites:
            yield from site.finish()

    def remove(self):
        """Kills what is left and removes all folders."""
        for site in self.sites:
            site.remove()
        for server in self.servers:
            server.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def _fault(kind):
    """A fault of the cluster as the driver has them."""

    def act(drama, rng):
        drama.faults.rng = rng
        drama.play(kind)

    act.__name__ = f"cluster_{kind}"
    return act


FAULTS = [_fault(kind) for kind in Faults.KINDS]
_DOUBLING = {f"cluster_{kind}" for kind in DOUBLING}


def play(seed, faults):
    """Plays these faults; what was promised and not kept, as sentences."""
    nodes, drama, found = Nodes(), None, []
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            drama = nodes.start(seed)
            for fault, own_seed in faults:
                fault(drama, random.Random(own_seed))
            drama.judge(any(fault.__name__ in _DOUBLING for fault, _ in faults))
        found += nodes.finish()
    except (AssertionError, OSError) as fault:
        found.append(f"{type(fault).__name__}: {fault}")
    finally:
        if drama:
            drama.stop()
        for site in nodes.sites if found and os.environ.get("KEEP") else []:
            shutil.copytree(site.root, os.path.join(
                os.environ["KEEP"], os.path.basename(site.root)
            ), ignore=lambda _, names: [n for n in names if ".sock" in n])
        nodes.remove()
    return found
