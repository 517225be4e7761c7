"""jobwire-relay where the log begins anew, or goes on from another master: an
id never means two events, and all nodes come to have the same."""

import signal
import threading

import pytest
from harness.redis import RedisClient, fixture_make_redis  # noqa: F401
from harness.relay import fixture_make_nodes  # noqa: F401
from harness.wait import until

NODES = "{test}:nodes"


@pytest.fixture(name="redis")
def fixture_redis(make_redis):
    """One that syncs each write, as far as a test can tell."""
    return make_redis(appendfsync="always").start()


@pytest.fixture(name="nodes")
def fixture_nodes(redis, make_nodes):
    """Three nodes on it, at work, with some events."""
    nodes = make_nodes(redis).start()
    nodes.put(30)
    nodes.settle()
    return nodes


@pytest.fixture(name="ids")
def fixture_ids():
    """What ids have meant."""
    return {}


def note_ids(nodes, ids):
    """Fails where one means another event than it did."""
    for node in nodes:
        for number, key in node.ask("SELECT id, delivery_key FROM job_events"):
            assert ids.setdefault(number, key) == key, (number >> 40, number)


def pause(nodes, number=signal.SIGSTOP):
    """Their relays stand still."""
    for node in nodes:
        node.relay.child.send_signal(number)


def go_on(nodes):
    """The relays go on, and become well."""
    pause(nodes, signal.SIGCONT)
    for node in nodes:
        node.wait_state("ok")


def lose_all(redis, nodes):
    """Empties it, and waits until those nodes have a log again."""
    redis.call("FLUSHALL")
    for node in nodes:
        node.wait_state("away")
    for node in nodes:
        node.wait_state("ok")


def wait_epoch(nodes, number):
    """Until they have applied an entry of that epoch; or of a later one: where a
    replica comes back to a master that was restarted, it becomes another."""
    for node in nodes:
        until(
            lambda n=node: int(n.status()["position"]) >> 40 >= number,
            f"node {node.name} to be in epoch {number}", 20,
        )


def wait_log(redis):
    """Until there is one."""
    until(lambda: redis.call("EXISTS", "{test}:log"), "a log", 20)


def put_each(nodes, job):
    """An event on each; waits until it is in the log."""
    for node in nodes:
        node.put(job, "note")
    until(lambda: not any(node.waiting() for node in nodes), "them to be taken")


def wait_asked(redis, node):
    """Until the node has asked this master for the log."""
    until(
        lambda: redis.call("HGET", NODES, f"{node.name}:met")
        == redis.info("master_replid"),
        f"node {node.name} to ask", 20,
    )


def switch(node, redis):
    """Its relay goes to another server."""
    node.kill()
    node.site.configure(redis_url=redis.url, cluster_key="test")
    node.start()


def replica_of(make_redis, redis):
    """A second server that has what the first has, and gets no more."""
    other = make_redis("replica").start()
    other.follow(redis)
    other.lose_touch()
    return other


def test_all_is_lost_before_any_node_has_applied_the_new_epoch(redis, nodes, ids):
    """All have gone back behind an epoch whose ids clients have seen: nobody
    is in it, and it is not begun again."""
    late = nodes[2:]
    pause(late)
    lose_all(redis, nodes[:2])
    put_each(nodes[:2], "seen")
    note_ids(nodes[:2], ids)
    redis.call("ACL", "SETUSER", "default", "-xread")  # nothing is applied
    redis.call("FLUSHALL")
    pause(late, signal.SIGCONT)
    for node in nodes[:2]:
        until(lambda n=node: "cut_back" in n.log(), "it to go back", 20)
    redis.call("FLUSHALL")
    redis.call("ACL", "SETUSER", "default", "+xread")
    for node in nodes:
        node.wait_state("ok")
    nodes.put(30, first=30)
    nodes.check_nothing_is_lost()
    note_ids(nodes, ids)


def test_the_log_goes_on_below(redis, nodes, make_redis, ids):
    """A node was alone on another master, whose epochs are above those it
    then has to apply."""
    alone, others = nodes[0], nodes[1:]
    other = replica_of(make_redis, redis)
    other.promote()
    for node in others:
        switch(node, other)
    wait_epoch(others, 2)
    put_each(others, "others")
    for epoch in (2, 3):
        redis.kill()
        redis.start()
        wait_epoch([alone], epoch)
    put_each([alone], "alone")
    note_ids(nodes, ids)
    switch(alone, other)
    for node in nodes:
        node.wait_state("ok")
    nodes.put(30, first=30)
    nodes.check_nothing_is_lost()
    note_ids(nodes, ids)


