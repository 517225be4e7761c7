"""Redis or Valkey, for the log of a cluster: a server of a test's own that can
be killed, cut off, emptied and promoted, and a client for the test to look at
it with. REDIS_SERVER names the program."""

import os
import shutil
import socket

import pytest

from . import leaks
from .process import Family
from .wait import free_port, patience, until

_NAMES = ("redis-server", "valkey-server")


def redis_program():
    """The path of a server, whichever there is; None without one."""
    named = os.environ.get("REDIS_SERVER")
    for name in [named] if named else _NAMES:
        found = shutil.which(name)
        if found:
            return found
    return None


class RedisError(Exception):
    """It answered with an error."""


class RedisClient:
    """One connection that speaks RESP2."""

    def __init__(self, host, port):
        self._socket = socket.create_connection((host, port), patience(5))
        self._file = self._socket.makefile("rb")

    def call(self, *words):
        """One command; its answer, with texts as str."""
        parts = [str(word).encode() for word in words]
        self._socket.sendall(b"*%d\r\n" % len(parts) + b"".join(
            b"$%d\r\n%s\r\n" % (len(part), part) for part in parts
        ))
        return self._read()

    def _read(self):
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("Redis has hung up")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"+":
            return rest.decode()
        count = int(rest)
        if count < 0:
            return None
        if kind == b"*":
            return [self._read() for _ in range(count)]
        return self._file.read(count + 2)[:-2].decode("utf-8", "replace")

    def close(self):
        """Hangs up."""
        self._file.close()
        self._socket.close()


class Redis:
    """A server in a folder of its own, with an append-only file unless that is
    not wanted. With `place` (network.py) it runs there."""

    def __init__(self, folder, name="redis", **options):
        self.folder = os.path.join(folder, name)
        os.makedirs(self.folder, exist_ok=True)
        self.name = name
        place = options.pop("place", None)
        self.host = place.host if place else "127.0.0.1"  # for the test
        self.inner = place.inner if place else self.host  # for others
        self.launcher = place.launcher if place else ()
        self.port = free_port()
        self.user = ""  # for whom the password is
        self.password = options.pop("password", None)
        if self.password:
            leaks.secret(self.password)
        self.options = {  # of the server's command line
            "appendonly": "yes", "appendfsync": "everysec", "save": "",
            # A replica that comes back is served at once.
            "repl-diskless-sync-delay": "0", "loglevel": "notice",
            "protected-mode": "no", "daemonize": "no", **options,
        }
        self.process = None

    @property
    def url(self):
        """What redis_url says."""
        password = f"{self.user}:{self.password}@" if self.password else ""
        return f"redis://{password}{self.inner}:{self.port}/0"

    def start(self, replica_of=None, wait=True):
        """Starts it, the first time or again."""
        argv = [
            *self.launcher, redis_program(), "--port", str(self.port),
            "--bind", *sorted({self.host, self.inner}), "--dir", self.folder,
        ]
        for name, value in self.options.items():
            argv += [f"--{name}", str(value)]
        if self.password:
            argv += ["--requirepass", self.password]
        if replica_of:
            argv += ["--replicaof", replica_of.inner, str(replica_of.port)]
        log = os.path.join(self.folder, "redis.log")
        with open(log, "ab") as stdout:
            self.process = Family(self.name, argv, log, stdout=stdout)
        if wait:
            until(self._is_ready, f"{self.name} to be ready", 10)
        return self

    def _is_ready(self):
        assert self.process.is_alive(), self.process.log_text()
        try:
            return self.call("PING") == "PONG"
        except (OSError, RedisError):  # not yet, or it loads its file
            return False

    def call(self, *words):
        """One command on a connection of its own."""
        client = RedisClient(self.host, self.port)
        try:
            if self.password:
                client.call("AUTH", self.user or "default", self.password)
            return client.call(*words)
        finally:
            client.close()

    def info(self, name):
        """A line of INFO."""
        for line in self.call("INFO").splitlines():
            key, _, value = line.partition(":")
            if key == name:
                return value
        return None

    def kill(self):
        """kill -9."""
        if self.process is not None and self.process.is_alive():
            self.process.kill()

    def wipe(self):
        """Kills it and takes all it has: the disk is gone."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder, exist_ok=True)

    def follow(self, master):
        """Makes it a replica, and waits until it has what the master has."""
        self.call("REPLICAOF", master.inner, master.port)
        self.wait_synced()

    def wait_synced(self):
        """Waits until it, a replica, has its master's data."""
        until(
            lambda: self.info("master_link_status") == "up",
            f"{self.name} to be in step with its master", 20,
        )

    def lose_touch(self):
        """From now on it, a replica, gets nothing from its master."""
        self.call("REPLICAOF", "127.0.0.1", free_port())

    def promote(self):
        """Makes it, a replica, a master with what it has."""
        self.call("REPLICAOF", "NO", "ONE")


@pytest.fixture(name="make_redis")
def fixture_make_redis(tmp_path):
    """Makes servers, not started."""
    if redis_program() is None:
        pytest.skip("no redis-server or valkey-server is installed")
    made = []

    def make(name="redis", **options):
        made.append(Redis(str(tmp_path), f"{name}", **options))
        return made[-1]

    yield make
    for redis in made:
        redis.kill()
