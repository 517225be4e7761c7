"""CGI without a web server: a process per request, its environment, its
standard input and output. Over pipes, as most servers have them, or over one
socket for both, as Apache's mod_cgid."""

import os
import select
import shutil
import socket

from .exchange import Exchange
from .fastcgi import environ, requested
from .process import Process
from .site import program
from .sse import Stream
from .wait import Deadline

_READ = 1 << 16


def install(site, name):
    """Puts a CGI program where its settings file, the site's, is found: in
    the folder above."""
    folder = os.path.join(site.root, "cgi-bin")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        shutil.copy(program(name), path)
    return path


class CgiExchange(Exchange):
    """One process and what it writes."""

    def __init__(self, process, output, held, request):
        super().__init__(request)
        self.process = process
        self._output = output
        self._held = held  # descriptors that only have to stay open

    def _step(self, deadline):
        poll = select.poll()  # select() takes no descriptor above 1023
        poll.register(self._output, select.POLLIN)
        if not poll.poll(deadline.left() * 1000):
            return
        try:
            data = os.read(self._output, _READ)
        except ConnectionResetError:  # some of the input was not read
            data = b""
        if data:
            self.pending += self.head.feed(data)
        else:
            self.ended = True
            self.complete = self.process.wait_exit() == 0

    def leave(self):
        """Goes away as a client does, with the process still running."""
        for fd in [self._output, *self._held]:
            if fd is not None:
                os.close(fd)
        self._output, self._held = None, []

    def close(self):
        if self._output is None:
            return
        self.leave()
        assert self.process.wait_exit() == 0, self.process.log_text()


class CgiEndpoint:
    """Starts a program for each request."""

    def __init__(self, site, name="events.cgi", carrier="pipe"):
        self.site = site
        self.name = name
        self.carrier = carrier
        self.path = install(site, name)

    def open(
        self, method, target, headers=None, body=None, extra=None,
        arguments=(), half_sent=False,
    ):
        """Starts a process with the request's environment (`extra` overrides
        variables, None removes one) and body; with `half_sent` its standard
        input then stays open."""
        values = environ(method, target, headers, body, extra)
        values.update(PATH=os.environ["PATH"])
        values.update(
            (k, v) for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")
        )
        start = self._pipes if self.carrier == "pipe" else self._socket
        process, output, held = start(
            [self.path, *arguments], values, body or b"", half_sent)
        return CgiExchange(process, output, held, requested(method, target, extra))

    def call(self, method, target, headers=None, body=None, **options):
        """The whole answer to one request."""
        return self.open(method, target, headers, body, **options).finish()

    def _spawn(self, argv, values, stdin, stdout):
        process = Process(
            self.name, argv, self.site.log_path(self.name.replace(".", "-")),
            stdin=stdin, stdout=stdout, env=values, cwd=os.path.dirname(self.path),
        )
        self.site.processes.append(process)
        return process

    def _pipes(self, argv, values, body, half_sent):
        stdin, to_stdin = os.pipe()
        output, stdout = os.pipe()
        process = self._spawn(argv, values, stdin, stdout)
        os.close(stdin)
        os.close(stdout)
        _write(to_stdin, body)
        if not half_sent:
            os.close(to_stdin)
        return process, output, [to_stdin] if half_sent else []

    def _socket(self, argv, values, body, half_sent):
        ours, theirs = socket.socketpair()
        process = self._spawn(argv, values, theirs, theirs)
        theirs.close()
        output = ours.detach()
        _write(output, body)
        if not half_sent:
            with socket.socket(fileno=os.dup(output)) as side:
                side.shutdown(socket.SHUT_WR)
        return process, output, []


def _write(fd, data):
    try:
        while data:
            data = data[os.write(fd, data) :]
    except (BrokenPipeError, ConnectionResetError):
        pass  # refused before it was read whole


def cgi_stream(endpoint, job, query="", headers=None, last_id="", **options):
    """A stream of a job's events."""
    target = f"/api/v1/events/{job}" + ("?" + query if query else "")
    return Stream(endpoint, target, headers, last_id, **options)


def wait_ended(process, seconds=5.0):
    """How long it takes a process to end by itself, in seconds."""
    deadline = Deadline.of(seconds)
    before = deadline.left()
    assert process.wait_exit(deadline.left()) == 0
    return before - deadline.left()
