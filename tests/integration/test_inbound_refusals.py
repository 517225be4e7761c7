"""docs/protocol.md, row by row: what the calls that write are refused with,
and that a refused call leaves nothing. Trouble with the database is in
test_trouble.py."""

import threading

import pytest
from harness import fastcgi as wire
from harness.fastcgi import FastcgiExchange, environ, record
from harness.inbound import (  # noqa: F401
    KEY, away, count, fixture_inbound, look, publish, read_inbound_metrics,
    register, send,
)
from harness.publish import fixture, signed_query
from harness.reading import refusal
from harness.site import SECRET, webhook_target
from harness.wait import until

COMPLETED = fixture("runpod-completed.json")
JSON = {"Content-Type": "application/json"}


@pytest.fixture(name="strict")
def fixture_strict(inbound):
    """Fails when a test's calls left anything."""
    yield inbound
    for table in ("job_events", "jobs", "unclaimed_events",
                  "idempotency_keys"):
        assert count(inbound, table) == 0, table


def webhook(site, body=COMPLETED, headers=None, job="a", **options):
    """The refusal of a webhook."""
    return refusal(site.post(site.signed(job, **options), body, headers))


# -- 400 ---------------------------------------------------------------------

BAD_JOB_IDS = ["a b", "a/b", "x" * 129, "ä", "a%", ""]


@pytest.mark.parametrize("job", BAD_JOB_IDS, ids=ascii)
def test_inbound_bad_job_id(strict, job):
    wanted = (400, "bad_job_id")
    assert webhook(strict, job=job) == wanted
    if job:
        is_long = len(job) > 128
        assert refusal(register(strict, job_id=job)) == (
            400, "bad_payload" if is_long else "bad_job_id",
        )
        text = "".join(f"%{byte:02x}" for byte in job.encode())
        answer = publish(strict, text, {"type": "step"})
        assert refusal(answer) in (wanted, (404, "not_found"))


def test_bad_restore_id(strict):
    for text in ("r" * 257, "a\nb", "\0"):
        assert webhook(strict, restore_id=text) == (400, "bad_restore_id")


@pytest.mark.parametrize("body", [b"", b"{", b"{} x", b"{'a':1}", b"\xff"])
def test_bad_json(strict, body):
    wanted = (400, "bad_json")
    assert webhook(strict, body) == wanted
    assert refusal(send(strict, "/jobs", body)) == wanted
    assert refusal(publish(strict, "a", body)) == wanted


def test_json_too_deep(strict):
    body = b'{"type":"step","data":' + b'{"a":' * 32 + b"1" + b"}" * 33
    wanted = (400, "json_too_deep")
    assert webhook(strict, body) == wanted
    assert refusal(send(strict, "/jobs", body)) == wanted
    assert refusal(publish(strict, "a", body)) == wanted


def test_bad_payload(strict):
    wanted = (400, "bad_payload")
    for body in (b"[]", b'"x"', b"null", b'{"status":1}', b'{"id":[]}'):
        assert webhook(strict, body) == wanted, body
    for body in ([], "x", 1, None):
        assert refusal(send(strict, "/jobs", body)) == wanted, body
    for name in ("owner", "external_id", "restore_id", "job_id", "provider"):
        for value in (1, [], {}, True, "", "a\u0000b", "a\nb", "x" * 257):
            answer = register(strict, **{name: value})
            assert refusal(answer) == wanted, (name, value)
    for body in ([], "x", 1, None, [[]], {"type": "a", "data": []},
                 {"type": "a", "data": "{}"}, {"type": "a", "data": False}):
        assert refusal(publish(strict, "a", body)) == wanted, body


def test_a_duplicated_member_the_database_refuses(strict):
    """Ours and SQLite's reading agree on which of two members counts, or the
    call is refused; it never fails the others of its batch."""
    body = b'{"type":"step","data":{"a":1},"data":"text"}'
    assert refusal(publish(strict, "a", body)) == (400, "bad_payload")


@pytest.mark.parametrize(
    "kind",
    [None, "", 1, [], "Step", "1a", "a b", "a/b", "x" * 65, "resync",
     "heartbeat", "a\u0000"],
    ids=repr,
)
def test_bad_type(strict, kind):
    event = {"type": kind} if kind is not None else {"data": {}}
    assert refusal(publish(strict, "a", event)) == (400, "bad_type")


def test_bad_idempotency_key(strict):
    answer = publish(strict, "a", {"type": "step"}, "k" * 256)
    assert refusal(answer) == (400, "bad_idempotency_key")


