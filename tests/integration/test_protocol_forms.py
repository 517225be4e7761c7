"""docs/protocol.md, row by row: header fields, the JSON form and refusals."""

import re

import pytest
from harness.metrics import gauge_is
from harness.reading import (  # noqa: F401
    ORIGIN, fixture_crossed, fixture_full, fixture_guarded, fixture_reader,
    get, get_json, jobs_target, kinds, missing_database, place, refusal,
    stream_at,
)
from harness.wait import until

# -- header fields -----------------------------------------------------------


def test_stream_headers(full):
    with full.stream("b") as turned_away:
        answers = [turned_away.headers, get(full, "/events/b").headers]
    head = get(full, "/events/b", method="HEAD").headers
    for headers in [*answers, head]:
        for name, value in [
            ("content-type", "text/event-stream; charset=utf-8"),
            ("cache-control", "no-cache, no-transform"),
            ("x-accel-buffering", "no"),
        ]:
            assert headers[name] == value


def test_json_headers(reader):
    for target in ("/jobs/done", "/jobs/none", "/events/done?format=json",
                   "/healthz", "/nothing"):
        answer = get(reader, target)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        assert int(answer.headers["content-length"]) == len(answer.body)


def test_nothing_left_headers(reader):
    answer = get(reader, f"/events/done?last_event_id={place(reader, 2)}")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert "content-length" not in answer.headers
    assert "content-type" not in answer.headers


def test_allow(reader):
    for method in ("POST", "DELETE", "OPTIONS"):
        answer = get(reader, "/events/a", method=method)
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


def test_retry_after(full):
    answer = get(full, "/events/b?format=json&wait=5")
    assert 10 <= int(answer.headers["retry-after"]) <= 30
    with missing_database(full):
        until(gauge_is(full, "database_failing", 1), "503")
        answer = get(full, "/jobs/a")
        assert answer.headers["retry-after"] == "5"
    until(gauge_is(full, "database_failing", 0), "the database")


def cors_answers(site, origin):
    """Every kind of answer."""
    headers = {"Origin": origin} if origin else {}
    for target in ("/events/done", "/events/done?format=json", "/events/a%20b",
                   "/jobs/none", "/nothing", "/healthz", "/events",
                   "/events/done?last_event_id=" + place(site, 1)):
        yield get(site, target, headers)
    yield get(site, "/events/a", headers, method="POST")
    yield get(site, "/events/a", headers, method="HEAD")
    with site.stream("a", headers=headers) as stream:
        yield stream.exchange.wait_head()


def test_cors_allowed_origin(crossed):
    for answer in cors_answers(crossed, ORIGIN):
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert answer.headers["access-control-allow-credentials"] == "true"


def test_cors_retry_after(crossed):
    """Without it a script of another origin finds the field empty."""
    for answer in cors_answers(crossed, ORIGIN):
        assert answer.headers["access-control-expose-headers"] == "Retry-After"


def test_cors_other_origin(crossed):
    for answer in cors_answers(crossed, "https://evil.example"):
        assert not [n for n in answer.headers if n.startswith("access-")]


def test_cors_vary(crossed):
    for origin in (None, ORIGIN, "https://evil.example"):
        for answer in cors_answers(crossed, origin):
            assert answer.headers["vary"] == "Origin"


def test_cors_off(reader):
    for answer in cors_answers(reader, ORIGIN):
        assert "vary" not in answer.headers
        assert not [n for n in answer.headers if n.startswith("access-")]


# -- JSON --------------------------------------------------------------------


def test_json_members(reader):
    value = get_json(reader, "/events/done?last_event_id=x")
    assert kinds(value["events"]) == ["resync", "step", "completed"]
    assert value["last_event_id"] == place(reader, 2)


def test_json_terminal(reader):
    assert get_json(reader, "/events/done")["terminal"] is True
    target = jobs_target(["done", "b"]).removeprefix("/api/v1")
    assert get_json(reader, target)["terminal"] is False


def test_json_page(reader):
    reader.writer.publish_many([("a", "step")] * 1000 + [("a", "completed")])
    first = get_json(reader, "/events/a")
    assert (len(first["events"]), first["terminal"]) == (1000, False)
    last = first["last_event_id"]
    second = get_json(reader, f"/events/a?last_event_id={last}")
    assert (len(second["events"]), second["terminal"]) == (1, True)


def test_json_nothing_left(reader):
    last = place(reader, 2)
    assert get_json(reader, f"/events/done?last_event_id={last}") == {
        "events": [], "last_event_id": last, "terminal": True,
    }


def test_json_wait_over(reader):
    value = get_json(reader, "/events/a?wait=1")
    assert (value["events"], value["terminal"]) == ([], False)


