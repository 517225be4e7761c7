"""Streams whose client may read no longer: its token ends or is revoked."""

import json
import signal
import time

import pytest
from harness.metrics import gauge_is, read_metrics
from harness.reading import get, kinds, stream_at
from harness.sse import ids_of
from harness.tokens import HS_SECRET, bearer, claims, token
from harness.wait import patience, until

JOB = "/api/v1/events/mine"
HEARTBEAT = 0.3


@pytest.fixture(name="guarded")
def fixture_guarded(make_site):
    """alice owns `mine`; hearts beat fast."""
    site = make_site(
        events_auth="jwt", jwt_key=HS_SECRET, heartbeat=f"{HEARTBEAT * 1000:.0f}ms",
        retry_min="10ms", retry_max="1h",
    )
    site.writer.own("mine", "alice")
    site.start("events")
    return site


def closed(site, reason):
    """How many streams ended so."""
    return read_metrics(site).value("streams_closed_total", reason=reason)


def hold(site, text):
    """An open stream of alice's job."""
    return stream_at(site, JOB, headers=bearer(text)).wait_open()


def wait_json(site, text, wait=25):
    """A JSON request that waits."""
    exchange = site.endpoint("events").open(
        "GET", f"{JOB}?format=json&wait={wait}", bearer(text)
    )
    until(gauge_is(site, "json_waiting", 1), "it to wait")
    return exchange


# -- the end of a token ------------------------------------------------------


def test_end_expired(guarded):
    """Announced, then ended as a whole, with a new retry, at exp."""
    values = claims(ttl=3)
    with hold(guarded, token(values)) as stream:
        told = stream.parser.retry
        warning, *others = stream.wait_end()
        late = time.time() - values["exp"]
        assert 0 <= late < patience(1)
        assert (warning.event, others) == ("expiring", [])
        assert warning.id == ""
        assert 1 <= json.loads(warning.data)["expires_in"] <= 3
        assert stream.parser.retry != told
    until(lambda: closed(guarded, "expired") == 1, "the counter")


def test_expiring(guarded):
    """Thirty seconds before, and not sooner; it moves no id."""
    values = claims(ttl=33)
    guarded.writer.publish("mine", "step")
    with stream_at(guarded, JOB, headers=bearer(token(values))) as stream:
        place = stream.next().id
        warning = stream.next()
        left = values["exp"] - time.time()
        assert warning.event == "expiring"
        told = json.loads(warning.data)["expires_in"]
        assert 30 - patience(1) < told <= 30
        assert 30 - patience(1) < left <= 30
        assert stream.last_id == place


def test_renewed_token_resumes(guarded):
    """Whoever comes back with a new token has lost nothing."""
    ids = [guarded.writer.publish("mine", "step") for _ in range(2)]
    with stream_at(
        guarded, JOB, headers=bearer(token(claims(ttl=4)))
    ) as stream:
        events = stream.wait_end()
        assert kinds(events) == ["step", "step", "expiring"]
        ids += [guarded.writer.publish("mine", "step") for _ in range(2)]
        last = stream.last_id
    with stream_at(
        guarded, JOB, headers=bearer(token()), last_id=last
    ) as stream:
        ids.append(guarded.writer.publish("mine", "step"))
        assert ids_of(stream.take(3)) == ids[2:]
    with stream_at(
        guarded, JOB, headers=bearer(token(claims(ttl=-1))), last_id=last
    ) as stream:
        assert stream.status == 401, "a replay needs the right to read, too"


def test_json_that_waits_ends_with_its_token(guarded):
    values = claims(ttl=3)
    answer = wait_json(guarded, token(values)).finish()
    assert (answer.status, answer.error()) == (401, "token_expired")
    assert 0 <= time.time() - values["exp"] < patience(1)


def test_end_while_the_client_does_not_read(make_site):
    """Nothing more is sent to it; the connection is cut."""
    site = make_site(events_auth="jwt", jwt_key=HS_SECRET, lag_timeout="60s")
    site.start("events")
    good = token(claims(ttl=4, jobs=["big"]))
    stream = stream_at(
        site, "/api/v1/events/big", headers=bearer(good), receive_buffer=4096
    )
    with stream.wait_open():
        site.writer.publish_many([("big", "step", {"x": "x" * 9000})] * 200)
        until(gauge_is(site, "streams_lagging", 1), "it to lag")
        until(gauge_is(site, "streams_open", 0), "it to be cut")
        assert closed(site, "expired") == 1


def test_end_of_a_finished_job_is_no_expiry(guarded):
    with hold(guarded, token(claims(ttl=60))) as stream:
        guarded.writer.publish("mine", "completed")
        assert kinds(stream.wait_end()) == ["completed"]
    assert closed(guarded, "completed") == 1


# -- revocation --------------------------------------------------------------


def revoke(site, *flags):
    """By the command line; the moment it was done."""
    site.tool("token", "revoke", *flags)
    return time.monotonic()


@pytest.mark.parametrize("kind", ["jti", "sub"])
def test_end_revoked(guarded, kind):
    """Within one heartbeat; those of others go on."""
    first = token(claims(jti="the-first-token"))
    second = token(claims("bob", jobs=["mine"], jti="the-second"))
    with hold(guarded, first) as stream, hold(guarded, second) as other:
        flags = {"jti": "the-first-token", "sub": "alice"}
        begun = revoke(guarded, f"--{kind}", flags[kind])
        assert stream.wait_end() == []
        assert time.monotonic() - begun < HEARTBEAT + patience(0.5)
        assert closed(guarded, "revoked") == 1
        guarded.writer.publish("mine", "step")
        assert other.next().event == "step"
    for target in ("/events/mine", "/jobs/mine", "/events?format=json"):
        answer = get(guarded, target, bearer(first))
        assert (answer.status, answer.error()) == (401, "token_revoked")
    assert get(guarded, "/jobs/mine", bearer(second)).status == 200


