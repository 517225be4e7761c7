"""A reader at one node of a cluster, whose log is written by hand here: rows as
the relay applies them, with the log's ids."""

import json
import time

import pytest
from harness import leaks
from harness.cgi import CgiEndpoint, cgi_stream
from harness.metrics import read_metrics
from harness.site import PREFIX
from harness.sse import data_of
from harness.tokens import HS_SECRET
from harness.wait import until

EPOCH = "0123abcd"


class HandMade:
    """A database of a node, and what applies its log."""

    def __init__(self, site):
        self.site = site
        self._n = 0
        self._execute(
            "INSERT INTO meta (key, value) VALUES ('cluster', 'b')",
            f"UPDATE meta SET value = '{EPOCH}' WHERE key = 'epoch'",
        )

    def _execute(self, *statements):
        connection = self.site.writer.connection
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements:
            connection.execute(statement)
        connection.execute("COMMIT")

    def next_id(self, ahead=1):
        """The id of an event that is so many entries ahead."""
        return f"{EPOCH}-{(1 << 40) + (self._n + ahead) * 128}"

    def apply(self, job, kind="note", data="{}", origin="a"):
        """The next entry: one event; its id."""
        self._n += 1
        number = (1 << 40) + self._n * 128
        self._execute(
            "INSERT INTO job_events (id, job_id, type, data, origin, origin_seq)"
            f" VALUES ({number}, '{job}', '{kind}', '{data}', '{origin}',"
            f" {self._n})",
        )
        return f"{EPOCH}-{number}"


@pytest.fixture(name="make_node")
def fixture_make_node(make_site):
    """Makes nodes, with or without programs."""

    def make(start=True, **settings):
        site = make_site(**{"cluster_wait": "30s", **settings})
        node = HandMade(site)
        if start:
            site.start("events")
        return node

    return make


def poll_target(job, last_id, wait=0):
    """A JSON request from there."""
    return f"{PREFIX}/events/{job}?format=json&wait={wait}&last_event_id={last_id}"


def test_origin_and_seq_are_members_of_the_data(make_node):
    node = make_node()
    event_id = node.apply(
        "j", "completed", '{"origin":"mine","seq":"mine","n":1}'
    )
    with node.site.stream("j") as stream:
        event = stream.next()
    assert event.id == event_id
    assert event.data == (
        '{"job_id":"j","status":"completed","origin":"a","seq":128,"n":1}'
    )
    answer = node.site.endpoint("events").call("GET", poll_target("j", "")).json()
    assert answer["events"][0]["data"] == json.loads(event.data)
    shown = node.site.tool("show", "j", "--json").stdout
    assert '"origin":"a","seq":128' in shown


def test_single_node_has_none(site):
    """These names are the publisher's there."""
    site.writer.publish("j", "note", '{"origin":"mine","seq":7}')
    with site.stream("j") as stream:
        assert stream.next().data == (
            '{"job_id":"j","status":"queued","origin":"mine","seq":7}'
        )


def test_ahead_waits(make_node):
    node = make_node()
    node.apply("j")
    with node.site.stream("j", last_id=node.next_id()) as stream:
        poll = node.site.endpoint("events").open(
            "GET", poll_target("j", node.next_id(), 30)
        )
        node.apply("j", data='{"n":1}')
        node.apply("j", data='{"n":2}')
        event = stream.next()
        assert data_of(event)["n"] == 2
    answer = poll.finish().json()
    assert [e["data"]["n"] for e in answer["events"]] == [2]


def test_client_ahead_of_an_end_is_not_sent_away(make_node):
    """The job has ended here, and was reopened there."""
    node = make_node()
    node.apply("j", "completed")
    with node.site.stream("j", last_id=node.next_id()) as stream:
        node.apply("j", "queued")
        node.apply("j", "processing")
        assert stream.next().event == "processing"


def test_client_ahead_whose_job_has_ended_is_told(make_node):
    node = make_node()
    node.apply("j", "queued")
    with node.site.stream("j", last_id=node.next_id()) as stream:
        node.apply("j", "completed")
        assert stream.status == 204


def test_resync_behind(make_node):
    node = make_node(cluster_wait="100ms")
    here = node.apply("j")
    begun = time.monotonic()
    with node.site.stream("j", last_id=node.next_id()) as stream:
        told = stream.next()
        assert time.monotonic() - begun >= 0.1
        assert (told.event, data_of(told)) == ("resync", {"reason": "behind"})
        assert stream.next().id == here
    answer = node.site.endpoint("events").call(
        "GET", poll_target("j", node.next_id())
    ).json()
    assert [e["event"] for e in answer["events"]] == ["resync", "note"]


def test_clients_that_wait_leave_nothing_behind(make_node):
    """They go away before it is their turn; conftest counts sockets."""
    node = make_node()
    node.apply("j")
    streams = [node.site.stream("j", last_id=node.next_id()) for _ in range(20)]
    until(lambda: node.site.events.sockets() == 21, "all to be there")
    for stream in streams:
        stream.close()
    until(lambda: node.site.events.sockets() == 1, "all to be gone")
    with node.site.stream("j", last_id=node.next_id()) as stream:
        node.apply("j")
        node.apply("j", data='{"n":9}')
        assert data_of(stream.next())["n"] == 9


