"""The table of docs/cluster.md: what goes wrong, and what is accepted, delivered
and doubled then, in which order. Each row alone, and all at random.

JOBWIRE_FAULT_ROUNDS is the number of random rounds (20), played in groups of
20, each on a cluster of its own and from a seed of its own, whose number is the
test's: JOBWIRE_FAULT_SEED=17 plays that group alone.
"""

import os

import pytest
from harness.cluster import fixture_make_cluster
from harness.cluster_faults import DOUBLING, Drama, Engine
from harness.network import fixture_networks, why_no_networks
from harness.redis import fixture_make_redis

_FIXTURES = (fixture_make_cluster, fixture_make_redis, fixture_networks)

ROUNDS_PER_GROUP = 20
GROUPS = -(-int(os.environ.get("JOBWIRE_FAULT_ROUNDS", "20")) // ROUNDS_PER_GROUP)
_SEED = os.environ.get("JOBWIRE_FAULT_SEED")
SEEDS = [int(_SEED)] if _SEED else range(1, GROUPS + 1)


@pytest.fixture(name="make_drama")
def fixture_make_drama(make_cluster, make_redis):
    """A cluster with two Redis, running, and all that happens in it."""
    made = []

    def make(seed, networks=None, **settings):
        engine = Engine(make_redis, networks)
        cluster = make_cluster(redis=engine, networks=networks, **settings)
        made.append(Drama(cluster.start(), engine, seed))
        return made[-1]

    yield make
    for drama in made:
        drama.stop()


def report(record_property, drama, doubled):
    """What a group has come to."""
    writer = drama.writer
    record_property(
        "cluster", f"{len(drama.kinds)} rounds, {len(writer.accepted)} events"
        f" accepted, {writer.retries} tries in vain, {writer.elsewhere} accepted"
        f" by another node, {sum(page.moves for page in drama.pages)} moves,"
        f" {doubled} doubled, none lost",
    )


@pytest.mark.parametrize(
    "kind", [
        "relay", "webhook", "events", "stop", "reload", "redis", "cut",
        "failover", "lost",
    ]
)
def test_promise(make_drama, record_property, kind):
    """A row of the table, five times."""
    drama = make_drama(1)
    for _ in range(5):
        drama.play(kind)
    doubled = drama.judge(doubles_allowed=kind in DOUBLING)
    report(record_property, drama, doubled)


def test_promise_of_a_cut_link(make_drama, networks, record_property):
    """Each node in a network of its own."""
    drama = make_drama(1, networks)
    for _ in range(5):
        drama.play("cut")
    report(record_property, drama, drama.judge(doubles_allowed=False))


def test_promise_of_cluster_ack_replica(make_drama, record_property):
    """An answer with an id stands, whatever a failover loses: that id is the
    event's in the end, too."""
    drama = make_drama(1, cluster_ack="replica")
    for kind in ["failover"] * 5 + ["relay"]:
        drama.play(kind)
    report(record_property, drama, drama.judge())
    answered, node = drama.writer.answered, drama.cluster[0]
    rows = node.ask("SELECT id, coalesce(json_extract(data, '$.n'),"
                    " json_extract(data, '$.executionTime')) FROM job_events")
    ids = {int(number): id_ for id_, number in rows}
    assert len(answered) > 20
    for number, event_id in answered.items():
        assert int(event_id.partition("-")[2]) == ids[number], number


def test_replica_that_missed_an_epoch(make_drama):
    """It becomes the master, and must not give out ids that clients have seen:
    an epoch has begun of which it knows nothing."""
    drama = make_drama(1)
    engine = drama.faults.engine

    def write():
        for _ in range(10):
            drama.writer.write(drama.JOBS[0])
        drama.cluster.settle()
        drama.wait_pages()

    write()
    engine.replica.lose_touch()
    engine.master.kill()
    engine.master.start()  # a new epoch
    write()
    engine.swap()
    write()
    drama.judge()
    assert all(page.resyncs == [] for page in drama.pages)


def in_networks():
    """The random rounds are played in networks where there can be any."""
    return why_no_networks() is None


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_whatever_happens(
    make_drama, record_property, request, seed
):
    """A group of random rounds."""
    print(f"JOBWIRE_FAULT_SEED={seed} make integration T=nothing_is_lost_whatever")
    networks = request.getfixturevalue("networks") if in_networks() else None
    drama = make_drama(seed, networks)
    for number in range(ROUNDS_PER_GROUP):
        print(f"round {number}")
        drama.play()
    report(record_property, drama, drama.judge())
