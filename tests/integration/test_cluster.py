"""Several nodes with one log: what is written on one is the same event, with the
same id, on all of them (docs/cluster.md)."""

import json
import os
import random
import re
import signal
import time

import pytest
from harness.cluster import (
    Page, Writer, check_order, check_page, data_of, fixture_make_cluster,
)
from harness.inbound import nameless_target
from harness.network import fixture_networks
from harness.redis import fixture_make_redis
from harness.runs import QUICK
from harness.site import PREFIX
from harness.sse import StreamEnded
from harness.wait import Deadline, until

_FIXTURES = (fixture_make_cluster, fixture_make_redis, fixture_networks)

COMPLETED = {
    "id": "run-1", "status": "COMPLETED", "output": {"n": 12345678901234567890},
}


@pytest.fixture(name="cluster")
def fixture_cluster(make_cluster):
    """Three nodes, running."""
    return make_cluster().start()


def number_in(event_id):
    """The number in an event's id."""
    return int(event_id.split("-")[1].partition(".")[0])


# --- Writing on one, reading on another ---------------------------------------


def test_webhook_on_one_is_an_event_on_another(cluster):
    a, _, c = cluster
    with c.stream("j") as stream:
        stream.wait_open()
        answer = a.deliver("j", COMPLETED, restore_id="r-1")
        assert answer.status == 200, answer
        told = answer.json()
        assert "pending" not in told and not told["duplicate"]
        (event,) = stream.wait_end()
    assert event.id == told["event_id"]
    data = data_of(event)
    assert list(data)[:5] == ["job_id", "restore_id", "status", "origin", "seq"]
    assert data["origin"] == "a" and isinstance(data["seq"], int)
    assert '"n":12345678901234567890' in event.data
    job = c.get("/jobs/j").json()
    assert job["state"] == "completed"
    cluster.settle()


def test_ids_statuses_and_order_are_the_same_everywhere(cluster):
    writer = Writer(cluster, random.Random(5))
    jobs = [f"j{n}" for n in range(4)]
    for number in range(60):
        writer.write(jobs[number % len(jobs)])
    contents = cluster.settle()
    pages = [Page(node, jobs) for node in cluster]
    for page in pages:
        page.start()
    for page in pages:
        until(lambda page=page: len(page.seen) == 60, "all events", 20)
        page.stop()
        assert check_page(page, writer.accepted, doubles_allowed=False) == 0
        check_order(page, contents)
    assert len({tuple(e.id for _, _, e, _ in page.seen) for page in pages}) == 1


def test_json_form_has_the_same(cluster):
    a, b, _ = cluster
    a.publish("j", [{"type": "note", "data": {"n": n}} for n in (1, 2, 3)])
    page = b.get("/events/j?format=json&wait=20").json()
    events = page["events"]
    assert [event["data"]["n"] for event in events] == [1, 2, 3]
    assert {event["data"]["origin"] for event in events} == {"a"}
    seqs = [event["data"]["seq"] for event in events]
    assert seqs == [seqs[0], seqs[0] + 1, seqs[0] + 2]
    assert page["last_event_id"] == events[-1]["id"]


def test_foreign_insert(cluster):
    """An INSERT that knows nothing of clusters; and one that breaks a rule."""
    a, b, c = cluster
    with a.stream("j") as on_a, c.stream("j") as on_c:
        on_a.wait_open(), on_c.wait_open()
        b.site.writer.publish("j", "progress", {"progress": 40})
        events = on_a.next(), on_c.next()
    assert events[0].id == events[1].id
    assert data_of(events[0])["origin"] == "b"
    with pytest.raises(Exception, match="event_type_format"):
        b.site.writer.publish("j", "No Type")
    with pytest.raises(Exception, match="data_is_json_object"):
        b.site.writer.publish("j", "note", "[1]")
    b.site.drop_writer()
    cluster.settle()