def test_a_stop_keeps_nobody_waiting(make_node):
    node = make_node()
    node.apply("j")
    with node.site.stream("j", last_id=node.next_id()) as stream:
        until(lambda: node.site.events.sockets() == 2, "it to be there")
        assert node.site.events.terminate() == 0
        assert stream.status in (200, 503)


def test_more_than_may_wait_are_answered(make_node):
    node = make_node(max_streams="2")
    node.apply("j")
    streams = [node.site.stream("j", last_id=node.next_id()) for _ in range(2)]
    until(lambda: node.site.events.sockets() == 3, "both to wait")
    answer = node.site.endpoint("events").call(
        "GET", poll_target("j", node.next_id())
    ).json()
    assert answer["events"][0]["data"] == {"reason": "behind"}
    for stream in streams:
        stream.close()


def test_other_epochs_do_not_wait(make_node):
    node = make_node()
    node.apply("j")
    other = node.next_id().replace(EPOCH, "89abcdef")
    with node.site.stream("j", last_id=other) as stream:
        assert data_of(stream.next()) == {"reason": "epoch"}


def test_a_join_is_noticed_by_who_reads(make_site):
    """Its streams are told, and ids from then on are the cluster's."""
    site = make_site(poll="20ms").start_both()
    site.writer.publish("j", "note", {"n": 0})
    with site.stream("j") as stream:
        assert data_of(stream.next())["n"] == 0
        node = HandMade(site)
        told = stream.next()
        assert (told.event, data_of(told)) == ("resync", {"reason": "epoch"})
        assert data_of(stream.next())["n"] == 0
        event_id = node.apply("j", data='{"n":1}')
        assert stream.next().id == event_id


@pytest.fixture(name="foreign_ticket")
def fixture_foreign_ticket(make_site):
    """One that another node gave out, and its row."""
    other = make_site(events_auth="ticket", jwt_key=HS_SECRET)
    text = other.tool("ticket", "--sub", "alice").stdout.strip()
    (row,) = other.writer.connection.execute(
        "SELECT digest, claims, expires_at FROM tickets"
    )
    return leaks.secret(text), row


def opened(stream):
    """The stream; None, and it is closed, where it is told to come again: who
    writes held the lock for longer than is waited for it, and the ticket is as
    good as before."""
    if "epoch=" in stream.wait_open().comments[0]:
        return stream
    stream.close()
    return None


@pytest.mark.parametrize("target", ["/jobs/j", "/events/j?format=json"])
def test_ticket_of_another_node(make_node, foreign_ticket, target):
    text, row = foreign_ticket
    node = make_node(events_auth="ticket", jwt_key=HS_SECRET)
    node.site.writer.own("j", "alice")
    node.apply("j")
    mark = "&" if "?" in target else "?"

    def ask():
        return node.site.endpoint("events").open(
            "GET", f"{PREFIX}{target}{mark}ticket={text}"
        )

    exchange = ask()
    until(lambda: node.site.events.sockets() == 2, "it to wait")
    node.apply("other")
    node.site.writer.connection.execute(
        "INSERT INTO tickets VALUES (?, ?, ?)", row
    )
    status = exchange.finish().status
    assert status in (200, 503)
    if status == 503:  # as in opened()
        until(lambda: ask().finish().status == 200, "the lock to be free")


def test_ticket_and_id_of_a_node_ahead(make_node, foreign_ticket):
    """The ticket is not used up while the id is waited for."""
    text, row = foreign_ticket
    node = make_node(events_auth="ticket", jwt_key=HS_SECRET)
    node.site.writer.own("j", "alice")
    node.site.writer.connection.execute(
        "INSERT INTO tickets VALUES (?, ?, ?)", row
    )
    last_id = node.next_id()

    def ask():
        return node.site.stream("j", f"ticket={text}", last_id=last_id)

    stream = ask()
    until(lambda: node.site.events.sockets() == 2, "it to wait")
    node.apply("j")
    stream = opened(stream) or until(
        lambda: opened(ask()), "the lock to be free"
    )
    node.apply("j", data='{"n":2}')
    assert data_of(stream.next())["n"] == 2
    stream.close()


def test_unknown_ticket_is_refused_once(make_node):
    node = make_node(
        events_auth="ticket", jwt_key=HS_SECRET, cluster_wait="200ms"
    )
    begun = time.monotonic()
    answer = node.site.endpoint("events").call(
        "GET", f"{PREFIX}/jobs/j?ticket={'A' * 32}"
    )
    assert (answer.status, answer.error()) == (401, "ticket_invalid")
    assert time.monotonic() - begun >= 0.2
    metrics = read_metrics(node.site)
    assert metrics.value("auth_failures_total", rule="ticket") == 1


def test_cgi_waits_too(make_node):
    node = make_node(start=False)
    node.apply("j")
    endpoint = CgiEndpoint(node.site)
    with cgi_stream(endpoint, "j", last_id=node.next_id()) as stream:
        node.apply("j")
        node.apply("j", data='{"n":2}')
        assert data_of(stream.next(20))["n"] == 2
