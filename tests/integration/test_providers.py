"""Providers that sign their calls themselves: only what they signed counts,
and what they report arrives at the page. Behind a real nginx, for it is the web
server that passes their header fields on."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import time

import pytest
from harness.nginx import Nginx
from harness.publish import fixture
from harness.site import webhook_target
from harness.sse import data_of

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))

# Each recorded payload and the event it becomes.
EVENTS = [
    ("replicate", "replicate-starting.json", "processing"),
    ("replicate", "replicate-output.json", "processing"),
    ("replicate", "replicate-succeeded.json", "completed"),
    ("replicate", "replicate-failed.json", "failed"),
    ("replicate", "replicate-canceled.json", "cancelled"),
    ("fal", "fal-ok.json", "completed"),
    ("fal", "fal-error.json", "failed"),
    ("fal", "fal-payload-error.json", "completed"),
    ("standard", "standard-completed.json", "completed"),
    ("standard", "standard-failed.json", "failed"),
    ("standard", "standard-progress.json", "progress"),
]
# Where each of them has the result.
OUTPUT = {
    "replicate": lambda body: body["output"],
    "fal": lambda body: body["payload"],
    "standard": lambda body: body["data"].get("output"),
}
ONE_OF_EACH = [
    ("replicate", "replicate-succeeded.json"),
    ("fal", "fal-ok.json"),
    ("standard", "standard-completed.json"),
]


def openssl(*arguments, data=b""):
    """What the openssl program writes."""
    return subprocess.run(
        ["openssl", *arguments], input=data, capture_output=True, check=True
    ).stdout


class FalKey:
    """fal.ai's key, made for one test."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "fal.pem")
        self.jwks = os.path.join(folder, "jwks.json")
        self._message = os.path.join(folder, "message")
        openssl("genpkey", "-algorithm", "ed25519", "-out", self.path)
        public = openssl(
            "pkey", "-in", self.path, "-pubout", "-outform", "DER"
        )[-32:]
        x = base64.urlsafe_b64encode(public).decode().rstrip("=")
        key = {"kty": "OKP", "crv": "Ed25519", "x": x}
        with open(self.jwks, "w", encoding="ascii") as file:
            json.dump({"keys": [{"kty": "RSA"}, key]}, file)

    def sign(self, message):
        """The signature in hex."""
        with open(self._message, "wb") as file:
            file.write(message)
        return openssl(
            "pkeyutl", "-sign", "-inkey", self.path, "-rawin",
            "-in", self._message,
        ).hex()


class Calls:
    """A site that knows all keys, and the calls of its providers."""

    def __init__(self, site, web, fal):
        self.site = site
        self._web = web
        self._fal = fal

    def headers(self, provider, body, call_id="call-1", age=0, key=KEY):
        """The header fields with which the provider signs the body."""
        stamp = str(int(time.time()) - age)
        if provider == "fal":
            digest = hashlib.sha256(body).hexdigest()
            text = "\n".join([call_id, "user|1", stamp, digest])
            return {
                "X-Fal-Webhook-Request-Id": call_id,
                "X-Fal-Webhook-User-Id": "user|1",
                "X-Fal-Webhook-Timestamp": stamp,
                "X-Fal-Webhook-Signature": self._fal.sign(text.encode()),
            }
        text = f"{call_id}.{stamp}.".encode() + body
        mac = hmac.new(key, text, hashlib.sha256).digest()
        prefix = "Webhook" if provider == "replicate" else "Svix"
        return {
            f"{prefix}-Id": call_id,
            f"{prefix}-Timestamp": stamp,
            f"{prefix}-Signature": f"v1,{base64.b64encode(mac).decode()}",
        }

    def post(self, provider, job, body, headers):
        """The answer to a call at the job's signed URL."""
        return self.site.post(
            self.site.signed(job, provider=provider), body,
            {"Content-Type": "application/json", **headers},
            self._web.endpoint,
        )

    def deliver(self, provider, job, body, **signing):
        """The same, signed, and it must be accepted; the answer's JSON."""
        headers = self.headers(provider, body, **signing)
        answer = self.post(provider, job, body, headers)
        assert answer.status == 200, answer
        return answer.json()

    def assert_refused(self, provider, body, headers, code):
        """Refused with that code, and nothing stored."""
        answer = self.post(provider, "job-1", body, headers)
        assert (answer.status, answer.error()) == (403, code)
        assert self.site.writer.rows() == []