def test_foreign_insert_with_a_delivery_key_counts_once(cluster):
    for node in cluster:
        node.site.writer.connection.execute(
            "INSERT INTO job_events (job_id, type, source, delivery_key)"
            " VALUES ('j', 'note', 'cron', 'today')"
            " ON CONFLICT (source, delivery_key) DO NOTHING"
        )
        node.site.drop_writer()
    contents = cluster.settle()
    assert len(contents["job_events"]) == 1


def test_provider_retries_at_another_node(cluster):
    a, b, c = cluster
    first = a.deliver("j", COMPLETED).json()
    for node in (b, c, a):
        again = node.deliver("j", COMPLETED).json()
        assert again["duplicate"] is True
        assert again["event_id"] == first["event_id"]
    contents = cluster.settle()
    assert len(contents["job_events"]) == 1


def test_both_nodes_get_the_retry_at_once(cluster):
    """Neither has seen the other's when it accepts its own."""
    from harness.inbound import at_once

    answers = at_once(9, lambda n: cluster[n % 3].deliver("j", COMPLETED))
    assert {answer.status for answer in answers} == {200}
    told = [answer.json() for answer in answers]
    assert len({answer["event_id"] for answer in told}) == 1
    assert sum(not answer["duplicate"] for answer in told) == 1
    contents = cluster.settle()
    assert len(contents["job_events"]) == 1


def test_reports_of_a_job_that_nobody_has_registered(make_cluster):
    """A hundred of them wait for it, as many as one entry of the log makes
    events of. What comes again is none more."""
    a, b = cluster = make_cluster(size=2).start()

    def report(node, n):
        return node.site.post(nameless_target(), json.dumps(
            {"id": "ext", "status": "IN_PROGRESS", "delayTime": n}
        ).encode())

    for n in range(100):
        assert report((a, b)[n % 2], n).json() == {
            "ok": True, "job_id": None, "event_id": None, "duplicate": False,
        }
    for node in cluster:
        answer = report(node, 100)
        assert answer.json()["error"]["code"] == "bad_payload", answer
        assert report(node, 0).json()["duplicate"]
    assert len(cluster.settle()["unclaimed_events"]) == 100
    answer = b.send("/jobs", {"job_id": "j", "external_id": "ext"})
    assert answer.status == 201, answer
    assert len(cluster.settle()["job_events"]) == 100
    assert report(a, 100).json()["job_id"] == "j"


def test_idempotency_key_at_another_node(cluster):
    a, b, _ = cluster
    body = {"type": "note", "data": {"n": 1}}
    first = a.publish("j", body, key="k-1")
    assert first.status == 201, first
    again = b.publish("j", body, key="k-1")
    assert again.status == 200, again
    assert again.json() == first.json()
    other = b.publish("j", {"type": "note"}, key="k-1")
    assert other.status == 422 and other.error() == "idempotency_key_reused"
    cluster.settle()


def test_owner_of_another_node_stays(cluster):
    a, b, _ = cluster
    answer = a.send("/jobs", {"job_id": "j", "owner": "alice"})
    assert answer.status == 201, answer
    answer = b.send("/jobs", {"job_id": "j", "owner": "bob"})
    assert answer.status == 409 and answer.error() == "job_owned"
    contents = cluster.settle()
    assert [row[1] for row in contents["jobs"]] == ["alice"]


def test_owners_at_two_nodes_at_once(cluster):
    """One of them wins, and is told so; everywhere alike."""
    from harness.inbound import at_once

    answers = at_once(2, lambda n: cluster[n].send(
        "/jobs", {"job_id": "j", "owner": ("alice", "bob")[n]}
    ))
    assert sorted(answer.status for answer in answers) == [201, 409]
    winner = ("alice", "bob")[[answer.status for answer in answers].index(201)]
    contents = cluster.settle()
    assert [row[1] for row in contents["jobs"]] == [winner]


