"""`jobwire tail` when the database is in trouble."""

import contextlib
import json
import os
import resource
import subprocess

import pytest
from harness.site import is_sanitized, program
from harness.wait import until


class Tail:
    """A running `jobwire tail`."""

    def __init__(self, process):
        self.pid = process.pid
        self._process = process
        self._text = b""
        os.set_blocking(process.child.stdout.fileno(), False)

    def _has_line(self):
        self._text += self._process.child.stdout.read() or b""
        return b"\n" in self._text

    def next(self):
        """The next event, as JSON."""
        until(self._has_line, "an event")
        line, _, self._text = self._text.partition(b"\n")
        return json.loads(line)

    def said(self):
        """What it has said on standard error."""
        return self._process.log_text()


@contextlib.contextmanager
def tail(site, *arguments):
    """Runs it for the time of a block."""
    process = site.run_command(
        "tail",
        [program("jobwire"), "tail", *arguments, "--json", "--config",
         site.config],
        stdout=subprocess.PIPE,
    )
    try:
        yield Tail(process)
    finally:
        process.child.stdout.close()
        process.kill()


def test_replaced_database(site):
    """All of the new one is new."""
    site.writer.publish("watched", "note", {"n": 1})
    with tail(site, "watched") as watcher:
        assert watcher.next()["data"]["n"] == 1
        old = site.writer.epoch()
        site.replace_database()
        site.writer.publish("watched", "note", {"n": 2})
        event = watcher.next()
        assert event["data"]["n"] == 2
        assert event["id"] == f"{site.writer.epoch()}-1"
        assert old != site.writer.epoch()
        assert "tail: the database was replaced" in watcher.said()
        site.writer.publish("watched", "note", {"n": 3})
        assert watcher.next()["data"]["n"] == 3


def test_control_characters(site):
    """A terminal would obey them; the text stays the same JSON."""
    site.writer.publish("watched", "note", {"text": "a\x7fb\u009b31mc"})
    for flags in ([], ["--json"]):
        process = site.run_command(
            "tail",
            [program("jobwire"), "tail", "watched", *flags, "--config",
             site.config],
            stdout=subprocess.PIPE, text=True,
        )
        try:
            line = process.child.stdout.readline()
        finally:
            process.child.stdout.close()
            process.kill()
        assert r"a\u007fb\u009b31mc" in line
        assert not set(line) & set("\x7f\u009b")


def test_database_that_is_away_for_a_while(site):
    """It is said once, and nothing is printed twice or left out."""
    aside = os.path.join(site.root, "aside")
    site.writer.publish("watched", "note", {"n": 1})
    with tail(site, "watched") as watcher:
        assert watcher.next()["data"]["n"] == 1
        os.rename(site.db_folder, aside)
        until(lambda: "no database at" in watcher.said(), "a word about it")
        site.drop_writer()
        os.rename(aside, site.db_folder)
        site.writer.publish("watched", "note", {"n": 2})
        assert watcher.next()["data"]["n"] == 2
        assert watcher.said().count("no database at") == 1


@pytest.mark.skipif(
    is_sanitized(program("jobwire")), reason="a sanitizer needs all addresses"
)
def test_event_that_cannot_be_read_at_first(site):
    """It comes with the next look, and not with the next commit."""
    with tail(site, "watched") as watcher:
        site.writer.publish("watched", "note", {"n": 1})
        assert watcher.next()["data"]["n"] == 1
        with open(f"/proc/{watcher.pid}/statm", encoding="ascii") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        _, hard = resource.prlimit(
            watcher.pid, resource.RLIMIT_AS, (size, resource.RLIM_INFINITY)
        )
        site.writer.publish("watched", "note", {"n": 2, "text": "x" * 1000000})
        until(lambda: "memory" in watcher.said(), "a word about it")
        resource.prlimit(watcher.pid, resource.RLIMIT_AS, (hard, hard))
        assert watcher.next()["data"]["n"] == 2
        assert watcher.said().count("memory") == 1
