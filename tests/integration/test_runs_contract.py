"""docs/protocol.md, "Runs": what starts and cancels them, row by row. Nothing
is submitted here: that is the runner's part."""

import json
import os
import re

import pytest
from harness.cgi import CgiEndpoint
from harness.inbound import (  # noqa: F401
    KEY, at_once, cancel_run, count, everything_stored, fixture_pair,
    job_columns, look, read_inbound_metrics, register, send, start_run,
)
from harness.metrics import assert_promtool_content
from harness.nginx import Nginx
from harness.reading import get, get_json, kinds, refusal
from harness.site import is_sanitized, run
from harness.sse import data_of
from harness.tokens import HS_SECRET, bearer, claims, token

ACTIONS = "restore=abc123, colour=def456 progress=poll"
ORIGIN = "https://app.example"
MAX_INPUT = 10 << 20
JSON = {"Content-Type": "application/json"}


def make(make_site, **settings):
    """A site where jobs can be started."""
    return make_site(
        **{"publish_keys": KEY, "runpod_actions": ACTIONS, **settings}
    )


@pytest.fixture(name="runs")
def fixture_runs(make_site):
    """Both responders."""
    return make(make_site).start_both()


@pytest.fixture(name="way", params=["fastcgi", "cgi"])
def fixture_way(make_site, request):
    """A site, and one of the ways to the program that writes."""
    site = make(make_site)
    if request.param == "fastcgi":
        site.start_both()
        return site, site.endpoint("webhook")
    site.start("events")
    return site, CgiEndpoint(site, "webhook.cgi")


def refused_start(site):
    """What the program that writes says instead of starting."""
    done = run("jobwire-webhook", "--config", site.config)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


def rows(site, names="action, endpoint, state, input, policy, restore_id"):
    """These columns of all runs, as they began."""
    return site.writer.connection.execute(
        f"SELECT {names} FROM runs ORDER BY run_id"
    ).fetchall()


def set_run(site, assignments):
    """As the runner would."""
    site.writer.connection.execute(f"UPDATE runs SET {assignments}")


def events(site, job):
    """(type, restore id) of each event of the job, as a page is told them."""
    value = get_json(site, f"/events/{job}")
    return [(e["event"], e["data"].get("restore_id")) for e in value["events"]]


# -- calls -------------------------------------------------------------------


@pytest.mark.parametrize("is_behind_nginx", [False, True])
def test_run_call(pair, is_behind_nginx):
    endpoint = Nginx(pair).start().endpoint if is_behind_nginx else None
    with pair.stream("a") as stream:
        answer = start_run(pair, "a", endpoint=endpoint)
        assert answer.status == 202, answer
        event = stream.next()
        assert event.event == "queued"
        assert data_of(event)["run_id"] == answer.json()["run_id"]


@pytest.mark.parametrize("is_behind_nginx", [False, True])
def test_cancel_call(pair, is_behind_nginx):
    endpoint = Nginx(pair).start().endpoint if is_behind_nginx else None
    start_run(pair, "a")
    answer = cancel_run(pair, "a", endpoint=endpoint)
    assert (answer.status, answer.json()["status"]) == (200, "cancelled")


# -- starting ----------------------------------------------------------------


def test_run_started(way):
    """One transaction: the run, the job, and the event that says so."""
    site, endpoint = way
    answer = start_run(
        site, "a", b'{"input":{"image":"x"},"policy":{"ttl":60000}}',
        endpoint=endpoint,
    )
    assert answer.status == 202, answer
    value = answer.json()
    assert list(value) == [
        "job_id", "restore_id", "run_id", "status", "events_url",
    ]
    assert value["job_id"] == "a" and value["status"] == "queued"
    assert re.fullmatch("[0-9a-f]{32}", value["restore_id"])
    assert value["events_url"] == "http://127.0.0.1:8080/api/v1/events/a"
    assert rows(site) == [(
        "restore", "abc123", "waiting", '{"image":"x"}', '{"ttl":60000}',
        value["restore_id"],
    )]
    assert events(site, "a") == [("queued", value["restore_id"])]
    assert job_columns(site, "a", "state") == ("queued",)


def test_run_of_another_action(way):
    site, endpoint = way
    answer = start_run(site, "a", action="colour", endpoint=endpoint)
    assert answer.status == 202, answer
    assert rows(site, "action, endpoint") == [("colour", "def456")]


