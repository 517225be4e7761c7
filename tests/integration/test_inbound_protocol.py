"""docs/protocol.md, row by row: the calls that write, and what they are
answered. Refusals are in test_inbound_refusals.py."""

import json
import re

import pytest
from harness.inbound import (  # noqa: F401
    KEY, as_bytes, count, fixture_inbound, fixture_pair, health, job_columns, look,
    nameless_target, publish, read_inbound_metrics, register, send,
)
from harness.metrics import assert_promtool_content
from harness.nginx import Nginx
from harness.publish import fixture
from harness.reading import get
from harness.site import webhook_target
from harness.wait import patience
from test_protocol import read

COMPLETED = fixture("runpod-completed.json")
STATES = ["queued", "processing", "completed", "failed", "cancelled", "timed_out"]
STATUSES = {
    "queued": "IN_QUEUE", "processing": "IN_PROGRESS",
    "completed": "COMPLETED", "failed": "FAILED", "cancelled": "CANCELLED",
    "timed_out": "TIMED_OUT",
}


def numbers(answer):
    """The rows' numbers of published events."""
    return [int(i.partition("-")[2]) for i in answer.json()["event_ids"]]


# -- calls -------------------------------------------------------------------


@pytest.mark.parametrize("is_behind_nginx", [False, True])
def test_webhook_call(pair, is_behind_nginx):
    endpoint = Nginx(pair).start().endpoint if is_behind_nginx else None
    pair.deliver("a", COMPLETED, endpoint=endpoint)
    with pair.stream("a") as stream:
        assert stream.next().event == "completed"


@pytest.mark.parametrize("is_behind_nginx", [False, True])
def test_registration_call(pair, is_behind_nginx):
    endpoint = Nginx(pair).start().endpoint if is_behind_nginx else None
    answer = register(pair, endpoint, job_id="a", owner="alice")
    assert answer.status == 201
    value = answer.json()
    assert list(value) == ["job_id", "events_url", "webhook_url"]
    assert value["events_url"] == "http://127.0.0.1:8080/api/v1/events/a"
    target = value["webhook_url"].removeprefix("http://127.0.0.1:8080")
    assert pair.post(target, COMPLETED, endpoint=endpoint).status == 200
    assert job_columns(pair, "a", "owner, state") == ("alice", "completed")


@pytest.mark.parametrize("is_behind_nginx", [False, True])
def test_publication_call(pair, is_behind_nginx):
    endpoint = Nginx(pair).start().endpoint if is_behind_nginx else None
    event = {"type": "progress", "data": {"progress": 40}}
    answer = publish(pair, "a", event, "key", endpoint)
    assert answer.status == 201
    again = publish(pair, "a", event, "key", endpoint)
    assert (again.status, again.json()) == (200, answer.json())
    with pair.stream("a") as stream:
        assert stream.next().id == answer.json()["event_ids"][0]


def test_inbound_healthz(inbound):
    answer = look(inbound, "/webhooks/healthz")
    assert answer.status == 200
    assert answer.json() == {"status": "ok", "database": "ok"}


def test_inbound_metrics(inbound):
    """Also, all that the document names are there and no others."""
    before = read_inbound_metrics(inbound)
    inbound.deliver("a", COMPLETED)
    inbound.deliver("a", COMPLETED)
    inbound.deliver("a", {"status": "PURPLE"})
    inbound.post(nameless_target(), b'{"id":"new","status":"FAILED"}')
    inbound.post(inbound.signed("a"), b"{")
    after = read_inbound_metrics(inbound)
    assert_promtool_content(after)
    assert after.value("commit_seconds_count") == after.value("commits_total")
    assert 0 < after.value("commit_seconds_sum") < patience(60)
    for outcome, more in [
        ("stored", 1), ("duplicate", 1), ("unclaimed", 1), ("refused", 1),
        ("failed", 0),
    ]:
        assert more == after.value("calls_total", outcome=outcome) - (
            before.value("calls_total", outcome=outcome)
        ), outcome
    text = read("docs", "protocol.md").partition("### Its metrics")[2]
    names = set()
    for line in text.partition("### ")[0].splitlines()[4:]:
        names.update(re.findall(r"`(\w+)(?:\{[\w,]+\})?`", line.split("|")[1])
                     if line.startswith("|") else [])
    # Those of a cluster's node alone: test_relay.py.
    names -= {name for name in names if name.startswith("cluster_")}
    assert names == {name.removeprefix("jobwire_") for name in after.types}