def test_late_report_is_late_everywhere(cluster):
    a, b, c = cluster
    a.deliver("j", COMPLETED)
    answer = b.deliver(
        "j", {"id": "run-1", "status": "IN_PROGRESS", "executionTime": 3}
    ).json()
    assert answer["event_id"] is None and "pending" not in answer, answer
    contents = cluster.settle()
    assert [row[2] for row in contents["job_events"]] == ["completed"]


def test_deletion_reaches_all(cluster):
    a, _, c = cluster
    a.deliver("j", COMPLETED)
    until(lambda: c.get("/jobs/j").status == 200, "the job on c")
    a.tool("delete", "j")
    until(lambda: c.get("/jobs/j").status == 404, "the job to be gone on c")
    contents = cluster.settle()
    assert contents["jobs"] == contents["job_events"] == []


# --- Without the log ----------------------------------------------------------


def test_writes_are_accepted_while_the_engine_is_away(make_cluster):
    cluster = make_cluster(cluster_wait="300ms").start()
    a, b, c = cluster
    before = a.deliver("j", {
        "id": "r", "status": "IN_PROGRESS", "executionTime": 0,
    }).json()
    cluster.redis.kill()
    for node in cluster:
        until(
            lambda node=node: node.health() and
            node.health()["cluster"] == "away", f"{node} to be away", 20,
        )
        assert node.metrics().value("cluster_state", state="away") == 1
    answer = a.deliver("j", COMPLETED)
    assert answer.status == 200
    assert answer.json()["pending"] is True
    assert answer.json()["event_id"] is None
    answer = b.publish("j", {"type": "note"}, key="k")
    assert answer.status == 202 and answer.json()["pending"] is True, answer
    answer = c.send("/jobs", {"job_id": "new", "owner": "alice"})
    assert answer.status == 202 and answer.json()["pending"] is True, answer
    c.site.writer.publish("j", "note")
    c.site.drop_writer()
    assert [node.waiting() for node in cluster] == [1, 1, 2]
    with a.stream("j", last_id=before["event_id"]) as stream:
        stream.wait_open()
        cluster.redis.start()
        cluster.wait_ok()
        cluster.settle()
        events = stream.wait_end()
    assert {event.event for event in events} >= {"completed"}
    assert c.get("/jobs/new").status == 200


def test_a_short_absence_is_not_noticed(make_cluster):
    """Less than cluster_wait: the answer has the id."""
    cluster = make_cluster(cluster_wait="20s").start()
    cluster.redis.kill()
    from harness.inbound import at_once

    def act(n):
        if n == 0:
            return cluster.redis.start()
        return cluster[0].deliver("j", COMPLETED)

    _, answer = at_once(2, act)
    assert answer.status == 200 and "pending" not in answer.json()
    assert cluster[2].deliver("j", COMPLETED).json()["duplicate"] is True


# --- Readers ------------------------------------------------------------------


def stop_applying(node):
    """Its relay does nothing more, until go_on()."""
    node.relay.child.send_signal(19)


def go_on(node):
    node.relay.child.send_signal(18)


def wait_for_one_epoch(cluster):
    """Until who reads, too, has seen which log it is: it looks now and then
    while nobody waits."""
    until(
        lambda: len({
            node.get("/events/x?format=json").json()["last_event_id"][:8]
            for node in cluster
        }) == 1,
        "all nodes to name one epoch",
    )


def test_client_that_is_ahead_waits_for_the_node(make_cluster):
    """Both forms: it gets what follows, and no resync."""
    cluster = make_cluster(cluster_wait="20s").start()
    a, b, _ = cluster
    a.publish("j", {"type": "note", "data": {"n": 0}})
    cluster.settle()
    wait_for_one_epoch(cluster)
    stop_applying(b)
    ahead = a.publish("j", {"type": "note", "data": {"n": 1}}).json()["event_ids"][0]
    with b.stream("j", last_id=ahead) as stream:
        poll = b.endpoint.open(
            "GET", f"{PREFIX}/events/j?format=json&wait=20&last_event_id={ahead}"
        )
        a.publish("j", {"type": "note", "data": {"n": 2}})
        go_on(b)
        assert data_of(stream.next(20))["n"] == 2
        events = poll.finish(30).json()["events"]
        assert [event["data"]["n"] for event in events] == [2]


