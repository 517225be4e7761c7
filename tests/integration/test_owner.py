"""Who may read with `events_auth = server`, and the streams of an owner."""

import contextlib

import pytest
from harness.metrics import gauge_is, read_metrics
from harness.reading import get, get_json, jobs_target, kinds, stream_at
from harness.sse import data_of, ids_of
from harness.wait import until

ALL = "/api/v1/events"


@pytest.fixture(name="owned")
def fixture_owned(make_site):
    """Alice has two jobs, Bob has one, nobody has the last."""
    site = make_site(events_auth="server")
    for job, owner in [("a1", "alice"), ("a2", "alice"), ("b1", "bob")]:
        site.writer.own(job, owner)
    site.writer.publish("none", "step")
    site.start("events")
    return site


def jobs_of(events):
    """(job, type) of each."""
    return [(data_of(e)["job_id"], e.event) for e in events]


# -- rights ------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", ["/events", "/events/a1", "/events?job_id=a1", "/jobs/a1",
               "/events/a1?format=json", "/events/bad%20id"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nobody_reads_without_a_user(owned, method, target):
    answer = get(owned, target, method=method)
    assert answer.status == 403
    assert method == "HEAD" or answer.error() == "not_authenticated"
    assert read_metrics(owned).value("streams_opened_total") == 0


@pytest.mark.parametrize("target", ["/healthz", "/metrics"])
def test_watchers_need_no_user(owned, target):
    assert get(owned, target).status == 200


@pytest.mark.parametrize("job", ["b1", "none", "unknown"])
@pytest.mark.parametrize(
    "form", ["/events/{}", "/jobs/{}", "/events/{}?format=json",
             "/events?job_id={}", "/events/{}?last_event_id=x"],
)
def test_what_is_not_yours(owned, form, job):
    """A foreign, an ownerless and an unknown job look the same."""
    answer = get(owned, form.format(job), user="alice")
    assert (answer.status, answer.error()) == (403, "job_forbidden")
    other = get(owned, form.format("b1"), user="alice")
    assert answer.body == other.body


@pytest.mark.parametrize("place", [0, 1, 2, 63])
@pytest.mark.parametrize("foreign", ["b1", "unknown"])
def test_one_foreign_id_among_others(owned, place, foreign):
    """All or nothing, wherever it stands, and nothing of it is said."""
    jobs = [f"mine-{n}" for n in range(63 if place == 63 else 2)]
    for job in jobs:
        owned.writer.own(job, "alice")
    jobs.insert(place, foreign)
    target = jobs_target(jobs).removeprefix("/api/v1")
    answer = get(owned, target, user="alice")
    assert (answer.status, answer.error()) == (403, "job_forbidden")
    assert foreign.encode() not in answer.body
    assert read_metrics(owned).value("streams_opened_total") == 0


@pytest.mark.parametrize("user", ["Alice", "alice ", "alic", "alice\udcff", "%"])
def test_names_are_compared_exactly(owned, user):
    answer = get(owned, "/events/a1", user=user)
    assert answer.error() == "job_forbidden"


def test_own_jobs_by_name(owned):
    with stream_at(owned, jobs_target(["a1", "a2"]), user="alice") as stream:
        stream.wait_open()
        owned.writer.publish("b1", "step")
        owned.writer.publish("a1", "completed")
        owned.writer.publish("a2", "completed")
        assert jobs_of(stream.wait_end()) == [
            ("a1", "completed"), ("a2", "completed"),
        ]


def test_state_of_an_own_job(owned):
    assert get(owned, "/jobs/a1", user="alice").json()["state"] == "queued"


def test_a_job_given_away_is_closed_to_the_first_owner(owned):
    owned.writer.publish("a1", "step")
    owned.writer.own("a1", "bob")
    answer = get(owned, "/events/a1", user="alice")
    assert answer.error() == "job_forbidden"
    assert get_json(owned, "/events/a1", user="bob")["events"]


# -- streams of an owner -----------------------------------------------------


def test_owner_stream_has_only_own_events(owned):
    owned.writer.publish("a1", "step")
    with stream_at(owned, ALL, user="alice") as stream:
        assert jobs_of([stream.next()]) == [("a1", "step")]
        for job in ("b1", "none", "a2"):
            owned.writer.publish(job, "step")
        assert jobs_of([stream.next()]) == [("a2", "step")]


def test_an_owner_is_his_whole_name(owned):
    """A program can store any: what stands before a NUL is not he."""
    owned.writer.own("other", "alice\0bob")
    with stream_at(owned, ALL, user="alice") as stream:
        stream.wait_open()
        owned.writer.publish("other", "step")
        owned.writer.publish("a1", "step")
        assert jobs_of([stream.next()]) == [("a1", "step")]