def test_run_input_is_passed_on(runs):
    """As text: numbers, spaces and the order of members stay."""
    text = ('{ "seed" : 9196619188014358660,"n":1e400, "b":1.50,"a":"\\u00e4ä",'
            '"nested":[ {} ]}')
    body = f'{{"policy": {{"ttl":1.0e4}} ,"input":{text}}}'.encode()
    assert start_run(runs, "a", body).status == 202
    assert rows(runs, "input, policy") == [(text, '{"ttl":1.0e4}')]


def test_run_restore_id_given(runs):
    answer = start_run(runs, "a", {"input": {}, "restore_id": "my/456"})
    assert answer.json()["restore_id"] == "my/456"
    assert events(runs, "a") == [("queued", "my/456")]


def test_run_restore_id_registered(runs):
    """The job's own for its first run, a new one for the next."""
    assert register(runs, job_id="a", restore_id="R1").status == 201
    assert start_run(runs, "a").json()["restore_id"] == "R1"
    runs.writer.publish("a", "completed")
    second = start_run(runs, "a").json()["restore_id"]
    assert re.fullmatch("[0-9a-f]{32}", second)


def test_run_again(runs):
    """A job whose run has ended starts anew: `queued` reopens it. Each event
    keeps the restore id of its own run, also for who comes later."""
    first = start_run(runs, "a").json()
    runs.deliver("a", {"status": "COMPLETED", "output": 1}, first["restore_id"])
    assert job_columns(runs, "a", "state") == ("completed",)
    second = start_run(runs, "a", {"input": {}, "restore_id": "R2"}).json()
    assert second["run_id"] > first["run_id"]
    assert job_columns(runs, "a", "state") == ("queued",)
    runs.deliver("a", {"status": "IN_PROGRESS", "id": "x"}, "R2")
    assert events(runs, "a") == [
        ("queued", first["restore_id"]), ("completed", first["restore_id"]),
        ("queued", "R2"), ("processing", "R2"),
    ]


def test_run_late_report(runs):
    """What is said of an earlier run does not end a newer one."""
    first = start_run(runs, "a", {"input": {}, "restore_id": "R1"}).json()
    runs.deliver("a", {"status": "FAILED", "id": "one"}, "R1")
    second = start_run(runs, "a", {"input": {}, "restore_id": "R2"}).json()
    late = runs.deliver("a", {"status": "COMPLETED", "id": "one"}, "R1")
    assert late["event_id"] is None
    assert first["run_id"] != second["run_id"]
    assert rows(runs, "state") == [("ended",), ("waiting",)]
    assert job_columns(runs, "a", "state") == ("queued",)
    runs.deliver("a", {"status": "COMPLETED", "id": "two"}, "R2")
    assert rows(runs, "state") == [("ended",), ("ended",)]


def test_run_late_report_under_the_same_restore_id(runs):
    """A site may give each run of a job the same. Then the external id says
    which run it is, also before the newer one has any."""
    failed = {"status": "FAILED", "id": "one"}
    start_run(runs, "a", {"input": {}, "restore_id": "R"})
    set_run(runs, "state = 'submitting'")
    runs.deliver("a", failed, "R")
    start_run(runs, "a", {"input": {}, "restore_id": "R"})
    for state in ("submitting", "unknown", "submitted"):
        set_run(runs, f"state = '{state}' WHERE state <> 'ended'")
        assert runs.deliver("a", failed, "R")["duplicate"]
        late = runs.deliver("a", {"status": "COMPLETED", "id": "one"}, "R")
        assert late["event_id"] is None
        assert rows(runs, "state, external_id")[1:] == [(state, None)]
    runs.deliver("a", {"status": "COMPLETED", "id": "two"}, "R")
    assert rows(runs, "state, external_id")[1:] == [("ended", None)]


def test_run_of_a_job_that_runs(runs):
    start_run(runs, "a")
    assert refusal(start_run(runs, "a")) == (409, "job_running")
    for state in ("submitting", "submitted", "unknown"):
        set_run(runs, f"state = '{state}'")
        assert refusal(start_run(runs, "a")) == (409, "job_running")
    assert count(runs, "runs") == 1 and len(events(runs, "a")) == 1
    assert start_run(runs, "b").status == 202