def test_client_that_stays_ahead_is_told(make_cluster):
    cluster = make_cluster(cluster_wait="200ms").start()
    a, b, _ = cluster
    a.publish("j", {"type": "note", "data": {"n": 0}})
    cluster.settle()
    wait_for_one_epoch(cluster)
    stop_applying(b)
    ahead = a.publish("j", {"type": "note", "data": {"n": 1}}).json()["event_ids"][0]
    with b.stream("j", last_id=ahead) as stream:
        told = stream.next(20)
        assert told.event == "resync" and data_of(told) == {"reason": "behind"}
        assert data_of(stream.next())["n"] == 0
        go_on(b)
        assert data_of(stream.next(20))["n"] == 1
    assert a.get(f"/events/j?format=json&last_event_id={ahead}").json()["events"] == []


def test_client_of_before_the_join_is_told(make_cluster):
    """The history stays, its ids do not."""
    cluster = make_cluster(size=2)
    a, b = cluster
    a.site.writer.publish("j", "note", {"n": 0})
    a.site.drop_writer()
    old = a.ask("SELECT value FROM meta WHERE key = 'epoch'")[0][0]
    cluster.start()
    with a.stream("j", last_id=f"{old}-1") as stream:
        told = stream.next()
        assert told.event == "resync" and data_of(told) == {"reason": "epoch"}
        assert data_of(stream.next())["n"] == 0
        b.publish("j", {"type": "note", "data": {"n": 1}})
        assert data_of(stream.next())["n"] == 1
    assert b.get("/jobs/j").status == 200


def test_join_and_leave_while_programs_run(make_cluster):
    cluster = make_cluster(size=1)
    (node,) = cluster
    node.site.start_both()
    node.web.start()
    first = node.publish("j", {"type": "note", "data": {"n": 0}}).json()
    with node.stream("j") as stream:
        assert data_of(stream.next())["n"] == 0
        node.tool("cluster", "join")
        node.start_relay()
        cluster.wait_ok()
        node.publish("j", {"type": "note", "data": {"n": 1}})
        events = []
        deadline = Deadline(20)
        while not events or data_of(events[-1]).get("n") != 1:
            try:
                events.append(stream.next(deadline))
            except StreamEnded:
                stream.reconnect()
        assert data_of(events[-1])["origin"] == "a"
    assert node.get("/events/j?format=json").json()["last_event_id"] > first["event_ids"][0][:0]
    node.relay.terminate()
    done = node.tool("cluster", "leave")
    assert "left" in done.stdout or done.stdout == "", done.stdout
    answer = node.publish("j", {"type": "note", "data": {"n": 2}})
    assert answer.status == 201 and "pending" not in answer.json()
    last = node.get("/events/j?format=json").json()["events"][-1]
    assert last["data"] == {"job_id": "j", "status": "queued", "n": 2}
    assert node.health().get("cluster") is None


def two_nodes_at_rest(make_cluster):
    """With an event of the first one's, and nothing that waits."""
    cluster = make_cluster(size=2).start()
    cluster[0].publish("j", {"type": "note", "data": {"n": 0}})
    cluster.settle()
    return cluster


