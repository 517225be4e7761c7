"""webhook.cgi run as a web server runs it: a process per call, which writes on
a connection of its own."""

import json
import os
import socket
import threading

import pytest
from harness.cgi import CgiEndpoint, cgi_stream, install
from harness.process import Server
from harness.publish import RUNPOD_EVENTS, fixture
from harness.site import checkpoint
from harness.sse import data_of

DONE = {"status": "COMPLETED", "id": "r-1"}
KEY = "publish-key-0123456789"


@pytest.fixture(name="hook", params=["pipe", "socket"])
def fixture_hook(make_site, request):
    """A site with nothing running: each call is a process."""
    site = make_site(publish_keys=KEY)
    return CgiEndpoint(site, "webhook.cgi", carrier=request.param)


def publish(hook, target, value, **options):
    """A call of the publish API."""
    headers = {
        "Content-Type": "application/json", "Authorization": f"Bearer {KEY}"
    }
    return hook.call(
        "POST", "/api/v1" + target, headers, json.dumps(value).encode(),
        **options,
    )


@pytest.mark.parametrize("name, kind, _", RUNPOD_EVENTS)
def test_recorded_deliveries(make_site, name, kind, _):
    hook = CgiEndpoint(make_site(), "webhook.cgi")
    hook.site.deliver("a", fixture(name), endpoint=hook)
    assert [row[2] for row in hook.site.writer.rows("a")] == [kind]


def test_duplicate(hook):
    first = hook.site.deliver("a", DONE, endpoint=hook)
    second = hook.site.deliver("a", DONE, endpoint=hook)
    assert first["duplicate"] is False and second["duplicate"] is True
    assert first["event_id"] == second["event_id"]
    assert len(hook.site.writer.rows()) == 1


def test_refusals(hook):
    site = hook.site
    body = json.dumps(DONE).encode()
    unsigned = "/api/v1/webhooks/runpod-completion?job_id=a"
    answer = site.post(unsigned, body, endpoint=hook)
    assert (answer.status, answer.error()) == (403, "signature_missing")
    answer = site.post(site.signed("a"), b"{", endpoint=hook)
    assert (answer.status, answer.error()) == (400, "bad_json")
    answer = hook.call("GET", site.signed("a"))
    assert (answer.status, answer.error()) == (405, "method_not_allowed")
    assert not site.writer.rows()


def test_a_damaged_page(hook):
    """The call is refused, and the process ends as after any other."""
    site = hook.site
    ((root,),) = site.writer.connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'jobs'"
    )
    site.drop_writer()
    checkpoint(site.db)
    with open(site.db, "r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xee" * 4096)
    body = json.dumps(DONE).encode()
    answer = site.post(site.signed("a"), body, endpoint=hook)
    assert (answer.status, answer.error()) == (500, "database_corrupt")


def test_request_id(hook):
    headers = {"Content-Type": "application/json", "X-Request-Id": "abc-1"}
    site = hook.site
    answer = site.post(site.signed("a"), b"{}", headers, endpoint=hook)
    assert answer.headers["x-request-id"] == "abc-1"
    answer = site.post(site.signed("a"), b"{}", endpoint=hook)
    assert len(answer.headers["x-request-id"]) > 8


@pytest.mark.parametrize("size", [10, 200000, 3000000])
@pytest.mark.parametrize("has_length", [True, False])
def test_bodies(hook, size, has_length):
    """Also those that are kept in a file meanwhile."""
    site = hook.site
    body = json.dumps({**DONE, "output": "x" * size}).encode()
    extra = {} if has_length else {"CONTENT_LENGTH": None}
    answer = site.post(site.signed("a"), body, endpoint=hook, extra=extra)
    assert answer.status == 200, answer
    assert len(site.writer.rows("a")) == 1


def test_long_body(make_site):
    hook = CgiEndpoint(make_site(max_body="100k"), "webhook.cgi")
    site = hook.site
    answer = site.post(site.signed("a"), b"x" * 200000, endpoint=hook)
    assert (answer.status, answer.error()) == (413, "body_too_large")


def test_register_and_publish(hook):
    answer = publish(hook, "/jobs", {"job_id": "a", "owner": "alice"})
    assert answer.status == 201
    answer = publish(
        hook, "/jobs/a/events", {"type": "progress", "data": {"progress": 40}}
    )
    assert answer.status == 201 and len(answer.json()["event_ids"]) == 1
    job = CgiEndpoint(hook.site).call("GET", "/api/v1/jobs/a").json()
    assert (job["state"], job["progress"]) == ("processing", 40)


def test_health(hook):
    value = hook.call("GET", "/api/v1/webhooks/healthz").json()
    assert value == {"status": "ok", "database": "ok"}
    answer = CgiEndpoint(hook.site).call("GET", "/api/v1/healthz?all=1")
    assert (answer.status, answer.json()["writer"]) == (200, "ok")
    assert hook.call("GET", "/api/v1/webhooks/metrics").status == 200


def test_delivery_reaches_a_stream(make_site):
    """Through the bell: the base poll would take a minute."""
    site = make_site(poll="60s")
    hook, events = CgiEndpoint(site, "webhook.cgi"), CgiEndpoint(site)
    with cgi_stream(events, "a") as stream:
        stream.wait_open()
        site.deliver("a", DONE, "456", endpoint=hook)
        event = stream.next()
        assert event.event == "completed"
        assert data_of(event)["restore_id"] == "456"
        assert stream.wait_end() == []


def test_many_at_once(make_site):
    """On a database that the first of them makes."""
    site = make_site(init=False, db="data/jobs.db")
    hook = CgiEndpoint(site, "webhook.cgi")
    threads = [
        threading.Thread(
            target=site.deliver, args=(f"job-{n}", DONE), kwargs={"endpoint": hook}
        )
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    site.db = os.path.join(site.root, "data", "jobs.db")
    stored = [row[1] for row in site.writer.rows()]
    assert sorted(stored) == sorted(f"job-{n}" for n in range(20))


def test_missing_database(make_site):
    hook = CgiEndpoint(make_site(init=False, db="/proc/x/jobs.db"), "webhook.cgi")
    site = hook.site
    body = json.dumps(DONE).encode()
    answer = site.post(site.signed("a"), body, endpoint=hook)
    assert (answer.status, answer.error()) == (503, "database_missing")
    assert answer.headers["retry-after"] == "2"
    answer = hook.call("GET", "/api/v1/webhooks/healthz")
    assert answer.status == 503


def test_arguments_of_a_request_count_for_nothing(hook):
    answer = hook.call(
        "GET", "/api/v1/webhooks/healthz", arguments=["--db=/nonexistent/x"]
    )
    assert answer.status == 200


def test_fastcgi(make_site):
    """Started with a listening socket as descriptor 0, as by mod_fcgid."""
    site = make_site()
    address = site.sockets["webhook"]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        server = Server(
            "webhook", [install(site, "webhook.cgi")], site.log_path("webhook"),
            address, stdin=listener, env={},
        )
    site.processes.append(server)
    server.wait_ready()
    for n in range(3):
        site.deliver(f"job-{n}", DONE)
    assert len(site.writer.rows()) == 3
