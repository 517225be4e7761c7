"""docs/openapi.yaml against the other places where the contract stands, and the
comparison with answers itself. What the programs answer is compared in all
tests (harness/contract.py)."""

import json
import os
import re

import pytest
from harness import contract
from harness.exchange import Answer
from harness.inbound import fixture_pair  # noqa: F401
from harness.process import read_text
from harness.site import PREFIX, source_root
from harness.sse import Event

pytestmark = pytest.mark.skipif(
    contract.MISSING is not None, reason=f"{contract.MISSING}")

JSON_HEADERS = {"content-type": "application/json", "cache-control": "no-store"}


def source(*path):
    return read_text(os.path.join(source_root(), *path))


@pytest.fixture(name="api", scope="module")
def fixture_api():
    return contract.Contract().api


def operations(api):
    for path, item in api["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield method.upper(), path, operation


def test_every_route_is_there(api):
    """The routes of the source, but for OPTIONS, are the operations."""
    routes = set(re.findall(r'^ +\{"(GET|POST)", "([^"]+)", &', source("src/hook/routes.c"), re.M))
    assert len(routes) > 7
    reading = re.search(r"routes\[\] = \{(.*?)\};", source("src/live/events_api.c"), re.S)[1]
    for path in re.findall(r'"([^"]+)"', reading):
        ids = {"/events": ["", "/{}"], "/jobs": ["/{}"]}.get(path, [""])
        routes |= {("GET", path + more) for more in ids}
    assert routes == {
        (method, re.sub(r"\{\w+\}", "{}", path)) for method, path, _ in operations(api)
    }


def test_every_path_refuses_other_methods(api, pair):
    """With 405, of which the answers are compared, and the methods that it has."""
    for path, item in api["paths"].items():
        methods = {name.upper() for name in item} - {"PARAMETERS"}
        assert all("405" in item[name.lower()]["responses"] for name in methods), path
        if "GET" in methods:
            methods.add("HEAD")
        is_read = "GET" in methods and not path.startswith("/webhooks/")
        target = re.sub(r"\{\w+\}", "a", path.replace("{provider}", "replicate"))
        answer = pair.endpoint("events" if is_read else "webhook").call("DELETE", PREFIX + target)
        assert (answer.status, answer.error()) == (405, "method_not_allowed"), path
        assert set(answer.headers["allow"].split(", ")) - {"OPTIONS"} == methods, path


def codes_of(node):
    """Every error code that stands in it."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "code" and "enum" in value:
                yield from value["enum"]
            else:
                yield from codes_of(value)
    elif isinstance(node, list):
        for value in node:
            yield from codes_of(value)


def test_its_error_codes_are_those_of_the_protocol(api):
    tables = re.findall(
        r"^\| `\w+` \| [45]\d\d \| ((?:`\w+`(?:, )?)+) \|", source("docs/protocol.md"), re.M)
    said = {code for cell in tables for code in re.findall(r"`(\w+)`", cell)}
    said |= set(re.findall(r"^503 `(\w+)`", source("docs/protocol.md"), re.M))
    assert len(said) > 40
    assert set(codes_of(api["components"]["responses"])) == said


def test_what_is_named_is_there_and_used(api):
    """No reference leads nowhere, no component is left over, no name is twice."""
    text = json.dumps(api) + json.dumps(contract.Contract().streams)
    used = set(re.findall(r'"(?:openapi\.yaml)?#/components/(schemas|responses|parameters|headers)/(\w+)"', text))
    there = {
        (kind, name) for kind in ("schemas", "responses", "parameters", "headers")
        for name in api["components"][kind]
    }
    streams = {("messages", name) for name in contract.Contract().streams["components"]["messages"]}
    assert used == there
    assert streams == set(re.findall(r'#/components/(messages)/(\w+)"', text))
    names = [operation["operationId"] for *_, operation in operations(api)]
    assert len(set(names)) == len(names)


def test_schemas_are_schemas(api):
    jsonschema = pytest.importorskip("jsonschema")
    for name, schema in api["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema.keys() & {"type", "enum"}, name


def refusal(status, code, **headers):
    body = json.dumps({"error": {"code": code, "message": "No."}}, separators=(",", ":"))
    return Answer(status, {**JSON_HEADERS, **headers}, body.encode())


def job(**members):
    value = {
        "job_id": "a", "restore_id": None, "state": "queued", "progress": None, "output": None,
        "created_at": "2026-11-22T17:31:41.295Z", "updated_at": "2026-11-22T17:31:41.296Z",
        "run": None, "last_event_id": "95fecf0f-0", **members,
    }
    return Answer(200, JSON_HEADERS, json.dumps(value).encode())


@pytest.mark.parametrize("method, path, answer", [
    ("GET", "/jobs/a", job()),
    ("GET", "/jobs/a", refusal(404, "unknown_job")),
    ("GET", "/jobs/a/b", refusal(400, "bad_job_id")),
    ("GET", "/nowhere", refusal(404, "not_found")),
    ("PUT", "/jobs/a", refusal(405, "method_not_allowed", allow="GET")),
    ("HEAD", "/jobs/a", Answer(200, JSON_HEADERS, b"")),
    ("OPTIONS", "/tickets", Answer(204, {"allow": "POST, OPTIONS"}, b"")),
])
def test_a_good_answer(method, path, answer):
    contract.Contract().check_answer(method, path, answer)


@pytest.mark.parametrize("method, path, answer", [
    ("GET", "/jobs/a", job(state="done")),
    ("GET", "/jobs/a", job(surprise=1)),
    ("GET", "/jobs/a", job(last_event_id="1")),
    ("GET", "/jobs/a", job()._replace(headers={"content-type": "application/json"})),
    ("GET", "/jobs/a", job()._replace(headers={**JSON_HEADERS, "content-type": "text/html"})),
    ("GET", "/jobs/a", job()._replace(status=201)),
    ("GET", "/jobs/a", refusal(404, "no_such_job")),
    ("GET", "/jobs/a", refusal(401, "token_missing")),
    ("GET", "/jobs/a", Answer(404, JSON_HEADERS, b'{"error":{"code":"unknown_job"}}')),
    ("GET", "/nowhere", job()),
    ("PUT", "/jobs/a", refusal(400, "bad_job_id")),
    ("HEAD", "/jobs/a", job()),
    ("OPTIONS", "/tickets", Answer(204, {}, b"")),
])
def test_a_bad_answer(method, path, answer):
    """What the comparison would not notice, nobody would."""
    with pytest.raises(AssertionError):
        contract.Contract().check_answer(method, path, answer)


@pytest.mark.parametrize("kind, data, is_good", [
    ("progress", '{"job_id":"a","status":"processing","progress":4}', True),
    ("mine", '{"job_id":"a","status":"processing"}', True),
    ("mine", '{"job_id":"a","status":"mine"}', False),
    ("completed", '{"status":"completed"}', False),
    ("resync", '{"reason":"epoch"}', True),
    ("resync", '{"reason":"because"}', False),
    ("heartbeat", "{}", True),
    ("expiring", '{"expires_in":31}', False),
])
def test_an_event(kind, data, is_good):
    event = Event("95fecf0f-1", kind, data, 0.0)
    if is_good:
        contract.Contract().check_event(event)
    else:
        with pytest.raises(AssertionError):
            contract.Contract().check_event(event)
