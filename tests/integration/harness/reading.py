"""The reading half: sites in each state that the protocol speaks of, as
fixtures, and requests, one call each."""

import contextlib
import os
import sqlite3
import urllib.parse

import pytest

from .sse import Stream
from .wait import patience

ORIGIN = "https://app.example"


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
        told = ["created_at"] if event["event"] != "resync" else []
        assert list(event) == ["id", "event", "data"] + told, event
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


@pytest.fixture(name="reader")
def fixture_reader(make_site):
    """A site with the responder of streams; job `done` has ended."""
    site = make_site()
    site.writer.publish("done", "step")
    site.writer.publish("done", "completed")
    site.start("events")
    return site


@pytest.fixture(name="guarded")
def fixture_guarded(make_site):
    """events_auth = server; alice has job `mine`."""
    site = make_site(events_auth="server")
    site.writer.own("mine", "alice")
    site.start("events")
    return site


@pytest.fixture(name="crossed")
def fixture_crossed(make_site):
    """One origin may read."""
    site = make_site(cors_origins=f"https://other.example, {ORIGIN}")
    site.writer.publish("done", "completed")
    site.start("events")
    return site


@pytest.fixture(name="full")
def fixture_full(make_site):
    """A server whose only place is taken."""
    site = make_site(max_streams="1")
    site.start("events")
    with site.stream("taken") as stream:
        stream.wait_open()
        yield site


def refusal(answer):
    """(status, code)."""
    return answer.status, answer.error()


def place(site, number):
    """The id of a row."""
    return f"{site.writer.epoch()}-{number}"
