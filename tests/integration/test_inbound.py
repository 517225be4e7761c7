"""What becomes of inbound calls: what is kept of a body and what never is, and
that many at once, and a kill at any moment, lose and double nothing."""

import itertools
import json

import pytest
from harness.inbound import (  # noqa: F401
    Senders, as_bytes, at_once, count, everything_stored, fixture_inbound,
    fixture_pair, job_columns, nameless_target, publish, read_inbound_metrics,
    register,
)
from harness.publish import fixture
from harness.reading import get
from harness.sse import data_of
from harness.wait import until

COMPLETED = fixture("runpod-completed.json")

# Each would be another text after a walk through a double, a hash table or an
# SQL value.
EXACT = [
    b"1234567890123456789", b"-9223372036854775809", b"1e400", b"0.1",
    b"1.10", b"-0", b"1E+2", b'{"z":1,"a":2,"m":{"z":1,"a":2}}', b'"\\u00e4\\/"',
    b"[[],{}]", b'{"a":1,"a":2}', b"null", b"false", b'""',
    '"\U0001f600 \\u2028"'.encode(), b"[0.30000000000000004,1e-7,9007199254740993]",
]


# -- what is kept ------------------------------------------------------------


@pytest.mark.parametrize("output", EXACT, ids=ascii)
@pytest.mark.parametrize("is_large", [False, True], ids=["inline", "large"])
def test_output_is_kept_to_the_byte(pair, output, is_large):
    """In the job, and in the event where it is not too large for one."""
    if is_large:
        output = b'{"it":%s,"filler":"%s"}' % (output, b"x" * 5000)
    body = b'{"id":"x","status":"COMPLETED","output":%s}' % output
    pair.deliver("a", body)
    assert b'"output":%s,' % output in get(pair, "/jobs/a").body
    with pair.stream("a") as stream:
        sent = stream.next().data.encode()
    assert (b'"output":%s}' % output in sent) != is_large
    assert (b'"output_omitted":true' in sent) == is_large


def test_line_ends_of_unicode_are_kept_as_escapes(pair):
    """The same text for JSON, and no end of a line for anybody."""
    output = '"a\u0085b\u2028c\u2029d"'
    body = '{"id":"x","status":"COMPLETED","output":%s}' % output
    pair.deliver("a", body.encode())
    job = get(pair, "/jobs/a")
    assert job.json()["output"] == json.loads(output)
    assert b'"output":"a\\u0085b\\u2028c\\u2029d",' in job.body


def test_data_of_one_mebibyte(pair):
    """The most that may be published; it is streamed whole."""
    data = b'{"x":"%s"}' % (b"x" * ((1 << 20) - 8))
    assert len(data) == 1 << 20
    answer = publish(pair, "a", b'{"type":"step","data":%s}' % data)
    assert answer.status == 201
    with pair.stream("a") as stream:
        assert data_of(stream.next())["x"] == "x" * ((1 << 20) - 8)


def _fill(total):
    """Lengths of types that fill so many bytes, each with its end."""
    whole, rest = divmod(total, 65)
    if rest == 1:
        return [64] * (whole - 1) + [63, 1]
    return [64] * whole + ([rest - 1] if rest else [])


def test_types_of_any_length_in_calls_of_any_size(inbound):
    """What a call holds grows in one buffer: each length comes at which that
    moves."""
    calls = [_fill(total) for total in range(2, 601)]
    calls += [[length] * 100 for length in range(1, 65)]
    calls += [[1 + size * i % 64 for i in range(size)] for size in range(1, 101)]
    with inbound.endpoint("webhook").keep() as kept:
        for lengths in calls:
            events = [{"type": "a" * length} for length in lengths]
            answer = publish(inbound, "a", events, endpoint=kept)
            assert answer.status == 201, (lengths, answer)
            assert len(answer.json()["event_ids"]) == len(lengths)
    stored = [len(row[2]) for row in inbound.writer.rows("a")]
    assert stored == list(itertools.chain.from_iterable(calls))


TRACE = {
    "error_type": "<class 'RuntimeError'>", "error_message": "out of memory",
    "error_traceback": "Traceback, at /srv/private.py", "hostname": "gpu-6441",
}


@pytest.mark.parametrize("error", ["plain", json.dumps(TRACE), TRACE, [1]])
def test_the_whole_error_is_for_the_operator(pair, error):
    """The page gets its message and its type."""
    pair.deliver("a", {"id": "x", "status": "FAILED", "error": error})
    assert json.loads(job_columns(pair, "a", "error")[0]) == error
    with pair.stream("a") as stream:
        own = data_of(stream.next())
    if error == "plain":
        assert own["error"] == "plain"
    elif error == [1]:
        assert "error_type" not in own and isinstance(own["error"], str)
    else:
        assert own["error"] == "out of memory"
        assert own["error_type"] == "<class 'RuntimeError'>"
    for secret in ("Traceback", "private", "gpu-6441"):
        assert secret not in repr(own)
        assert secret not in get(pair, "/jobs/a").body.decode()