def test_owner_stream_does_not_end(owned):
    with stream_at(owned, ALL, user="alice") as stream:
        stream.wait_open()
        for job in ("a1", "a2"):
            owned.writer.publish(job, "completed")
        stream.take(2)
        owned.writer.own("a3", "alice")
        owned.writer.publish("a3", "queued")
        assert jobs_of([stream.next()]) == [("a3", "queued")]
        stream.reconnect()
        assert stream.status == 200


def test_owner_stream_resumes(owned):
    ids = [owned.writer.publish("a1", "step") for _ in range(3)]
    owned.writer.publish("b1", "step")
    with stream_at(owned, ALL, user="alice") as stream:
        stream.next()
        stream.reconnect()
        ids.append(owned.writer.publish("a2", "step"))
        assert ids_of(stream.take(3)) == ids[1:]


def test_owner_without_jobs(owned):
    """Waits for the first one."""
    with stream_at(owned, ALL, user="carol") as stream:
        stream.wait_open()
        owned.writer.own("c1", "carol")
        owned.writer.publish("c1", "processing")
        assert jobs_of([stream.next()]) == [("c1", "processing")]


def test_owner_stream_of_a_job_that_got_its_owner_late(owned):
    """Open streams go on from there; a new one begins with all of it."""
    with stream_at(owned, ALL, user="alice") as stream:
        stream.wait_open()
        first = owned.writer.publish("late", "queued")
        until(
            lambda: read_metrics(owned).value("rows_read_total") >= 1,
            "the row to be read",
        )
        owned.writer.own("late", "alice")
        second = owned.writer.publish("late", "processing")
        assert ids_of([stream.next()]) == [second]
    with stream_at(owned, ALL, user="alice") as stream:
        assert ids_of(stream.take(2)) == [first, second]


def test_owner_stream_is_told_of_loss(owned):
    ids = [owned.writer.publish("a1", "step") for _ in range(4)]
    owned.writer.connection.execute(
        "DELETE FROM job_events WHERE id IN (?, ?)", ids[1:3]
    )
    place = f"{owned.writer.epoch()}-{ids[0]}"
    with stream_at(owned, ALL, user="alice", last_id=place) as stream:
        resync, *rest = stream.take(3)
        assert data_of(resync) == {"reason": "expired"}
        assert ids_of(rest) == [ids[0], ids[3]]


def test_owner_stream_is_not_told_of_the_loss_of_others(owned):
    ids = [owned.writer.publish("a1", "step") for _ in range(2)]
    for _ in range(3):
        owned.writer.publish("b1", "step")
    owned.writer.connection.execute(
        "DELETE FROM job_events WHERE job_id = 'b1'"
    )
    place = f"{owned.writer.epoch()}-{ids[0]}"
    with stream_at(owned, ALL, user="alice", last_id=place) as stream:
        assert ids_of([stream.next()]) == ids[1:]


def test_owner_is_not_told_of_jobs_of_others_that_are_gone(owned):
    """Not again and again, that is: whose jobs they were is not known."""
    owned.writer.publish("a1", "step")
    with stream_at(owned, ALL, user="bob") as watcher:
        watcher.wait_open()
        owned.writer.publish("b1", "completed")
        watcher.next()
        owned.writer.connection.execute("DELETE FROM jobs WHERE job_id = 'b1'")
    first = get_json(owned, "/events", "alice")
    assert kinds(first["events"]) == ["step"]
    place = first["last_event_id"]
    assert get_json(owned, f"/events?last_event_id={place}", "alice")[
        "events"] == []


def test_owner_json(owned):
    owned.writer.publish("a1", "completed")
    owned.writer.publish("b1", "completed")
    value = get_json(owned, "/events", user="alice")
    assert kinds(value["events"]) == ["completed"]
    assert value["terminal"] is False


def test_owner_json_waits_for_own_events(owned):
    exchange = owned.endpoint("events").open(
        "GET", "/api/v1/events?format=json&wait=20",
        extra={"REMOTE_USER": "alice"},
    )
    until(gauge_is(owned, "json_waiting", 1), "it to wait")
    owned.writer.publish("b1", "step")
    owned.writer.publish("a1", "step")
    events = exchange.finish().json()["events"]
    assert [e["data"]["job_id"] for e in events] == ["a1"]


def test_many_owners_at_once(owned):
    """Each has its own, whoever publishes in between."""
    with contextlib.ExitStack() as stack:
        streams = {}
        for number in range(20):
            owned.writer.own(f"job-{number}", f"user-{number}")
            streams[number] = stack.enter_context(
                stream_at(owned, ALL, user=f"user-{number}")
            ).wait_open()
        for _ in range(5):
            owned.writer.publish_many(
                [(f"job-{number}", "step") for number in range(20)]
            )
        for number, stream in streams.items():
            assert jobs_of(stream.take(5)) == [(f"job-{number}", "step")] * 5
