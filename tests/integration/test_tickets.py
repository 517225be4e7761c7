"""Tickets at the responder of streams. How a page gets one is in
test_ticket_call.py."""

import contextlib
import hashlib
import re
import secrets
import sqlite3
import subprocess
import threading
import time

import pytest
from harness import leaks
from harness.metrics import read_metrics
from harness.reading import get, get_json, jobs_target, kinds, stream_at
from harness.site import program, raise_descriptor_limit
from harness.sse import data_of
from harness.tmpfs import Ballast, inside, small_disk
from harness.tokens import HS_SECRET, bearer, claims, token
from harness.wait import patience, until


@pytest.fixture(name="guarded")
def fixture_guarded(make_site):
    """alice owns `mine`, bob `other`."""
    site = make_site(
        events_auth="ticket", jwt_key=HS_SECRET,
        heartbeat="300ms",
    )
    for job, owner in [("mine", "alice"), ("other", "bob")]:
        site.writer.own(job, owner)
        site.writer.publish(job, "step")
    site.start("events")
    return site


def ticket(site, *flags, sub="alice"):
    """One from the command line."""
    text = site.tool("ticket", "--sub", sub, *flags).stdout.strip()
    return leaks.secret(text)


def use(site, text, target="/jobs/mine", **options):
    """What it gets."""
    mark = "&" if "?" in target else "?"
    return get(site, f"{target}{mark}ticket={text}", **options)


def refusal(answer):
    """(status, code)."""
    assert answer.headers["www-authenticate"].startswith("Bearer")
    return answer.status, answer.error()


def rows(site):
    """The tickets in the database."""
    return site.writer.connection.execute("SELECT * FROM tickets").fetchall()


@pytest.mark.parametrize(
    "target", ["/events/mine", "/events?job_id=mine", "/events"]
)
def test_ticket_opens_a_stream(guarded, target):
    mark = "&" if "?" in target else "?"
    path = f"/api/v1{target}{mark}ticket={ticket(guarded)}"
    with stream_at(guarded, path) as stream:
        assert [data_of(e)["job_id"] for e in stream.take(1)] == ["mine"]


def test_ticket_for_json(guarded):
    target = f"/events/mine?format=json&ticket={ticket(guarded)}"
    assert kinds(get_json(guarded, target)["events"]) == ["step"]


def test_head_uses_no_ticket_up(guarded):
    """It is answered as GET would be, and the ticket is good afterwards."""
    text = ticket(guarded)
    target = f"/events/mine?format=json&ticket={text}"
    for _ in range(2):
        assert get(guarded, target, method="HEAD").status == 200
    assert len(rows(guarded)) == 1
    assert get(guarded, target).status == 200
    assert get(guarded, target, method="HEAD").status == 401


def test_ticket_twice(guarded):
    text = ticket(guarded)
    assert use(guarded, text).status == 200
    for target in ("/jobs/mine", "/events/mine", "/events"):
        answer = use(guarded, text, target)
        assert refusal(answer) == (401, "ticket_invalid")


