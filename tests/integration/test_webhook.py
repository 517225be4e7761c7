"""Inbound deliveries: who is let in, what becomes of each body, and that 200
means stored."""

import json
import re
import time

import pytest
from harness import fastcgi as wire
from harness.fastcgi import FastcgiExchange, environ, record
from harness.publish import (
    RUNPOD,
    RUNPOD_EVENTS,
    fixture,
    sign,
    signed_query,
)
from harness.site import SECRET, webhook_target
from harness.sse import data_of
from harness.wait import patience

JSON = {"Content-Type": "application/json"}
COMPLETED = fixture("runpod-completed.json")


@pytest.fixture(name="hook")
def fixture_hook(make_site):
    """A site with jobwire-webhook alone."""
    site = make_site()
    site.start("webhook")
    return site


def assert_refused(site, answer, *statuses):
    """A refusal in the contract's form, and nothing stored."""
    assert answer.status in statuses, answer
    assert answer.error()
    assert site.writer.rows() == []


# -- accepted --------------------------------------------------------------


@pytest.mark.parametrize("name, kind, error", RUNPOD_EVENTS)
def test_runpod_payload(site, name, kind, error):
    payload = json.loads(fixture(name))
    value = site.deliver("job-1", fixture(name), "restore-1")
    assert value["duplicate"] is False
    rows = site.writer.rows()
    assert [row[1:3] for row in rows] == [("job-1", kind)]
    assert value["event_id"] == f"{site.writer.epoch()}-{rows[0][0]}"
    with site.stream("job-1") as stream:
        event = stream.next()
        assert (event.id, event.event) == (value["event_id"], kind)
        assert event.data.startswith(
            '{"job_id":"job-1","restore_id":"restore-1","status":"%s"' % kind
        )
        own = data_of(event)
        assert own.get("output") == payload.get("output")
        assert own.get("error") == error
        assert not {"input", "webhook"} & set(own)
        assert "Traceback" not in event.data and "hostname" not in event.data


def test_stored_when_answered(hook):
    """Another connection finds the row as soon as the answer is there."""
    for number in range(50):
        value = hook.deliver(f"job-{number}", COMPLETED)
        row = int(value["event_id"].split("-")[1])
        assert [r[0] for r in hook.writer.rows(f"job-{number}")] == [row]


def test_duplicate_delivery(hook):
    first = hook.deliver("twice", COMPLETED)
    for _ in range(3):
        again = hook.deliver("twice", COMPLETED)
        assert again["duplicate"] is True
        assert again["event_id"] == first["event_id"]
    assert len(hook.writer.rows()) == 1


def test_same_body_for_another_job_is_no_duplicate(hook):
    assert hook.deliver("one", COMPLETED)["duplicate"] is False
    assert hook.deliver("two", COMPLETED)["duplicate"] is False


def test_second_failure_after_retry_is_no_duplicate(hook):
    """RunPod's /retry keeps the id; the run's times differ."""
    payload = json.loads(fixture("runpod-failed.json"))
    hook.deliver("retried", payload)
    payload["executionTime"] += 1
    assert hook.deliver("retried", payload)["duplicate"] is False
    assert len(hook.writer.rows()) == 2


def test_unknown_status_is_ignored(hook):
    value = hook.deliver("odd", {"id": "x", "status": "PURPLE"})
    assert value["event_id"] is None
    assert hook.writer.rows() == []


def test_unknown_keys_are_ignored(hook):
    payload = {**json.loads(COMPLETED), "workerId": "w", "x": [{"y": None}]}
    assert hook.deliver("extra", payload)["event_id"]


def test_dev_server_failure(hook):
    hook.deliver("dev", {"error": "boom"})
    assert hook.writer.rows()[0][2] == "failed"


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"id":null,"status":null}', b'{"output":null}', b'{"id":"x"}',
     b'{"hello":1}', b'{"error":null,"output":NaN}'],
)
def test_webhook_without_status(hook, body):
    """Without a state, only an output or an error ends a job; and what was
    passed over is not in the way of a true report."""
    value = hook.deliver("said", body)
    assert (value["event_id"], value["duplicate"]) == (None, False)
    assert hook.writer.rows() == []
    if b"x" in body:
        assert hook.deliver("said", b'{"id":"x","output":1}')["event_id"]
    assert hook.deliver("said", COMPLETED)["event_id"]