def test_json_full(full):
    answer = get(full, "/events/b?format=json&wait=5")
    assert refusal(answer) == (503, "overloaded")
    assert get_json(full, "/events/b")["events"] == []


def test_job_members(reader):
    value = get(reader, "/jobs/done").json()
    assert list(value) == [
        "job_id", "restore_id", "state", "progress", "output", "created_at",
        "updated_at", "run", "last_event_id",
    ]
    for name in ("restore_id", "progress", "output", "run"):
        assert value[name] is None
    for name in ("created_at", "updated_at"):
        assert re.fullmatch(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value[name]
        )


def test_healthz_members(reader):
    assert get(reader, "/healthz").json().keys() == {
        "status", "database", "watcher", "lagging",
    }


def test_error_form(reader):
    body = get(reader, "/nothing").body
    assert body == (
        b'{"error":{"code":"not_found",'
        b'"message":"There is nothing at this path."}}\n'
    )


# -- error codes -------------------------------------------------------------


def test_empty_job_id(reader):
    for target in ("/events/", "/jobs", "/jobs/", "/events?job_id=",
                   "/events?job_id=a&job_id=", "/events?job_id",
                   "/events?job_id=%ff"):
        assert refusal(get(reader, target)) == (400, "bad_job_id"), target


def test_too_many_jobs(reader):
    jobs = [f"job-{n}" for n in range(65)]
    target = jobs_target(jobs).removeprefix("/api/v1")
    assert refusal(get(reader, target)) == (400, "too_many_jobs")
    with stream_at(reader, jobs_target(jobs[:64] + jobs[:9])) as stream:
        assert stream.wait_open().status == 200


@pytest.mark.parametrize("text", ["abc", "", "-1", "56", "1.5"])
def test_bad_wait(reader, text):
    answer = get(reader, f"/events/a?wait={text}")
    assert refusal(answer) == (400, "bad_wait")


def test_not_authenticated(guarded):
    for target in ("/events", "/events/mine", "/jobs/mine"):
        assert refusal(get(guarded, target)) == (403, "not_authenticated")


def test_owner_unknown(reader):
    assert refusal(get(reader, "/events")) == (403, "owner_unknown")


def test_job_forbidden(guarded):
    for target in ("/events/other", "/events?job_id=mine&job_id=other"):
        answer = get(guarded, target, user="alice")
        assert refusal(answer) == (403, "job_forbidden")


def test_not_found(reader):
    for target in ("", "/", "/nothing", "/eventsx", "/healthz/", "/metrics/a"):
        assert refusal(get(reader, target)) == (404, "not_found"), target


def test_unknown_job(reader):
    assert refusal(get(reader, "/jobs/none")) == (404, "unknown_job")


def test_method_not_allowed(reader):
    for target in ("/events/a", "/events", "/jobs/a", "/healthz", "/metrics"):
        for method in ("POST", "PUT", "get"):
            answer = get(reader, target, method=method)
            assert refusal(answer) == (405, "method_not_allowed")


def test_not_acceptable(reader):
    for target, accept in [
        ("/events/a", "text/html"), ("/events/a?format=xml", "*/*"),
    ]:
        answer = get(reader, target, {"Accept": accept})
        assert refusal(answer) == (406, "not_acceptable")


def test_body_too_large(reader):
    answer = reader.endpoint("events").call(
        "GET", "/api/v1/events/a", body=b"x" * 70000
    )
    assert refusal(answer) == (413, "body_too_large")


def test_overloaded(full):
    answer = get(full, "/events?job_id=b&format=json&wait=1")
    assert refusal(answer) == (503, "overloaded")


def test_database_unavailable(reader):
    with missing_database(reader):
        until(gauge_is(reader, "database_failing", 1), "the trouble")
        for target in ("/jobs/done", "/events/done?format=json"):
            answer = get(reader, target)
            assert refusal(answer) == (503, "database_unavailable")
    until(gauge_is(reader, "database_failing", 0), "the database")


def test_a_stream_is_not_stopped_for_good_by_a_missing_database(reader):
    """EventSource gives up on 503; like a full server, one without its
    database must ask it to come back."""
    with missing_database(reader):
        until(gauge_is(reader, "database_failing", 1), "the trouble")
        answer = get(
            reader, "/events/done", {"Accept": "text/event-stream"}
        )
        assert answer.status == 200 and b"retry: " in answer.body
    until(gauge_is(reader, "database_failing", 0), "the database")


def test_head_too_large(reader):
    with reader.stream("a", "x=" + "x" * 66000) as stream:
        with pytest.raises(ConnectionError):
            stream.exchange.wait_head()