def test_a_node_that_has_left_takes_nothing_though_its_relay_runs(make_cluster):
    """Which says so once, and goes on as soon as the node has joined again."""
    cluster = two_nodes_at_rest(make_cluster)
    a, b = cluster
    assert "systemctl disable --now jobwire-relay" in a.tool("cluster", "leave").stdout
    b.publish("j", {"type": "note", "data": {"n": 1}})
    until(lambda: b.waiting() == 0, "the log to have it")
    until(lambda: "event=relay_stuck" in a.relay.log_text(), "the relay to say so")
    (line,) = re.findall("event=relay_stuck.*", a.relay.log_text())
    assert "it is no node of a cluster" in line
    a.publish("j", {"type": "note", "data": {"n": 2}})
    numbers = [e["data"]["n"] for e in a.get("/events/j?format=json").json()["events"]]
    assert numbers == [0, 2]
    assert a.health().get("cluster") is None
    a.tool("cluster", "join")
    cluster.wait_ok()
    b.publish("k", {"type": "note", "data": {"n": 3}})
    until(lambda: a.get("/jobs/k").status == 200, "what comes after it has joined")
    assert a.relay.log_text().count("event=relay_stuck") == 1


EPOCH = "SELECT value FROM meta WHERE key = 'epoch'"


def test_a_node_that_has_left_and_joined_at_once_is_taken_up_again(make_cluster):
    """By a relay that has seen neither: it must adopt the cluster's epoch."""
    cluster = two_nodes_at_rest(make_cluster)
    a, b = cluster
    epoch = a.ask(EPOCH)
    os.kill(a.relay.pid, signal.SIGSTOP)
    a.tool("cluster", "leave")
    a.tool("cluster", "join")
    assert a.ask(EPOCH) != epoch
    os.kill(a.relay.pid, signal.SIGCONT)
    until(lambda: a.ask(EPOCH) == epoch, "the cluster's epoch")
    assert b.ask(EPOCH) == epoch
    cluster.wait_ok()
    a.publish("j", {"type": "note", "data": {"n": 1}})
    cluster.settle()


def leave_alone(node):
    """It is a single node from now on, without a relay."""
    node.relay.terminate()
    node.tool("cluster", "leave")


def test_a_node_that_comes_by_another_name_sends_nothing_again(make_cluster):
    """The others have it by the old one."""
    cluster = make_cluster(size=2).start()
    a, b = cluster
    for number in range(3):
        b.publish("j", {"type": "note", "data": {"n": number}})
    cluster.settle()
    leave_alone(b)
    b.site.configure(**cluster.settings("d"))
    b.tool("cluster", "join")
    b.start_relay()
    cluster.wait_ok()
    b.publish("j", {"type": "note", "data": {"n": 3}})
    rows = cluster.settle()["job_events"]
    assert [(json.loads(row[3])["n"], row[9]) for row in rows] == [
        (0, "b"), (1, "b"), (2, "b"), (3, "d"),
    ]


def write_alone(make_cluster, job):
    """Two nodes, of which the second has left and has 200 events of its own."""
    cluster = make_cluster(size=2).start()
    a, b = cluster
    a.publish("j", {"type": "note", "data": {"n": 0}})
    cluster.settle()
    leave_alone(b)
    for number in range(1, 201):
        b.site.writer.publish(job, "note", {"n": number})
    return cluster


def test_a_node_that_wrote_alone_for_long_is_to_be_cloned(make_cluster, tmp_path):
    """Its ids are the log's, for other events: it mixes neither up."""
    cluster = write_alone(make_cluster, "j")
    a, b = cluster
    b.tool("cluster", "join")
    b.start_relay()
    cluster.wait_ok()
    a.publish("k", {"type": "note", "data": {"n": 201}})
    until(lambda: b.health().get("cluster") == "behind", "b to say so")
    told = b.tool("cluster", "status").stdout
    assert "has written on its own since it left" in told, told
    assert b.ask("SELECT count(*), count(origin) FROM job_events") == [(201, 1)]
    for process in (b.relay, b.site.events, b.site.webhook):
        process.terminate()
    b.web.stop()
    b.site.drop_writer()
    copy = str(tmp_path / "copy.db")
    a.tool("backup", copy)
    b.tool("cluster", "clone", copy)
    b.start()
    cluster.wait_ok()
    b.publish("k", {"type": "note", "data": {"n": 202}})
    assert len(cluster.settle()["job_events"]) == 3


