"""A program under test: started, watched while it runs, stopped, examined."""

import contextlib
import os
import re
import signal
import socket
import subprocess

from .wait import patience, until

# A line of the programs' log, and nothing else, may appear on stderr.
LOG_LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=(error|warn|info)"
    r" event=[a-z][a-z0-9_]*( [a-z][a-z0-9_]*=\S.*)?"
)
_SANITIZER = re.compile(
    r"runtime error|AddressSanitizer|LeakSanitizer|ThreadSanitizer"
)


def read_text(path):
    """The whole file; "" when there is none yet."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


class Process:
    """A child process whose stderr goes to a file."""

    def __init__(self, name, argv, log, **options):
        self.name = name
        self.log = log
        with open(log, "ab") as stderr:
            self.child = subprocess.Popen(
                argv,
                stdin=options.pop("stdin", subprocess.DEVNULL),
                stdout=options.pop("stdout", subprocess.DEVNULL),
                stderr=stderr,
                **options,
            )
        self.pid = self.child.pid
        self.is_expected_dead = False
        self.good_statuses = {0}  # with which it may end on SIGTERM

    def is_alive(self):
        """False once it has ended."""
        return self.child.poll() is None

    def log_text(self):
        """What it, and earlier ones on the same file, wrote to stderr."""
        return read_text(self.log)

    def wait_exit(self, seconds=10.0):
        """Its exit status, which must come in time."""
        self.is_expected_dead = True
        try:
            return self.child.wait(patience(seconds))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} does not end") from None

    def terminate(self, seconds=10.0, number=signal.SIGTERM):
        """Asks it to end; its exit status."""
        self.is_expected_dead = True
        self.child.send_signal(number)
        return self.wait_exit(seconds)

    def kill(self):
        """kill -9."""
        self.is_expected_dead = True
        self.child.kill()
        self.child.wait()


class Family(Process):
    """A program with children, which are killed with it."""

    def __init__(self, name, argv, log, **options):
        super().__init__(name, argv, log, start_new_session=True, **options)

    def kill(self):
        self.is_expected_dead = True
        os.killpg(self.pid, signal.SIGKILL)
        self.child.wait()


class Server(Process):
    """A FastCGI responder."""

    def __init__(self, name, argv, log, address, **options):
        super().__init__(name, argv, log, **options)
        self.address = address

    def wait_ready(self, seconds=10.0):
        """Waits until its socket takes connections."""
        until(self.is_ready, f"{self.name} to be ready", seconds)
        return self

    def is_ready(self):
        """Does its socket take connections? It must not have ended."""
        assert self.is_alive(), (
            f"{self.name} ended with {self.child.returncode}:\n"
            + self.log_text()
        )
        family = socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            return probe.connect_ex(self.address) == 0

    def sockets(self):
        """How many sockets it has open; an idle responder has the one it
        listens on."""
        count = 0
        folder = f"/proc/{self.pid}/fd"
        for name in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):
                target = os.readlink(f"{folder}/{name}")
                count += target.startswith("socket:")
        return count

    def descriptors(self):
        """How many descriptors it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def check_idle(self):
        """Fails when it keeps sockets of clients that are gone."""
        until(
            lambda: self.sockets() <= 1,
            f"{self.name} to close the sockets of its clients",
        )

    def pss(self):
        """Proportional set size in bytes. It changes when another process that
        has the same libraries comes or goes."""
        return self._memory("Pss")

    def anonymous(self):
        """Bytes of memory that are of no file: heap, stacks, data."""
        return self._memory("Anonymous")

    def _memory(self, name):
        text = read_text(f"/proc/{self.pid}/smaps_rollup")
        return int(re.search(rf"(?m)^{name}:\s+(\d+) kB", text)[1]) * 1024

    def cpu_seconds(self):
        """User and system time it has used."""
        fields = read_text(f"/proc/{self.pid}/stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def log_faults(text, secrets=()):
    """What is wrong with a log, as a list of sentences."""
    faults = []
    if _SANITIZER.search(text):
        faults.append("a sanitizer spoke")
    for line in text.splitlines():
        if not LOG_LINE.fullmatch(line):
            faults.append(f"not a log line: {line!r}")
    for secret in secrets:
        if secret in text:
            faults.append(f"a secret in the log: {secret!r}")
    return faults