def refused_by_code(site):
    """How many webhooks of known senders were refused, by code."""
    return {
        dict(labels)["code"]: number
        for (name, labels), number in read_inbound_metrics(site).samples.items()
        if name == "jobwire_webhooks_refused_total"
    }


def test_a_signed_call_that_is_refused_is_known(make_site):
    """By its code in the metrics, and by code and job in the log; what anybody
    can send counts as nothing."""
    site = make_site(max_body="10k")
    site.start("webhook")
    assert set(refused_by_code(site).values()) == {0}
    signed = site.signed("a")
    text = {"Content-Type": "text/plain"}
    calls = [
        ("bad_json", site.post(signed, b"{")),
        ("json_too_deep", site.post(signed, b'{"a":' * 33 + b"1" + b"}" * 33)),
        ("bad_payload", site.post(signed, b"[]")),
        ("body_too_large", site.post(signed, b"x" * 10241)),
        ("unsupported_media_type", site.post(signed, COMPLETED, text)),
        ("bad_restore_id", site.post(site.signed("a", "\n"), COMPLETED)),
        ("signature_expired",
         site.post(site.signed("a", lifetime=-9), COMPLETED)),
        ("webhook_secret_missing",
         site.post(site.signed("a", provider="standard"), COMPLETED)),
        ("bad_job_id", site.post(nameless_target(), b'{"output":1}')),
    ]
    counted = refused_by_code(site)
    lines = [line for line in site.webhook.log_text().splitlines()
             if " event=request " in line]
    for code, answer in calls:
        assert answer.error() == code
        assert counted[code] == 1, code
        job = "" if code == "bad_job_id" else " job_id=a "
        assert [line for line in lines if f" code={code} " in line
                and job in line], code
    for target in (webhook_target("job_id=a"), signed + "x", "/api/v1/nothing",
                   webhook_target("", "standard")):
        assert site.post(target, b"{").status in (403, 404)
        assert site.post(target, b"x" * 10241).status in (403, 404, 413)
    assert refused_by_code(site) == counted


def test_inbound_head(inbound):
    for path in ("/webhooks/healthz", "/webhooks/metrics"):
        wanted = look(inbound, path).headers["content-type"]
        answer = look(inbound, path, "HEAD")
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["content-type"] == wanted


# -- webhooks ----------------------------------------------------------------


def test_webhook_stored(inbound):
    answer = inbound.post(inbound.signed("a"), COMPLETED)
    epoch = inbound.writer.epoch().encode()
    assert answer.body == (
        b'{"ok":true,"job_id":"a","event_id":"%s-1","duplicate":false}\n' % epoch
    )


def test_webhook_duplicate(inbound):
    first = inbound.deliver("a", COMPLETED)
    inbound.writer.publish("a", "step")
    again = inbound.deliver("a", COMPLETED)
    assert again == {**first, "duplicate": True}
    assert len(inbound.writer.rows()) == 2


def test_webhook_unknown_status(inbound):
    value = inbound.deliver("a", {"id": "x", "status": "PURPLE"})
    assert (value["event_id"], value["duplicate"]) == (None, False)
    assert inbound.writer.rows() == []


def test_webhook_overtaken(inbound):
    inbound.deliver("a", COMPLETED)
    value = inbound.deliver("a", {"id": "x", "status": "IN_PROGRESS"})
    assert (value["event_id"], value["duplicate"]) == (None, False)
    assert len(inbound.writer.rows()) == 1


def test_webhook_unclaimed(inbound):
    for is_duplicate in (False, True):
        answer = inbound.post(nameless_target(), COMPLETED)
        assert answer.status == 200
        assert answer.json() == {
            "ok": True, "job_id": None, "event_id": None,
            "duplicate": is_duplicate,
        }
    assert inbound.writer.rows() == []
    assert count(inbound, "unclaimed_events") == 1


# -- mapping -----------------------------------------------------------------

BODY = {"id": "ext", "status": "COMPLETED", "input": {"job_id": "by-input"}}


def job_of(site, target, body):
    """The job whose event this webhook became."""
    answer = site.post(target, as_bytes(body))
    assert answer.status == 200, answer
    value = answer.json()
    assert [row[1] for row in site.writer.rows(value["job_id"])], value
    return value["job_id"]


def test_mapping_by_url(inbound):
    register(inbound, job_id="by-id", external_id="ext")
    assert job_of(inbound, inbound.signed("by-url"), BODY) == "by-url"


def test_mapping_by_external_id(inbound):
    register(inbound, job_id="older", external_id="ext")
    register(inbound, job_id="newest", external_id="ext")
    assert job_of(inbound, nameless_target(), BODY) == "newest"


