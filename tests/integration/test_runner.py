"""jobwire-runner against a provider that answers anything: nothing is sent
twice, nothing is lost, and the key goes nowhere else."""

import json
import os
import signal
import subprocess
import threading
import urllib.parse

import pytest
from harness import leaks
from harness.provider import (  # noqa: F401
    DONE, KEY, RUNNING, answer, fixture_make, wait_log,
)
from harness.site import run
from harness.wait import patience, until

def hang(event):
    """An answer that comes when the event is set: none."""
    def wait(*_):
        event.wait(patience(30))
        return b""
    return wait


# -- the usual way -----------------------------------------------------------


def test_a_job_without_its_webhook(make):
    runs = make(status=[answer(200, RUNNING), answer(200, RUNNING), answer(200, DONE)])
    runs.add(policy='{"ttl":60000,"executionTimeout":50000}')
    runs.start()
    row = runs.wait("ended")
    submit, *rest = runs.provider.calls
    assert runs.provider.names() == ["run", *["status"] * len(rest)]
    assert (submit.method, submit.path) == ("POST", "/v2/photos/run")
    assert submit.headers["authorization"] == f"Bearer {KEY}"
    body = json.loads(submit.body)
    assert set(body) == {"input", "webhook", "policy"}
    assert body["input"] == {"seed": 1234567890123456789}
    assert rest[0].path == "/v2/photos/status/e1"
    assert runs.types() == ["queued", "processing", "completed"]
    assert runs.events()[-1][1]["output"] == DONE["output"]
    assert (row["attempts"], row["external_id"], row["error"]) == (1, "e1", None)
    assert row["input"] is None and row["policy"] is None
    assert row["deadline"] > row["submitted_at"] > row["created_at"]
    assert b"IN_PROGRESS" not in submit.body


def test_no_secret_for_a_webhook(make):
    """None is asked for, it says so once, and the end is heard of all the
    same."""
    runs = make({"webhook_secret": None}, status=[answer(200, DONE)])
    runs.add()
    runner = runs.start()
    runs.wait("ended")
    assert set(json.loads(runs.provider.calls[0].body)) == {"input"}
    assert runs.types() == ["queued", "completed"]
    assert runner.log_text().count("event=webhook_secret_missing") == 1


def test_the_webhook_is_the_same_report(make):
    """Its URL is good; what comes second is the duplicate, either way."""
    runs = make(status=[answer(200, DONE)])
    runs.site.start("webhook")
    runs.add("first")
    runs.start()
    runs.wait("ended", "first")
    url = json.loads(runs.provider.calls[0].body)["webhook"]
    target = urllib.parse.urlsplit(url)
    assert dict(urllib.parse.parse_qsl(target.query))["restore_id"] == "restore-first"
    post = f"{target.path}?{target.query}", json.dumps(DONE).encode()
    taken = runs.site.post(*post).json()
    assert taken["ok"] and taken["duplicate"], taken
    assert runs.types("first") == ["queued", "completed"]


def test_a_provider_that_cannot_be_reached(make):
    """It is tried again, and nothing is lost."""
    runs = make(run=[
        answer(503), answer(429, b"", "Retry-After: 1"),
        answer(200, {"id": "e1", "status": "IN_QUEUE"}),
    ], status=[answer(200, DONE)])
    runs.add()
    runs.start()
    assert runs.wait("ended")["attempts"] == 3
    assert runs.types() == ["queued", "completed"]
    runs.provider.close()
    runs.add("k")
    until(lambda: runs.run("k")["attempts"] >= 2, "two attempts", 10)
    assert runs.types("k") == ["queued"]
    runs.set(deadline="2020-01-01T00:00:00.000Z")
    runs.wait("ended", "k")
    assert runs.events("k")[-1][1]["code"] == "provider_unreachable"


REFUSED = {
    b"": "The provider refused the job: HTTP 402.",
    b"<html>no</html>": "The provider refused the job: HTTP 402.",
    b'{"error":"no money"}': "no money",
    b'{"detail":"no such model"}': "no such model",
    json.dumps({"error": f"bad key {KEY}"}).encode():
        "The provider refused the job: HTTP 402.",
    b'{"error":"no webhook at http://x/?sig=abc"}':
        "The provider refused the job: HTTP 402.",
}