def test_a_node_whose_own_events_are_gone_gives_the_log_s_ids(make_cluster):
    """Nobody has those of its own any more."""
    cluster = write_alone(make_cluster, "own")
    a, b = cluster
    b.site.writer.connection.execute("DELETE FROM jobs WHERE job_id = 'own'")
    b.tool("cluster", "join")
    b.start_relay()
    cluster.wait_ok()
    (event,) = a.publish("k", {"type": "note", "data": {"n": 201}}).json()["event_ids"]
    until(lambda: b.get("/jobs/k").status == 200, "b to have it")
    assert b.ask("SELECT id FROM job_events WHERE job_id = 'k'") == [
        (int(event.partition("-")[2]),)
    ]


# --- Tickets and tokens -------------------------------------------------------


@pytest.fixture(name="guarded")
def fixture_guarded(make_cluster):
    """Nodes whose readers need tokens or tickets."""
    return make_cluster(
        size=2, events_auth="ticket", jwt_key=SECRET_KEY, cluster_wait="20s",
    ).start()


SECRET_KEY = "harness-cluster-jwt-key-0123456789abcdef"


def test_ticket_of_another_node(guarded):
    a, b = guarded
    token = a.tool("token", "mint", "--sub", "alice").stdout.strip()
    ticket = a.send(
        "/tickets", {}, {"Authorization": f"Bearer {token}"}
    ).json()["ticket"]
    with b.stream("j", f"ticket={ticket}") as stream:
        assert stream.status in (200, 403), stream.status
        if stream.status == 200:
            stream.wait_open()


def test_ticket_that_comes_too_early(guarded):
    a, b = guarded
    token = a.tool("token", "mint", "--sub", "alice").stdout.strip()
    stop_applying(b)
    ticket = a.send(
        "/tickets", {}, {"Authorization": f"Bearer {token}"}
    ).json()["ticket"]
    exchange = b.endpoint.open("GET", f"{PREFIX}/jobs/j?ticket={ticket}")
    go_on(b)
    assert exchange.finish().status != 401


def test_unknown_ticket_is_refused_in_the_end(make_cluster):
    cluster = make_cluster(
        size=1, events_auth="ticket", jwt_key=SECRET_KEY, cluster_wait="300ms",
    ).start()
    begun = time.monotonic()
    answer = cluster[0].get("/jobs/j?ticket=" + "A" * 32)
    assert answer.status == 401 and answer.error() == "ticket_invalid"
    assert time.monotonic() - begun >= 0.3


def test_revocation_reaches_all(guarded):
    a, b = guarded
    a.send("/jobs", {"job_id": "j", "owner": "alice"})
    token = a.tool("token", "mint", "--sub", "alice").stdout.strip()
    bearer = {"Authorization": f"Bearer {token}"}
    until(lambda: b.get("/jobs/j", bearer).status == 200, "the job on b")
    a.tool("token", "revoke", "--sub", "alice")
    until(lambda: b.get("/jobs/j", bearer).status == 401, "the token's end on b")


# --- Runs ---------------------------------------------------------------------


def test_start_and_cancel_are_visible_everywhere(cluster):
    a, _, c = cluster
    answer = a.send("/jobs/j/restore", {"input": {"seed": 1234567890123456789}})
    assert answer.status == 202 and answer.json()["status"] == "queued", answer
    run_id = answer.json()["run_id"]
    run = until(
        lambda: (c.get("/jobs/j").json() or {}).get("run"), "the run on c"
    )
    assert run["run_id"] == run_id and run["state"] == "waiting"
    busy = c.send("/jobs/j/restore", {"input": {}})
    assert busy.status == 409 and busy.error() == "job_running"
    answer = c.send("/jobs/j/cancel", {})
    assert answer.status in (200, 202), answer
    cluster.settle()


