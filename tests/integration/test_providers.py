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
from harness.publish import fixture, signed_query
from harness.site import SECRET, webhook_target
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
# And the job's id, as they know it.
EXTERNAL_ID = {
    "replicate": lambda body: body["id"],
    "fal": lambda body: body["request_id"],
    "standard": lambda body: body["data"]["id"],
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
        return self.call(
            self.site.signed(job, provider=provider), body, headers
        )

    def call(self, target, body, headers):
        """The answer to a call at that target."""
        return self.site.post(
            target, body, {"Content-Type": "application/json", **headers},
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


# -- one URL for all calls ----------------------------------------------------


@pytest.mark.parametrize("query", ["", "job_id=", "sig=&job_id=&exp=&x=y"])
@pytest.mark.parametrize("provider, name", ONE_OF_EACH)
def test_webhook_call_of_a_sender_that_signs(calls, provider, name, query):
    """Without a job in the URL the sender's own signature is enough: the body
    says which job it is."""
    body = fixture(name)
    target = webhook_target(query, provider)
    headers = calls.headers(provider, body)
    calls.site.writer.connection.execute(
        "INSERT INTO jobs (job_id, external_id) VALUES ('mine', ?)",
        (EXTERNAL_ID[provider](json.loads(body)),),
    )
    for is_duplicate in (False, True):
        value = calls.call(target, body, headers).json()
        assert (value["job_id"], value["duplicate"]) == ("mine", is_duplicate)
    assert [row[1:3] for row in calls.site.writer.rows()] == [
        ("mine", "completed")
    ]


@pytest.mark.parametrize("provider, name", ONE_OF_EACH)
def test_sender_alone_must_sign(calls, provider, name):
    body = fixture(name)
    good = calls.headers(provider, body)
    target = webhook_target("", provider)
    for headers, text in ((good, body + b" "), ({}, body)):
        answer = calls.call(target, text, headers)
        assert (answer.status, answer.error()) == (403, "signature_invalid")
    old = calls.headers(provider, body, age=400)
    answer = calls.call(target, body, old)
    assert (answer.status, answer.error()) == (403, "signature_expired")


@pytest.mark.parametrize(
    "query, code",
    [
        ("job_id=a", "signature_missing"),
        ("restore_id=a", "signature_missing"),
        ("job_id=%00", "signature_missing"),
        ("job_id=a&sig=", "signature_missing"),
        ("sig=x", "signature_missing"),
        ("sig=x&exp=99999999999", "signature_invalid"),
        ("job_id=&restore_id=&sig=x&exp=1", "signature_invalid"),
    ],
)
@pytest.mark.parametrize("provider, name", ONE_OF_EACH)
def test_sender_alone_names_no_job(calls, provider, name, query, code):
    """What a URL says of a job, and a signature in it, are ours to check."""
    body = fixture(name)
    answer = calls.call(
        webhook_target(query, provider), body, calls.headers(provider, body)
    )
    assert (answer.status, answer.error()) == (403, code)


def test_expired_url_of_a_good_sender(calls):
    body = fixture("standard-completed.json")
    query = signed_query(SECRET, "", provider="standard", lifetime=-9,
                         override={"job_id": None})
    answer = calls.call(
        webhook_target(query, "standard"), body, calls.headers("standard", body)
    )
    assert (answer.status, answer.error()) == (403, "signature_expired")


def test_sender_alone_needs_no_secret_of_ours(make_site):
    """And what does not concern jobs is answered 200, or its sender would end
    up switching the address off."""
    secret = "whsec_" + base64.b64encode(KEY).decode()
    site = make_site(webhook_secret=None, standard_secret=secret)
    site.start("webhook")
    calls = Calls(site, None, None)
    for body in (
        b'{"type":"job.completed","data":{"id":"x"}}',
        b'{"type":"invoice.paid","data":{"amount":1}}',
    ):
        headers = calls.headers("standard", body)
        answer = site.post(webhook_target("", "standard"), body, headers)
        assert answer.status == 200
        assert answer.json()["event_id"] is None
    (number,) = site.writer.connection.execute(
        "SELECT count(*) FROM unclaimed_events"
    ).fetchone()
    assert number == 1  # the first
    for target in (webhook_target("job_id=a", "standard"),
                   webhook_target("", "runpod-completion"),
                   webhook_target("", "fal")):
        answer = site.post(target, body, headers)
        assert (answer.status, answer.error()) == (
            403, "webhook_secret_missing",
        )


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
