"""jobwire-relay with a real Redis: that all nodes have the same, and that
nothing is lost, whatever is killed, cut off, emptied or put in by hand."""

import json
import signal

import pytest
from harness import leaks
from harness.redis import RedisError, fixture_make_redis  # noqa: F401
from harness.relay import Writers, fixture_make_nodes  # noqa: F401
from harness.wait import until


@pytest.fixture(name="redis")
def fixture_redis(make_redis):
    """One that syncs each write, as far as a test can tell."""
    return make_redis(appendfsync="always").start()


@pytest.fixture(name="nodes")
def fixture_nodes(redis, make_nodes):
    """Three nodes on it, at work."""
    return make_nodes(redis).start()


def test_all_nodes_have_the_same(nodes):
    """Ids, times, states, duplicates and what is refused."""
    for i in range(60):
        node = nodes[i % 3]
        node.put(f"job-{i % 5}", "progress" if i % 4 else "completed")
        node.put_kind(
            "registration", job_id=f"job-{i % 5}", owner=node.name,
            external_id=f"x-{i % 7}",
        )
        node.put_kind("event", job_id="no such id!", type="queued")
        node.put_kind(
            "event", job_id="job-1", type="note", source="all",
            delivery_key=f"same-{i // 3}",
        )
    contents = nodes.settle()
    assert len(contents["job_events"]) == 60 + 20
    assert len(contents["jobs"]) == 5
    ids = [row[0] for row in contents["job_events"]]
    assert sorted(ids) == sorted(set(ids)) and min(ids) >= 1 << 40
    refused = [
        text for node in nodes
        for (text,) in node.ask("SELECT result FROM outbox WHERE result ="
                                """ '{"refused":"invalid"}'""")
    ]
    assert len(refused) == 60


def test_times_are_the_writers(nodes):
    """Clocks may be hours apart: what is stored is the same everywhere."""
    nodes[0].put("j", "queued", created_at="2031-01-02T03:04:05.678Z")
    nodes[1].put("j", "completed", created_at="2001-01-01T00:00:00.000Z")
    nodes[2].put("j", "progress", created_at="no time at all")
    rows = nodes.settle()["job_events"]
    times = {json.loads(row[3])["by"]: row[4] for row in rows}
    assert times["a"] == "2031-01-02T03:04:05.678Z"
    assert times["b"] == "2001-01-01T00:00:00.000Z"
    assert times["c"] == "1970-01-01T00:00:00.001Z"


def test_a_large_event(nodes):
    """Of some megabytes, and the small ones behind it."""
    nodes[0].put("j", "completed", output="x" * 3_000_000)
    nodes.put(30)
    assert len(nodes.check_nothing_is_lost()) == 31


def test_a_relay_is_killed(nodes):
    """At any moment; what is taken meanwhile waits."""
    writers = Writers(nodes)
    for i in range(6):
        node = nodes[i % 3]
        before = nodes[0].ask("SELECT count(*) FROM job_events")[0][0]
        node.kill()
        node.put("while-it-is-away", "note")
        until(
            lambda n=before: node.n_put > 0 and sum(
                other.n_put for other in nodes
            ) > n + 40,
            "others to go on",
        )
        node.start()
        node.wait_state("ok")
    writers.stop()
    nodes.check_nothing_is_lost()


def test_redis_is_killed(redis, nodes):
    """It has what it acknowledged: then nothing is taken back."""
    writers = Writers(nodes)
    for _ in range(3):
        redis.kill()
        for node in nodes:
            node.wait_state("away")
        redis.start()
        for node in nodes:
            node.wait_state("ok")
    writers.stop()
    nodes.check_nothing_is_lost()
    assert all(node.status()["cut_back"] == "0" for node in nodes)


def replica_of(make_redis, redis):
    """A second server that follows."""
    other = make_redis("replica").start()
    other.follow(redis)
    return other


