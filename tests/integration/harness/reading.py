"""Requests of the reading half, one call each."""

import contextlib
import os
import sqlite3
import urllib.parse

from .sse import Stream
from .wait import patience


def _extra(user):
    return {"REMOTE_USER": user} if user else None


def jobs_target(jobs, query=""):
    """The target of a stream of several jobs."""
    text = "&".join("job_id=" + urllib.parse.quote(job) for job in jobs)
    return "/api/v1/events?" + "&".join(part for part in (text, query) if part)


def get(site, target, headers=None, user=None, method="GET"):
    """Asks the responder of streams; the whole answer."""
    return site.endpoint("events").call(
        method, "/api/v1" + target, headers, extra=_extra(user)
    )


def get_json(site, target, user=None, **headers):
    """The JSON form's value; the answer must be 200."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = get(
        site, target, {"Accept": "application/json", **names}, user
    )
    assert answer.status == 200, answer
    value = answer.json()
    assert list(value) == ["events", "last_event_id", "terminal"], value
    for event in value["events"]:
        assert list(event) == ["id", "event", "data"], event
    return value


def stream_at(site, target, user=None, **options):
    """A stream at any target."""
    return Stream(
        site.endpoint("events"), target, extra=_extra(user), **options
    )


def kinds(events):
    """Their types, of a stream or of the JSON form."""
    return [e["event"] if isinstance(e, dict) else e.event for e in events]


class UncheckedWriter:
    """A foreign writer that switched the checks of the schema off."""

    def __init__(self, path):
        self.connection = sqlite3.connect(
            path, isolation_level=None, timeout=patience(20)
        )
        self.connection.execute("PRAGMA ignore_check_constraints = 1")

    def insert(self, job, kind, data=None):
        """One row; bytes become text as they are. Its id, or None where even
        so the table refuses it (a trigger cannot read the JSON)."""
        values = [job, kind, data]
        texts = ", ".join(
            "CAST(? AS TEXT)" if isinstance(v, bytes) else "?" for v in values
        )
        with contextlib.suppress(sqlite3.Error):
            return self.connection.execute(
                "INSERT INTO job_events(job_id, type, data)"
                f" VALUES({texts})", values,
            ).lastrowid
        return None

    def close(self):
        """Closes the connection."""
        self.connection.close()


@contextlib.contextmanager
def missing_database(site):
    """The database is away for as long as the block runs. The responder has
    opened it before: one that does not find it does not start."""
    assert get(site, "/healthz").status == 200
    away = site.db + ".away"
    site.drop_writer()
    os.rename(site.db, away)
    try:
        yield
    finally:
        os.rename(away, site.db)