def test_run_once_of_many(runs):
    """Callers at the same moment: one has the job, the others are told."""
    answers = at_once(8, lambda _: start_run(runs, "a"))
    assert sorted(a.status for a in answers) == [202] + [409] * 7
    assert count(runs, "runs") == 1


# -- idempotency -------------------------------------------------------------


def test_run_repeated(way):
    """The same again is the first answer, also when its run has ended."""
    site, endpoint = way
    call = {"value": {"input": {"n": 1}}, "key": "k", "endpoint": endpoint}
    first = start_run(site, "a", **call)
    again = start_run(site, "a", **call)
    assert (first.status, again.status) == (202, 200)
    assert again.json() == first.json()
    site.writer.publish("a", "completed")
    again = start_run(site, "a", **call)
    assert (again.status, again.json()) == (200, first.json())
    assert count(site, "runs") == 1 and len(events(site, "a")) == 2


def test_run_repeated_at_once(runs):
    answers = at_once(8, lambda _: start_run(runs, "a", key="k"))
    assert sorted(a.status for a in answers) == [200] * 7 + [202]
    assert len({json.dumps(a.json()) for a in answers}) == 1


@pytest.mark.parametrize("other", [
    {"value": {"input": {"n": 2}}}, {"action": "colour"},
])
def test_run_key_reused(runs, other):
    call = {"value": {"input": {"n": 1}}, "key": "k"}
    assert start_run(runs, "a", **call).status == 202
    answer = start_run(runs, "a", **{**call, **other})
    assert refusal(answer) == (422, "idempotency_key_reused")
    assert start_run(runs, "b", **call).status == 202  # a key of its own
    published = send(
        runs, "/jobs/a/events", {"type": "step"}, {"Idempotency-Key": "k"}
    )
    assert refusal(published) == (422, "idempotency_key_reused")


def test_run_repeated_of_a_job_that_is_gone(runs):
    """It is not started again: who asked may have been told long ago."""
    first = start_run(runs, "a", key="k").json()
    runs.tool("delete", "a")
    again = start_run(runs, "a", key="k")
    assert again.status == 200
    assert again.json() == {**first, "restore_id": None}
    assert count(runs, "runs") == 0


# -- who ---------------------------------------------------------------------


def test_run_needs_a_publish_key(runs):
    for headers in ({"Authorization": ""}, {"Authorization": "Bearer wrong"}):
        for answer in (start_run(runs, "a", headers=headers),
                       start_run(runs, "a", action="no", headers=headers),
                       cancel_run(runs, "a", headers=headers)):
            assert refusal(answer) == (401, "publish_key_invalid")
    assert count(runs, "runs") == 0


def test_runs_off(make_site):
    """Said to those only who have the key."""
    site = make(make_site, runpod_actions=None)
    site.start("webhook")
    assert refusal(start_run(site, "a")) == (403, "runs_off")
    answer = start_run(site, "a", headers={"Authorization": "Bearer wrong"})
    assert refusal(answer) == (401, "publish_key_invalid")


def owners(make_site, mode, **settings):
    """A site where owners start their jobs."""
    more = {"jwt_key": HS_SECRET} if mode != "server" else {}
    return make(
        make_site, start_auth="owner", events_auth=mode, cors_origins=ORIGIN,
        jwt_cookie="session", **more, **settings,
    ).start_both()


def as_owner(site, path, name="alice", headers=None, body=b'{"input":{}}'):
    """POST as somebody who has a token, or whom the web server knows."""
    mode = re.search(r"events_auth = (\S+)", open(site.config).read())[1]
    proof = bearer(token(claims(name))) if mode != "server" else {}
    return site.endpoint("webhook").call(
        "POST", "/api/v1" + path, {**JSON, **proof, **(headers or {})}, body,
        extra={"REMOTE_USER": name} if mode == "server" and name else None,
    )