@pytest.mark.parametrize("how", ["killed", "still there"])
def test_a_failover_loses_entries(redis, make_redis, make_nodes, how):
    """A replica is promoted that has been cut off: what it does not have is
    taken back everywhere, and comes again. `still there`: for a while both
    are masters, as nodes see it."""
    other = replica_of(make_redis, redis)
    nodes = make_nodes(redis, other).start()
    nodes.put(30)
    nodes.settle()
    other.wait_synced()
    other.lose_touch()
    nodes.put(60, first=30)
    nodes.settle()  # acknowledged, applied, seen
    other.promote()
    if how == "killed":
        redis.kill()
    else:
        nodes.put(30, first=90)
        redis.call("REPLICAOF", other.inner, other.port)
    nodes.put(30, first=120)
    until(
        lambda: all(int(n.status().get("cut_back", 0)) > 0 for n in nodes),
        "all nodes to take back what was lost", 30,
    )
    rows = nodes.check_nothing_is_lost()
    assert len({row[0] >> 40 for row in rows}) > 1, "a new epoch"
    assert all("cut_back" in node.log() for node in nodes)


def test_all_of_redis_is_lost(redis, nodes):
    """By a command, and with its disk."""
    nodes.put(60)
    nodes.settle()
    writers = Writers(nodes)
    redis.call("FLUSHALL")
    redis.call("XADD", "{test}:stream", "*", "somebody", "else")
    for node in nodes:
        node.wait_state("away")
    for node in nodes:
        node.wait_state("ok")
    redis.wipe()
    for node in nodes:
        node.wait_state("away")
    redis.start()
    for node in nodes:
        node.wait_state("ok")
    writers.stop()
    nodes.check_nothing_is_lost()


def test_all_is_lost_while_a_node_is_away(redis, nodes):
    """It comes back with less than the others, and gets the rest."""
    nodes.put(30)
    nodes.settle()
    nodes[2].kill()
    nodes[0].put("j", "note")
    until(lambda: not nodes[0].waiting(), "it to be in the log")
    redis.call("FLUSHALL")
    for node in nodes[:2]:
        node.wait_state("away")
    nodes[2].start()
    for node in nodes:
        node.wait_state("ok")
    nodes.put(30, first=30)
    nodes.check_nothing_is_lost()


def wait_until_all_wait(redis, nodes):
    """For a log; who founds it waits for those that come within two seconds,
    which is not always enough here."""

    def look():
        now_s, _ = redis.call("TIME")
        redis.call("HSET", "{test}:nodes", "since", int(now_s) * 1000)
        return all(
            redis.call("HEXISTS", "{test}:nodes", f"{node.name}:seen")
            for node in nodes
        )

    until(look, "all nodes to ask for a log")


def test_all_is_lost_again_before_a_node_has_met(redis, nodes):
    """It and the others have gone two ways: the third log begins where they
    parted, which is where none of them is."""
    nodes.put(30)
    nodes.settle()
    others, late = nodes[:2], nodes[2]
    for node in others:
        node.kill()
    late.put("late", "note")
    until(lambda: not late.waiting(), "it to apply what others have not")
    late.relay.child.send_signal(signal.SIGSTOP)
    redis.call("FLUSHALL")
    for node in others:
        node.start()
    for node in others:
        node.wait_state("ok")
        node.put("others", "note")
    until(lambda: not any(n.waiting() for n in others), "their log to go on")
    redis.call("FLUSHALL")
    late.relay.child.send_signal(signal.SIGCONT)
    wait_until_all_wait(redis, nodes)
    for node in nodes:
        node.wait_state("ok")
    nodes.put(30, first=30)
    nodes.check_nothing_is_lost()
    assert all("cut_back" in node.log() for node in nodes)


def test_entries_are_gone_that_a_node_has_not_applied(redis, nodes):
    """That it is behind is said, and what it takes still reaches others."""
    nodes.put(30)
    nodes.settle()
    nodes[2].kill()
    nodes[0].put("j", "note")
    nodes[0].put("j", "note")
    until(lambda: not nodes[0].waiting(), "them to be in the log")
    redis.call("XTRIM", "{test}:stream", "MAXLEN", "0")
    nodes[2].start()
    status = nodes[2].wait_state("behind", 30)
    assert "cluster clone" in status["detail"]
    nodes[2].put("other", "note")
    until(
        lambda: nodes[0].ask(
            "SELECT 1 FROM job_events WHERE job_id = 'other'"
        ),
        "its own to come to others",
    )
    nodes[2].wait_state("behind")
    assert "event=cluster_behind" in nodes[2].log()
    assert not nodes[2].ask("SELECT 1 FROM job_events WHERE job_id = 'other'")


