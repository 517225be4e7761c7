"""One installation of jobwire in a folder of its own."""

import contextlib
import glob
import json
import os
import resource
import shutil
import sqlite3
import stat
import subprocess
import tempfile
import urllib.parse

from . import leaks
from .fastcgi import FastcgiEndpoint
from .process import Family, Server, log_faults, read_text
from .publish import RUNPOD, ForeignWriter, signed_query
from .sse import Stream
from .wait import patience

_ROOT = os.path.abspath(
    os.path.join(os.path.dirname(__file__), "..", "..", "..")
)
BIN = os.path.abspath(
    os.environ.get("JOBWIRE_BIN", os.path.join(_ROOT, "build", "bin"))
)
# What lets the system fail, of the same flavour.
FAULTS = os.path.join(
    _ROOT, os.environ.get("BUILD", os.path.join("build", "release")), "faults"
)
SECRET = leaks.secret("harness-secret-0123456789abcdef")
PREFIX = "/api/v1"
_JSON = {"Content-Type": "application/json"}

# Unlike the defaults only where a test would wait for them.
_SETTINGS = {
    "webhook_secret": SECRET,
    "base_url": "http://127.0.0.1:8080",
    "drain": "200ms",
    "socket_mode": "0666",
}
_SECRET_SETTINGS = (
    "webhook_secret", "publish_keys", "standard_secret", "jwt_key",
)


def source_root():
    """The top of the source tree."""
    return _ROOT


def program(name):
    """The path of a built program."""
    return os.path.join(BIN, name)


def _environment():
    """Ours, without any of jobwire's variables."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("JOBWIRE_")
    }


def run(name, *arguments, check=False):
    """A program without any environment of ours, to its end."""
    return subprocess.run(
        [program(name), *arguments], capture_output=True, text=True,
        timeout=patience(20), env=_environment(), stdin=subprocess.DEVNULL,
        check=check,
    )


def is_sanitized(path):
    """Was the program built with AddressSanitizer or ThreadSanitizer?"""
    with open(path, "rb") as file:
        code = file.read()
    return b"__asan_init" in code or b"__tsan_init" in code


def raise_descriptor_limit(count):
    """Allows this process and its children that many descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        hard = max(hard, count) if os.geteuid() == 0 else hard
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))


def events_target(job, query=""):
    """The request target of a job's stream."""
    path = f"{PREFIX}/events/{urllib.parse.quote(job, safe='~')}"
    return path + ("?" + query if query else "")


def webhook_target(query, provider=RUNPOD):
    """The request target of a provider's webhook."""
    return f"{PREFIX}/webhooks/{provider}" + ("?" + query if query else "")


def checkpoint(path):
    """Moves the whole WAL into the database file."""
    connection = sqlite3.connect(path, timeout=patience(20))
    busy, _, _ = connection.execute(
        "PRAGMA wal_checkpoint(TRUNCATE)"
    ).fetchone()
    connection.close()
    assert not busy, "the WAL is in use"