@pytest.mark.parametrize("mode", ["jwt", "ticket", "server"])
def test_run_by_its_owner(make_site, mode):
    """A job without an owner becomes his; another's stays another's."""
    site = owners(make_site, mode)
    site.writer.publish("found", "step")
    site.writer.own("hers", "bob")
    for job in ("new", "found"):
        assert as_owner(site, f"/jobs/{job}/restore").status == 202
        assert job_columns(site, job, "owner") == ("alice",)
    assert refusal(as_owner(site, "/jobs/hers/restore")) == (
        403, "job_forbidden",
    )
    assert refusal(as_owner(site, "/jobs/new/restore", "bob")) == (
        403, "job_forbidden",
    )
    assert refusal(as_owner(site, "/jobs/new/cancel", "bob")) == (
        403, "job_forbidden",
    )
    assert as_owner(site, "/jobs/new/cancel").status == 200
    assert refusal(as_owner(site, "/jobs/nobody/cancel")) == (409, "no_run")
    assert job_columns(site, "nobody") is None
    assert count(site, "runs") == 2


def test_run_by_an_owner_not_known(make_site):
    """A publish key does not count, nor does the right to read a job."""
    site = owners(make_site, "jwt")
    site.writer.own("hers", "bob")
    assert refusal(start_run(site, "a")) == (401, "token_invalid")
    assert refusal(site.post("/api/v1/jobs/a/restore", b"{}")) == (
        401, "token_missing",
    )
    reads = bearer(token(claims("alice", jobs=["hers"])))
    answer = send(site, "/jobs/hers/restore", {"input": {}}, reads)
    assert refusal(answer) == (403, "job_forbidden")
    gone = token(claims("alice", jti="j1"))
    site.tool("token", "revoke", "--jti", "j1")
    for path in ("/jobs/a/restore", "/jobs/nobody/cancel"):
        answer = send(site, path, {"input": {}}, bearer(gone))
        assert refusal(answer) == (401, "token_revoked")
    assert count(site, "runs") == 0


def test_run_by_nobody_the_server_knows(make_site):
    site = owners(make_site, "server")
    answer = as_owner(site, "/jobs/a/restore", "")
    assert refusal(answer) == (403, "not_authenticated")


def test_owners_need_to_be_known(make_site):
    """Whoever knows a job's id is no owner."""
    site = make(make_site, start_auth="owner")
    assert "start_auth = owner needs an events_auth" in refused_start(site)


# -- pages -------------------------------------------------------------------


def as_page(site, path, sent):
    """POST by a browser that sends the user's cookie along, as for any page."""
    cookie = {"Cookie": "session=" + token(claims("alice"))}
    return site.post(
        "/api/v1" + path, b'{"input":{}}', {**JSON, **cookie, **sent}
    )


@pytest.mark.parametrize("sent", [
    {},  # no browser
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://own.example"},
    {"Sec-Fetch-Site": "cross-site", "Origin": ORIGIN},
    {"Origin": ORIGIN},
    {"Origin": "https://own.example", "Host": "own.example"},
])
def test_run_by_a_page(make_site, sent):
    site = owners(make_site, "jwt")
    allowed = ORIGIN if sent.get("Origin") == ORIGIN else None
    for path, status in (("/jobs/a/restore", 202), ("/jobs/a/cancel", 200)):
        answer = as_page(site, path, sent)
        assert answer.status == status, answer
        assert answer.headers.get("access-control-allow-origin") == allowed


@pytest.mark.parametrize("sent", [
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "same-site", "Origin": "https://x.own.example",
     "Host": "own.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://evil.example", "Host": "own.example"},
    {"Origin": "null", "Host": "own.example"},
])
def test_run_by_a_foreign_page(make_site, sent):
    """What another site's asks for costs the user's money."""
    site = owners(make_site, "jwt")
    start_run(site, "a", headers=bearer(token(claims("alice"))))
    for path in ("/jobs/b/restore", "/jobs/a/cancel"):
        answer = as_page(site, path, sent)
        assert refusal(answer) == (403, "origin_forbidden")
        assert "access-control-allow-origin" not in answer.headers
    assert rows(site, "job_id, state") == [("a", "waiting")]


def test_run_preflight(make_site):
    site = owners(make_site, "jwt")
    for path in ("/jobs/a/restore", "/jobs/a/cancel"):
        answer = look(site, path, "OPTIONS", {
            "Origin": ORIGIN, "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "idempotency-key",
        })
        assert answer.status == 204
        assert answer.headers["allow"] == "POST, OPTIONS"
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "idempotency-key" in (
            answer.headers["access-control-allow-headers"]
        )
        assert refusal(look(site, path)) == (405, "method_not_allowed")