@pytest.mark.parametrize("is_claimed", [True, False])
def test_echoes_are_never_stored(inbound, is_claimed):
    """Not even in what is kept for a job that nobody has registered."""
    body = {
        "id": "x", "status": "COMPLETED", "output": "the-output",
        "input": {"password": "hunter2"}, "webhook": "https://h/?sig=hunter3",
        "somethingNew": "hunter4",
    }
    target = inbound.signed("a") if is_claimed else nameless_target()
    assert inbound.post(target, as_bytes(body)).status == 200
    stored = everything_stored(inbound)
    assert b"the-output" in stored
    assert b"hunter" not in stored
    assert b"hunter" not in inbound.webhook.log_text().encode()


def test_early_webhooks_come_in_order(pair):
    """All that waited, with their output and error, as if they came now."""
    for number, status in enumerate(["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]):
        body = {"id": "x", "status": status, "executionTime": number,
                "output": ["large" * 2000, number]}
        pair.post(nameless_target(), as_bytes(body))
    assert count(pair, "unclaimed_events") == 3
    register(pair, job_id="late", external_id="x")
    with pair.stream("late") as stream:
        events = stream.wait_end()
    assert [e.event for e in events] == ["queued", "processing", "completed"]
    output = get(pair, "/jobs/late").json()["output"]
    assert output == ["large" * 2000, 2]


# -- many at once ------------------------------------------------------------


def test_one_idempotency_key_from_20_threads(inbound):
    events = [{"type": "step", "data": {"n": n}} for n in range(100)]
    answers = at_once(20, lambda _: publish(inbound, "a", events, "key"))
    assert sorted(a.status for a in answers) == [200] * 19 + [201]
    assert len({a.body for a in answers}) == 1
    assert len(inbound.writer.rows()) == 100


def test_200_deliveries_of_one_webhook(inbound):
    answers = at_once(200, lambda _: inbound.deliver("a", COMPLETED))
    assert len({a["event_id"] for a in answers}) == 1
    assert [a["duplicate"] for a in answers].count(False) == 1
    assert len(inbound.writer.rows()) == 1


def test_registration_and_early_webhook_race(inbound):
    """Whichever comes first, the job has its event."""
    for number in range(30):
        body = {"id": f"x-{number}", "status": "COMPLETED"}

        def act(index, number=number, body=body):
            if index == 0:
                return register(
                    inbound, job_id=f"job-{number}", external_id=f"x-{number}"
                )
            return inbound.post(nameless_target(), as_bytes(body))

        assert [a.status for a in at_once(3, act)] == [201, 200, 200]
        assert len(inbound.writer.rows(f"job-{number}")) == 1
    assert count(inbound, "unclaimed_events") == 0


def test_a_refused_call_hurts_no_other_of_its_batch(inbound):
    """Held up together behind a lock, they are committed together."""
    register(inbound, job_id="owned", owner="alice")
    inbound.writer.connection.execute("BEGIN IMMEDIATE")

    def act(index):
        if index == 0:
            inbound.writer.connection.execute("COMMIT")
        elif index % 3 == 0:
            return register(inbound, job_id="owned", owner="bob").status
        elif index % 3 == 1:
            return inbound.post(inbound.signed(f"j{index}"), COMPLETED).status
        else:
            return publish(inbound, f"j{index}", {"type": "step"}).status
        return None

    statuses = at_once(60, act)
    assert statuses[1:] == [(409, 200, 201)[n % 3] for n in range(1, 60)]
    assert len(inbound.writer.rows()) == 40


# -- kill -9 -----------------------------------------------------------------

ROUNDS = 20


def test_kill_in_the_middle_of_deliveries(inbound):
    """Each 200 that a client received has its row; sent again, all of them
    are known."""
    with Senders(inbound, 32) as senders:
        for _ in range(ROUNDS):
            seen = len(senders.accepted)
            until(lambda s=seen: len(senders.accepted) > s + 40, "deliveries")
            inbound.webhook.kill()
            inbound.start("webhook")
    assert not senders.refusals
    stored = senders.check_stored()
    # What was accepted by the killed without an answer was sent again.
    assert stored == len(senders.accepted)
    keys = list(senders.accepted)
    at_once(8, lambda n: [
        senders.send(*key) for key in itertools.islice(keys, n, None, 8)
    ])
    assert senders.check_stored() == stored
    print(
        f"{ROUNDS} kills, {len(keys)} deliveries answered 200, {senders.cut_off}"
        " cut off: none lost, none doubled"
    )


def test_metrics_while_webhooks_come(inbound):
    """Counters never fall while other threads count; with ThreadSanitizer,
    they also read and write them one after the other."""
    names = ("commit_items_total", "webhook_requests_refused_total")
    last = (0, 0)
    with Senders(inbound, 4) as senders:
        for _ in range(100):
            metrics = read_inbound_metrics(inbound)
            now = tuple(metrics.value(name) for name in names)
            assert all(a <= b for a, b in zip(last, now, strict=True))
            last = now
        until(lambda: len(senders.accepted) > 50, "deliveries", 20)
    assert read_inbound_metrics(inbound).value("webhook_body_bytes") == 0
