"""Retention as a client sees it: what was trimmed is said in-band to those who
missed it, and to nobody else."""

import contextlib
import os
import signal

import pytest
from harness.publish import ForeignWriter
from harness.reading import get, get_json, jobs_target, kinds, stream_at
from harness.site import events_target
from harness.sse import data_of, ids_of
from harness.wait import until


def publish(site, job, kind, count):
    """Rows of one transaction, numbered; their ids."""
    before = {row[0] for row in site.writer.rows(job)}
    site.writer.publish_many([(job, kind, {"n": n}) for n in range(count)])
    return [row[0] for row in site.writer.rows(job) if row[0] not in before]


def delete(site, where, *values):
    """What a foreign program may do."""
    site.writer.connection.execute(
        f"DELETE FROM job_events WHERE {where}", values
    )


def first_of(site, job, number):
    """The first event for a client that has seen that row."""
    place = f"{site.writer.epoch()}-{number}"
    with site.stream(job, last_id=place) as stream:
        return stream.next()


def reason_of(event):
    """Why it is a resync; None when it is none."""
    return data_of(event)["reason"] if event.event == "resync" else None


@pytest.fixture(name="reader")
def fixture_reader(make_site):
    """A site with the responder of streams."""
    site = make_site()
    site.start("events")
    return site


@pytest.mark.parametrize("seen, lost", [(0, True), (1, True), (2, False)])
def test_floor_is_the_newest_that_was_taken(reader, seen, lost):
    """Who saw the newest deleted event has missed nothing."""
    ids = publish(reader, "floor", "step", 6)
    delete(reader, "id <= ?", ids[2])
    event = first_of(reader, "floor", ids[seen])
    assert reason_of(event) == ("expired" if lost else None)


def test_what_is_kept_follows_the_resync(reader):
    ids = publish(reader, "kept", "step", 5)
    delete(reader, "id <= ?", ids[2])
    place = f"{reader.writer.epoch()}-{ids[0]}"
    with reader.stream("kept", last_id=place) as stream:
        resync, *rest = stream.take(3)
        assert reason_of(resync) == "expired"
        assert resync.id == f"{reader.writer.epoch()}-0"
        assert ids_of(rest) == ids[3:]


def test_who_was_told_is_not_told_again(reader):
    ids = publish(reader, "told", "step", 5)
    delete(reader, "id <= ?", ids[2])
    place = f"{reader.writer.epoch()}-{ids[0]}"
    with reader.stream("told", last_id=place) as stream:
        assert reason_of(stream.next()) == "expired"
        stream.reconnect()
        assert ids_of(stream.take(2)) == ids[3:]


def test_no_id_is_no_loss(reader):
    ids = publish(reader, "fresh", "step", 5)
    delete(reader, "id <= ?", ids[2])
    with reader.stream("fresh") as stream:
        assert ids_of(stream.take(2)) == ids[3:]


def test_trimming_one_job_resyncs_no_other(reader):
    mine = publish(reader, "mine", "step", 3)
    other = publish(reader, "other", "step", 3)
    delete(reader, "job_id = 'other'")
    assert first_of(reader, "mine", mine[0]).event == "step"
    publish(reader, "other", "step", 1)
    assert reason_of(first_of(reader, "other", other[0])) == "expired"


def test_a_deleted_job_resyncs_no_known_job(reader):
    mine = publish(reader, "stays", "step", 3)
    publish(reader, "goes", "step", 3)
    reader.writer.connection.execute("DELETE FROM jobs WHERE job_id = 'goes'")
    assert first_of(reader, "stays", mine[0]).event == "step"


def test_one_of_several_jobs_was_trimmed(reader):
    """The stream of both is told; that of the other alone is not."""
    whole = publish(reader, "whole", "step", 2)
    part = publish(reader, "part", "step", 3)
    delete(reader, "id IN (?, ?)", *part[:2])
    place = f"{reader.writer.epoch()}-{whole[0]}"
    target = jobs_target(["whole", "part"])
    with stream_at(reader, target, last_id=place) as stream:
        resync, *rest = stream.take(4)
        assert reason_of(resync) == "expired"
        assert ids_of(rest) == [*whole, part[2]]
    assert first_of(reader, "whole", whole[0]).event == "step"


