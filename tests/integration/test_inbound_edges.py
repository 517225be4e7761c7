"""Edges of the writing calls, as a strict reader of docs/protocol.md asks for
them: names that hold what no name has, a job that is registered late, bodies
that are not let in, and the commands that the documents show."""

import os
import re
import subprocess

import pytest
from harness.inbound import (  # noqa: F401
    KEY, as_bytes, count, fixture_inbound, fixture_pair, job_columns, look,
    nameless_target, publish, read_inbound_metrics, register,
)
from harness.nginx import Nginx
from harness.publish import fixture, signed_query
from harness.reading import refusal
from harness.site import SECRET, webhook_target
from harness.wait import patience
from test_inbound_protocol import STATUSES, lifecycle_table
from test_protocol import read

COMPLETED = fixture("runpod-completed.json")


# -- the log -----------------------------------------------------------------


def test_a_url_escaped_twice_is_not_logged(inbound):
    """Then the query, with its signature, is part of the path or of the job's
    id."""
    target = inbound.signed("a")
    path, _, query = target.partition("?")
    for mangled in (path + "%3F" + query, path + "%26" + query,
                    path + "?" + query.replace("&", ";"),
                    path + "?" + query.replace("&", "%26")):
        answer = inbound.post(mangled, COMPLETED)
        assert refusal(answer) in (
            (404, "not_found"), (403, "signature_missing")
        )
    log = inbound.webhook.log_text()
    assert log.count("method=POST route=/webhooks/runpod-completion ") == 4
    assert query.partition("sig=")[2] not in log
    assert "exp" not in log


# -- ids ---------------------------------------------------------------------


@pytest.mark.parametrize("character", ["\0", "\n", "\x1f", "\x7f"], ids=ascii)
def test_an_id_with_a_control_character(inbound, character):
    """It is nobody's, and above all not that of the text before it."""
    register(inbound, job_id="a", external_id="ext")
    body = as_bytes({"id": f"ext{character}more", "status": "COMPLETED"})
    for target in (nameless_target(), inbound.signed("b")):
        assert refusal(inbound.post(target, body)) == (400, "bad_payload")
    for name in ("owner", "external_id", "restore_id"):
        answer = register(inbound, **{name: f"x{character}"})
        assert refusal(answer) == (400, "bad_payload"), name
    answer = inbound.post(inbound.signed("b", f"r{character}"), COMPLETED)
    assert refusal(answer) == (400, "bad_restore_id")
    assert inbound.writer.rows() == []
    assert count(inbound, "unclaimed_events") == 0


# -- what waited for its job -------------------------------------------------


def claim(site, way, job):
    """Registers the job under its own name as external id."""
    if way == "call":
        register(site, job_id=job, external_id=job)
    else:
        site.writer.connection.execute(
            "INSERT INTO jobs(job_id, external_id) VALUES(?1, ?1)"
            " ON CONFLICT(job_id) DO UPDATE SET external_id = ?1", (job,)
        )


@pytest.mark.parametrize("way", ["call", "row"])
def test_lifecycle_of_what_waited(inbound, way):
    """The document's table, for reports that came before their job was
    registered."""
    for (state, kind), is_stored in lifecycle_table().items():
        job = f"{state}-{kind}"
        if state:
            inbound.writer.publish(job, state)
        body = {"id": job, "status": STATUSES[kind], "output": "x" * 5000}
        value = inbound.post(nameless_target(), as_bytes(body)).json()
        assert (value["job_id"], value["duplicate"]) == (None, False)
        claim(inbound, way, job)
        rows = [row[2] for row in inbound.writer.rows(job)]
        assert rows == [state] * bool(state) + [kind] * is_stored, job
        now, output, _ = job_columns(inbound, job)
        assert now == (kind if is_stored else state), job
        assert (output is not None) == is_stored, job
    assert count(inbound, "unclaimed_events") == 0


def test_a_late_report_that_waited_does_not_reopen_its_job(inbound):
    for status in ("COMPLETED", "IN_PROGRESS"):
        body = as_bytes({"id": "x", "status": status})
        assert inbound.post(nameless_target(), body).status == 200
    register(inbound, job_id="a", external_id="x")
    assert [row[2] for row in inbound.writer.rows("a")] == ["completed"]
    again = inbound.post(nameless_target(), body).json()
    assert (again["job_id"], again["event_id"]) == ("a", None)