def test_mapping_by_input(inbound):
    assert job_of(inbound, nameless_target(), BODY) == "by-input"


@pytest.mark.parametrize("is_bare_row", [False, True])
def test_mapping_later(pair, is_bare_row):
    pair.post(nameless_target(), COMPLETED)
    external_id = json.loads(COMPLETED)["id"]
    with pair.stream("late") as stream:
        stream.wait_open()
        if is_bare_row:
            pair.writer.connection.execute(
                "INSERT INTO jobs(job_id, external_id) VALUES('late', ?)",
                (external_id,),
            )
        else:
            register(pair, job_id="late", external_id=external_id)
        assert stream.next().event == "completed"
    assert count(pair, "unclaimed_events") == 0
    again = pair.post(nameless_target(), COMPLETED).json()
    assert (again["job_id"], again["duplicate"]) == ("late", True)
    assert len(pair.writer.rows("late")) == 1


def test_mapping_to_nobody(inbound):
    for body in (b'{"status":"COMPLETED"}', b'{"status":"COMPLETED","id":null}',
                 b'{"status":"COMPLETED","input":{"job_id":"a b"}}'):
        answer = inbound.post(nameless_target(), body)
        assert (answer.status, answer.error()) == (400, "bad_job_id")


# -- what a webhook does -----------------------------------------------------


def lifecycle_table():
    """{(state or None, type): is it stored}, from the document."""
    lines = iter(read("docs", "protocol.md").splitlines())
    header = next(l for l in lines if l.startswith("| | `queued`"))
    types = re.findall(r"`(\w+)`", header)
    assert types == STATES
    next(lines)
    table = {}
    for line in lines:
        if not line.startswith("|"):
            return table
        name, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        state = None if name == "no such job" else name.strip("`")
        table.update({(state, t): c == "yes" for t, c in zip(types, cells)})
    raise AssertionError("the table does not end")


def test_lifecycle_of_webhooks(inbound):
    """Each state and each status, as the table says."""
    table = lifecycle_table()
    assert len(table) == 42
    for (state, kind), is_stored in table.items():
        job = f"{state}-{kind}"
        if state:
            inbound.writer.publish(job, state)
        value = inbound.deliver(job, {"id": job, "status": STATUSES[kind]})
        assert (value["event_id"] is not None) == is_stored, job
        rows = [row[2] for row in inbound.writer.rows(job)]
        assert rows == [state] * bool(state) + [kind] * is_stored, job
        assert job_columns(inbound, job)[0] == (kind if is_stored else state)


@pytest.mark.parametrize("way", ["call", "row"])
def test_what_is_published_decides(inbound, way):
    """In every state, whatever the table says of webhooks; also after one."""
    for state in STATES:
        for kind in STATES:
            job = f"{state}-{kind}"
            inbound.deliver(job, {"id": job, "status": STATUSES[state]})
            if way == "row":
                inbound.writer.publish(job, kind)
            else:
                assert publish(inbound, job, {"type": kind}).status == 201
            assert job_columns(inbound, job)[0] == kind
            assert [r[2] for r in inbound.writer.rows(job)] == [state, kind]


# -- registration ------------------------------------------------------------


def test_registration_new(inbound):
    assert register(inbound, job_id="a").status == 201
    assert job_columns(inbound, "a", "owner, external_id, restore_id, state") == (
        None, None, None, "queued",
    )


def test_registration_again(inbound):
    inbound.writer.publish("b", "step")
    register(inbound, job_id="a", owner="alice")
    for members in ({"job_id": "a", "owner": "alice"}, {"job_id": "a"},
                    {"job_id": "b"}):
        assert register(inbound, **members).status == 200, members


def test_registration_without_job_id(inbound):
    made = {register(inbound, job_id=None).json()["job_id"] for _ in range(9)}
    assert len(made) == 9
    for job in made:
        assert re.fullmatch("[0-9a-f]{32}", job)
        assert job_columns(inbound, job)


def test_registration_adds(inbound):
    names = "owner, external_id, restore_id"
    register(inbound, job_id="a")
    register(inbound, job_id="a", owner="alice", restore_id="r1")
    register(inbound, job_id="a", external_id="x1")
    assert job_columns(inbound, "a", names) == ("alice", "x1", "r1")
    register(inbound, job_id="a", external_id="x2", restore_id="r2")
    assert job_columns(inbound, "a", names) == ("alice", "x2", "r2")