# -- refusals ----------------------------------------------------------------


@pytest.fixture(name="strict")
def fixture_strict(runs):
    """Fails when a test's calls left anything."""
    yield runs
    for table in ("runs", "job_events", "jobs", "idempotency_keys"):
        assert count(runs, table) == 0, table


def test_unknown_action(strict):
    for action in ("no", "restor", "restores", "Restore", "abc123", "event"):
        answer = start_run(strict, "a", action=action)
        assert refusal(answer) == (404, "unknown_action")


@pytest.mark.parametrize("value", [
    {}, [], "x", {"input": None}, {"input": []}, {"input": "{}"}, {"input": 1},
    {"Input": {}}, {"input": {}, "policy": []}, {"input": {}, "policy": "x"},
])
def test_run_bad_payload(strict, value):
    assert refusal(start_run(strict, "a", value)) == (400, "bad_payload")


@pytest.mark.parametrize("restore_id", [
    "x" * 257, "a\nb", "\0", "", 456, {}, True, ["x"],
])
def test_run_bad_restore_id(strict, restore_id):
    answer = start_run(strict, "a", {"input": {}, "restore_id": restore_id})
    assert refusal(answer) == (400, "bad_restore_id")


def test_run_longest_restore_id(runs):
    answer = start_run(runs, "a", {"input": {}, "restore_id": "x" * 256})
    assert answer.status == 202
    answer = start_run(
        runs, "b", {"input": {}, "restore_id": None, "policy": None}
    )
    assert answer.status == 202


def test_run_bad_call(strict):
    for body, wanted in [
        (b"", (400, "bad_json")), (b'{"input":{"a":NaN}}', (400, "bad_json")),
        (b'{"input":' + b'{"a":' * 33 + b"1" + b"}" * 34,
         (400, "json_too_deep")),
    ]:
        assert refusal(start_run(strict, "a", body)) == wanted
    answer = start_run(strict, "a", headers={"Content-Type": "text/plain"})
    assert refusal(answer) == (415, "unsupported_media_type")
    answer = start_run(strict, "a", key="k" * 256)
    assert refusal(answer) == (400, "bad_idempotency_key")
    for job in ("x" * 129, "a%20b"):
        for answer in (start_run(strict, job), cancel_run(strict, job)):
            assert refusal(answer) == (400, "bad_job_id")


def sized(length):
    """A call of that many bytes."""
    frame = b'{"input":{"image":""}}'
    return frame[:-3] + b"x" * (length - len(frame)) + frame[-3:]


def test_input_too_large(way):
    """Also of a body that is kept in a file meanwhile, and of one that is
    longer than any may be."""
    site, endpoint = way
    for length in (MAX_INPUT + 1, (32 << 20) + 1):
        answer = start_run(site, "a", sized(length), endpoint=endpoint)
        assert refusal(answer) == (413, "input_too_large")
    assert count(site, "runs") == 0
    answer = start_run(site, "a", sized(MAX_INPUT), endpoint=endpoint)
    assert answer.status == 202
    assert rows(site, "length(input)") == [(MAX_INPUT - len('{"input":}'),)]


def test_input_too_large_by_the_setting(make_site):
    site = make(make_site, max_input="1k")
    site.start("webhook")
    assert refusal(start_run(site, "a", sized(1025))) == (413, "input_too_large")
    assert start_run(site, "a", sized(1024)).status == 202


@pytest.mark.parametrize("actions", [
    "restore", "restore=", "events=a", "cancel=a", "a=b,a=c", "a/b=c",
    "a=b progress=push",
])
def test_actions_are_checked(make_site, actions):
    assert "action" in refused_start(make(make_site, runpod_actions=actions))


# -- cancelling --------------------------------------------------------------


def test_cancel_before_it_was_submitted(way):
    site, endpoint = way
    run_id = start_run(site, "a", endpoint=endpoint).json()["run_id"]
    answer = cancel_run(site, "a", endpoint=endpoint)
    assert answer.status == 200
    assert answer.json() == {
        "job_id": "a", "run_id": run_id, "status": "cancelled",
    }
    assert kinds(get_json(site, "/events/a")["events"]) == [
        "queued", "cancelled",
    ]
    assert rows(site, "state, input, error") == [("ended", None, "cancelled")]
    answer = cancel_run(site, "a", endpoint=endpoint)
    assert refusal(answer) == (409, "no_run")


