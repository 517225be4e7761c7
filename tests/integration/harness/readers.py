"""Fixtures: sites with the responder of streams, each in a state that the
protocol speaks of."""

import pytest

ORIGIN = "https://app.example"


@pytest.fixture(name="reader")
def fixture_reader(make_site):
    """A site with the responder of streams; job `done` has ended."""
    site = make_site()
    site.writer.publish("done", "step")
    site.writer.publish("done", "completed")
    site.start("events")
    return site


@pytest.fixture(name="guarded")
def fixture_guarded(make_site):
    """events_auth = server; alice has job `mine`."""
    site = make_site(events_auth="server")
    site.writer.own("mine", "alice")
    site.start("events")
    return site


@pytest.fixture(name="crossed")
def fixture_crossed(make_site):
    """One origin may read."""
    site = make_site(cors_origins=f"https://other.example, {ORIGIN}")
    site.writer.publish("done", "completed")
    site.start("events")
    return site


@pytest.fixture(name="full")
def fixture_full(make_site):
    """A server whose only place is taken."""
    site = make_site(max_streams="1")
    site.start("events")
    with site.stream("taken") as stream:
        stream.wait_open()
        yield site


def refusal(answer):
    """(status, code)."""
    return answer.status, answer.error()


def place(site, number):
    """The id of a row."""
    return f"{site.writer.epoch()}-{number}"