def test_trimmed_progress_is_no_loss(reader):
    start = publish(reader, "run", "processing", 1)[0]
    ids = publish(reader, "run", "progress", 5)
    delete(reader, "type = 'progress' AND id < ?", ids[-1])
    event = first_of(reader, "run", start)
    assert (event.event, ids_of([event])) == ("progress", [ids[-1]])


@pytest.mark.parametrize("how", ["jobs", "events"])
def test_wholly_deleted_job(reader, how):
    """Whoever deletes it, and in whatever order."""
    ids = publish(reader, "gone", "step", 3)
    last = publish(reader, "gone", "completed", 1)[0]
    if how == "events":
        delete(reader, "job_id = 'gone'")
    reader.writer.connection.execute("DELETE FROM jobs WHERE job_id = 'gone'")
    assert reader.writer.rows("gone") == []
    for seen in (ids[0], last):
        assert reason_of(first_of(reader, "gone", seen)) == "expired"
    assert get(reader, "/jobs/gone").error() == "unknown_job"


@pytest.mark.parametrize("others", [False, True])
def test_job_that_was_deleted_and_made_again(reader, others):
    """It has its name from one whose events are gone: that is still said, but
    not of what came since, nor twice; whatever else is deleted later."""
    before = publish(reader, "again", "step", 3)
    reader.writer.connection.execute("DELETE FROM jobs WHERE job_id = 'again'")
    since = publish(reader, "again", "step", 3)
    if others:
        publish(reader, "other", "step", 1)
        reader.writer.connection.execute("DELETE FROM jobs WHERE job_id = 'other'")
    place = f"{reader.writer.epoch()}-{before[0]}"
    with reader.stream("again", last_id=place) as stream:
        resync, *rest = stream.take(4)
        assert (reason_of(resync), ids_of(rest)) == ("expired", since)
        stream.reconnect()
        later = publish(reader, "again", "step", 1)
        assert ids_of([stream.next()]) == later
    assert ids_of([first_of(reader, "again", since[0])]) == since[1:2]


def test_finished_job_without_events_ends_for_good(reader):
    """Its row is there and says that it ended; there is nothing to send. A
    client that comes back with the id of the resync must be stopped."""
    ids = publish(reader, "empty", "step", 2)
    publish(reader, "empty", "completed", 1)
    delete(reader, "job_id = 'empty'")
    place = f"{reader.writer.epoch()}-{ids[0]}"
    with reader.stream("empty", last_id=place) as stream:
        assert [reason_of(e) for e in stream.wait_end()] == ["expired"]
        stream.reconnect()
        assert stream.status == 204


def test_ids_are_never_given_again(reader):
    ids = publish(reader, "ids", "step", 5)
    with reader.stream("ids") as stream:
        stream.take(5)
        delete(reader, "job_id = 'ids'")
        again = publish(reader, "ids", "step", 2)
        assert min(again) > max(ids)
        assert ids_of(stream.take(2)) == again
        stream.reconnect()
        third = publish(reader, "ids", "step", 1)
        assert ids_of([stream.next()]) == third


def test_future_after_the_table_was_set_back(reader):
    """A restored backup: ids that clients have are not there yet."""
    publish(reader, "back", "step", 3)
    assert reason_of(first_of(reader, "back", 4)) == "future"
    publish(reader, "back", "step", 1)
    publish(reader, "back", "step", 1)
    assert first_of(reader, "back", 4).event == "step"