@pytest.mark.parametrize("state", ["submitting", "submitted", "unknown"])
def test_cancel_of_a_submitted_run(runs, state):
    """The event at once, once; whether it is cancelled the provider says."""
    run_id = start_run(runs, "a").json()["run_id"]
    set_run(runs, f"state = '{state}'")
    for body in (b"", b"{", b"x" * 100000, b'{"input":{}}'):
        answer = cancel_run(runs, "a", body)
        assert answer.status == 202
        assert answer.json() == {
            "job_id": "a", "run_id": run_id, "status": "cancelling",
        }
    assert kinds(get_json(runs, "/events/a")["events"]) == [
        "queued", "cancelling",
    ]
    assert job_columns(runs, "a", "state") == ("queued",)
    assert rows(runs, "state, cancel_wanted") == [(state, 1)]


def test_cancel_of_a_run_in_doubt(runs):
    """It waits to be sent again, and what was sent may have arrived."""
    start_run(runs, "a")
    set_run(runs, "attempts = 1, error = 'submission_unknown'")
    assert cancel_run(runs, "a").json()["status"] == "cancelling"
    assert job_columns(runs, "a", "state") == ("queued",)
    assert rows(runs, "state, cancel_wanted") == [("waiting", 1)]


def test_cancel_of_nothing(runs):
    """Neither of a job that nobody knows, nor of one that was published."""
    runs.writer.publish("published", "processing")
    for job in ("nobody", "published"):
        assert refusal(cancel_run(runs, job)) == (409, "no_run")
    assert job_columns(runs, "nobody") is None
    assert [kind for kind, _ in events(runs, "published")] == ["processing"]


def test_cancel_lost_to_a_completion(runs):
    start_run(runs, "a", {"input": {}, "restore_id": "R"})
    set_run(runs, "state = 'submitted'")
    cancel_run(runs, "a")
    runs.deliver("a", {"status": "COMPLETED", "id": "x"}, "R")
    assert job_columns(runs, "a", "state") == ("completed",)
    assert refusal(cancel_run(runs, "a")) == (409, "no_run")


# -- registration ------------------------------------------------------------


def test_registration_endpoint(way):
    """A job that the site has submitted itself is a run, too."""
    site, endpoint = way
    given = {"job_id": "a", "external_id": "x-1", "endpoint": "abc_1-2"}
    answer = send(
        site, "/jobs", {**given, "restore_id": "R"}, endpoint=endpoint
    )
    assert answer.status == 201
    assert rows(site, "action, endpoint, state, external_id, restore_id") == [
        (None, "abc_1-2", "submitted", "x-1", "R"),
    ]
    again = send(site, "/jobs", given, endpoint=endpoint)
    assert again.status == 200 and count(site, "runs") == 1
    assert refusal(start_run(site, "a", endpoint=endpoint)) == (
        409, "job_running",
    )
    site.deliver("a", {"status": "COMPLETED", "id": "x-1"}, endpoint=endpoint)
    assert rows(site, "state") == [("ended",)]


@pytest.mark.parametrize("members", [
    {"endpoint": "abc"}, {"endpoint": "abc", "external_id": None},
    {"endpoint": "a/b", "external_id": "x"}, {"endpoint": "a b", "external_id": "x"},
    {"endpoint": "x" * 129, "external_id": "x"},
    {"endpoint": 1, "external_id": "x"}, {"endpoint": "ä", "external_id": "x"},
])
def test_registration_bad_endpoint(strict, members):
    answer = send(strict, "/jobs", {"job_id": "a", **members})
    assert refusal(answer) == (400, "bad_payload")


def test_registration_of_a_job_that_jobwire_runs(runs):
    start_run(runs, "a")
    given = {"job_id": "a", "external_id": "x", "endpoint": "abc"}
    answer = send(runs, "/jobs", given)
    assert refusal(answer) == (409, "job_running")
    assert job_columns(runs, "a", "external_id") == (None,)


# -- what can be seen --------------------------------------------------------


def run_of(site, job):
    """The member `run` of the job."""
    answer = get(site, f"/jobs/{job}")
    assert answer.status == 200, answer
    return answer.json()["run"]