class Site:
    """Folder, configuration, database and the programs on them.

    Unix socket paths are limited to 107 bytes, so the folder is a short one
    directly under the system's temporary folder.
    """

    bin = BIN  # the folder of the programs
    source = _ROOT  # the source tree they are of

    def __init__(self, **settings):
        self.root = tempfile.mkdtemp(prefix="jobwire-")
        os.chmod(self.root, 0o755)
        self.db_folder = os.path.join(self.root, "db")
        self.run_folder = os.path.join(self.root, "run")
        os.mkdir(self.db_folder)
        os.mkdir(self.run_folder)
        self.db = os.path.join(self.db_folder, "jobwire.db")
        self.config = os.path.join(self.root, "jobwire.conf")
        self.sockets = {
            name: os.path.join(self.run_folder, f"{name}.sock")
            for name in ("events", "webhook")
        }
        self.events = self.webhook = None
        self.processes = []
        self._secrets = {SECRET}
        self._writer = None
        self._environment = _environment()
        self.configure(**settings)

    # -- configuration and database -------------------------------------

    def configure(self, **settings):
        """Writes the configuration: the defaults of the tests and these;
        None leaves one out."""
        values = {
            "db": self.db,
            "events_socket": self.sockets["events"],
            "webhook_socket": self.sockets["webhook"],
            **_SETTINGS,
            **settings,
        }
        for name in self.sockets:
            host, colon, port = (values[f"{name}_socket"] or "").rpartition(":")
            if colon:
                self.sockets[name] = (host, int(port))
        for name in ("webhook_secret", "publish_keys"):
            if values.get(name):
                self._secrets.update(values[name].split(","))
        for name in _SECRET_SETTINGS:
            for part in (values.get(name) or "").split(","):
                if len(part) >= 16 and "@" not in part:
                    leaks.secret(part)
        with open(self.config, "w", encoding="utf-8") as file:
            for name, value in values.items():
                if value is not None:
                    file.write(f"{name} = {value}\n")

    def tool(self, *arguments, check=True, binary=None, **options):
        """Runs `jobwire` with this configuration to its end. The flag goes
        last so that a test's `--` is its own affair."""
        done = subprocess.run(
            [binary or os.path.join(self.bin, "jobwire"), *arguments,
             "--config", self.config],
            capture_output=True, text=True, timeout=patience(30),
            env=self._environment, stdin=subprocess.DEVNULL, **options,
        )
        leaks.note("stderr of jobwire", done.stderr.encode())
        assert "Sanitizer" not in done.stderr, done.stderr
        if check:
            assert done.returncode == 0, done.stderr
        return done

    def init(self):
        """Creates the database."""
        self.tool("init")
        return self

    @property
    def writer(self):
        """A foreign writer on the database, opened when first used."""
        if self._writer is None:
            self._writer = ForeignWriter(self.db)
        return self._writer

    def drop_writer(self):
        """Closes the foreign writer; the next use opens a new one."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def replace_database(self, fill=None):
        """Puts a new, initialised database in the place of the present one,
        as one rename. `fill` gets a connection to it before."""
        fresh = os.path.join(self.root, "fresh", "jobwire.db")
        os.makedirs(os.path.dirname(fresh), exist_ok=True)
        self.tool("init", "--db", fresh)
        if fill is not None:
            writer = ForeignWriter(fresh)
            fill(writer.connection)
            writer.close()
        for path in (fresh, self.db):
            checkpoint(path)
        self.drop_writer()
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.db + suffix)
        os.replace(fresh, self.db)

    # -- programs --------------------------------------------------------

    def log_path(self, name):
        """The file that has a program's stderr."""
        return os.path.join(self.root, f"{name}.log")

    def spawn(self, name, *flags, binary=None, launcher=(), **options):
        """Starts a responder and does not wait for it. `launcher` is a
        command that executes the one that follows it."""
        argv = [
            *launcher, binary or os.path.join(self.bin, f"jobwire-{name}"),
            "--config", self.config, *flags,
        ]
        server = Server(
            name, argv, self.log_path(name), self.sockets[name],
            env=self._environment, **options,
        )
        self.processes.append(server)
        return server

    def start(self, name, *flags, **options):
        """Starts `events` or `webhook` and waits until it is ready."""
        server = self.spawn(name, *flags, **options).wait_ready()
        setattr(self, name, server)
        return server

    def start_both(self):
        """The usual pair."""
        self.start("events")
        self.start("webhook")
        return self

    def run_command(self, name, argv, **options):
        """Starts any other program of this site, log file included."""
        process = Family(
            name, argv, self.log_path(name), env=self._environment, **options
        )
        self.processes.append(process)
        return process

    # -- requests --------------------------------------------------------

    def endpoint(self, name):
        """Raw FastCGI to a responder."""
        return FastcgiEndpoint(self.sockets[name])

    def stream(self, job, query="", headers=None, last_id="", **options):
        """A stream of the job's events by raw FastCGI."""
        return Stream(
            self.endpoint("events"), events_target(job, query), headers,
            last_id, **options,
        )

    def signed(self, job, restore_id="", **options):
        """The target of a signed webhook."""
        query = signed_query(SECRET, job, restore_id, **options)
        return webhook_target(query, options.get("provider", RUNPOD))

    def post(self, target, body, headers=None, endpoint=None, **options):
        """Posts JSON bytes to the webhook responder; the answer."""
        endpoint = endpoint or self.endpoint("webhook")
        return endpoint.call("POST", target, headers or _JSON, body, **options)

    def deliver(self, job, payload, restore_id="", endpoint=None):
        """A provider's delivery that must be accepted; the answer's JSON."""
        if not isinstance(payload, bytes):
            payload = json.dumps(payload).encode()
        answer = self.post(
            self.signed(job, restore_id), payload, endpoint=endpoint
        )
        assert answer.status == 200, answer
        value = answer.json()
        assert value["ok"] is True and value["job_id"] == job, value
        return value

    # -- the end ---------------------------------------------------------

    def logs(self):
        """(name, text) of every log; a web server's are in its folder."""
        pattern = os.path.join(glob.escape(self.root), "**", "*.log")
        return [
            (os.path.relpath(path, self.root), read_text(path))
            for path in sorted(glob.glob(pattern, recursive=True))
        ]

    def finish(self):
        """Stops everything; returns what was wrong as a list."""
        faults = []
        for process in reversed(self.processes):
            faults += self._finish_process(process)
        for name, text in self.logs():
            if name.startswith(("events", "webhook")):
                faults += [
                    f"{name}: {fault}"
                    for fault in log_faults(text, [*self._secrets, "sig="])
                ]
        return faults

    @staticmethod
    def _finish_process(process):
        if process.is_expected_dead:
            return []
        if not process.is_alive():
            return [f"{process.name} died with {process.child.returncode}"]
        faults = []
        try:
            if isinstance(process, Server):
                process.check_idle()
            status = process.terminate()
            if status not in process.good_statuses:
                faults.append(f"{process.name} ended with {status} on SIGTERM")
        except AssertionError as fault:
            faults.append(str(fault))
            process.kill()
        return faults

    def remove(self):
        """Kills what is left and removes the folder."""
        self.drop_writer()
        for process in self.processes:
            if process.is_alive():
                process.kill()
        leaks.note_site(self)
        with contextlib.suppress(FileNotFoundError):
            os.chmod(self.db_folder, stat.S_IRWXU)
        shutil.rmtree(self.root, ignore_errors=True)