def test_a_replica_that_was_out_of_touch_for_long(redis, nodes, make_redis, ids):
    """It has not heard of any node within their lease, and waits for them all
    the same: they know of an epoch that it does not."""
    ended, others = nodes[0], nodes[1:]
    other = replica_of(make_redis, redis)
    ended.kill()
    redis.kill()
    redis.start()
    wait_epoch(others, 2)
    put_each(others, "seen")
    note_ids(others, ids)
    for node in nodes:  # as if it had been a minute
        seen = int(other.call("HGET", NODES, f"{node.name}:seen"))
        other.call("CONFIG", "SET", "replica-read-only", "no")
        other.call("HSET", NODES, f"{node.name}:seen", seen - 60000)
    other.promote()
    ended.put("first", "note")
    switch(ended, other)
    wait_asked(other, ended)
    for node in others:
        switch(node, other)
    for node in nodes:
        node.wait_state("ok")
    nodes.put(30, first=30)
    nodes.check_nothing_is_lost()
    note_ids(nodes, ids)


def test_redis_is_away_while_nodes_wait_for_a_log(redis, nodes):
    """Then they wait for each other anew: the one that has least is not there
    in the moment when Redis is."""
    late = nodes[2]
    late.kill()
    put_each(nodes[:1], "more")
    redis.call("FLUSHALL")
    for node in nodes[:2]:
        wait_asked(redis, node)
    since = int(redis.call("HGET", NODES, "since"))
    redis.kill()
    redis.start()
    wait_asked(redis, nodes[0])
    assert int(redis.call("HGET", NODES, "since")) > since
    late.start()
    for node in nodes:
        node.wait_state("ok")
    nodes.put(30, first=30)
    nodes.check_nothing_is_lost()


@pytest.mark.parametrize("is_lost", [True, False])
def test_what_others_have_written_of_nodes(redis, nodes, is_lost):
    """Is passed over where it cannot be read."""
    for node in nodes:
        node.kill()
    if is_lost:
        redis.call("FLUSHALL")
    else:
        redis.kill()
        redis.start()
    now_ms = int(redis.call("TIME")[0]) * 1000
    for name, field, value in [
        ("u", "at", "nowhere"), ("v", "horizon", "nowhere"),
        ("w", "lineage", "5 1-7 nowhere"), ("x", "highest", "none"),
        ("y", "seen", "never"), ("z", "met", "nobody"),
    ]:
        redis.call("HSET", NODES, f"{name}:at", "0-0/", f"{name}:horizon",
                   "0-0/", f"{name}:seen", now_ms, f"{name}:{field}", value)
    redis.call("HSET", NODES, "since", "never", "asked", "never", "odd", "")
    for node in nodes:
        node.start()
    nodes.put(12, first=30)
    for node in nodes:
        node.wait_state("ok")
    nodes.check_nothing_is_lost()


def test_what_is_under_way_when_all_is_lost(make_redis, make_nodes):
    """Batches leave behind the question whose answer is that there is no log
    any more: they count until they are answered, or what Redis loses next
    would not be sent again."""
    redis = make_redis(**{"enable-debug-command": "yes"}).start()
    nodes = make_nodes(redis).start()
    nodes.put(30)
    nodes.settle()
    late, busy = nodes[0], nodes[1:]
    client = RedisClient(redis.host, redis.port)
    for words in (["MULTI"], ["DEBUG", "SLEEP", "2"], ["FLUSHALL"]):
        client.call(*words)
    slow = threading.Thread(target=client.call, args=("EXEC",))
    slow.start()
    for _ in range(13):  # they ask within the first second
        slow.join(0.1)
        for node in busy:
            node.put("j", "note")
    pause(busy)  # so that there is a log when they ask again
    slow.join()
    client.close()
    wait_log(redis)
    go_on(busy)
    nodes.settle()
    late.kill()
    put_each(busy, "lost")
    lost = "SELECT 1 FROM job_events WHERE job_id = 'lost'"
    until(lambda: all(len(n.ask(lost)) == 2 for n in busy), "both to have both")
    pause(busy)
    redis.call("FLUSHALL")
    late.start()
    wait_log(redis)
    go_on(busy)
    until(lambda: all("cut_back" in n.log() for n in busy), "them to go back", 20)
    nodes.put(30, first=30)
    nodes.check_nothing_is_lost()