def test_output_beside_an_error(hook):
    hook.deliver("both", {"error": "boom", "output": [1]})
    [row] = hook.writer.rows()
    assert row[2] == "failed" and json.loads(row[3])["output"] == [1]


def test_byte_order_mark(hook):
    assert hook.deliver("mark", b"\xef\xbb\xbf" + COMPLETED)["event_id"]
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        body = COMPLETED.decode().encode(encoding)
        answer = hook.post(hook.signed("wide"), body)
        assert (answer.status, answer.error()) == (400, "bad_json")


@pytest.mark.parametrize("size", [1, 10000])
def test_numbers_that_json_has_not(site, size):
    """As Python writes them; also in an output that is kept with the job."""
    output = b'{"loss":[NaN,-Infinity,Infinity],"text":"NaN","x":"%s"}' % (
        b"x" * size
    )
    body = b'{"status":"COMPLETED","executionTime":NaN,"output":%s}' % output
    site.deliver("nan", body)
    with site.stream("nan") as stream:
        own = data_of(stream.next())
        assert "executionTime" not in own
        assert own.get("output_omitted", False) == (size > 4096)
    job = site.endpoint("events").call("GET", "/api/v1/jobs/nan").json()
    assert job["output"] == {
        "loss": [None, None, None], "text": "NaN", "x": "x" * size,
    }


def test_output_of_any_type(site):
    outputs = ["text", 0, True, [1, [2]], {}, {"a": None}]
    for number, output in enumerate(outputs):
        job = f"output-{number}"
        site.deliver(job, {"status": "COMPLETED", "output": output})
        with site.stream(job) as stream:
            assert data_of(stream.next())["output"] == output


def test_seed_beyond_double_passes(site):
    site.deliver("seed", fixture("runpod-dev-server.json"))
    with site.stream("seed") as stream:
        assert '"seed":196619188014358660' in stream.next().data


def test_json_of_32_levels(hook):
    body = b'{"x":' * 31 + b"{}" + b"}" * 31
    assert hook.post(hook.signed("deep"), body).status == 200


def test_large_body(site):
    """20 MB, as large as RunPod sends."""
    payload = json.loads(COMPLETED)
    payload["output"] = {"image": "x" * (10 << 20)}
    payload["input"] = {"image": "y" * (10 << 20)}
    site.deliver("large", payload)
    with site.stream("large") as stream:
        own = data_of(stream.next())
        assert own["output_omitted"] is True and "output" not in own


def test_content_type_with_parameters(hook):
    answer = hook.post(
        hook.signed("typed"), COMPLETED,
        {"Content-Type": "Application/JSON; charset=utf-8"},
    )
    assert answer.status == 200


# -- the transport's ways ------------------------------------------------


def pieces_answer(site, job, pieces, length):
    """The answer to a body that comes as these STDIN records, one by one."""
    values = environ("POST", site.signed(job), JSON)
    values["CONTENT_LENGTH"] = length
    if length is None:
        del values["CONTENT_LENGTH"]
    with site.endpoint("webhook").connect() as connection:
        connection.send(wire.begin() + wire.params(values))
        for piece in pieces:
            connection.send(record(wire.STDIN, piece))
        connection.send(record(wire.STDIN))
        return FastcgiExchange(connection).finish()


def test_body_byte_by_byte(hook):
    pieces = [bytes([byte]) for byte in COMPLETED]
    answer = pieces_answer(hook, "bytes", pieces, str(len(COMPLETED)))
    assert answer.status == 200


@pytest.mark.parametrize("length", [None, ""])
def test_body_without_content_length(hook, length):
    answer = pieces_answer(hook, "chunked", [COMPLETED], length)
    assert answer.status == 200
    assert len(hook.writer.rows("chunked")) == 1


def test_half_a_body_holds_nobody_up(hook):
    """More connections stuck in their body than there could be threads."""
    values = environ("POST", hook.signed("half"), JSON, COMPLETED)
    connections = [hook.endpoint("webhook").connect() for _ in range(50)]
    for connection in connections:
        connection.send(wire.begin() + wire.params(values))
        connection.send(record(wire.STDIN, COMPLETED[:40]))
    begun = time.monotonic()
    hook.deliver("whole", COMPLETED)
    assert time.monotonic() - begun < patience(2)
    connections[0].send(record(wire.STDIN, COMPLETED[40:]))
    connections[0].send(record(wire.STDIN))
    assert FastcgiExchange(connections[0]).finish().status == 200
    for connection in connections:
        connection.close()
    assert {row[1] for row in hook.writer.rows()} == {"whole", "half"}