@pytest.mark.parametrize("given, kept", [(None, "r1"), ("r2", "r2")])
def test_the_restore_id_of_what_waited(inbound, given, kept):
    """That of the registration counts, as it does for a call that comes
    later."""
    query = signed_query(SECRET, "", "r1", override={"job_id": None})
    body = as_bytes({"id": "x", "status": "COMPLETED"})
    assert inbound.post(webhook_target(query), body).status == 200
    register(inbound, job_id="a", external_id="x", restore_id=given)
    assert job_columns(inbound, "a", "restore_id") == (kept,)


# -- the metrics -------------------------------------------------------------


def outcomes(site):
    """How many calls ended how."""
    metrics = read_inbound_metrics(site)
    return {
        name: metrics.value("calls_total", outcome=name)
        for name in ("stored", "duplicate", "ignored", "unclaimed", "refused",
                     "failed", "looked")
    }


def test_every_call_is_counted_once(make_site):
    """Also those whose body is not let in; and looking at the numbers does not
    change those that speak of webhooks."""
    site = make_site(publish_keys=KEY, max_body="500k", max_bodies="600k",
                     spool="/nonexistent/folder")
    site.start("webhook")
    before = outcomes(site)
    unknown = as_bytes({"id": "x", "status": "PURPLE"})
    for body, status in [
        (COMPLETED, 200), (COMPLETED, 200), (unknown, 200), (b"{", 400),
        (b" " * 600_000, 507), (COMPLETED + b" " * 200_000, 200),
    ]:
        assert site.post(site.signed("a"), body).status == status
    assert site.post(nameless_target(), COMPLETED).status == 200
    assert publish(site, "b", {"type": "step"}).status == 201
    for path in ("/webhooks/healthz", "/webhooks/metrics", "/nothing"):
        look(site, path)
    after = outcomes(site)
    assert {name: after[name] - before[name] for name in after} == {
        "stored": 2, "duplicate": 2, "ignored": 1, "unclaimed": 1,
        "refused": 2, "failed": 1, "looked": 3,
    }


def test_a_body_that_is_too_large_is_counted(make_site):
    site = make_site(max_body="10k")
    site.start("webhook")
    before = outcomes(site)
    assert site.post(site.signed("a"), b" " * 20_000).status == 413
    after = outcomes(site)
    assert after["refused"] == before["refused"] + 1
    assert after["failed"] == 0


# -- the documents -----------------------------------------------------------


def shown_commands(*path):
    """The curl commands of a document that use a publish key, whole."""
    text = read(*path).replace("\\\n", " ")
    return re.findall(r'^(?:\$ )?(curl .*\$KEY.*)$', text, re.MULTILINE)


def test_commands_that_the_documents_show(pair):
    """As they stand there, but for the host and the key."""
    web = Nginx(pair).start()
    protocol = shown_commands("docs", "protocol.md")
    readme = shown_commands("README.md")
    assert (len(protocol), len(readme)) == (4, 2)
    for command in protocol + readme:
        command = re.sub(
            "https?://HOST", f"http://127.0.0.1:{web.endpoint.port}", command
        )
        done = subprocess.run(
            ["sh", "-c", command.replace("curl ", "curl -qfsS --noproxy '*' ")],
            env={**os.environ, "KEY": KEY}, capture_output=True,
            timeout=patience(20),
        )
        assert done.returncode == 0, (command, done.stderr)
    assert job_columns(pair, "a", "owner, external_id") == ("alice", "e46")
    assert [row[1:3] for row in pair.writer.rows()] == [
        ("photo-1", "queued"), ("photo-1", "cancelled"), ("a", "processing"),
        ("a", "progress"), ("job-1", "progress"), ("job-1", "queued"),
    ]


# -- the same call -----------------------------------------------------------


@pytest.mark.parametrize("provider", ["runpod-completion", "replicate", "fal",
                                      "standard"])
def test_calls_without_any_id(make_site, provider):
    """The whole body tells them apart, so none is taken for another one and
    lost."""
    site = make_site(webhook_auth="none")
    site.start("webhook")
    body = {"status": "COMPLETED", "type": "job.completed"}
    known = []
    for number in (0, 1, 1, 0):
        answer = site.post(webhook_target("job_id=a", provider),
                           as_bytes({**body, "payload": number}))
        known.append(answer.json()["duplicate"])
    assert known == [False, False, True, True]
