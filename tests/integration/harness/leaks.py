"""What must never be written down, and what was written.

The parts of the harness that make a secret register it here, and those that
read what the programs say note that here: logs, events, metrics, answers. When
all tests are over, conftest.py looks for the first in the second.
"""

import contextlib
import os
import re
import sqlite3
import tempfile

# Of one answer only the beginning is kept: a flood of events says nothing new.
_ANSWER_MAX = 16384

_secrets = set()
_written = tempfile.TemporaryFile()


def secret(text):
    """Registers a secret, and returns it."""
    assert len(text) >= 16, "too short to be told from chance"
    _secrets.add(text)
    return text


def secrets():
    """All that were registered so far."""
    return frozenset(_secrets)


def restart(kept):
    """Forgets what was written, and all secrets but these: for a process that
    plays one scene after another."""
    global _written
    _written.close()
    _written = tempfile.TemporaryFile()
    _secrets.clear()
    _secrets.update(kept)


def note(origin, data):
    """Keeps what a program wrote."""
    _written.write(b"\n== " + origin.encode() + b"\n" + data)


class Tap:
    """Keeps the beginning of one answer."""

    def __init__(self):
        self._left = _ANSWER_MAX

    def take(self, data):
        """Further bytes of it."""
        if data and self._left > 0:
            note("answer", data[: self._left])
            self._left -= len(data)


def note_site(site):
    """Keeps all logs below the folder of a site, and its events."""
    for folder, _, names in os.walk(site.root):
        for name in names:
            if name.endswith(".log"):
                with open(os.path.join(folder, name), "rb") as file:
                    note(name, file.read())
    with contextlib.suppress(sqlite3.Error):
        connection = sqlite3.connect(f"file:{site.db}?mode=ro", uri=True)
        with contextlib.closing(connection):
            rows = connection.execute(
                "SELECT CAST(data AS BLOB) FROM job_events"
                " WHERE data IS NOT NULL LIMIT 2000"
            )
            for (data,) in rows:
                note("event", data[:_ANSWER_MAX])


def written():
    """All of it."""
    _written.seek(0)
    text = _written.read()
    _written.seek(0, os.SEEK_END)
    return text


def hits():
    """Each secret that was written, and where it stands."""
    text = written()
    # Each long word once: logs repeat themselves by the hundred megabytes.
    words = b"\n".join(set(re.findall(rb"[\w.~+/=-]{16,}", text)))
    places = {
        word: text.find(word.encode())
        for word in sorted(_secrets)
        if word.encode() in words or re.search(r"[^\w.~+/=-]", word)
    }
    return [
        (word, text[max(0, at - 200) : at + 40])
        for word, at in places.items()
        if at >= 0
    ]
