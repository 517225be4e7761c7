"""The inbox: what was refused is there to be looked at, without what lets
somebody in, and is taken when its cause was mended."""

import json
import os
import sqlite3

import pytest
from harness import leaks
from harness.cgi import CgiEndpoint
from harness.inbound import read_inbound_metrics
from harness.publish import fixture, signed_query
from harness.site import SECRET, run, webhook_target
from harness.tokens import bearer
from harness.wait import until

COMPLETED = fixture("runpod-completed.json")
JSON = {"Content-Type": "application/json"}
NEW = "a-new-secret-0123456789abcdef0123"
DONE = {"id": "r-1", "status": "COMPLETED", "output": {"url": "u"}}


def inbox(site, *arguments, check=True):
    return site.tool("inbox", *arguments, check=check)


def listed(site):
    """All that is in it."""
    done = inbox(site, "list", "--json")
    return [json.loads(line) for line in done.stdout.splitlines()]


def wait_listed(site, count=1):
    """It is written once in a second."""
    until(lambda: len(listed(site)) == count, f"{count} calls in the inbox")
    return listed(site)


def shown(site, item):
    return json.loads(inbox(site, "show", item, "--json").stdout)


def refused(site, target, body=COMPLETED, headers=None, endpoint=None):
    answer = site.post(target, body, headers, endpoint=endpoint)
    assert answer.status >= 400, answer
    return answer.error()


def types(site, job):
    return [row[2] for row in site.writer.rows(job)]


@pytest.fixture(name="site")
def fixture_site(make_site):
    site = make_site()
    site.start("webhook")
    return site


def unsigned(job="a"):
    return webhook_target(f"job_id={job}")


# -- Refused calls ------------------------------------------------------------


def test_taken_after_all(site):
    """Our key was changed, and the provider's URLs are of the old one."""
    target = webhook_target(signed_query(NEW, "a", "r-7"))
    assert refused(site, target) == "signature_invalid"
    call, = wait_listed(site)
    assert (call["code"], call["status"]) == ("signature_invalid", 403)
    assert (call["job_id"], call["restore_id"]) == ("a", "r-7")
    assert call["path"] == "/webhooks/runpod-completion"
    assert call["body_bytes"] == len(COMPLETED)
    assert types(site, "a") == []
    answer = json.loads(inbox(site, "replay", call["id"]).stdout)
    assert answer["job_id"] == "a" and answer["event_id"]
    assert types(site, "a") == ["completed"]
    assert listed(site) == []
    # The provider sends it once more, to a URL that is good now.
    assert site.deliver("a", COMPLETED, "r-7")["duplicate"] is True


def test_page_hears_of_it(site):
    site.start("events")
    with site.stream("a") as stream:
        stream.wait_open()
        refused(site, unsigned())
        call, = wait_listed(site)
        inbox(site, "replay", call["id"])
        assert [event.event for event in stream.wait_end()] == ["completed"]


def test_nothing_that_lets_in(site):
    """Neither in what is shown nor in the file."""
    token = leaks.secret("users-token-0123456789abcdef")
    target = webhook_target(signed_query(NEW, "a"))
    sig = leaks.secret(target.split("sig=")[1].split("&")[0])
    url = f"http://h{target}"
    body = {
        **DONE, "webhook": url, "input": {"job_id": "b", "hf": token},
        "error": f"failed to post to {url}", "token": token,
        "meta": [{"Api_Key": token, "url": url}], "input_tokens": 5,
    }
    refused(
        site, target, json.dumps(body).encode(), {**JSON, "Authorization": token}
    )
    call, = wait_listed(site)
    text = inbox(site, "show", call["id"], "--json").stdout
    assert token not in text and sig not in text
    kept = json.loads(text)["body"]
    assert kept["input"] == {"job_id": "b"}
    assert kept["webhook"] == kept["token"] == "[left out]"
    assert kept["meta"][0]["Api_Key"] == "[left out]"
    assert (kept["output"], kept["input_tokens"]) == (DONE["output"], 5)
    with open(site.db + "-inbox", "rb") as file:
        content = file.read()
    assert token.encode() not in content and sig.encode() not in content
    assert os.stat(site.db + "-inbox").st_mode & 0o007 == 0


def test_result_is_kept_as_it_came(site):
    """Numbers that no double holds, and results that look like secrets."""
    output = '{"seed":12345678901234567890,"token":"word","u":"?sig=abc"}'
    body = f'{{"id":"r","status":"COMPLETED", "output": {output}}}'
    refused(site, unsigned(), body.encode())
    call, = wait_listed(site)
    inbox(site, "replay", call["id"])
    assert output in site.writer.rows("a")[0][3]


def test_whose_job_it_is(site):
    """The operator knows it; a refused call that named none."""
    refused(site, webhook_target(""))
    call, = wait_listed(site)
    assert call["job_id"] is None
    assert "completed" not in types(site, "mine")
    inbox(site, "replay", call["id"], "mine")
    assert types(site, "mine") == ["completed"]


