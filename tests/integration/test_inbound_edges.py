"""Edges of the writing calls, as a strict reader of docs/protocol.md asks for
them: names that hold what no name has, a job that is registered late, bodies
that are not let in, and the commands that the documents show."""

import json
import re

import pytest
from harness.inbound import (  # noqa: F401
    KEY, as_bytes, count, fixture_inbound, fixture_pair, job_columns, look,
    nameless_target, publish, read_inbound_metrics, register, send,
)
from harness.publish import fixture, signed_query
from harness.readers import refusal
from harness.site import SECRET, webhook_target

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
