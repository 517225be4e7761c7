"""A link that can go silent: what stands between two programs when a cable is
pulled or a router forgets a connection. Nobody is told: no FIN, no reset."""

import contextlib
import socket
import threading


def _listen(address):
    if isinstance(address, str):
        server = socket.socket(socket.AF_UNIX)
    else:
        server = socket.socket(socket.AF_INET)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(address)
    server.listen(512)
    return server


def _connect(address):
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    connection = socket.socket(family)
    try:
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


def _end(connection):
    """Closes it, also under a thread that reads from it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


class _Pair:
    """A connection that was taken, and the one that was made for it."""

    def __init__(self, near, far):
        self.ends = near, far
        self.is_silent = False

    def pump(self, source, target):
        """Passes on what comes, until either end is gone."""
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if self.is_silent:
                    return
                target.sendall(data)
        if not self.is_silent:
            self.close()

    def close(self):
        """Closes both."""
        for each in self.ends:
            _end(each)


class Link:
    """Takes connections at `address` for whoever listens at `target`; each is
    a path or (host, port), and port 0 any. hush() silences all that there are;
    later ones pass."""

    def __init__(self, address, target):
        self._server = _listen(address)
        self.address = self._server.getsockname()
        self._target = target
        self._pairs = []
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            self._join(near)

    def _join(self, near):
        try:
            pair = _Pair(near, _connect(self._target))
        except OSError:
            _end(near)
            return
        with self._lock:
            self._pairs = [p for p in self._pairs if p.ends[0].fileno() != -1]
            self._pairs.append(pair)
        for ends in (pair.ends, pair.ends[::-1]):
            threading.Thread(target=pair.pump, args=ends, daemon=True).start()

    def hush(self):
        """From now on nothing passes on the connections that are open; how
        many these are."""
        with self._lock:
            for pair in self._pairs:
                pair.is_silent = True
            return len(self._pairs)

    def close(self):
        """Hangs up, also on those that were left silent."""
        _end(self._server)
        with self._lock:
            for pair in self._pairs:
                pair.close()
