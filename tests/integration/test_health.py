"""The health of the whole installation, at one address: docs/protocol.md,
healthz_of_all."""

import os
import re
import signal

import pytest
from harness.inbound import away, health
from harness.nginx import Nginx
from harness.publish import fixture
from harness.reading import get
from harness.wait import patience, until

COMPLETED = fixture("runpod-completed.json")


def ask(site):
    """(status, its `status`, its `writer`)."""
    answer = get(site, "/healthz?all=1")
    value = answer.json()
    assert value.keys() == {
        "status", "database", "watcher", "lagging", "writer", "writer_at",
    }
    return answer.status, value["status"], value["writer"]


def until_all_is(site, wanted, seconds=10):
    until(lambda: ask(site) == wanted, f"{wanted}", patience(seconds))


WELL = (200, "ok", "ok")
AWAY = (503, "failing", "away")


def test_healthz_members_of_all(make_site):
    site = make_site()
    site.start("events")
    assert ask(site) == AWAY
    assert get(site, "/healthz?all=1").json()["writer_at"] is None
    site.start("webhook")
    until_all_is(site, WELL)
    at = get(site, "/healthz?all=1").json()["writer_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", at)
    until(lambda: get(site, "/healthz?all=1").json()["writer_at"] > at,
          "another word of it", patience(10))


def test_healthz_of_all(make_site):
    """Well, locked, well, silent, well; by a web server, too."""
    site = make_site().start_both()
    until_all_is(site, WELL)
    web = Nginx(site).start().endpoint
    answer = web.call("GET", "/healthz?all=1")
    assert (answer.status, answer.json()["writer"]) == (200, "ok")
    site.writer.connection.execute("BEGIN IMMEDIATE")
    until_all_is(site, (503, "failing", "the database is locked"))
    assert get(site, "/healthz").status == 200, "reading works"
    assert get(site, "/healthz?all=0").json().keys() == (
        get(site, "/healthz").json().keys()
    )
    site.writer.connection.execute("COMMIT")
    until_all_is(site, WELL)
    os.kill(site.webhook.pid, signal.SIGSTOP)
    until_all_is(site, AWAY, 20)
    os.kill(site.webhook.pid, signal.SIGCONT)
    until_all_is(site, WELL)


def test_all_of_a_missing_database(make_site):
    site = make_site().start_both()
    until_all_is(site, WELL)
    with away(site):
        until_all_is(site, (503, "failing", "the file or peer is gone"))
        assert get(site, "/healthz").status == 503
    until_all_is(site, WELL)
    assert health(site) == 200


@pytest.mark.parametrize(
    "content",
    [b"", b"ok\n", b"\xff" * 96, b"\0" * 96, b"daemon 9" + b"9" * 87 + b"\n",
     b"daemon 1 ok".ljust(95) + b"\n", b"x" * 5000],
    ids=lambda content: repr(content[:12]),
)
def test_a_file_that_says_nothing(make_site, content):
    """Whatever lies there, the answer is one; nobody speaks for the writer."""
    site = make_site()
    site.start("events")
    with open(site.db + "-writer", "wb") as file:
        file.write(content)
    assert ask(site) == AWAY