@pytest.mark.parametrize(
    "entry",
    [
        ("*", "foo", "bar"),
        ("*", "k", "event", "p", "{}"),
        ("8388600-7", "b", "1-1/x", "g", "yyyyyyyy", "k", "epoch", "v", "1"),
        ("1-8589934591", "o", "a", "s", "5", "k", "event", "b", "nothing"),
    ],
)
def test_an_entry_that_no_relay_wrote(redis, nodes, entry):
    """It is passed over, and keeps nothing out."""
    nodes.put(12)
    nodes.settle()
    redis.call("XADD", "{test}:stream", *entry)
    nodes.put(12, first=12)
    nodes.check_nothing_is_lost()
    until(
        lambda: all(
            not row[0].startswith(("17", "18", "8388600", "1-8589"))
            for row in redis.call("XRANGE", "{test}:stream", "-", "+")
        ),
        "it to be removed",
    )
    assert all(node.status()["state"] == "ok" for node in nodes)


def test_an_entry_of_a_newer_form(redis, nodes):
    """A node that does not know it stops, loses nothing, and says so."""
    nodes.put(12)
    nodes.settle()
    newer = nodes[2]
    newer.kill()
    number = newer.put("j", "note")
    sha = redis.call("SCRIPT", "LOAD", script())
    answer = redis.call(
        "EVALSHA", sha, 3, "{test}:log", "{test}:stream", "{test}:nodes",
        "push", "c", number - 1, 99, number, "2026-01-01T00:00:00.000Z",
        "event", "{}",
    )
    assert answer == ["ok", str(number)]
    for node in nodes[:2]:
        assert "upgrade" in node.wait_state("behind", 30)["detail"]
    assert not nodes[0].ask("SELECT 1 FROM job_events WHERE origin_seq = ?"
                            " AND origin = 'c'", number)


def script():
    """sequence.lua, as the relays have it."""
    from harness.process import read_text
    from harness.site import source_root

    return read_text(source_root() + "/src/relay/sequence.lua")


# -- what is wrong at the start --------------------------------------------


def test_a_wrong_password(make_redis, make_nodes):
    """It says so, never which, and goes on when it has become right."""
    redis = make_redis(password="right-0123456789abcdef").start()
    nodes = make_nodes(
        redis, names="a",
        redis_url=f"redis://:wrong-0123456789abcdef@127.0.0.1:{redis.port}",
    )
    node = nodes[0]
    node.start()
    status = node.wait_state("away")
    until(lambda: "event=cluster_away" in node.log(), "a line of the log")
    # Before the first attempt it may have had another reason to say.
    until(
        lambda: any(
            word in node.status().get("detail", "")
            for word in ("WRONGPASS", "invalid")
        ),
        "the reason",
    )
    node.put("j", "note")
    redis.call("CONFIG", "SET", "requirepass", "wrong-0123456789abcdef")
    redis.password = "wrong-0123456789abcdef"
    node.wait_state("ok")
    nodes.settle()
    for text in (node.log(), str(status), str(node.status())):
        assert "wrong-" not in text and "right-" not in text


def test_a_user_and_a_database(make_redis, make_nodes):
    """As the URL names them: nothing is done as another user, nor elsewhere."""
    password = leaks.secret("of-the-user-0123456789abcdef")
    redis = make_redis().start()
    redis.call("ACL", "SETUSER", "wire", "on", f">{password}", "~*", "+@all")
    redis.call("ACL", "SETUSER", "default", "off")
    redis.user, redis.password = "wire", password
    url = redis.url.replace("/0", "/3")
    nodes = make_nodes(redis, names="ab", redis_url=url).start()
    nodes.put(12)
    nodes.check_nothing_is_lost()
    assert redis.info("db3") and redis.info("db0") is None
    assert password not in nodes[0].log() + str(nodes[0].status())


def test_a_database_that_redis_does_not_have(make_redis, make_nodes):
    """It says so."""
    redis = make_redis(databases="2").start()
    url = f"redis://127.0.0.1:{redis.port}/2"
    (node,) = make_nodes(redis, names="a", redis_url=url)
    node.start()
    node.wait_state("away")
    # Before the first attempt it may have had another reason to say.
    until(
        lambda: "out of range" in node.status().get("detail", ""), "the reason"
    )