def test_slow_body_is_given_up(make_site):
    site = make_site(body_timeout="1s")
    site.start("webhook")
    values = environ("POST", site.signed("slow"), JSON, COMPLETED)
    with site.endpoint("webhook").connect() as connection:
        connection.send(wire.begin() + wire.params(values))
        connection.send(record(wire.STDIN, COMPLETED[:40]))
        exchange = FastcgiExchange(connection)
        while not exchange.ended:
            exchange.read_some()
        assert not exchange.head.done or exchange.head.status == 408
    assert site.writer.rows() == []


def test_client_that_leaves_in_its_body(hook):
    values = environ("POST", hook.signed("left"), JSON, COMPLETED)
    for data in (b"", COMPLETED[:40]):
        with hook.endpoint("webhook").connect() as connection:
            connection.send(wire.begin() + wire.params(values))
            if data:
                connection.send(record(wire.STDIN, data))
    hook.deliver("stays", COMPLETED)
    assert [row[1] for row in hook.writer.rows()] == ["stays"]


# -- signatures ------------------------------------------------------------


def test_signature_is_required(hook):
    for target in (
        webhook_target(""),
        webhook_target("job_id=a"),
        hook.signed("a", override={"sig": None}),
        hook.signed("a", override={"exp": None}),
        hook.signed("a", override={"job_id": None}),
        hook.signed("a", override={"sig": ""}),
    ):
        answer = hook.post(target, COMPLETED)
        assert_refused(hook, answer, 400, 401, 403)


@pytest.mark.parametrize(
    "override",
    [
        {"sig": "A" * 43},
        {"sig": "%"},
        {"sig": "x" * 5000},
        {"job_id": "other"},
        {"restore_id": "other"},
        {"restore_id": None},
        {"exp": "99999999999"},
        {"exp": "x"},
        {"exp": "-1"},
        {"exp": "9" * 40},
    ],
    ids=lambda override: repr(override)[:40],
)
def test_transplanted_signature(hook, override):
    target = hook.signed("mine", "restore", override=override)
    answer = hook.post(target, COMPLETED)
    assert_refused(hook, answer, 401, 403)


def test_every_bit_of_the_signature_counts(hook):
    exp = int(time.time()) + 60
    good = sign(SECRET, RUNPOD, "bits", "", exp)
    for at in range(len(good)):
        other = "A" if good[at] != "A" else "B"
        bad = good[:at] + other + good[at + 1 :]
        override = {"exp": exp, "sig": bad}
        answer = hook.post(hook.signed("bits", override=override), COMPLETED)
        assert_refused(hook, answer, 401, 403)


def test_signature_for_another_provider(hook):
    query = signed_query(SECRET, "mine", provider="replicate")
    answer = hook.post(webhook_target(query), COMPLETED)
    assert_refused(hook, answer, 401, 403)


def test_signature_with_another_secret(hook):
    query = signed_query("another-secret-0123456789", "mine")
    answer = hook.post(webhook_target(query), COMPLETED)
    assert_refused(hook, answer, 401, 403)


def test_expired_signature(hook):
    answer = hook.post(hook.signed("late", lifetime=-10), COMPLETED)
    assert_refused(hook, answer, 401, 403)


def test_authentication_comes_before_parsing(hook):
    answer = hook.post(
        hook.signed("a", override={"sig": "wrong"}), b"{not json"
    )
    assert_refused(hook, answer, 401, 403)


def test_rotated_secrets(make_site):
    secrets = ["new-secret-0123456789ab", "old-secret-0123456789ab"]
    site = make_site(webhook_secret=",".join(secrets))
    site.start("webhook")
    for secret in secrets:
        query = signed_query(secret, secret[:3])
        answer = site.post(webhook_target(query), COMPLETED)
        assert answer.status == 200
    first = site.tool("url", "job").stdout
    exp = re.search(r"exp=(\d+)", first).group(1)
    assert sign(secrets[0], RUNPOD, "job", "", exp) in first