def test_start_at_two_nodes_at_once_starts_one(cluster):
    from harness.inbound import at_once

    answers = at_once(3, lambda n: cluster[n].send("/jobs/j/restore", {"input": {}}))
    assert sorted(answer.status for answer in answers) == [202, 409, 409]
    contents = cluster.settle()
    assert len(contents["runs"]) == 1


def test_only_the_accepting_node_submits_and_take_takes(make_cluster):
    from harness.runpod import RunPod
    from harness.process import Process
    from harness.site import program

    cluster = make_cluster(size=2)
    a, b = cluster
    runpod = RunPod(a.site, "--retry", "200ms").start()
    for node in cluster:
        node.site.configure(**cluster.settings(
            node.name, **runpod.settings(**QUICK),
            base_url=f"http://127.0.0.1:{b.web.port}",
        ))
    cluster.start()

    def run_runner(node):
        process = Process(
            "runner", [program("jobwire-runner"), "--config", node.site.config],
            node.site.log_path("runner"),
        )
        node.site.processes.append(process)

    run_runner(b)
    run_id = a.send("/jobs/j/restore", {"input": {"job": 1}}).json()["run_id"]
    b.publish("other", {"type": "note"})
    cluster.settle()
    # b's runner looks at what is due; a's run is none of it.
    b.send("/jobs/own/restore", {"input": {"job": 2}})
    until(
        lambda: b.ask("SELECT state FROM runs WHERE job_id = 'own'") == [("ended",)],
        "b's own run to end", 20,
    )
    assert b.ask("SELECT state FROM runs WHERE job_id = 'j'") == [("waiting",)]
    b.tool("run", "take", str(run_id))
    # Whether a had sent it, b cannot know.
    assert b.ask("SELECT state FROM runs WHERE job_id = 'j'") == [("unknown",)]
    b.tool("run", "retry", str(run_id))
    until(
        lambda: a.get("/jobs/j").json()["state"] == "completed",
        "the run that was taken to end, on a too", 20,
    )
    cluster.settle()
    assert sorted(runpod.submissions().values()) == [1, 1]


# --- The commands -------------------------------------------------------------


def test_status(cluster):
    a, _, _ = cluster
    a.publish("j", {"type": "note"})
    cluster.settle()
    shown = json.loads(a.tool("cluster", "status", "--json").stdout)
    assert shown["node"] == "a" and shown["state"] == "ok"
    assert shown["waiting"] == 0
    until(
        lambda: {node["node"] for node in json.loads(
            a.tool("cluster", "status", "--json").stdout
        )["nodes"]} == {"a", "b", "c"}, "all nodes to be named", 20,
    )
    text = a.tool("cluster", "status").stdout
    assert "node\ta" in text and "state\tok" in text


def test_status_of_a_single_node(site):
    done = site.tool("cluster", "status", check=False)
    assert done.returncode == 1 and "not a node" in done.stderr, done


def test_join_needs_a_name(make_site):
    site = make_site()
    done = site.tool("cluster", "join", check=False)
    assert done.returncode == 1 and "node_id" in done.stderr, done
    for bad in ("", "a b", "x" * 33, "ü"):
        done = site.tool("cluster", "join", "--node-id", bad, check=False)
        assert done.returncode in (1, 2) and "node_id" in done.stderr, done


def test_a_new_node_is_a_clone(cluster, tmp_path):
    a, b, _ = cluster
    writer = Writer(cluster, random.Random(1))
    for _ in range(10):
        writer.write("j")
    cluster.settle()
    copy = str(tmp_path / "copy.db")
    a.tool("backup", copy)
    writer.write("j")
    d = cluster.add("d")
    d.tool("cluster", "clone", copy)
    assert not [name for name in os.listdir(d.site.db_folder) if ".part" in name]
    d.start()
    cluster.wait_ok()
    for node in cluster:
        writer.write("j", node=node)
    cluster.settle()
    page = Page(d, ["j"])
    page.start()
    until(lambda: len(page.seen) == len(writer.accepted), "all events at d")
    page.stop()
    assert check_page(page, writer.accepted, doubles_allowed=False) == 0


