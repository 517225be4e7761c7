"""Compares every answer with docs/openapi.yaml, and every event of a stream with
docs/asyncapi.yaml. Needs python3-jsonschema and python3-yaml; without them
nothing is compared, and the end of the run says so."""

import collections
import functools
import json
import os
import re

try:
    import jsonschema
    import yaml

    MISSING = None
except ImportError as error:
    MISSING = str(error)

PREFIX = "/api/v1"
DOCS = os.path.join(os.path.dirname(__file__), "..", "..", "..", "docs")

# Of one kind so many are compared: floods of the same answer say nothing new.
_ENOUGH = 300

# Each half refuses what is the other's, and what nobody has.
_ALWAYS = {
    404: {"not_found"}, 405: {"method_not_allowed"}, 413: {"body_too_large"},
    503: {"out_of_memory"},
}

seen = collections.Counter()  # (operation, status) of answers, and types of events


@functools.lru_cache
def _load(name):
    with open(os.path.join(DOCS, name), encoding="utf-8") as file:
        return yaml.safe_load(file)


class Contract:
    """Both documents, ready to be compared with."""

    def __init__(self):
        self.api, self.streams = _load("openapi.yaml"), _load("asyncapi.yaml")
        self.paths = [  # what is fixed before what stands for anything
            (re.compile(re.sub(r"\{\w+\}", "[^/]*", path) + "$"), item)
            for path, item in sorted(
                self.api["paths"].items(), key=lambda path: path[0].count("{"))
        ]
        self._validators = {}
        self._compared = collections.Counter()

    def resolve(self, node):
        """What a reference stands for."""
        while "$ref" in node:
            found = self.api
            for part in node["$ref"].partition("#/")[2].split("/"):
                found = found[part]
            node = found
        return node

    def validate(self, schema, value):
        """AssertionError, with what is wrong and where."""
        key = json.dumps(schema)
        if key not in self._validators:
            self._validators[key] = jsonschema.Draft202012Validator(
                {**json.loads(key.replace("openapi.yaml#", "#")),
                 "components": {"schemas": self.api["components"]["schemas"]}})
        fault = jsonschema.exceptions.best_match(self._validators[key].iter_errors(value))
        assert fault is None, f"{fault.json_path}: {fault.message[:500]}"

    def is_new(self, *kind):
        """Has less than enough of this kind been compared?"""
        seen[kind] += 1
        self._compared[kind] += 1
        return self._compared[kind] <= _ENOUGH

    def item_of(self, method, path):
        """What the document says of the path, or None."""
        if method != "POST":  # whatever stands behind the slash is meant as a job id
            path = re.sub("^/(events/|jobs(/|$)).*", lambda at: f"/{at[1].rstrip('/')}/", path)
        return next((item for shape, item in self.paths if shape.match(path)), None)

    # -- answers -------------------------------------------------------------

    def check_answer(self, method, path, answer):
        """The whole answer to a request."""
        item = self.item_of(method, path)
        operation = (item or {}).get({"HEAD": "get"}.get(method, method.lower()))
        if operation is None:
            self._check_foreign(method, item, answer)
            return
        name = operation["operationId"]
        code = self._code_of(answer)
        if not self.is_new(name, answer.status, code):
            return
        said = operation["responses"].get(str(answer.status))
        if said is None or self._is_general(answer.status, code):
            self._check_general(answer, code)
        else:
            self._check_said(self.resolve(said), method, answer)

    def _check_foreign(self, method, item, answer):
        if method == "OPTIONS" and answer.status == 204:
            assert item and "allow" in answer.headers, "204 with Allow, of a path that is there"
            assert answer.body == b""
            return
        code = self._code_of(answer)
        if not self.is_new(f"{method} nowhere", answer.status, code):
            return
        if item and answer.status == 405:
            for name, operation in item.items():
                if name != "parameters":
                    self._check_said(self.resolve(operation["responses"]["405"]), method, answer)
        else:
            self._check_general(answer, code)

    def _check_general(self, answer, code):
        assert self._is_general(answer.status, code), "the document has no such answer"
        if answer.body:
            self.validate({"$ref": "#/components/schemas/Error"}, json.loads(answer.body))

    @staticmethod
    def _is_general(status, code):
        return code in _ALWAYS.get(status, ())

    @staticmethod
    def _code_of(answer):
        """A refusal's code; of an answer without a body, that of its status."""
        if answer.status < 400:
            return None
        if not answer.body:
            return next(iter(_ALWAYS.get(answer.status, [None])))
        found = re.search(rb'"code":"(\w+)"', answer.body)
        return found and found[1].decode()

    def _check_said(self, said, method, answer):
        for name, header in said.get("headers", {}).items():
            header = self.resolve(header)
            value = answer.headers.get(name.lower())
            assert value is not None or not header.get("required"), f"no {name}"
            if value is not None:
                self.validate(header["schema"], value)
        content = said.get("content")
        if content is None or method == "HEAD":
            assert answer.body == b"", "this answer has no body"
            return
        kind = answer.headers.get("content-type", "").partition(";")[0]
        assert kind in content, f"Content-Type: {kind}"
        if kind == "application/json":
            self.validate(content[kind]["schema"], json.loads(answer.body))

    # -- events --------------------------------------------------------------

    def check_event(self, event):
        """An event of a stream."""
        messages = self.streams["components"]["messages"]
        name = event.event if event.event in messages else "own"
        if not self.is_new("event", event.event):
            return
        message = messages[name]
        self.validate(message["payload"], json.loads(event.data))
        if "headers" in message:
            self.validate(message["headers"], {"id": event.id, "event": event.event})


@functools.lru_cache
def _ready():
    return Contract()


def check(request, answer):
    """An answer to (method, target), unless it is not ours to judge: outside
    the prefix, or a web server's own."""
    if MISSING or request is None:
        return
    method, target = request
    path = target.partition("?")[0]
    if not path.startswith(PREFIX + "/"):
        return
    if answer.headers.get("content-type", "").startswith("text/html"):
        return  # a web server's: we have none
    try:
        _ready().check_answer(method, path[len(PREFIX):], answer)
    except AssertionError as fault:
        raise AssertionError(
            f"{method} {target}: {answer.status} is not as docs/openapi.yaml has it: {fault}\n"
            f"{answer.headers}\n{answer.body[:2000]}"
        ) from None


def check_event(event):
    """An event of a stream of ours."""
    if not MISSING:
        _ready().check_event(event)


def summary():
    """A line about what was compared."""
    if MISSING:
        return f"answers were not compared with docs/openapi.yaml: {MISSING}"
    return f"{sum(seen.values())} answers and events, of {len(seen)} kinds, are as the documents say"
