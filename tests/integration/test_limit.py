"""Whoever sends credentials that are no good: it costs little, and after some
of them he is not looked at."""

import time

import pytest
from harness.metrics import read_metrics
from harness.reading import get
from harness.tokens import HS_SECRET, bearer, claims, token
from harness.wait import patience, until
from harness.workers import only_worker, wait_workers

FAILURES = 3  # so that the first is forgiven after 20 s: no test waits so long


def guard(make_site, failures):
    """A site that takes so many failures a minute."""
    site = make_site(
        events_auth="ticket", jwt_key=HS_SECRET, auth_failures=str(failures)
    )
    site.start("events")
    return site


@pytest.fixture(name="guarded")
def fixture_guarded(make_site):
    return guard(make_site, FAILURES)


def ask(site, address, text="bad", target="/events/a?format=json"):
    """The answer to a request from that address."""
    return site.endpoint("events").call(
        "GET", "/api/v1" + target, bearer(text) if text else None,
        extra={"REMOTE_ADDR": address},
    )


def exhaust(site, address, failures=FAILURES):
    """Fails until it is turned away; how often that was."""
    for count in range(failures * 2):
        answer = ask(site, address)
        if answer.status == 429:
            assert answer.error() == "too_many_failures"
            assert 1 <= int(answer.headers["retry-after"]) <= 60 / failures
            return count
        assert answer.status == 401
    raise AssertionError("there is no limit")


def test_too_many_failures(guarded):
    """Then also what is good is not looked at, from this address only."""
    good = token(claims(jobs=["a"]))
    begun = time.monotonic()
    count = exhaust(guarded, "192.0.2.1")
    earned = (time.monotonic() - begun) * FAILURES / 60
    assert FAILURES <= count <= FAILURES + earned + 1
    statuses = {ask(guarded, "192.0.2.1", good).status for _ in range(3)}
    if time.monotonic() - begun < 60 / FAILURES:
        assert statuses == {429}
    assert ask(guarded, "192.0.2.2", good).status == 200
    assert ask(guarded, "192.0.2.2").status == 401
    counted = read_metrics(guarded)
    assert counted.value("auth_failures_total") == count + 1
    assert counted.value("auth_limited_total") >= 1


def test_failures_are_forgiven(make_site):
    """One place comes back every second."""
    site = guard(make_site, 60)
    good = token(claims(jobs=["a"]))
    exhaust(site, "192.0.2.1", 60)
    until(
        lambda: ask(site, "192.0.2.1", good).status == 200,
        "a failure to be forgiven",
    )


def test_an_ipv6_client_has_a_network(guarded):
    exhaust(guarded, "2001:db8:1:2::3")
    assert ask(guarded, "2001:db8:1:2:ffff::9").status == 429
    assert ask(guarded, "2001:db8:1:3::3").status == 401
    exhaust(guarded, "::ffff:192.0.2.7")
    assert ask(guarded, "192.0.2.7").status == 429
    assert ask(guarded, "::ffff:192.0.2.8").status == 401


def test_no_address_is_one_address(guarded):
    exhaust(guarded, "")
    assert ask(guarded, "unix:").status == 429


def test_nothing_sent_is_no_failure(guarded):
    for _ in range(FAILURES + 5):
        assert ask(guarded, "192.0.2.1", None).status == 401
    assert ask(guarded, "192.0.2.1").status == 401


def test_tickets_count_too(guarded):
    answers = [
        ask(guarded, "192.0.2.1", None, f"/events/a?ticket={n:032}").status
        for n in range(FAILURES + 3)
    ]
    assert answers[0] == 401 and answers[-1] == 429


def test_others_are_served(guarded):
    """healthz, metrics and OPTIONS ask for no credential."""
    exhaust(guarded, "127.0.0.1")
    assert get(guarded, "/healthz").status == 200
    assert get(guarded, "/events/a", method="OPTIONS").status == 204


def test_no_limit(make_site):
    site = make_site(
        events_auth="jwt", jwt_key=HS_SECRET, auth_failures="0"
    )
    site.start("events")
    assert {ask(site, "192.0.2.1").status for _ in range(200)} == {401}


def test_a_failure_costs_little(make_site):
    """The longest token that is read at all, with a good header and a bad
    signature, many times: less than a millisecond of the processor each."""
    site = make_site(
        events_auth="jwt", jwt_key=HS_SECRET, auth_failures="0"
    )
    site.start("events")
    text = token(claims(x="x" * 12000), key="x" * 32)
    assert ask(site, "192.0.2.1", text).status == 401
    before = site.events.cpu_seconds()
    for _ in range(300):
        assert ask(site, "192.0.2.1", text).status == 401
    assert site.events.cpu_seconds() - before < patience(0.3)


def test_workers_count_together(make_site):
    """Whom one worker turns away, the other one does, too."""
    site = make_site(
        events_auth="ticket", jwt_key=HS_SECRET, auth_failures=str(FAILURES),
        workers="2",
    )
    site.start("events")
    workers = wait_workers(site.events, 2)
    with only_worker(workers[0], workers):
        exhaust(site, "192.0.2.1")
    with only_worker(workers[1], workers):
        assert exhaust(site, "192.0.2.1") < FAILURES / 2