@pytest.mark.parametrize("body", REFUSED, ids=repr)
def test_a_refusal(make, body):
    runs = make(run=[answer(402, body)])
    runs.add()
    runs.start()
    runs.wait("ended")
    kind, data = runs.events()[-1]
    assert kind == "failed"
    assert data == {
        "run_id": 1, "code": "provider_refused", "error": REFUSED[body]
    }
    assert len(runs.provider.calls) == 1


# -- what may have arrived is never sent again ---------------------------------


def reset(connection, _call):
    """Ends the connection with an RST."""
    connection.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER of 0 s
    return b""


def half(connection, _call):
    """Ends in the middle of it."""
    connection.sendall(b'HTTP/1.1 200 X\r\nContent-Length: 99\r\n\r\n{"id":')
    return b""


def endless(connection, _call):
    """2 GB, or as much as is taken."""
    connection.sendall(b"HTTP/1.1 200 X\r\nContent-Length: 2147483648\r\n\r\n")
    block = b'{"id":"e1"' + b" " * 65536
    for _ in range(2**31 // len(block)):
        connection.sendall(block)
    return b""


def long_line(connection, _call):
    """1 MB of a line of the head, which has no end."""
    connection.sendall(b"HTTP/1.1 200 X\r\nX-Long: " + b"x" * (1 << 20))
    return b""


DOUBTFUL = {
    "nothing": b"",
    "reset": reset,
    "half": half,
    "html": answer(200, b"<html>hello</html>"),
    "no id": answer(200, {"status": "IN_QUEUE"}),
    "id of another type": answer(200, {"id": 7}),
    "array": answer(200, [DONE]),
    "redirect": answer(301, b"", "Location: http://127.0.0.1:1/elsewhere"),
    "500": answer(500, {"error": "oops"}),
    "408": answer(408),
    "no http": b"hello\r\n\r\n",
    "long line": long_line,
    "2 GB": endless,
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_an_answer_that_leaves_doubt(make, name):
    runs = make(run=[DOUBTFUL[name]])
    runs.add()
    runner = runs.start()
    runs.wait("unknown", seconds=20)
    assert len(runs.provider.calls) == 1
    assert runs.types() == ["queued"]
    # Later it is over, and was not sent again.
    runs.set(next_at="2020-01-01T00:00:00.000Z")
    runs.wait("ended")
    kind, data = runs.events()[-1]
    assert (kind, data["code"]) == ("failed", "submission_unknown")
    assert runs.provider.names() == ["run"]
    assert runner.is_alive()


def test_no_answer_in_time(make):
    never = threading.Event()
    runs = make({"runner_timeout": "300ms"}, run=[hang(never)])
    runs.add()
    runs.start()
    runs.wait("unknown")
    never.set()
    assert runs.provider.names() == ["run"]


def test_kill_while_it_is_sent(make):
    """What a killed runner was sending is unknown to the next one, until a
    report of it comes."""
    never = threading.Event()
    runs = make(run=[hang(never)])
    runs.site.start("webhook")
    runs.add()
    runner = runs.start()
    runs.provider.wait_calls("run", 1)
    assert runs.run()["state"] == "submitting"
    runner.kill()
    runs.start()
    runs.wait("unknown")
    url = urllib.parse.urlsplit(json.loads(runs.provider.calls[0].body)["webhook"])
    report = {"id": "e9", "status": "IN_PROGRESS"}
    runs.site.post(f"{url.path}?{url.query}", json.dumps(report).encode())
    row = runs.wait("submitted")
    assert row["external_id"] == "e9"
    runs.provider.wait_calls("status", 1)
    assert runs.provider.calls[-1].path.endswith("/status/e9")
    assert runs.provider.names().count("run") == 1
    never.set()


def test_retry_by_hand(make):
    runs = make(run=[b"", answer(200, {"id": "e1"})], status=[answer(200, DONE)])
    runs.add()
    runs.start()
    runs.wait("unknown")
    # As a number, however it was written.
    done = runs.site.tool("run", "retry", "01", "--json")
    assert json.loads(done.stdout) == {"run_id": 1, "status": "waiting"}
    runs.wait("ended")
    assert runs.types() == ["queued", "completed"]
    done = runs.site.tool("run", "retry", "1", check=False)
    assert done.returncode == 1 and "only one that is unknown" in done.stderr


def test_resubmission_where_it_is_allowed(make):
    runs = make({"resubmit": "always"},
                run=[b"", answer(500), answer(200, {"id": "e1"})],
                status=[answer(200, DONE)])
    runs.add()
    runs.start()
    assert runs.wait("ended")["attempts"] == 3
    assert runs.types() == ["queued", "completed"]


def test_the_id_of_what_waits_to_be_sent_again(make):
    """The site knows that it arrived at first, so it is not sent any more."""
    runs = make({"resubmit": "always"}, status=[answer(200, DONE)],
                run=[b"", answer(429, b"", "Retry-After: 3600")])
    runs.add()
    runs.start()
    runs.provider.wait_calls("run", 2)
    runs.wait("waiting")
    runs.site.writer.connection.execute("UPDATE jobs SET external_id = 'e1'")
    runs.wait("ended")
    assert runs.provider.names().count("run") == 2
    assert runs.types() == ["queued", "completed"]


@pytest.mark.parametrize("last", ["429", "503"])
def test_a_cancel_while_it_is_submitted_in_vain(make, last):
    """It has not arrived, and is not sent again."""
    may_answer = threading.Event()

    def refuse(*_):
        may_answer.wait(patience(30))
        return answer(int(last))

    runs = make(run=[refuse, answer(200, {"id": "e1", "status": "IN_QUEUE"})])
    runs.add()
    runs.start()
    runs.provider.wait_calls("run", 1)
    cancelled = runs.site.tool("run", "cancel", "1")
    assert cancelled.stdout == "1 cancelling\n", cancelled
    may_answer.set()
    runs.wait("ended")
    runs.add("next")
    runs.wait("submitted", "next")
    assert runs.provider.names().count("run") == 2
    assert runs.types() == ["queued", "cancelling", "cancelled"]
    assert runs.events()[-1][1] == {"run_id": 1}


def test_a_cancel_while_it_waits_to_be_sent_again(make):
    """It may have arrived at first, so nobody says that it is cancelled."""
    runs = make({"resubmit": "always", "unknown_for": "1s"},
                run=[b"", answer(429, b"", "Retry-After: 60")])
    runs.add()
    runs.start()
    runs.provider.wait_calls("run", 2)
    runs.wait("waiting")
    cancelled = runs.site.tool("run", "cancel", "1")
    assert cancelled.stdout == "1 cancelling\n", cancelled
    assert runs.wait("ended")["error"] == "submission_unknown"
    assert runs.provider.names().count("run") == 2
    assert runs.types() == ["queued", "cancelling", "failed"]


# -- repair --------------------------------------------------------------------


def test_answers_to_status_that_say_nothing(make):
    """The job is untouched by them."""
    runs = make({"reconcile_after": "10m"}, status=[
        b"", answer(401), answer(429, b"", "Retry-After: 1"), answer(500),
        answer(200, b"<html>"), answer(200, b"[1]"), answer(301), endless,
        answer(200, {"id": "e1", "status": "WHATEVER"}), answer(200, DONE),
    ])
    runs.add()
    runs.start()
    runs.wait("submitted")
    for count in range(1, 11):
        assert runs.types() == ["queued"]
        until(lambda: runs.run()["next_at"] > "2021", "the answer to be stored")
        runs.set(next_at="2020-01-01T00:00:00.000Z")
        runs.provider.wait_calls("status", count)
    runs.wait("ended")
    assert runs.types() == ["queued", "completed"]
    assert runs.provider.names() == ["run", *["status"] * 10]


@pytest.mark.parametrize("status, code", [
    ([answer(404)], "result_expired"),
    ([answer(200, {**RUNNING, "executionTime": 9})], "result_lost"),
], ids=["expired", "lost"])
def test_a_result_that_is_gone(make, status, code):
    runs = make(status=status)
    runs.add()
    runs.start()
    runs.wait("ended")
    kind, data = runs.events()[-1]
    assert (kind, data["code"]) == ("failed", code)


def test_the_deadline(make):
    """One last question, a cancel, and it is timed out."""
    runs = make({"run_deadline": "1s"}, status=[answer(200, RUNNING)],
                cancel=[answer(500)])
    runs.add()
    runs.start()
    assert runs.wait("ended")["error"] == "run_deadline"
    assert runs.types() == ["queued", "processing", "timed_out"]
    assert runs.provider.names()[-2:] == ["status", "cancel"]


def test_progress_by_polling(make):
    """Said once each, whatever it is; the result is not among it."""
    def said(output):
        return answer(200, {**RUNNING, "output": output})
    runs = make({"runpod_actions": "restore=photos progress=poll"}, status=[
        answer(200, RUNNING), said({"progress": 10}), said({"progress": 10}),
        said(50), said("nearly there"), answer(200, DONE),
    ])
    runs.add()
    runs.start()
    runs.wait("ended")
    assert runs.events()[1:] == [
        ("processing", {"external_id": "e1"}),
        ("progress", {"progress": 10}), ("progress", {"progress": 50}),
        ("progress", {"message": "nearly there"}),
        ("completed", {"external_id": "e1", "delayTime": 5, "executionTime": 7,
                       "output": DONE["output"]}),
    ]


def test_an_end_by_somebody_else(make):
    """While a question is under way: its answer changes nothing."""
    gate = threading.Event()
    runs = make(status=[lambda *_: gate.wait(patience(30)) and answer(200, DONE)])
    runs.add()
    runs.add("deleted")
    runner = runs.start()
    runs.provider.wait_calls("status", 2)
    runs.site.writer.publish("j", "failed", {"error": "by hand"})
    runs.site.tool("delete", "deleted")
    gate.set()
    wait_log(runner, "call=status")
    assert runs.run()["error"] == "failed"
    runs.add("next")
    runs.wait("ended", "next")
    assert runs.types() == ["queued", "failed"]


# -- cancel ----------------------------------------------------------------------


def test_cancel(make):
    """Until the provider says that it is cancelled."""
    runs = make(
        status=[answer(200, RUNNING)],
        cancel=[answer(503), answer(200, RUNNING),
                answer(200, {"id": "e1", "status": "CANCELLED"})],
    )
    runs.add()
    runs.start()
    runs.wait("submitted")
    assert runs.site.tool("run", "cancel", "1").stdout == "1 cancelling\n"
    runs.wait("ended")
    types = [kind for kind in runs.types() if kind != "processing"]
    assert types == ["queued", "cancelling", "cancelled"]


def test_a_completion_that_won(make):
    runs = make({"reconcile_after": "10m"}, status=[answer(200, DONE)],
                cancel=[answer(200, {"id": "e1", "status": "COMPLETED"})])
    runs.add()
    runs.start()
    runs.wait("submitted")
    runs.site.tool("run", "cancel", "1")
    runs.wait("ended")
    assert runs.types() == ["queued", "cancelling", "completed"]
    assert runs.events()[-1][1]["output"] == DONE["output"]


# -- the key, and where it goes ----------------------------------------------------


@pytest.fixture(name="certificate", scope="module")
def fixture_certificate(tmp_path_factory):
    """A certificate that nobody trusts."""
    folder = tmp_path_factory.mktemp("tls")
    files = str(folder / "cert.pem"), str(folder / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", files[1],
         "-out", files[0]],
        check=True, capture_output=True,
    )
    return files


def test_a_certificate_that_is_not_valid(make, certificate):
    """Nothing is sent."""
    runs = make(certificate=certificate)
    runs.add()
    runner = runs.start()
    wait_log(runner, "outcome=unreachable")
    assert runs.run()["state"] in ("waiting", "submitting")
    assert runs.provider.calls == []


def test_certificates_in_a_file_of_our_own(make, certificate):
    """Where the system's are not where libcurl was built to look."""
    runs = make(certificate=certificate, run=[answer(200, {"id": "e1"})])
    runs.add()
    runs.start(env={**os.environ, "SSL_CERT_FILE": certificate[0]})
    runs.wait("submitted")


def test_a_long_submission_that_is_not_answered(make, certificate):
    """The system does not take it all at once. Until it has, OpenSSL says that
    nothing was written, and libcurl before 8.7 then counts none of it."""
    runs = make(certificate=certificate, is_narrow=True, run=[b""])
    runs.add(job_input=json.dumps({"image": "x" * 60000}))
    runs.start(env={**os.environ, "SSL_CERT_FILE": certificate[0]})
    runs.wait("unknown")
    assert runs.provider.names() == ["run"]


def test_the_key_stands_nowhere(make):
    runs = make(run=[answer(401, {"error": f"unknown key {KEY}"})])
    runs.add()
    runner = runs.start()
    runs.wait("ended")
    for name in ("cmdline", "environ"):
        with open(f"/proc/{runner.pid}/{name}", "rb") as file:
            assert KEY.encode() not in file.read()
    with open(f"/proc/{runner.pid}/coredump_filter", encoding="ascii") as file:
        assert int(file.read(), 16) == 0 or "not_hardened" in runner.log_text()
    assert KEY not in runner.log_text()
    assert KEY not in runs.site.tool("run", "show", "1").stdout


@pytest.mark.parametrize("content", [None, "", "\n", "short"], ids=repr)
def test_a_key_that_cannot_be_used(make, content):
    runs = make()
    if content is None:
        os.unlink(runs.key_file)
    else:
        runs.write_key(content)
    done = run("jobwire-runner", "--config", runs.site.config)
    assert done.returncode == 1
    assert "event=bad_secret" in done.stderr
    if content == "short":
        assert "short" not in done.stderr.replace("shorter", "")
    else:
        assert runs.key_file in done.stderr


@pytest.mark.parametrize("flags, text", [
    (["--runpod-url", "http://api.example/v2"], "runpod_url must be https://"),
    (["--runpod-url", "http://127.0.0.1.example/v2"], "runpod_url must be"),
    (["--runpod-url", "http://localhost@example/v2"], "runpod_url must be"),
    (["--runpod-url", "ftp://127.0.0.1/"], "runpod_url must be https://"),
    (["--runpod-key", "rpa_0123456789abcdef"], "runpod_key must be @FILE"),
    (["--runpod-actions", "cancel=x"], "cancel"),
    (["--runner-rate", "0"], "runner-rate"),
], ids=repr)
def test_bad_settings(flags, text):
    done = run("jobwire-runner", *flags)
    assert done.returncode == 2
    assert text in done.stderr and "rpa_" not in done.stderr


def test_a_new_key(make):
    runs = make()
    runs.add()
    runner = runs.start()
    runs.wait("submitted")
    new = leaks.secret("rpa_another-key-0123456789abcdef")
    runs.write_key("")
    os.kill(runner.pid, signal.SIGHUP)
    wait_log(runner, "event=keys_kept")
    runs.write_key(new)
    done = runs.site.tool("reload")
    assert done.stdout == f"jobwire-runner {runner.pid}: reloaded\n"
    runs.add("k")
    runs.wait("submitted", "k")
    submissions = [c for c in runs.provider.calls if c.path.endswith("/run")]
    assert submissions[0].headers["authorization"] == f"Bearer {KEY}"
    assert submissions[1].headers["authorization"] == f"Bearer {new}"


def test_the_doctor_and_the_key(make):
    """Which file it is, and whether each endpoint takes the key."""
    runs = make(health=[answer(200, {}), answer(401), answer(404)])
    done = runs.site.tool("doctor", "http://127.0.0.1:1", check=False)
    assert f"ok    runpod: its key in {runs.key_file} can be read" in done.stdout
    assert "ok    endpoint: RunPod knows photos" in done.stdout
    assert runs.provider.calls[0].headers["authorization"] == f"Bearer {KEY}"
    for remedy in ("put a good key", "correct runpod_actions"):
        done = runs.site.tool("doctor", "http://127.0.0.1:1", check=False)
        assert remedy in done.stdout
    assert KEY not in done.stdout + done.stderr
    os.unlink(runs.key_file)
    done = runs.site.tool("doctor", check=False)
    assert done.returncode == 1
    (line,) = [x for x in done.stdout.splitlines() if "  runpod: " in x]
    assert line.startswith("fail") and runs.key_file in line
