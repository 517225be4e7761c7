"""A network for each node of a cluster, one for Redis, and links that can be
cut: Linux network namespaces, which only root can make."""

import os
import random
import shutil
import subprocess

import pytest

from .wait import patience


def _ip(*words):
    subprocess.run(
        ["ip", *words], check=True, capture_output=True, text=True,
        timeout=patience(10),
    )


def _free_net():
    """The beginning of addresses that this machine has no route to of its
    own."""
    routes = subprocess.run(
        ["ip", "-4", "route"], check=True, capture_output=True, text=True
    ).stdout
    while True:
        net = f"10.{random.randint(64, 250)}"
        if f"{net}." not in routes:
            return net


def why_no_networks():
    """Why there can be none here; None where there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "ip (iproute2) is not installed"
    name = f"jw-{os.getpid()}-try"
    try:
        _ip("netns", "add", name)
        _ip("netns", "del", name)
    except subprocess.CalledProcessError as fault:
        return f"no network namespaces here: {fault.stderr.strip()}"
    return None


class Place:
    """One network: `launcher` starts a program in it, `host` is its address
    for the test, which no cut touches; `inner` its address for the others."""

    def __init__(self, name, host, inner):
        self.name = name
        self.host = host
        self.inner = inner
        self.launcher = ["ip", "netns", "exec", name]


class Networks:
    """A hub, to which each place is joined by a link of its own, and the test,
    to which each place has another link."""

    count = 0  # of all tests of this process

    def __init__(self):
        Networks.count += 1
        self._tag = f"jw{os.getpid() % 100000}-{Networks.count}"
        self._hub = f"{self._tag}-hub"
        self._names, self._links = [], []
        # 10.x.0.0/24 for the hub, 10.x.1.0/24 for the test's links.
        self._net = _free_net()
        self._add(self._hub)
        _ip("-n", self._hub, "link", "add", "br0", "type", "bridge")
        _ip("-n", self._hub, "link", "set", "br0", "up")

    def _add(self, name):
        _ip("netns", "add", name)
        self._names.append(name)
        _ip("-n", name, "link", "set", "lo", "up")

    def place(self, name):
        """Makes a place."""
        number = len(self._names)
        full = f"{self._tag}-{name}"
        self._add(full)
        inner = f"{self._net}.0.{number}"
        _ip("-n", full, "link", "add", "inner", "type", "veth", "peer",
            "name", f"to-{name}", "netns", self._hub)
        _ip("-n", full, "addr", "add", f"{inner}/24", "dev", "inner")
        _ip("-n", full, "link", "set", "inner", "up")
        _ip("-n", self._hub, "link", "set", f"to-{name}", "master", "br0", "up")
        ours = f"{self._net}.1.{4 * number + 1}"
        theirs = f"{self._net}.1.{4 * number + 2}"
        link = f"{self._tag}{number}"[-15:]
        self._links.append(link)
        _ip("link", "add", link, "type", "veth", "peer", "name", "outer",
            "netns", full)
        _ip("addr", "add", f"{ours}/30", "dev", link)
        _ip("link", "set", link, "up")
        _ip("-n", full, "addr", "add", f"{theirs}/30", "dev", "outer")
        _ip("-n", full, "link", "set", "outer", "up")
        return Place(full, theirs, inner)

    def cut(self, place):
        """The place hears and reaches no other any more; nobody is told."""
        name = place.name.removeprefix(self._tag + "-")
        _ip("-n", self._hub, "link", "set", f"to-{name}", "nomaster")

    def mend(self, place):
        """Undoes cut()."""
        name = place.name.removeprefix(self._tag + "-")
        _ip("-n", self._hub, "link", "set", f"to-{name}", "master", "br0")

    def remove(self):
        """The end of all of them, and of their links."""
        for words in [
            *(["link", "del", link] for link in self._links),
            *(["netns", "del", name] for name in reversed(self._names)),
        ]:
            subprocess.run(["ip", *words], check=False, capture_output=True)


@pytest.fixture(name="networks")
def fixture_networks():
    """Networks, or a skip with the reason."""
    why = why_no_networks()
    if why:
        pytest.skip(why)
    networks = Networks()
    yield networks
    networks.remove()
