"""An HTTP/2 client, which is curl: one process for each request."""

import os
import select
import subprocess

from .exchange import Exchange
from .wait import patience


class CurlExchange(Exchange):
    """The answer to one request, as curl passes it on."""

    def __init__(self, command, body, request):
        super().__init__(request)
        self.child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        with self.child.stdin as stdin:
            stdin.write(body or b"")

    def _step(self, deadline):
        ready, _, _ = select.select([self.child.stdout], [], [], deadline.left())
        if not ready:
            return
        data = os.read(self.child.stdout.fileno(), 1 << 18)
        if data:
            self.pending += self.head.feed(data)
        else:
            self.ended = True
            self.complete = self.child.wait(patience(10)) == 0

    def close(self):
        if not self.child.stdout.closed:
            self.child.kill()
            self.child.wait()
            self.child.stdout.close()


class CurlEndpoint:
    """Asks a web server on the loopback interface by HTTP/2."""

    def __init__(self, port, scheme, *flags):
        self.scheme = scheme
        self.flags = flags
        self.base = f"{scheme}://127.0.0.1:{port}"
        self.command = ["curl", "-q", "-sSk", "-N", "--noproxy", "*", *flags]

    def open(self, method, target, headers=None, body=None):
        """Sends one request on a connection of its own; returns the exchange
        without waiting for anything."""
        command = [*self.command, "-i", "-X", method, "--path-as-is"]
        for name, value in (headers or {}).items():
            command += ["-H", f"{name}: {value}"]
        if body is not None:
            command += ["--data-binary", "@-"]
        return CurlExchange([*command, self.base + target], body, (method, target))

    def call(self, method, target, headers=None, body=None):
        """Sends one request, returns its whole answer."""
        return self.open(method, target, headers, body).finish()