def test_revoked_json_that_waits(guarded):
    exchange = wait_json(guarded, token(claims(jti="waiting")))
    begun = revoke(guarded, "--jti", "waiting")
    answer = exchange.finish()
    assert (answer.status, answer.error()) == (401, "token_revoked")
    assert time.monotonic() - begun < HEARTBEAT + patience(0.5)


def test_revoked_subject_gets_new_tokens(guarded):
    """What was issued later counts; what does not say when, never."""
    revoke(guarded, "--sub", "alice")
    now = int(time.time())
    for iat, status in [(now - 9, 401), (None, 401), (now + 2, 200)]:
        answer = get(guarded, "/jobs/mine", bearer(token(claims(iat=iat))))
        assert answer.status == status, iat
    other = token(claims("Alice", jobs=["mine"]))
    assert get(guarded, "/jobs/mine", bearer(other)).status == 200


def test_revoking_needs_one_thing_to_revoke(guarded):
    for flags in (
        [], ["--jti", "a", "--sub", "b"], ["--jti", ""],
        ["--sub", "a", "--jobs", "b"],
    ):
        done = guarded.tool("token", "revoke", *flags, check=False)
        assert done.returncode == 2, flags
    assert guarded.tool("token", "revoke", "--jti", "x", "--json").stdout == (
        '{"revoked":true}\n'
    )


def test_revocations_are_kept_as_digests(guarded):
    revoke(guarded, "--sub", "somebody-with-a-name")
    guarded.tool("prune")
    rows = guarded.writer.connection.execute("SELECT * FROM revoked").fetchall()
    assert len(rows) == 1 and "somebody" not in repr(rows)


# -- tokens made by the command line ------------------------------------------


def test_minted_token(guarded):
    for flags in (["--sub", "alice"],
                  ["--sub", "bob", "--jobs", "other,mine", "--ttl", "2m"]):
        text = guarded.tool("token", "mint", *flags).stdout.strip()
        assert get(guarded, "/jobs/mine", bearer(text)).status == 200
    made = json.loads(
        guarded.tool("token", "mint", "--sub", "alice", "--json").stdout
    )
    assert 3590 < made["exp"] - time.time() <= 3600
    revoke(guarded, "--jti", made["jti"])
    assert get(guarded, "/jobs/mine", bearer(made["token"])).status == 401


@pytest.mark.parametrize(
    "flags", [
        [], ["--sub", ""], ["--sub", "a\nb"], ["--sub", "a", "--jobs", "a b"],
        ["--sub", "a", "--jobs", ""], ["--sub", "a", "--ttl", "0"],
        ["--sub", "a", "--ttl", "367d"], ["--sub", "a", "--ttl", "soon"],
    ],
)
@pytest.mark.parametrize("command", [["token", "mint"], ["ticket"]])
def test_wrong_wishes(guarded, command, flags):
    done = guarded.tool(*command, *flags, check=False)
    assert (done.returncode, done.stdout) == (2, "")


# -- reading keys again --------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_keys_are_read_again(make_site, workers):
    """At SIGHUP; a file that cannot be used changes nothing."""
    site = make_site(
        events_auth="jwt", jwt_key=None, workers=str(workers),
        heartbeat="100ms",
    )
    file = f"{site.root}/token.key"

    def write(text):
        with open(file, "w", encoding="ascii") as key:
            key.write(text)

    def status(secret):
        text = token(claims(jobs=["a"]), key=secret)
        return {
            get(site, "/events/a?format=json", bearer(text)).status
            for _ in range(4 * workers)
        }

    old, new = (name + "-secret-0123456789abcdef01234" for name in ("old", "new"))
    write(old)
    site.configure(
        events_auth="jwt", jwt_key="@" + file, workers=str(workers)
    )
    server = site.start("events")
    good = token(claims(jobs=["a"]), key=old)
    with stream_at(site, "/api/v1/events/a", headers=bearer(good)) as stream:
        stream.wait_open()
        until(
            lambda: server.log_text().count("event=ready") == workers,
            "all of them to have the old key",
        )
        write("too short")
        server.child.send_signal(signal.SIGHUP)
        until(
            lambda: server.log_text().count("event=keys_kept") == 1,
            "the failure to be logged",
        )
        assert status(old) == {200} and status(new) == {401}
        write(new + "\n")
        server.child.send_signal(signal.SIGHUP)
        until(
            lambda: server.log_text().count("event=keys_reloaded") == workers,
            "the keys",
        )
        assert status(old) == {401} and status(new) == {200}
        site.writer.publish("a", "step")
        assert stream.next().event == "step", "what is open stays open"


def test_hangup_changes_nothing_else(make_site):
    site = make_site().start_both()
    for server in (site.events, site.webhook):
        server.child.send_signal(signal.SIGHUP)
    with site.stream("a") as stream:
        stream.wait_open()
        site.deliver("a", {"id": "x", "status": "COMPLETED"})
        assert stream.next().event == "completed"