def test_no_secret_refuses_and_says_what_to_set(make_site):
    site = make_site(webhook_secret=None)
    site.start("webhook")
    for target in (site.signed("open"), webhook_target("job_id=open")):
        answer = site.post(target, COMPLETED)
        assert_refused(site, answer, 403)
    assert "webhook_secret" in site.webhook.log_text()


def test_opened_by_webhook_auth_none(make_site):
    site = make_site(webhook_secret=None, webhook_auth="none")
    site.start("webhook")
    answer = site.post(webhook_target("job_id=open"), COMPLETED)
    assert answer.status == 200
    assert len(site.writer.rows("open")) == 1


# -- bad input -------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"{not json}", b"{}x", b"\xff\xfe", b'{"a":01}',
        b"[]", b'"text"', b"1", b"null", b"true", b'{"status":}',
        COMPLETED[:-20], b"\0", b'{"status":"COMPLETED"',
        b"[" * 100000, b'{"a":' * 100000, b'{"a":' * 33 + b"1" + b"}" * 33,
    ],
    ids=lambda body: repr(body[:24]),
)
def test_body_that_is_no_json_object(hook, body):
    answer = hook.post(hook.signed("bad"), body)
    assert_refused(hook, answer, 400)


@pytest.mark.parametrize(
    "payload",
    [{"status": 1}, {"status": {}}, {"status": ["COMPLETED"]}, {"id": 1}],
    ids=repr,
)
def test_member_of_the_wrong_type(hook, payload):
    answer = hook.post(hook.signed("bad"), json.dumps(payload).encode())
    assert_refused(hook, answer, 400)


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "json"])
def test_wrong_content_type(hook, kind):
    answer = hook.post(hook.signed("typed"), COMPLETED, {"Content-Type": kind})
    assert_refused(hook, answer, 415)


def test_body_over_the_limit(make_site):
    site = make_site(max_body="10k")
    site.start("webhook")
    frame = len(b'{"status":"COMPLETED","x":""}')
    fits = b'{"status":"COMPLETED","x":"%s"}' % (b"x" * (10240 - frame))
    answer = site.post(site.signed("over"), fits + b" ")
    assert_refused(site, answer, 413)
    answer = site.post(site.signed("over"), b"x" * 5_000_000)
    assert_refused(site, answer, 413)
    pieces = [b"x" * 1000] * 50
    assert_refused(site, pieces_answer(site, "over", pieces, None), 413)
    assert site.post(site.signed("over"), fits).status == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "BREW"])
def test_wrong_method(hook, method):
    answer = hook.endpoint("webhook").call(method, hook.signed("method"))
    assert_refused(hook, answer, 405)
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize(
    "path", ["webhooks/nobody", "webhooks/", "webhooks", "x" * 10000, "%00"],
    ids=lambda path: path[:24],
)
def test_unknown_path(hook, path):
    query = signed_query(SECRET, "job", provider=path.rpartition("/")[2])
    answer = hook.post(f"/api/v1/{path}?{query}", COMPLETED)
    assert_refused(hook, answer, 404)


@pytest.mark.parametrize(
    "job", ["a b", "", "a/b", "x" * 129, "ä", "a\nb", "a\0"],
    ids=lambda job: ascii(job)[:24],
)
def test_bad_job_id(hook, job):
    answer = hook.post(hook.signed(job), COMPLETED)
    assert_refused(hook, answer, 400, 401, 403)


# -- nothing leaks ---------------------------------------------------------


def test_secrets_are_nowhere(make_site):
    """Not in events, not in the table, not in a log at its most talkative."""
    site = make_site()
    site.start("events")
    site.start("webhook")
    target = site.signed("quiet", "restore")
    payload = json.loads(COMPLETED)
    payload["webhook"] = f"https://example.org{target}"
    payload["input"] = {"password": "hunter2-in-the-input"}
    body = json.dumps(payload).encode()
    site.post(target, body)
    site.post(target, body[:-1])
    site.post(target.replace("sig=", "sig=x"), body)
    with site.stream("quiet") as stream:
        seen = stream.next().data
    stored = repr(
        site.writer.connection.execute("SELECT * FROM job_events").fetchall()
        + site.writer.connection.execute("SELECT * FROM jobs").fetchall()
    )
    logs = "".join(text for _, text in site.logs())
    signature = target.partition("sig=")[2]
    for secret in (signature, "hunter2-in-the-input", SECRET):
        assert secret not in seen
        assert secret not in stored
        assert secret not in logs