# -- 401, 403 ----------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer ", f"Basic {KEY}", f"Bearer {KEY}x",
     f"Bearer {KEY[:-1]}", f"Bearer  {KEY}, {KEY}", KEY, f"Bearer {SECRET}"],
)
def test_publish_key_invalid(strict, value):
    headers = {"Authorization": value}
    for path in ("/jobs", "/jobs/a/events", "/jobs/a%20b/events"):
        for body in ({"type": "step"}, b"{"):
            answer = send(strict, path, body, headers)
            assert refusal(answer) == (401, "publish_key_invalid")


def test_publish_keys_missing(make_site):
    site = make_site()
    site.start("webhook")
    for answer in (register(site), publish(site, "a", {"type": "step"})):
        assert refusal(answer) == (403, "publish_keys_missing")
    assert site.writer.rows() == []


def test_publish_keys_rotate(make_site):
    site = make_site(publish_keys=f"another-key-0123456789,{KEY}")
    site.start("webhook")
    for key in ("another-key-0123456789", KEY):
        answer = send(site, "/jobs", {}, {"Authorization": f"bearer {key}"})
        assert answer.status == 201


def test_webhook_secret_missing(make_site):
    site = make_site(webhook_secret=None)
    site.start("webhook")
    assert webhook(site) == (403, "webhook_secret_missing")
    assert site.writer.rows() == []


@pytest.mark.parametrize("name", ["sig", "exp"])
def test_signature_missing(strict, name):
    for value in (None, ""):
        wanted = webhook(strict, override={name: value})
        assert wanted == (403, "signature_missing")


@pytest.mark.parametrize(
    "override", [{"job_id": "b"}, {"restore_id": "r"}, {"job_id": None},
                 {"exp": "99999999999"}, {"sig": "A" * 43}], ids=repr,
)
def test_signature_invalid(strict, override):
    assert webhook(strict, override=override) == (403, "signature_invalid")
    assert webhook(strict, b"{", override=override)[0] == 403


def test_signature_expired(strict):
    assert webhook(strict, lifetime=-1) == (403, "signature_expired")


# -- 404, 405, 409 -----------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["", "/", "/webhooks", "/webhooks/", "/webhooks/nobody", "/jobs/",
     "/jobs/a", "/jobs/a/events/", "/jobs//events", "/jobs/a/b/events",
     "/events", "/nothing"],
)
def test_inbound_not_found(strict, path):
    answer = send(strict, path, {"type": "step"})
    assert refusal(answer) == (404, "not_found")


def test_a_provider_that_is_no_provider(strict):
    for name, expected in (
        ("nobody", (404, "not_found")),
        ("Runpod-completion", (404, "not_found")),
        # Paths of their own, which are only looked at.
        ("healthz", (405, "method_not_allowed")),
        ("metrics", (405, "method_not_allowed")),
    ):
        query = signed_query(SECRET, "a", provider=name)
        answer = strict.post(webhook_target(query, name), COMPLETED)
        assert refusal(answer) == expected


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "post"])
def test_inbound_method_not_allowed(strict, method):
    for path in ("/jobs", "/jobs/a/events", "/webhooks/runpod-completion"):
        answer = look(strict, path, method)
        assert refusal(answer) == (405, "method_not_allowed")


def test_job_owned(inbound):
    register(inbound, job_id="a", owner="alice", restore_id="r1")
    answer = register(
        inbound, job_id="a", owner="bob", external_id="x", restore_id="r2"
    )
    assert refusal(answer) == (409, "job_owned")
    assert inbound.writer.connection.execute(
        "SELECT owner, external_id, restore_id FROM jobs"
    ).fetchall() == [("alice", None, "r1")]


# -- 413, 415, 422 -----------------------------------------------------------


def test_inbound_body_too_large(make_site):
    site = make_site(max_body="10k", publish_keys=KEY)
    site.start("webhook")
    body = b'{"type":"step","data":{"x":"%s"}}' % (b"x" * 10240)
    wanted = (413, "body_too_large")
    for answer in (site.post(site.signed("a"), body),
                   send(site, "/jobs", body), publish(site, "a", body)):
        assert refusal(answer) == wanted
    assert site.writer.rows() == []


def test_data_too_large(strict):
    frame = len(b'{"x":""}')
    event = b'{"type":"step","data":{"x":"%s"}}'
    body = event % (b"x" * ((1 << 20) - frame + 1))
    assert refusal(publish(strict, "a", body)) == (413, "data_too_large")


