"""A provider that answers as a test tells it, down to the bytes; and a runner
that calls it. For what no well-behaved service does: see runpod.py for one."""

import collections
import contextlib
import json
import os
import socket
import ssl
import threading

import pytest

from . import leaks
from .process import Process
from .site import program
from .wait import until

KEY = leaks.secret("rpa_scripted-key-0123456789abcdef")
# Minutes are tenths of a second.
QUICK = {
    "reconcile_after": "100ms", "submit_for": "10m", "unknown_for": "5m",
    "runner_timeout": "20s",
}

Call = collections.namedtuple("Call", "method path headers body")
DONE = {
    "id": "e1", "status": "COMPLETED", "delayTime": 5, "executionTime": 7,
    "output": {"seed": 1234567890123456789},
}
RUNNING = {"id": "e1", "status": "IN_PROGRESS", "delayTime": 5}


def answer(status, body=b"", *headers):
    """The bytes of an answer; JSON where the body is no bytes."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Provider:
    """Each call gets the first of its operation's script, the last one for
    ever: bytes, or a function of the connection and the call. b"" closes."""

    def __init__(self, certificate=None, is_narrow=False, **scripts):
        self.calls = []
        self.scripts = {
            "run": [answer(200, {"id": "e1", "status": "IN_QUEUE"})],
            "status": [answer(200, {"id": "e1", "status": "IN_QUEUE"})],
            "cancel": [answer(200, {"id": "e1", "status": "CANCELLED"})],
            "health": [answer(200, {"jobs": {}, "workers": {}})],
            **scripts,
        }
        self._context = None
        if certificate:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*certificate)
        self._server = socket.create_server(("127.0.0.1", 0))
        if is_narrow:  # as networks are: some 30 kB go out at once
            self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self._server.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        """Nobody listens any more."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    @property
    def url(self):
        """What runpod_url is set to."""
        scheme = "https" if self._context else "http"
        return f"{scheme}://127.0.0.1:{self.port}/v2"

    def names(self):
        """The operations that were called, in order."""
        return [call.path.split("/")[3] for call in self.calls]

    def wait_calls(self, name, count, seconds=10):
        """Waits for so many calls of an operation."""
        until(
            lambda: self.names().count(name) >= count,
            f"{count} calls of {name}", seconds,
        )

    def _accept(self):
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(
                target=self._serve, args=(connection,), daemon=True
            ).start()

    def _serve(self, connection):
        with connection:
            try:
                if self._context:
                    connection = self._context.wrap_socket(
                        connection, server_side=True
                    )
                self._answer(connection)
            except OSError:
                pass

    def _answer(self, connection):
        with connection.makefile("rb") as file:
            while line := file.readline():
                method, path, _ = line.decode().split()
                headers = {}
                while (line := file.readline()) not in (b"\r\n", b""):
                    name, _, value = line.decode().partition(":")
                    headers[name.lower()] = value.strip()
                body = file.read(int(headers.get("content-length", 0)))
                call = Call(method, path, headers, body)
                script = self.scripts[path.split("/")[3]]
                step = script.pop(0) if len(script) > 1 else script[0]
                self.calls.append(call)
                if callable(step):
                    step = step(connection, call)
                if not step:
                    return
                connection.sendall(step)


class RunnerSite:
    """A site whose runner calls a provider. Runs are added as rows."""

    def __init__(self, site, provider, **settings):
        self.site = site
        self.provider = provider
        self.key_file = os.path.join(site.root, "runpod.key")
        self.write_key(KEY)
        site.configure(**{
            "runpod_key": f"@{self.key_file}", "runpod_url": provider.url,
            "runpod_actions": "restore=photos", **QUICK, **settings,
        })

    def write_key(self, key):
        """Puts a key into its file."""
        with open(self.key_file, "w", encoding="utf-8") as file:
            file.write(key + "\n")

    def start(self, *flags, name="runner", **options):
        """Starts a runner."""
        process = Process(
            name, [program("jobwire-runner"), "--config", self.site.config, *flags],
            self.site.log_path(name), **options,
        )
        self.site.processes.append(process)
        return process

    def add(self, job="j", job_input='{"seed":1234567890123456789}', **columns):
        """What POST .../restore writes."""
        values = {
            "job_id": job, "action": "restore", "endpoint": "photos",
            "restore_id": f"restore-{job}", "input": job_input, **columns,
        }
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        connection = self.site.writer.connection
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            f"INSERT INTO runs ({names}) VALUES ({marks})", [*values.values()]
        )
        connection.execute(
            "INSERT INTO job_events (job_id, type) VALUES (?, 'queued')", (job,)
        )
        connection.execute("COMMIT")

    def run(self, job="j"):
        """The newest run of a job."""
        cursor = self.site.writer.connection.execute(
            "SELECT * FROM runs WHERE job_id = ? ORDER BY run_id DESC LIMIT 1",
            (job,),
        )
        names = [name for name, *_ in cursor.description]
        return dict(zip(names, cursor.fetchone()))

    def wait(self, state, job="j", seconds=10):
        """Waits until the job's run is in that state; the run."""
        until(
            lambda: self.run(job)["state"] == state,
            f"the run of {job} to be {state}", seconds,
        )
        return self.run(job)

    def events(self, job="j"):
        """Types and data of the job's events."""
        return [
            (kind, json.loads(data or "{}"))
            for kind, data in self.site.writer.connection.execute(
                "SELECT type, data FROM job_events WHERE job_id = ? ORDER BY id",
                (job,),
            )
        ]

    def types(self, job="j"):
        """Types of the job's events."""
        return [kind for kind, _ in self.events(job)]

    def set(self, **columns):
        """Changes rows of runs, as time or an administrator would."""
        for name, value in columns.items():
            self.site.writer.connection.execute(f"UPDATE runs SET {name} = ?", (value,))


def wait_log(process, text):
    """Waits until a line of its log has this."""
    until(lambda: text in process.log_text(), f"{text!r} in the log", 10)


@pytest.fixture(name="make")
def fixture_make(make_site):
    """Makes sites with a provider of these scripts."""
    providers = []

    def make(settings=None, **scripts):
        providers.append(Provider(**scripts))
        return RunnerSite(make_site(), providers[-1], **(settings or {}))

    yield make
    for provider in providers:
        provider.close()