def test_a_clone_keeps_what_the_node_had_accepted(cluster, tmp_path):
    """Its outbox has what no other node knows."""
    a, b, _ = cluster
    writer = Writer(cluster, random.Random(1))
    for _ in range(5):
        writer.write("j", node=b)
    cluster.settle()
    copy = str(tmp_path / "copy.db")
    a.tool("backup", copy)
    b.relay.terminate()
    writer.write("j", way="insert", node=b)
    for process in (b.site.events, b.site.webhook):
        process.terminate()
    b.web.stop()
    b.tool("cluster", "clone", copy)
    b.start()
    cluster.wait_ok()
    for _ in range(3):
        writer.write("j", node=b)
    contents = cluster.settle()
    assert len(contents["job_events"]) == len(writer.accepted)


def test_a_node_whose_disk_is_gone_goes_on_by_its_name(cluster, tmp_path):
    """Its new rows are not taken for those that it had sent before."""
    a, b, _ = cluster
    writer = Writer(cluster, random.Random(1))
    for _ in range(5):
        writer.write("j", node=b)
    cluster.settle()
    copy = str(tmp_path / "copy.db")
    a.tool("backup", copy)
    for _ in range(5):
        writer.write("j", node=b)
    cluster.settle()
    for process in (b.relay, b.site.events, b.site.webhook):
        process.terminate()
    b.web.stop()
    b.site.drop_writer()
    import glob
    import os
    for path in glob.glob(b.site.db_folder + "/*"):
        os.unlink(path)
    b.tool("cluster", "clone", copy)
    b.site.start_both()
    b.web.start()
    for _ in range(3):
        writer.write("j", way="insert", node=b)
    b.start_relay()
    for _ in range(3):
        writer.write("j", node=b)
    cluster.wait_ok()
    contents = cluster.settle()
    assert len(contents["job_events"]) == len(writer.accepted)


def stop(node):
    """All of its programs."""
    for process in (node.relay, node.site.events, node.site.webhook):
        process.terminate()
    node.web.stop()


def test_a_clone_is_no_way_back(cluster, tmp_path):
    """A copy of before what the node has applied does not take its place."""
    a, b, _ = cluster
    copy = str(tmp_path / "copy.db")
    a.publish("j", {"type": "note"})
    cluster.settle()
    a.tool("backup", copy)
    a.publish("j", {"type": "note"})
    contents = cluster.settle()
    stop(b)
    done = b.tool("cluster", "clone", copy, check=False)
    assert done.returncode == 1, done
    assert f"the copy is older than {b.site.db}; make a new one" in done.stderr
    assert b.contents() == contents
    b.start()
    cluster.wait_ok()
    assert cluster.settle() == contents


def test_a_clone_takes_the_place_of_no_other_node(cluster, tmp_path):
    """Nor of a database that is no node, unless there is nothing in it."""
    a, b, _ = cluster
    copy = str(tmp_path / "copy.db")
    a.publish("j", {"type": "note"})
    contents = cluster.settle()
    a.tool("backup", copy)
    stop(b)
    flags = ("cluster", "clone", copy, "--node-id", "d")
    done = b.tool(*flags, check=False)
    assert done.returncode == 1, done
    assert f"{b.site.db} has events and is no node d; move it away" in done.stderr
    assert b.contents() == contents
    single, empty = cluster.add("d"), cluster.add("e")
    single.site.writer.publish("own", "note")
    single.site.drop_writer()
    done = single.tool("cluster", "clone", copy, check=False)
    assert done.returncode == 1 and "has events and is no node d" in done.stderr
    assert [row[1] for row in single.site.writer.rows()] == ["own"]
    empty.tool("cluster", "clone", copy)
    cluster.nodes.remove(single)
    for node in (b, empty):
        node.start()
    cluster.wait_ok()
    assert cluster.settle() == contents