def test_a_name_that_the_settings_do_not_have(redis, nodes):
    """The relay says so and takes nothing, until they agree."""
    nodes.put(12)
    nodes.settle()
    a, b, _ = nodes
    assert a.relay.terminate() == 0
    relay = a.start("--node-id", "other")
    until(lambda: "event=relay_stuck" in relay.log_text(), "the relay to say so")
    assert "it has joined under another name than node_id says" in a.log()
    b.put("j", "note")
    until(lambda: not b.waiting(), "it to be answered")
    assert not a.ask("SELECT 1 FROM job_events WHERE job_id = 'j'")
    assert relay.terminate() == 0
    a.start("--node-id", "a")
    a.wait_state("ok")
    nodes.check_nothing_is_lost()


@pytest.mark.parametrize(
    "url, why",
    [
        ("", "redis_url is not set"),
        ("http://127.0.0.1", "it must begin with"),
        ("redis://u@127.0.0.1", "what stands before @"),
        ("@/nonexistent", "nonexistent"),
    ],
)
def test_a_wrong_url(make_nodes, url, why):
    """It does not start."""
    node = make_nodes(names="a", redis_url=url)[0]
    assert node.start().wait_exit() == 1
    assert "event=bad_redis_url" in node.log() and why in node.log()


def test_tls_where_hiredis_has_none(make_nodes):
    """It does not start, or tries TLS."""
    node = make_nodes(names="a", redis_url="rediss://:pass@127.0.0.1:1/0")[0]
    relay = node.start()
    until(
        lambda: not relay.is_alive() or "cluster_away" in node.log(),
        "one or the other",
    )
    if not relay.is_alive():
        assert relay.wait_exit() == 1
        assert "this hiredis has no TLS" in node.log()
    assert "pass@" not in node.log()