def test_resync_in_the_json_form(reader):
    ids = publish(reader, "json", "step", 3)
    delete(reader, "id <= ?", ids[1])
    place = f"{reader.writer.epoch()}-{ids[0]}"
    value = get_json(reader, f"/events/json?last_event_id={place}")
    assert kinds(value["events"]) == ["resync", "step"]
    assert value["events"][0]["data"] == {"reason": "expired"}
    value = get_json(
        reader, f"/events/json?last_event_id={value['last_event_id']}"
    )
    assert value["events"] == []


# -- clients that are behind while retention works --------------------------


def open_stalled(site, stack, job, filler="x" * 30000):
    """A client of the job that stopped reading in the middle of the first
    events; their ids. The server is behind with it."""
    stream = stack.enter_context(site.stream(job, receive_buffer=4096))
    stream.wait_open()
    site.writer.publish_many([(job, "step", {"x": filler})] * 40)
    until(
        lambda: b"jobwire_streams_lagging 1\n" in get(site, "/metrics").body,
        "the server to be behind",
    )
    return stream, [row[0] for row in site.writer.rows(job)]


def test_slow_client_is_told_what_retention_took(reader):
    """What is deleted before a slow client has it is lost for this client,
    like for one that comes back later: it must be told."""
    with contextlib.ExitStack() as stack:
        slow, ids = open_stalled(reader, stack, "slow")
        delete(reader, "id > ? AND id < ?", ids[10], ids[-1])
        reader.writer.publish("slow", "completed")
        events = slow.wait_end()
        assert "resync" in kinds(events), (
            f"{len(events)} of {len(ids) + 1} events and not a word"
        )


def test_slow_client_misses_no_progress_that_counts(reader):
    with contextlib.ExitStack() as stack:
        slow, _ = open_stalled(reader, stack, "slow")
        ids = publish(reader, "slow", "progress", 20)
        delete(reader, "type = 'progress' AND id < ?", ids[-1])
        last = reader.writer.publish("slow", "completed")
        events = slow.wait_end()
        assert "resync" not in kinds(events)
        assert ids_of(events)[-2:] == [ids[-1], last]