def test_ticket_used_by_many_at_once(make_site):
    """In two processes: one of them is let in."""
    site = make_site(
        events_auth="ticket", jwt_key=HS_SECRET, workers="2"
    )
    site.start("events")
    text = ticket(site, "--jobs", "a")
    answers = []
    gate = threading.Barrier(12)

    def run():
        gate.wait()
        answers.append(use(site, text, "/events/a?format=json").status)

    threads = [threading.Thread(target=run) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.count(200) == 1
    assert set(answers) <= {200, 401, 503}


def test_ticket_late(guarded):
    text = ticket(guarded)
    now = int(time.time())
    assert 25 < rows(guarded)[0][2] - now <= 31
    guarded.writer.connection.execute(
        "UPDATE tickets SET expires_at = ?", (now,)
    )
    assert refusal(use(guarded, text)) == (401, "ticket_invalid")
    guarded.tool("prune")
    assert rows(guarded) == []


def test_ticket_for_a_job_not_owned(guarded):
    answer = use(guarded, ticket(guarded), "/jobs/other")
    assert (answer.status, answer.error()) == (403, "job_forbidden")
    answer = use(
        guarded, ticket(guarded), jobs_target(["mine", "other"])[7:]
    )
    assert (answer.status, answer.error()) == (403, "job_forbidden")
    named = ticket(guarded, "--jobs", "other")
    assert use(guarded, named, "/jobs/other").status == 200


@pytest.mark.parametrize(
    "text", ["", "x", "A" * 31, "A" * 33, "A" * 32, "%00" * 32, "A" * 20000,
             "'OR 1=1--aaaaaaaaaaaaaaaaaaaaaaa"],
)
def test_made_up_ticket(guarded, text):
    """None of them makes the responder write."""
    guarded.writer.connection.execute("BEGIN IMMEDIATE")
    answer = use(guarded, text, "/events/mine?format=json")
    guarded.writer.connection.execute("ROLLBACK")
    assert refusal(answer) == (401, "ticket_invalid")


def test_ticket_or_token(guarded):
    """A token does as well; with a ticket it is the ticket that counts."""
    good = bearer(token())
    assert get(guarded, "/jobs/mine", good).status == 200
    answer = get(guarded, "/jobs/mine?ticket=bad", good)
    assert refusal(answer) == (401, "ticket_invalid")
    assert refusal(get(guarded, "/jobs/mine")) == (401, "token_missing")


def test_ticket_is_kept_as_a_digest(guarded):
    text = ticket(guarded)
    assert len(rows(guarded)) == 1 and text not in repr(rows(guarded))


def test_stream_of_a_ticket_ends(guarded):
    """As the ticket's token would."""
    path = f"/api/v1/events/mine?ticket={ticket(guarded, '--ttl', '4s')}"
    with stream_at(guarded, path) as stream:
        assert kinds(stream.wait_end()) == ["step", "expiring"]
        stream.reconnect()
        assert stream.status == 401, "EventSource stops; the library does not"


@pytest.mark.parametrize("is_open", [True, False])
def test_ticket_falls_with_its_subject(guarded, is_open):
    text = ticket(guarded)
    if is_open:
        path = f"/api/v1/events/mine?ticket={text}"
        with stream_at(guarded, path) as stream:
            stream.wait_open()
            guarded.tool("token", "revoke", "--sub", "alice")
            begun = time.monotonic()
            stream.wait_end()
            assert time.monotonic() - begun < 0.3 + patience(0.5)
    else:
        guarded.tool("token", "revoke", "--sub", "alice")
        assert refusal(use(guarded, text)) == (401, "token_revoked")


@contextlib.contextmanager
def locked(site):
    """Another program holds the database for as long as the block runs."""
    connection = sqlite3.connect(site.db, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def use_all(site, texts, target):
    """The requests with these tickets, sent and not yet answered."""
    mark = "&" if "?" in target else "?"
    return [
        site.endpoint("events").open(
            "GET", f"/api/v1{target}{mark}ticket={text}")
        for text in texts
    ]


def test_tickets_wait_while_the_database_is_locked(guarded):
    """And are taken as soon as it is not."""
    texts = [ticket(guarded) for _ in range(20)]
    with locked(guarded):
        asked = use_all(guarded, texts, "/events/mine?format=json")
        begun = time.monotonic()
        assert get(guarded, "/healthz").status == 200
        assert time.monotonic() - begun < patience(0.2)
        assert len(rows(guarded)) == len(texts)
    assert [exchange.finish().status for exchange in asked] == [200] * 20
    assert rows(guarded) == []


def test_ticket_waits_no_longer_than_the_responder_runs(guarded):
    text = ticket(guarded)
    with locked(guarded):
        asked = use_all(guarded, [text], "/events/mine")
        assert get(guarded, "/healthz").status == 200
        assert len(rows(guarded)) == 1
        begun = time.monotonic()
        assert guarded.events.terminate() == 0
        assert asked[0].finish().body.startswith(b"retry: ")
        assert time.monotonic() - begun < patience(1)


def add_tickets(site, count):
    """That many, by hand: each as the one that the command line makes."""
    ticket(site)
    texts = [secrets.token_urlsafe(24) for _ in range(count)]
    site.writer.connection.executemany(
        "INSERT INTO tickets (digest, claims, expires_at)"
        " SELECT ?, claims, expires_at FROM tickets LIMIT 1",
        [(hashlib.sha256(text.encode()).hexdigest(),) for text in texts],
    )
    return texts


def test_thousands_of_tickets_wait_no_longer(guarded):
    """The more wait, the more seldom each tries; but at its end once more."""
    raise_descriptor_limit(8000)
    texts = add_tickets(guarded, 3000)
    with locked(guarded):
        asked = use_all(guarded, texts, "/events/mine?format=json")
        begun = time.monotonic()
        for exchange in asked:
            assert exchange.finish().error() == "database_unavailable"
        assert time.monotonic() - begun < 2 + patience(0.6)
    assert len(rows(guarded)) == 1 + len(texts)


def test_ticket_while_the_disk_is_full(make_site):
    """Not for too many clients, and it stays good."""
    site = make_site(events_auth="ticket", jwt_key=HS_SECRET)
    site.start("events", launcher=[
        *small_disk("3m", site.db_folder), "sh", "-c",
        '"$0" init --config "$3" >/dev/null && exec "$@"', program("jobwire"),
    ])
    argv = [*inside(site.events.pid), program("jobwire"), "ticket", "--sub",
            "alice", "--config", site.config]
    texts = [
        leaks.secret(subprocess.check_output(argv, text=True).strip())
        for _ in range(10)
    ]
    ballast = Ballast(site.events.pid, site.db_folder)

    def ask():
        return use(site, texts[-1], "/events?format=json")

    def is_full():
        ballast.fill()
        if ask().status == 503:
            return True
        texts.pop()
        return False

    until(is_full, "the disk to be full", 20)
    answer = ask()
    assert (answer.status, answer.error()) == (503, "database_unavailable")
    ballast.drop()
    assert ask().status == 200


def test_tickets_while_the_database_is_locked_for_long(guarded):
    """Not now, in the form that the client takes; they stay good, and the
    others do not wait for them."""
    texts = [ticket(guarded) for _ in range(40)]
    with stream_at(
        guarded, "/api/v1/events/mine", headers=bearer(token(claims()))
    ) as stream:
        stream.wait_open()
        with locked(guarded):
            begun = time.monotonic()
            asked = use_all(guarded, texts, "/events/mine")
            answer = use(guarded, texts[0], "/events/mine?format=json")
            assert (answer.status, answer.error()) == (
                503, "database_unavailable",
            )
            for exchange in asked:
                answer = exchange.finish()
                assert answer.status == 200
                retry = re.match(rb"retry: (\d+)\n", answer.body)
                # Soon: they are good for 30 s.
                assert 1000 <= int(retry.group(1)) <= 5000
            assert 1.9 < time.monotonic() - begun < 2 + patience(0.5)
            begun = time.monotonic()
            assert get(guarded, "/healthz").status == 200
            assert time.monotonic() - begun < patience(0.2)
    assert use(guarded, texts[0]).status == 200
    assert read_metrics(guarded).total("auth_failures_total") == 0