@pytest.fixture(name="calls")
def fixture_calls(make_site, tmp_path):
    """Both responders with keys of all providers, behind nginx."""
    fal = FalKey(str(tmp_path))
    secrets = [
        "whsec_" + base64.b64encode(key).decode() for key in (KEY, bytes(24))
    ]
    site = make_site(standard_secret=",".join(secrets), fal_jwks=fal.jwks)
    site.start_both()
    return Calls(site, Nginx(site).start(), fal)


@pytest.mark.parametrize("provider, name, kind", EVENTS)
def test_payload(calls, provider, name, kind):
    body = fixture(name)
    value = calls.deliver(provider, "job-1", body)
    assert value["duplicate"] is False
    with calls.site.stream("job-1") as stream:
        event = stream.next()
        assert (event.id, event.event) == (value["event_id"], kind)
        own = data_of(event)
        expected = OUTPUT[provider](json.loads(body))
        if kind != "completed" and expected is None:
            assert "output" not in own
        else:
            assert own.get("output") == expected
        assert not {"input", "webhook", "logs", "urls"} & set(own)


@pytest.mark.parametrize("provider, name", ONE_OF_EACH)
def test_sent_again(calls, provider, name):
    """The provider's own id of the delivery tells: with Standard Webhooks the
    header field, with fal.ai the request and how it ended."""
    body = fixture(name)
    first = calls.deliver(provider, "job-1", body, age=60)
    again = calls.deliver(provider, "job-1", body)
    assert again["duplicate"] is True
    assert again["event_id"] == first["event_id"]
    assert len(calls.site.writer.rows()) == 1


@pytest.mark.parametrize("provider, name", ONE_OF_EACH)
def test_not_signed_by_the_provider(calls, provider, name):
    """A signed URL alone is not enough."""
    body = fixture(name)
    good = calls.headers(provider, body)
    calls.assert_refused(provider, body, {}, "signature_invalid")
    calls.assert_refused(provider, body + b" ", good, "signature_invalid")
    for field in good:
        without = {k: v for k, v in good.items() if k != field}
        calls.assert_refused(provider, body, without, "signature_invalid")
        changed = {**good, field: good[field].replace("1", "2")}
        if changed != good:
            calls.assert_refused(
                provider, body, changed, "signature_invalid"
            )
    for age in (400, -400):
        old = calls.headers(provider, body, age=age)
        calls.assert_refused(provider, body, old, "signature_expired")


def test_wrong_secret(calls):
    body = fixture("standard-completed.json")
    headers = calls.headers("standard", body, key=OTHER_KEY)
    calls.assert_refused("standard", body, headers, "signature_invalid")


def test_signed_by_the_second_secret(calls):
    body = fixture("standard-completed.json")
    assert calls.deliver("standard", "job-1", body, key=bytes(24))["event_id"]


@pytest.mark.parametrize("provider, name", ONE_OF_EACH)
def test_signed_url_is_needed_too(calls, provider, name):
    body = fixture(name)
    headers = calls.headers(provider, body)
    answer = calls.site.post(
        webhook_target("job_id=job-1", provider), body,
        {"Content-Type": "application/json", **headers},
    )
    assert (answer.status, answer.error()) == (403, "signature_missing")


@pytest.mark.parametrize("provider", ["replicate", "fal", "standard"])
def test_no_key(make_site, provider):
    """Nobody is believed whom nobody can check."""
    site = make_site()
    site.start("webhook")
    answer = site.post(site.signed("job-1", provider=provider), b"{}")
    assert (answer.status, answer.error()) == (403, "webhook_secret_missing")


def test_unknown_status(calls):
    body = b'{"type":"invoice.sent","data":{"id":"x"}}'
    assert calls.deliver("standard", "job-1", body)["event_id"] is None
    assert calls.site.writer.rows() == []