def is_stopped(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rpartition(") ")[2].startswith("T")


def stop_outside_of_a_transaction(site):
    """Holds the responder, but not with the lock that all writers need."""
    site.writer.connection.execute("BEGIN IMMEDIATE")
    os.kill(site.events.pid, signal.SIGSTOP)
    until(
        lambda: is_stopped(site.events.pid),
        "the responder to stand still",
    )
    site.writer.connection.execute("COMMIT")


def test_rows_taken_before_the_responder_read_them(reader):
    """A stream that had everything, a responder that stood still for a while:
    what was committed and deleted meanwhile is lost, and must be said."""
    with reader.stream("job") as stream:
        ids = publish(reader, "job", "step", 2)
        assert ids_of(stream.take(2)) == ids
        stop_outside_of_a_transaction(reader)
        more = publish(reader, "job", "step", 10)
        delete(reader, "id > ? AND id < ?", ids[-1], more[-1])
        os.kill(reader.events.pid, signal.SIGCONT)
        reader.writer.publish("job", "completed")
        events = stream.wait_end()
        assert "resync" in kinds(events), kinds(events)


def test_rows_taken_before_a_poll_read_them(reader):
    """The same of a JSON request that waits."""
    ids = publish(reader, "job", "step", 2)
    target = events_target(
        "job",
        f"format=json&wait=55&last_event_id={reader.writer.epoch()}-{ids[-1]}",
    )
    with contextlib.closing(
        reader.endpoint("events").open("GET", target)
    ) as poll:
        until(
            lambda: b"jobwire_json_waiting 1\n" in get(reader, "/metrics").body,
            "the request to wait",
        )
        stop_outside_of_a_transaction(reader)
        more = publish(reader, "job", "step", 10)
        delete(reader, "id > ? AND id < ?", ids[-1], more[-1])
        os.kill(reader.events.pid, signal.SIGCONT)
        events = poll.finish().json()["events"]
    assert [event["event"] for event in events] == ["resync"] + ["step"] * 3


def lose_some(connection):
    """Rows of the job, and what retention does to them."""
    connection.executemany(
        "INSERT INTO job_events (job_id, type) VALUES ('job', ?)",
        [("step",), ("step",), ("completed",)],
    )
    connection.execute("DELETE FROM job_events WHERE type = 'step'")


def test_replaced_by_a_database_that_lost_rows(reader):
    """One resync tells of both: the new file, and what is missing in it."""
    with reader.stream("job") as stream:
        publish(reader, "job", "step", 1)
        stream.take(1)
        reader.replace_database(lose_some)
        assert kinds(stream.wait_end()) == ["resync", "completed"]


# -- the janitor of the running responder ------------------------------------


def test_janitor_keeps_progress(make_site):
    site = make_site(keep_progress="3")
    site.start("events")
    start = publish(site, "run", "processing", 1)[0]
    with site.stream("run") as live:
        ids = publish(site, "run", "progress", 20)
        assert ids_of(live.take(21)) == [start, *ids]
        until(
            lambda: [r[0] for r in site.writer.rows("run")]
            == [start, *ids[-3:]],
            "the janitor to take old progress", 15,
        )
        with site.stream("run", last_id=live.events[0].id) as late:
            assert ids_of(late.take(3)) == ids[-3:]


def test_janitor_keeps_events(make_site):
    site = make_site(keep_events="4")
    site.start("events")
    ids = publish(site, "many", "step", 12)
    other = publish(site, "few", "step", 2)
    until(
        lambda: [r[0] for r in site.writer.rows("many")] == ids[-4:],
        "the janitor to take old events", 15,
    )
    assert reason_of(first_of(site, "many", ids[0])) == "expired"
    assert first_of(site, "many", ids[7]).event == "step"
    assert first_of(site, "few", other[0]).event == "step"


def age(site, job, days):
    """Makes the job that old."""
    site.writer.connection.execute(
        "UPDATE jobs SET updated_at ="
        " strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?) WHERE job_id = ?",
        (f"-{days} days", job),
    )


def test_janitor_keeps_days(make_site):
    """Finished jobs go altogether; one that runs stays, however old."""
    site = make_site(keep_days="2")
    site.start("events")
    ids = {}
    for job, end in [("old", "failed"), ("new", "failed"), ("runs", "step")]:
        ids[job] = publish(site, job, "step", 2) + publish(site, job, end, 1)
        age(site, job, 1 if job == "new" else 3)
    until(
        lambda: get(site, "/jobs/old").status == 404,
        "the janitor to take the old job", 15,
    )
    assert site.writer.rows("old") == []
    assert reason_of(first_of(site, "old", ids["old"][0])) == "expired"
    for job in ("new", "runs"):
        assert [row[0] for row in site.writer.rows(job)] == ids[job]
        assert first_of(site, job, ids[job][0]).event == "step"


def test_prune_by_hand(make_site):
    """`jobwire prune` does the same without a responder."""
    site = make_site(keep_events="2", keep_progress="1")
    steps = publish(site, "job", "step", 5)
    progress = publish(site, "job", "progress", 5)
    site.tool("prune")
    left = [row[0] for row in site.writer.rows("job")]
    assert left == [*steps[-2:], progress[-1]]
    floor = site.writer.connection.execute(
        "SELECT floor FROM jobs WHERE job_id = 'job'"
    ).fetchone()[0]
    assert floor == steps[-3]


def test_deletion_by_another_program_while_streams_are_open(reader):
    """A stream that has everything is told nothing."""
    other = ForeignWriter(reader.db)
    ids = publish(reader, "calm", "step", 4)
    with reader.stream("calm") as stream:
        assert ids_of(stream.take(4)) == ids
        other.connection.execute("DELETE FROM job_events WHERE id <= ?", ids[:1])
        more = publish(reader, "calm", "step", 1)
        assert ids_of([stream.next()]) == more
    other.close()