def test_too_many_events(strict):
    events = [{"type": "step"}] * 101
    answer = publish(strict, "a", events)
    assert refusal(answer) == (413, "too_many_events")


@pytest.mark.parametrize("kind", ["text/plain", "text/json", "json"])
def test_unsupported_media_type(strict, kind):
    headers = {"Content-Type": kind}
    wanted = (415, "unsupported_media_type")
    assert webhook(strict, headers=headers) == wanted
    for path in ("/jobs", "/jobs/a/events"):
        answer = send(strict, path, {"type": "step"}, headers)
        assert refusal(answer) == wanted


def test_idempotency_key_reused(inbound):
    publish(inbound, "a", {"type": "step"}, "key")
    for other in ({"type": "other"}, [{"type": "step"}], b'{"type": "step" }'):
        answer = publish(inbound, "a", other, "key")
        assert refusal(answer) == (422, "idempotency_key_reused")
    assert len(inbound.writer.rows()) == 1


# -- 503, 507 ----------------------------------------------------------------


def held_body(site, size):
    """A connection that has sent that much of its body and no end."""
    connection = site.endpoint("webhook").connect()
    values = environ("POST", site.signed("held"), JSON)
    connection.send(wire.begin() + wire.params(values))
    for start in range(0, size, 60000):
        length = min(60000, size - start)
        connection.send(record(wire.STDIN, b" " * length))
    return connection


def body_bytes(site):
    """How many bytes of bodies the responder holds."""
    return read_inbound_metrics(site).value("webhook_body_bytes")


def test_inbound_overloaded(make_site):
    """And all is well when the bodies are gone."""
    site = make_site(max_bodies="1m")
    site.start("webhook")
    connections = [held_body(site, 300000) for _ in range(3)]
    until(lambda: body_bytes(site) == 900000, "the bodies to be there")
    answer = site.post(site.signed("a"), b" " * 200000)
    assert refusal(answer) == (503, "overloaded")
    assert answer.headers["retry-after"] == "2"
    site.deliver("small", COMPLETED)
    for connection in connections:
        connection.close()
    until(lambda: body_bytes(site) == 0, "the bodies to be gone")
    site.deliver("large", COMPLETED + b" " * 1000000)
    until(lambda: body_bytes(site) == 0, "this one to be gone")
    assert [row[1] for row in site.writer.rows()] == ["small", "large"]


def test_too_many_calls_wait(make_site):
    """For their commit; what need not wait is answered as ever."""
    site = make_site(max_calls="3")
    site.start("webhook")
    site.writer.connection.execute("BEGIN IMMEDIATE")
    waiting = [
        threading.Thread(target=site.deliver, args=(f"job-{n}", COMPLETED))
        for n in range(3)
    ]
    for thread in waiting:
        thread.start()
    until(lambda: read_inbound_metrics(site).value("webhook_calls_waiting") == 3,
          "the calls to wait")
    answer = site.post(site.signed("further"), COMPLETED)
    assert refusal(answer) == (503, "overloaded")
    assert site.post(site.signed("bad"), b"{").status == 400
    site.writer.connection.execute("COMMIT")
    for thread in waiting:
        thread.join()
    assert read_inbound_metrics(site).value("webhook_calls_waiting") == 0
    site.deliver("further", COMPLETED)
    assert len(site.writer.rows()) == 4


def test_a_body_that_is_refused_is_still_read_to_its_end(make_site):
    """A web server that has not sent it all would not read the answer."""
    site = make_site(max_body="10k")
    site.start("webhook")
    connection = held_body(site, 20000)
    connection.send(record(wire.STDIN))
    answer = FastcgiExchange(connection).finish()
    assert refusal(answer) == (413, "body_too_large")


def test_inbound_retry_after(inbound):
    """The other 503 is in test_inbound_overloaded."""
    assert look(inbound, "/webhooks/healthz").status == 200
    with away(inbound):
        for answer in (inbound.post(inbound.signed("a"), COMPLETED),
                       register(inbound), publish(inbound, "a", {"type": "x"})):
            assert answer.status == 503
            assert answer.headers["retry-after"] == "2"


def test_spool_full(make_site):
    """Small bodies do not need the folder."""
    site = make_site(spool="/nonexistent/folder")
    site.start("webhook")
    answer = site.post(site.signed("a"), COMPLETED + b" " * 300000)
    assert refusal(answer) == (507, "spool_full")
    site.deliver("small", COMPLETED + b" " * 200000)
    assert [row[1] for row in site.writer.rows()] == ["small"]
    assert body_bytes(site) == 0