def test_a_redis_that_may_drop_keys(make_redis, make_nodes):
    """It does not start."""
    options = {"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}
    node = make_nodes(make_redis(**options).start(), names="a")[0]
    assert node.start().wait_exit() == 1
    assert "event=cannot_start" in node.log()
    assert "set maxmemory-policy noeviction" in node.log()


def test_a_redis_that_is_full(redis, nodes):
    """Nothing is lost: it waits until there is room."""
    nodes.put(12)
    nodes.settle()
    redis.call("CONFIG", "SET", "maxmemory", "1mb")
    nodes.put(12, first=12)
    for node in nodes:
        assert "OOM" in node.wait_state("away")["detail"]
    redis.call("CONFIG", "SET", "maxmemory", "0")
    for node in nodes:
        node.wait_state("ok")
    nodes.check_nothing_is_lost()


@pytest.mark.parametrize("key", ["stream", "log", "nodes"])
def test_a_key_of_another_type(redis, make_nodes, key):
    """It says which, and goes on when that is gone."""
    redis.call("SET", f"{{test}}:{key}", "something")
    nodes = make_nodes(redis, names="ab")
    for node in nodes:
        node.start()
    for node in nodes:
        until(
            lambda n=node: "WRONGTYPE" in n.wait_state("away")["detail"],
            "it to say so",
        )
        node.put("j", "note")
    redis.call("DEL", f"{{test}}:{key}")
    for node in nodes:
        node.wait_state("ok")
    nodes.check_nothing_is_lost()


def test_a_name_that_another_database_has(redis, nodes, make_nodes):
    """The second does not start, and both are named; the first goes on."""
    twin = make_nodes(redis, names="a")[0]
    twin.put("j", "note")
    assert twin.start().wait_exit() == 1
    assert "event=node_twice" in twin.log()
    assert nodes[0].site.db in twin.log() and twin.site.db in twin.log()
    nodes.put(12)
    nodes.check_nothing_is_lost()


def test_a_new_database_under_an_old_name(redis, nodes, make_nodes):
    """What it takes is not held for what the old one has taken: it goes on
    behind that."""
    nodes.put(12)
    nodes.settle()
    assert nodes[0].relay.terminate() == 0
    new = make_nodes(redis, names="a")[0]
    new.n_put = 1000
    number = new.put("new", "note")
    new.start()
    new.wait_state("ok")
    until(
        lambda: nodes[1].ask("SELECT 1 FROM job_events WHERE job_id = 'new'"),
        "it to come to others",
    )
    until(
        lambda: new.ask("SELECT count(*) FROM job_events")[0][0] == 13,
        "all others' to come to it",
    )
    assert number == 1 and new.ask("SELECT seq FROM outbox") == [(5,)]
    assert new.ask("SELECT origin_seq FROM job_events WHERE job_id = 'new'") == [
        (5,)
    ]
    until(lambda: not new.waiting(), "it to be answered")


def test_two_relays_on_one_database(nodes):
    """The second waits until the first is gone."""
    first = nodes[0].relay
    second = nodes[0].start()
    until(lambda: "event=relay_waits" in nodes[0].log(), "the second to wait")
    nodes.put(12)
    nodes.settle()
    first.kill()
    until(
        lambda: nodes[0].log().count("event=cluster_ok") == 2,
        "the second to work",
    )
    nodes.put(12, first=12)
    nodes.check_nothing_is_lost()
    assert second.is_alive()


# -- answers ----------------------------------------------------------------


def test_answers_wait_for_a_replica(redis, make_redis, make_nodes):
    """The event is there for all; that it is done is not said before a replica
    has it."""
    nodes = make_nodes(redis, cluster_ack="replica").start()
    number = nodes[0].put("j", "note")
    until(
        lambda: nodes[1].ask("SELECT 1 FROM job_events"), "it to be applied"
    )
    nodes[1].put("j", "note")
    until(
        lambda: nodes[0].ask("SELECT count(*) FROM job_events")[0][0] == 2,
        "both to be applied",
    )
    assert nodes[0].result(number) is None
    replica_of(make_redis, redis)
    until(lambda: nodes[0].result(number), "it to be answered", 20)
    nodes.check_nothing_is_lost()


def test_health_and_metrics(redis, nodes):
    """The writing half repeats what the relay says."""
    node = nodes[0]
    node.site.start("webhook")
    assert node.health() == (
        200, {"status": "ok", "database": "ok", "cluster": "ok"}
    )
    nodes.put(9)
    nodes.settle()

    def metrics():
        answer = node.site.endpoint("webhook").call(
            "GET", "/api/v1/webhooks/metrics"
        )
        return answer.body.decode()

    until(
        lambda: "\njobwire_cluster_outbox_rows 0\n" in metrics()
        and "\njobwire_cluster_entries_behind 0\n" in metrics()
        and "\njobwire_cluster_entries_applied_total 9\n" in metrics(),
        "the numbers",
    )
    assert 'jobwire_cluster_state{state="ok"} 1' in metrics()
    redis.kill()
    node.wait_state("away")
    assert node.health() == (
        200, {"status": "ok", "database": "ok", "cluster": "away"}
    )
    node.put("j", "note")
    until(
        lambda: "\njobwire_cluster_outbox_rows 1\n" in metrics(), "one row"
    )
    redis.start()
    node.wait_state("ok")
    node.kill()
    until(lambda: node.health()[1]["cluster"] == "away", "it to be missed", 20)


def test_the_doctor_says_how_a_node_is(redis, make_nodes):
    """Before a relay has run, and as it then is."""
    node = make_nodes(redis, names="a")[0]

    def say():
        text = node.site.tool("doctor", check=False).stdout
        return [line for line in text.splitlines() if "cluster" in line][0]

    assert "no relay has run yet" in say()
    node.start()
    node.wait_state("ok")
    assert "node a is in touch with the others" in say()
    redis.kill()
    node.wait_state("away")
    node.put("j", "note")
    until(lambda: "1 of its writes wait" in say(), "the row to be seen")


def test_a_single_node_says_nothing_of_it(make_site):
    """Neither its health nor its metrics."""
    site = make_site()
    site.start("webhook")
    answers = [
        site.endpoint("webhook").call("GET", f"/api/v1/webhooks/{name}")
        for name in ("healthz", "metrics")
    ]
    assert all(b"cluster" not in answer.body for answer in answers)


def test_a_key_prefix_keeps_clusters_apart(redis, nodes, make_nodes):
    """Two on one Redis."""
    others = make_nodes(redis, names="ab", cluster_key="other").start()
    nodes.put(9)
    others.put(4)
    assert len(nodes.check_nothing_is_lost()) == 9
    assert len(others.check_nothing_is_lost()) == 4
    with pytest.raises(RedisError):
        redis.call("GET", "{other}:stream")
