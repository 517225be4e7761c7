"""A real web server in front of a site, with a shipped example file. Only
what that file says depends on the machine is changed, and lines that it
offers are switched on and off."""

import contextlib
import os
import re
import shutil
import socket
import subprocess

from .http import HttpEndpoint
from .metrics import read_metrics
from .process import read_text
from .site import program
from .wait import free_port, patience, until


def find_program(name):
    """The path of a system program, wherever Debian has it."""
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    assert found, f"{name} is not installed"
    return found


def ordinary_user():
    """Popen's options for an account that is not root: ours, or for root
    the one that Debian has for web servers."""
    if os.geteuid() != 0:
        return {}
    return {"user": "www-data", "group": "www-data", "extra_groups": []}


def switch(text, start, on):
    """The text, with the lines that begin so (white space and the # of one
    that is off aside) switched on or off; there must be some."""
    lines = text.splitlines(keepends=True)
    found = 0
    for number, line in enumerate(lines):
        bare = line.lstrip()
        indent = line[: len(line) - len(bare)]
        bare = bare.removeprefix("#")
        if bare.startswith(start):
            lines[number] = indent + ("" if on else "#") + bare
            found += 1
    assert found, f"no line that begins with {start!r}"
    return "".join(lines)


def switch_part(text, heading, on):
    """The same for all lines of the part with that heading. Its comments
    have a space after the #."""
    before, title, rest = text.partition(f"\n# --- {heading}:")
    assert title, f"no part {heading!r}"
    part, following, after = rest.partition("\n# --- ")
    pattern = r"(?m)^( *)#(?! )" if on else r"(?m)^( *)(?=[^# \n])"
    title_end = part.index("\n")
    part = part[:title_end] + re.sub(
        pattern, r"\1" if on else r"\1#", part[title_end:]
    )
    return before + title + part + following + after


def change(text, mark, changes):
    """The text with these changes in its lines that have this mark. Each
    must be in some line, or our paths and ports would not be used."""
    lines = text.splitlines(keepends=True)
    for old, new in changes.items():
        found = [n for n, line in enumerate(lines) if mark in line and old in line]
        assert found, f"{old!r} is in no line with {mark!r}"
        for number in found:
            lines[number] = lines[number].replace(old, new)
    return "".join(lines)


class WebServer:
    """Subclasses know how their server is configured and started. `options`
    say what to change in the example: tcp is about the way to the
    responders, http2 about the way to us."""

    name = None  # of the example file, and of the log of standard error
    user = {}  # who runs it, as Popen's options
    starts_programs = False  # or do they run by themselves?
    host = "127.0.0.1"  # where it listens
    good_statuses = {0}  # with which it may end on SIGTERM

    def __init__(self, site, *options):
        self.site = site
        self.options = options
        self.port = free_port()
        self.endpoint = HttpEndpoint(self.port, host=self.host)
        self.folder = os.path.join(site.root, "web")
        self.config = os.path.join(site.root, f"{self.name}.conf")
        self.process = None

    # -- what subclasses say -----------------------------------------------

    def render(self, text):
        """The example's text as this machine needs it."""
        raise NotImplementedError

    def command(self):
        """The command that runs it in the foreground."""
        raise NotImplementedError

    def check_command(self):
        """The command that only judges its configuration."""
        raise NotImplementedError

    # -- running -----------------------------------------------------------

    def path(self, *parts):
        """A path in its folder, which has the folders log and tmp."""
        return os.path.join(self.folder, *parts)

    def prepare(self):
        """Makes its folders and writes its configuration."""
        for folder in (self.folder, self.path("log"), self.path("tmp")):
            os.makedirs(folder, exist_ok=True)
            self.give(folder)
        example = os.path.join(self.site.source, f"{self.name}.conf.example")
        text = self.render(read_text(example))
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text)

    def rewrite(self, edit):
        """Changes the configuration that was written, before it starts."""
        text = edit(read_text(self.config))
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text)

    def tcp_port(self, name):
        """The port of a responder; 0 where it has none."""
        address = self.site.sockets[name]
        return 0 if isinstance(address, str) else address[1]

    def give(self, path):
        """Makes it belong to who runs the server."""
        if self.user:
            shutil.chown(path, self.user["user"], self.user["group"])

    def check(self):
        """Its own judgement of the configuration; what it says."""
        done = subprocess.run(
            self.check_command(), capture_output=True, text=True,
            timeout=patience(20), stdin=subprocess.DEVNULL, **self.user,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def start(self):
        """Starts it and waits until it takes connections."""
        if not os.path.exists(self.config):
            self.prepare()
        self.process = self.site.run_command(
            self.name, self.command(), cwd=self.folder, **self.user
        )
        self.process.good_statuses = self.good_statuses
        until(self._is_ready, f"{self.name} to be ready")
        return self

    def stop(self):
        """Ends it, as the system does when it restarts the server."""
        assert self.process.terminate() in self.good_statuses

    def _is_ready(self):
        assert self.process.is_alive(), self.process.log_text()
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.port)) == 0

    # -- looking at it -------------------------------------------------------

    def access_log(self):
        """The lines of the access log."""
        return read_text(self.path("log", "jobwire.log")).splitlines()

    def logs(self):
        """All that it has written about itself and its requests."""
        names = sorted(os.listdir(self.path("log")))
        return "".join(read_text(self.path("log", name)) for name in names)

    def streams_open(self):
        """How many streams the programs behind it hold."""
        return read_metrics(self.site).value("streams_open")

    def pids(self, name):
        """The processes of a responder."""
        return [getattr(self.site, name).pid]


class Spawning(WebServer):
    """A server that starts the programs by itself, as its own user."""

    starts_programs = True
    programs = {}  # the program of each responder

    def prepare(self):
        """Also copies the programs to where this user may execute them, and
        gives him the database."""
        super().prepare()
        os.makedirs(self.path("bin"), exist_ok=True)
        for name in self.programs.values():
            shutil.copy(program(name), self.path("bin"))
        self.give(self.site.db_folder)
        for name in os.listdir(self.site.db_folder):
            self.give(os.path.join(self.site.db_folder, name))

    def pids(self, name):
        path = self.path("bin", self.programs[name])
        return [
            int(entry) for entry in os.listdir("/proc")
            if entry.isdigit() and _executable(entry) == path
        ]


class Cgi(Spawning):
    """A server that starts a CGI program for each request."""

    programs = {"events": "events.cgi", "webhook": "webhook.cgi"}

    def streams_open(self):
        return len(self.pids("events"))


def _executable(pid):
    with contextlib.suppress(OSError):  # another user's, or gone
        return os.readlink(f"/proc/{pid}/exe")
    return None