def test_registration_url(make_site, inbound):
    value = register(inbound, job_id="a~:b", restore_id="r/1 &").json()
    target = value["webhook_url"].removeprefix("http://127.0.0.1:8080")
    answer = inbound.post(target, COMPLETED)
    assert (answer.status, answer.json()["job_id"]) == (200, "a~:b")
    assert inbound.post(target.replace("exp=", "exp=1"), COMPLETED).status == 403
    bare = make_site(publish_keys=KEY, webhook_secret=None)
    bare.start("webhook")
    assert register(bare, job_id="a").json()["webhook_url"] is None


def test_registration_provider(inbound):
    for name in (None, "runpod-completion"):
        url = register(inbound, job_id="a", provider=name).json()["webhook_url"]
        assert webhook_target("job_id=a", "runpod-completion") in url
    answer = register(inbound, job_id="a", provider="nobody")
    assert (answer.status, answer.error()) == (400, "bad_payload")


# -- publication -------------------------------------------------------------


def test_publication_of_one(inbound):
    for data in ({"progress": 1}, {}, None):
        answer = publish(inbound, "a", {"type": "progress", "data": data})
        assert answer.status == 201
    publish(inbound, "a", {"type": "my.own-type_1", "more": [1]})
    assert [row[2:] for row in inbound.writer.rows()] == [
        ("progress", '{"progress":1}'), ("progress", "{}"), ("progress", None),
        ("my.own-type_1", None),
    ]


def test_publication_state(inbound):
    """After these events, and not what the job began with."""

    def state(job, *types, key=None):
        answer = publish(inbound, job, [{"type": kind} for kind in types], key)
        assert answer.status in (200, 201)
        return answer.json()["state"]

    register(inbound, job_id="a")
    assert state("a", "complete") is None
    assert state("a", "queued") == "queued"
    assert state("a", "step") == "queued"
    assert state("b", "step", "queued", "step") == "queued"
    assert state("c", "progress") == "processing"
    assert state("c", "complete") == "processing"
    assert state("c", "processing", "completed", "note", key="k") == "completed"
    assert state("c", "queued") == "queued"
    assert state("c", "processing", "completed", "note", key="k") == "completed"
    inbound.writer.publish("d", "failed")
    assert state("d", "progress") == "failed"
    assert state("e", "step", key="k") is None
    inbound.writer.connection.execute("DELETE FROM job_events")
    assert state("c", "processing", "completed", "note", key="k") is None


def test_publication_of_several(inbound):
    events = [{"type": "step", "data": {"n": n}} for n in range(100)]
    answer = publish(inbound, "a", events)
    assert answer.status == 201
    assert numbers(answer) == [row[0] for row in inbound.writer.rows()]
    assert [row[3] for row in inbound.writer.rows()] == [
        '{"n":%d}' % n for n in range(100)
    ]
    assert numbers(publish(inbound, "a", events[:1])) == [101]


@pytest.mark.parametrize(
    "bad", [{"type": "Bad"}, {"type": "step", "data": 1}, 1, None, {}],
    ids=repr,
)
def test_publication_all_or_none(inbound, bad):
    for at in (0, 57, 99):
        events = [{"type": "step"}] * 100
        events[at] = bad
        answer = publish(inbound, "a", events, "key")
        assert answer.status == 400 and answer.error()
    assert inbound.writer.rows() == []
    assert count(inbound, "idempotency_keys") == count(inbound, "jobs") == 0


TEXT = (
    b'{"z":12345678901234567890,"a":1e400,"m":0.1,"b":[1.0,-0,1E+2],'
    b'"\\u00e4":"\\/","output":{"y":9007199254740993,"x":0.10}}'
)


def test_publication_keeps_text(pair):
    spaced = TEXT.replace(b":", b" :\r\n").replace(b",", b",\n\t")
    body = b'{"type":"completed","data":%s}' % spaced
    assert publish(pair, "a", body).status == 201
    assert pair.writer.rows()[0][3] == TEXT.decode()
    with pair.stream("a") as stream:
        sent = stream.next().data
    assert TEXT.decode()[1:] in sent
    job = get(pair, "/jobs/a").body
    assert b'"output":{"y":9007199254740993,"x":0.10}' in job


def test_idempotency_key_repeated(inbound):
    events = [{"type": "step"}, {"type": "step"}]
    first = publish(inbound, "a", events, "k" * 255)
    publish(inbound, "a", events)
    again = publish(inbound, "a", events, "k" * 255)
    assert (first.status, again.status) == (201, 200)
    assert again.json() == first.json()
    assert len(inbound.writer.rows()) == 4
    assert "k" * 20 not in repr(
        inbound.writer.connection.execute(
            "SELECT * FROM idempotency_keys"
        ).fetchall()
    )