def test_refused_again_stays(site):
    refused(site, site.signed("a"), b'{"status":5}')
    call, = wait_listed(site)
    done = inbox(site, "replay", call["id"], check=False)
    assert done.returncode == 1
    assert json.loads(done.stderr)["error"]["code"] == "bad_payload"
    assert listed(site) == [call]


def test_known_by_its_delivery(make_site):
    """Standard Webhooks: the id in the header is what makes it the same."""
    site = make_site(standard_secret="whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    site.start("webhook")
    body = json.dumps({"type": "job.completed", "data": {"id": "r", "input": {"a": 1}}})
    headers = {**JSON, "webhook-id": "msg_1", "webhook-timestamp": "1",
               "webhook-signature": "v1,AAAA"}
    refused(site, webhook_target("", "standard"), body.encode(), headers)
    refused(site, webhook_target("", "standard"), body.encode(), headers)
    first, second = wait_listed(site, 2)
    assert first["delivery_id"] == "msg_1"
    inbox(site, "replay", first["id"], "a")
    answer = json.loads(inbox(site, "replay", second["id"], "a").stdout)
    assert answer["duplicate"] is True
    assert types(site, "a") == ["completed"]


@pytest.mark.parametrize("body, headers, code", [
    (b"{", JSON, "bad_json"),
    (b"[1]", JSON, "bad_payload"),
    (b'{"a":"%s"}' % (b"x" * 70_000), {"Content-Type": "text/plain"},
     "unsupported_media_type"),
], ids=["not-json", "no-object", "long"])
def test_body_that_is_not_kept(site, body, headers, code):
    assert refused(site, site.signed("a"), body, headers) == code
    call, = wait_listed(site)
    assert shown(site, call["id"])["body"] is None
    assert call["body_bytes"] == len(body)
    done = inbox(site, "replay", call["id"], check=False)
    assert done.returncode == 1 and "no body was kept" in done.stderr


def test_other_calls_without_their_bodies(make_site):
    """That a worker has the wrong key is seen; what it says is its own."""
    site = make_site(publish_keys=SECRET)
    site.start("webhook")
    headers = {**JSON, **bearer(NEW)}
    refused(site, "/api/v1/jobs/a/events", b'{"type":"private"}', headers)
    refused(site, "/api/v1/tickets", b'{"job_ids":["private"]}', headers)
    refused(site, "/api/v1/no/such", b"{}", headers)
    refused(site, "/api/v1/webhooks/no-such", b'{"output":"private"}', headers)
    codes = {call["code"]: call for call in wait_listed(site, 3)}
    assert set(codes) >= {"publish_key_invalid", "not_found"}
    bodies = {name: shown(site, call["id"])["body"] for name, call in codes.items()}
    assert bodies.pop("not_found") == {"output": "private"}
    assert set(bodies.values()) == {None}


# -- Many ---------------------------------------------------------------------


def test_flood(make_site):
    """A flood takes its own place: what else was refused stays, the file stays
    small, and the database is not touched."""
    site = make_site(inbox="20")
    site.start("webhook")
    refused(site, site.signed("a"), b'{"status":5}')
    wait_listed(site, 1)
    watcher = sqlite3.connect(site.db)

    def version():
        return watcher.execute("PRAGMA data_version").fetchone()[0]

    before = version()
    for second in range(8):
        for number in range(60):
            refused(site, unsigned(f"job-{second}-{number}"))
        until(
            lambda n=second: listed(site)[0]["job_id"].startswith(f"job-{n}-"),
            "the next second",
        )
    calls = listed(site)
    assert len(calls) == 20
    assert [call["code"] for call in calls].count("bad_payload") == 1
    metrics = read_inbound_metrics(site)
    kept, passed = (
        metrics.value("inbox_calls_total", outcome=outcome)
        for outcome in ("kept", "passed_over")
    )
    assert kept + passed == 481
    assert kept <= 1 + 8 * 2 * 4 and passed > 300
    assert version() == before
    assert os.path.getsize(site.db + "-inbox") < 20 * 70_000
    assert not os.path.exists(site.db + "-inbox-journal")
    watcher.close()


def test_nobody_waits_for_it(site):
    """Somebody looks at the file with another program, and locks it."""
    refused(site, unsigned("first"))
    wait_listed(site)
    other = sqlite3.connect(site.db + "-inbox", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    refused(site, unsigned("second"))
    site.deliver("b", COMPLETED)
    other.execute("COMMIT")
    other.close()
    assert {call["job_id"] for call in wait_listed(site, 2)} == {"first", "second"}


def test_written_at_a_stop(site):
    refused(site, unsigned())
    site.webhook.terminate()
    assert len(listed(site)) == 1


@pytest.mark.parametrize("content", [b"garbage " * 1000, b""], ids=["garbage", "empty"])
def test_damaged(site, content):
    """It is made anew: nothing in it is worth more than what comes."""
    refused(site, unsigned("lost"))
    wait_listed(site)
    with open(site.db + "-inbox", "wb") as file:
        file.write(content)
    refused(site, unsigned("kept"))
    until(lambda: inbox(site, "list", check=False).returncode == 0, "a new file")
    until(lambda: [c["job_id"] for c in listed(site)] == ["kept"], "the call")


def test_off(make_site):
    site = make_site(inbox="0")
    site.start("webhook")
    refused(site, unsigned())
    site.webhook.terminate()
    assert not os.path.exists(site.db + "-inbox")
    assert listed(site) == []
    assert inbox(site, "forget", "--all").returncode == 0


def test_by_cgi(make_site):
    site = make_site(inbox="2")
    hook = CgiEndpoint(site, "webhook.cgi")
    for job in ("a", "b", "c"):
        refused(site, unsigned(job), endpoint=hook)
    assert [call["job_id"] for call in listed(site)] == ["c", "b"]
    for job in range(6):
        refused(site, unsigned(f"more-{job}"), endpoint=hook)
    inbox(site, "replay", listed(site)[0]["id"], "mine")
    assert types(site, "mine") == ["completed"]


# -- Events of nobody ---------------------------------------------------------


@pytest.fixture(name="waiting")
def fixture_waiting(make_site):
    """Two events of one id that no job has."""
    site = make_site(webhook_auth="none")
    site.start("webhook")
    for value in ({**DONE, "status": "IN_PROGRESS"}, DONE):
        answer = site.post(webhook_target(""), json.dumps(value).encode())
        assert answer.json()["event_id"] is None
    return site


def test_unclaimed(waiting):
    site = waiting
    newest, oldest = listed(site)
    assert {c["code"] for c in (newest, oldest)} == {"unclaimed"}
    assert (newest["external_id"], newest["type"]) == ("r-1", "completed")
    assert shown(site, newest["id"])["data"]["output"] == DONE["output"]
    done = inbox(site, "replay", oldest["id"], check=False)
    assert done.returncode == 2 and "whose it is" in done.stderr
    site.tool("publish", "a", "queued")
    inbox(site, "replay", oldest["id"], "a")
    assert types(site, "a") == ["queued", "processing", "completed"]
    assert listed(site) == []


def test_unclaimed_for_a_job_of_another_id(waiting):
    site = waiting
    site.writer.connection.execute(
        "INSERT INTO jobs (job_id, external_id) VALUES ('a', 'other')"
    )
    done = inbox(site, "replay", listed(site)[0]["id"], "a", check=False)
    assert (done.returncode, "another external id" in done.stderr) == (1, True)
    assert types(site, "a") == []
    assert len(listed(site)) == 2


def test_forget(waiting):
    site = waiting
    for job in ("a", "b", "c"):
        refused(site, site.signed(job), b'{"status":5}')
    calls = wait_listed(site, 5)
    inbox(site, "forget", calls[0]["id"])
    inbox(site, "forget", calls[-1]["id"])
    assert [c["id"] for c in listed(site)] == [c["id"] for c in calls[1:-1]]
    inbox(site, "forget", "--all")
    assert [c["code"] for c in listed(site)] == ["unclaimed"]


# -- The command --------------------------------------------------------------


def test_for_people(waiting):
    site = waiting
    refused(site, site.signed("a"), b'{"status":5,"note":"a\\u001b[31mb"}')
    wait_listed(site, 3)
    rows = [line.split("\t") for line in inbox(site, "list").stdout.splitlines()]
    assert [row[3] for row in rows] == ["bad_payload", "unclaimed", "unclaimed"]
    text = inbox(site, "show", rows[0][0]).stdout
    assert "code\tbad_payload\n" in text and "\x1b" not in text
    assert inbox(site, "list", "--limit", "1").stdout.count("\n") == 2


@pytest.mark.parametrize("arguments, status", [
    (["sow", "1"], 2), (["show"], 2), (["show", "x"], 2), (["show", "0"], 2),
    (["show", "u"], 2), (["show", "1", "2"], 2),
    (["forget"], 2), (["replay", "1", "a b"], 2), (["list", "1"], 2),
    (["show", "1"], 1), (["show", "u1"], 1), (["forget", "u1"], 1),
    (["replay", "u1", "a"], 1), (["forget", "99999999999999999999"], 2),
], ids=str)
def test_bad_arguments(make_site, arguments, status):
    site = make_site()
    done = inbox(site, *arguments, check=False)
    assert done.returncode == status, done.stderr
    assert done.stderr.startswith("jobwire: inbox")


def test_help():
    assert "you vouch for it" in run("jobwire", "inbox", "--help", check=True).stdout
