"""A loss is told once: whoever comes back with the id that was given after it
is sent what there is, and comes to rest."""

import random

import pytest
from harness.reading import get_json, jobs_target, kinds, stream_at
from harness.sse import ids_of

OVER = {"s": "x" * (1 << 20)}  # as data, more than can be sent


@pytest.fixture(name="reader")
def fixture_reader(make_site):
    """A site with the responder of streams."""
    site = make_site()
    site.start("events")
    return site


class Page:
    """What a page that polls for jobs has, by row."""

    def __init__(self, site, jobs):
        self.site = site
        self.target = jobs_target(jobs, "format=json")[len("/api/v1") :]
        self.place = ""
        self.rows = set()

    def poll(self):
        """One answer."""
        query = f"&last_event_id={self.place}" if self.place else ""
        value = get_json(self.site, self.target + query)
        self.place = value["last_event_id"]
        for event in value["events"]:
            if event["event"] == "resync":
                self.rows.clear()
            else:
                row = event["id"].partition("-")[2].partition(".")[0]
                self.rows.add(int(row))
        return value

    def poll_to_rest(self):
        """Polls until there is nothing; whether it was told of a loss."""
        told = 0
        for _ in range(10):
            value = self.poll()
            told += "resync" in kinds(value["events"])
            if value["events"] == []:
                assert told <= 1
                return told == 1
        raise AssertionError("it is answered at once, call after call")


def outlived(site):
    """A job with an event that is older than another one, which is gone."""
    old = site.writer.publish("old", "step")
    site.writer.publish("gone", "completed")
    site.tool("delete", "gone")
    site.writer.publish("newest", "step")
    return f"{site.writer.epoch()}-{old}"


@pytest.mark.parametrize("how", ["heartbeat=event", ""])
def test_old_events_and_a_job_without_a_row(reader, how):
    """What is gone may have been that job; the old event is no reason to say
    so with each reconnect."""
    place = outlived(reader)
    target = jobs_target(["old", "not-yet"], how)
    with stream_at(reader, target, last_id=place) as stream:
        assert kinds(stream.take(2)) == ["resync", "step"]
        for _ in range(3):
            stream.reconnect().wait_open()
            row = reader.writer.publish("not-yet", "step")
            event = stream.next()
            while event.event == "heartbeat":
                event = stream.next()
            assert ids_of([event]) == [row]


def test_who_begins_has_lost_nothing(reader):
    outlived(reader)
    page = Page(reader, ["old", "not-yet"])
    assert not page.poll_to_rest()
    with stream_at(reader, jobs_target(["old", "not-yet"])) as stream:
        assert kinds(stream.take(1)) == ["step"]
        stream.reconnect().wait_open()
        reader.writer.publish("old", "mine")
        assert kinds(stream.take(1)) == ["mine"]


def test_gone_job_had_the_newest_event_of_all(reader):
    reader.writer.publish("stays", "step")
    reader.writer.publish("gone", "step")
    page = Page(reader, ["stays", "gone"])
    assert not page.poll_to_rest()
    reader.tool("delete", "gone")
    assert page.poll_to_rest()
    reader.writer.publish("other", "step")
    assert not page.poll_to_rest()


def test_pages_go_on_past_old_events(reader):
    """Each answer ends before what is gone; the next one goes on there."""
    large = {"s": "x" * 1000000}
    rows = [reader.writer.publish("a", "mine", large) for _ in range(6)]
    reader.writer.publish("b", "completed")
    page = Page(reader, ["a", "b"])
    page.poll()
    reader.tool("delete", "b")
    reader.writer.publish("c", "mine")
    assert page.poll_to_rest()
    assert sorted(page.rows) == rows


def test_loss_behind_the_first_page_is_told(reader):
    """What is lost later is another loss, though its rows are older."""
    large = {"s": "x" * 1000000}
    rows = [reader.writer.publish("a", "mine", large) for _ in range(6)]
    reader.writer.publish("b", "completed")
    reader.tool("delete", "b")
    page = Page(reader, ["a", "b"])
    page.poll()
    assert max(page.rows) < rows[-1]
    reader.writer.connection.execute(
        "DELETE FROM job_events WHERE id = ?", rows[-1:]
    )
    assert page.poll_to_rest()


def come_back(stream, times=5):
    """As an EventSource does; what it was sent until it was stopped."""
    seen = []
    for _ in range(times):
        if stream.status == 204:
            return seen
        seen += stream.wait_end()
        stream.reconnect()
    raise AssertionError(f"it comes back for ever: {kinds(seen)}")


def test_ended_job_with_an_end_that_cannot_be_sent(make_site):
    site = make_site(keep_events="1")
    site.start("events")
    first = site.writer.publish("a", "progress", {"progress": 1})
    site.writer.publish("a", "mine")
    place = f"{site.writer.epoch()}-{first}"
    site.writer.publish("a", "completed", OVER)
    site.tool("prune")
    with site.stream("a", last_id=place) as stream:
        assert kinds(come_back(stream)) == ["resync", "progress"]


def test_newest_row_of_an_ended_job_was_deleted(reader):
    """By whoever may, before a client had it."""
    first = reader.writer.publish("a", "completed")
    page = Page(reader, ["a"])
    page.poll()
    last = reader.writer.publish("a", "mine")
    reader.writer.connection.execute(
        "DELETE FROM job_events WHERE id = ?", (last,)
    )
    place = f"{reader.writer.epoch()}-{first}"
    with reader.stream("a", last_id=place) as stream:
        assert kinds(come_back(stream)) == ["resync", "completed"]
    assert kinds(page.poll()["events"]) == ["resync", "completed"]
    again = page.poll()
    assert again["events"] == [] and again["terminal"]


def test_floor_next_to_a_gone_one(reader):
    """Two losses whose ids are neighbours are two losses."""
    reader.writer.publish("a", "mine")
    reader.writer.publish("gone", "mine")
    reader.tool("delete", "gone")
    page = Page(reader, ["a", "b"])
    assert not page.poll_to_rest()
    lost = reader.writer.publish("b", "mine")
    reader.writer.connection.execute(
        "DELETE FROM job_events WHERE id = ?", (lost,)
    )
    assert page.poll_to_rest()


def rows_of(site, jobs):
    return {row[0] for job in jobs for row in site.writer.rows(job)}


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_deleted(reader, seed):
    """A page is at rest after each change, with all that there is; and was
    told when something is gone that it had not seen."""
    draw = random.Random(seed)
    jobs = ["a", "b", "c"]
    page = Page(reader, jobs)
    for _ in range(25):
        for _ in range(draw.randint(0, 3)):
            kind = draw.choice(["mine", "completed", "queued"])
            reader.writer.publish(draw.choice([*jobs, "other"]), kind)
        unseen = rows_of(reader, jobs) - page.rows
        gone = draw.choice([*jobs, "other"])
        if draw.random() < 0.3:
            reader.writer.connection.execute(
                "DELETE FROM jobs WHERE job_id = ?", (gone,)
            )
        else:
            rows = [row[0] for row in reader.writer.rows(gone)]
            for row in draw.sample(rows, min(3, len(rows))):
                reader.writer.connection.execute(
                    "DELETE FROM job_events WHERE id = ?", (row,)
                )
        left = rows_of(reader, jobs)
        has_begun = page.place and not page.place.endswith("-0")
        is_told = page.poll_to_rest()
        assert page.rows >= left
        if has_begun and unseen - left:
            assert is_told