def test_idempotency_key_per_job(inbound):
    ids = [
        numbers(publish(inbound, job, {"type": "step"}, "key"))
        for job in ("a", "b")
    ]
    assert ids == [[1], [2]]


def test_idempotency_key_forgotten(inbound):
    """By retention, which `jobwire prune` does at once."""
    for key, age in [("young", "-23 hours"), ("old", "-25 hours")]:
        publish(inbound, "a", {"type": "step"}, key)
        inbound.writer.connection.execute(
            "UPDATE idempotency_keys SET created_at ="
            " strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?) WHERE first_id ="
            " (SELECT max(first_id) FROM idempotency_keys)", (age,),
        )
    inbound.tool("prune")
    assert publish(inbound, "a", {"type": "step"}, "young").status == 200
    assert publish(inbound, "a", {"type": "step"}, "old").status == 201


# -- header fields -----------------------------------------------------------


def all_answers(site):
    """One of each kind."""
    yield site.post(site.signed("h"), COMPLETED)
    yield site.post(site.signed("h"), b"{")
    yield site.post(webhook_target("job_id=h"), COMPLETED)
    yield register(site, job_id="h")
    yield publish(site, "h", {"type": "step"})
    yield send(site, "/nothing", {})
    yield look(site, "/jobs")
    yield look(site, "/webhooks/healthz")


def test_inbound_json_headers(inbound):
    for answer in all_answers(inbound):
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        assert int(answer.headers["content-length"]) == len(answer.body)


def test_inbound_request_id(inbound):
    made = [a.headers["x-request-id"] for a in all_answers(inbound)]
    assert len(set(made)) == len(made)
    for given, is_taken in [
        ("a" * 64, True), ("A.b_c-9", True), ("a" * 65, False),
        ("a b", False), ("a=b", False), ('a"', False), ("", False),
    ]:
        answer = look(
            inbound, "/webhooks/healthz", headers={"X-Request-Id": given}
        )
        assert (answer.headers["x-request-id"] == given) == is_taken, given
    log = inbound.webhook.log_text()
    for name in [*made, "A.b_c-9"]:
        assert log.count(f" id={name} ") == 1


def test_inbound_request_id_of_a_body_not_let_in(make_site):
    site = make_site(max_body="10k")
    site.start("webhook")
    answer = site.post(site.signed("a"), b"x" * 20000)
    assert (answer.status, answer.error()) == (413, "body_too_large")
    line = f" id={answer.headers['x-request-id']} "
    assert site.webhook.log_text().count(line) == 1


def test_inbound_www_authenticate(inbound):
    for path in ("/jobs", "/jobs/a/events"):
        for sent, challenge in [
            ("", "Bearer"), ("Bearer x", 'Bearer error="invalid_token"'),
        ]:
            answer = send(inbound, path, {}, {"Authorization": sent})
            assert answer.status == 401
            assert answer.headers["www-authenticate"] == challenge


def test_inbound_allow(inbound):
    for path, method, allowed in [
        ("/jobs", "GET", "POST"), ("/jobs/a/events", "PUT", "POST"),
        ("/webhooks/runpod-completion", "GET", "POST"),
        ("/webhooks/healthz", "DELETE", "GET, HEAD"),
        ("/webhooks/metrics", "OPTIONS", "GET, HEAD"),
        ("/tickets", "GET", "POST, OPTIONS"),
    ]:
        answer = look(inbound, path, method)
        assert (answer.status, answer.headers["allow"]) == (405, allowed)
    assert health(inbound) == 200


# -- the log -----------------------------------------------------------------


def test_the_log_names_the_call_and_no_secret(inbound):
    target = inbound.signed("quiet", "the-restore-id")
    inbound.post(target, b'{"status":"COMPLETED","output":"hunter2"}')
    publish(inbound, "quiet", {"type": "step", "data": {"p": "hunter2"}},
            "the-idempotency-key")
    lines = inbound.webhook.log_text().splitlines()
    webhook, publication = [l for l in lines if " method=POST " in l]
    for part in ("method=POST", "route=/webhooks/runpod-completion",
                 "status=200", "outcome=stored", "job_id=quiet",
                 "type=completed", "peer=127.0.0.1"):
        assert f" {part} " in webhook
    assert re.search(r" us=\d+$", webhook)
    assert " route=/jobs/quiet/events status=201 " in publication
    log = inbound.webhook.log_text()
    for secret in ("hunter2", "sig=", "the-idempotency-key", KEY,
                   "the-restore-id", target.partition("sig=")[2]):
        assert secret not in log