def test_job_run(runs):
    """The newest, also when it has ended; what is not known is null."""
    runs.writer.publish("a", "step")
    assert run_of(runs, "a") is None
    run_id = start_run(runs, "a").json()["run_id"]
    expected = {
        "run_id": run_id, "action": "restore", "state": "waiting",
        "attempts": 0, "external_id": None, "submitted_at": None,
        "deadline": None,
    }
    assert run_of(runs, "a") == expected
    times = {
        "submitted_at": "2026-11-28T01:02:03.004Z",
        "deadline": "2026-11-29T01:02:03.004Z",
    }
    set_run(runs, "state = 'submitted', attempts = 2, external_id = 'x', "
                  + ", ".join(f"{k} = '{v}'" for k, v in times.items()))
    expected.update(times, state="submitted", attempts=2, external_id="x")
    assert run_of(runs, "a") == expected
    runs.writer.publish("a", "completed")
    assert run_of(runs, "a") == {**expected, "state": "ended"}
    given = {"job_id": "b", "external_id": "y", "endpoint": "abc"}
    send(runs, "/jobs", given)
    run = run_of(runs, "b")
    assert (run["action"], run["external_id"]) == (None, "y")


def test_run_metrics(runs):
    for job in ("a", "b"):
        start_run(runs, job)
    set_run(runs, "state = 'submitted', created_at = "
                  "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-100 seconds') "
                  "WHERE job_id = 'b'")
    runs.writer.connection.execute(
        "INSERT INTO provider_calls VALUES ('submit', 'ok', 7)"
    )
    metrics = read_inbound_metrics(runs)
    assert_promtool_content(metrics)
    for state, number in [("waiting", 1), ("submitting", 0), ("unknown", 0),
                          ("submitted", 1)]:
        assert metrics.value("runs", state=state) == number
    for state, least in [("waiting", 0), ("submitting", 0), ("submitted", 100)]:
        age = metrics.value("run_oldest_seconds", state=state)
        assert least <= age < least + 60, state
    assert metrics.value("provider_calls_total", call="submit",
                         outcome="ok") == 7
    for call in ("submit", "status", "cancel"):
        for outcome in ("ok", "refused", "unreachable", "unknown"):
            if (call, outcome) != ("submit", "ok"):
                assert metrics.value("provider_calls_total", call=call,
                                     outcome=outcome) == 0


def test_the_log_names_the_run_and_no_input(runs):
    start_run(runs, "a", {"input": {"prompt": "hunter2"}}, key="the-key-of-it")
    cancel_run(runs, "a")
    lines = [line for line in runs.webhook.log_text().splitlines()
             if " event=request " in line]
    assert " route=/jobs/a/restore status=202 outcome=stored " in lines[0]
    assert " type=queued " in lines[0]
    assert " route=/jobs/a/cancel status=200 outcome=stored " in lines[1]
    assert " type=cancelled " in lines[1]
    for secret in ("hunter2", "the-key-of-it", KEY):
        assert secret not in runs.webhook.log_text()
    assert b"the-key-of-it" not in everything_stored(runs)


def test_responders_connect_to_nobody(make_site):
    """While runs are started, cancelled and read."""
    site = make(make_site, hardening="off")
    if is_sanitized(os.path.join(site.bin, "jobwire-webhook")):
        pytest.skip("LeakSanitizer does not work under strace")
    traces = {}
    for name in ("events", "webhook"):
        traces[name] = os.path.join(site.root, f"{name}.trace")
        site.start(name, launcher=[
            "strace", "-D", "-f", "-qq", "-e", "trace=socket,connect,accept4",
            "-o", traces[name],
        ])
    with site.stream("a") as stream:
        assert start_run(site, "a").status == 202
        assert stream.next().event == "queued"
        given = {"job_id": "b", "external_id": "x", "endpoint": "abc"}
        assert send(site, "/jobs", given).status == 201
        assert cancel_run(site, "b").status == 202
        assert cancel_run(site, "a").status == 200
        assert stream.next().event == "cancelled"
    assert run_of(site, "b")["state"] == "submitted"
    assert read_inbound_metrics(site).value("runs", state="submitted") == 1
    for name, path in traces.items():
        site_log = open(path, encoding="ascii").read()
        assert "accept4(" in site_log, name
        assert "connect(" not in site_log, name
