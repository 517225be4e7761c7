"""What a node of a cluster answers whoever writes, without a relay: the test
stands for the log, and says what comes of a row of the outbox, or nothing."""

import json
import os
import threading

import pytest
from harness.cgi import CgiEndpoint
from harness.inbound import (
    KEY, cancel_run, health, publish, read_inbound_metrics, register, start_run,
)
from harness.tokens import HS_SECRET, bearer, token
from harness.wait import patience, until

DONE = {"status": "COMPLETED", "id": "r-1", "output": {"seed": 1}}
BRIEF = "100ms"
LONG = "20s"
FIRST = (1 << 40) + 128


def join(site):
    """Makes the database a node's; what other programs insert is not needed
    here."""
    connection = site.writer.connection
    connection.execute("INSERT INTO meta VALUES ('cluster', 'a')")
    connection.commit()


def make(make_site, wait=BRIEF, **settings):
    """A site of a cluster with nothing running."""
    site = make_site(**{
        "publish_keys": KEY, "cluster_wait": wait,
        "runpod_actions": "restore=ep1", **settings,
    })
    join(site)
    return site


@pytest.fixture(name="node")
def fixture_node(make_site):
    site = make(make_site)
    site.start("webhook")
    return site


def outbox(site):
    """Its rows: kind, payload."""
    rows = site.writer.connection.execute(
        "SELECT kind, payload FROM outbox ORDER BY seq"
    ).fetchall()
    return [(kind, json.loads(payload)) for kind, payload in rows]


class Log:
    """Answers what is in the outbox, as a relay does after it was applied."""

    def __init__(self, site, *results):
        self.site = site
        self.results = list(results)
        self.failure = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _answer(self, writer):
        row = writer.connection.execute(
            "SELECT seq FROM outbox WHERE result IS NULL ORDER BY seq"
        ).fetchone()
        if not row:
            return False
        writer.connection.execute(
            "UPDATE outbox SET result = ? WHERE seq = ?",
            (json.dumps(self.results.pop(0)), row[0]),
        )
        writer.connection.commit()
        fd = os.open(self.site.db + "-bell", os.O_WRONLY | os.O_CREAT)
        os.pwrite(fd, b"x", 0)
        os.close(fd)
        return True

    def _run(self):
        writer = type(self.site.writer)(self.site.db)
        try:
            while self.results:
                until(lambda: self._answer(writer), "a row in the outbox")
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error
        writer.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join(patience(20))
        assert not self.thread.is_alive() and not self.failure, self.failure


def test_webhook_is_pending(node):
    answer = node.deliver("a", DONE)
    assert answer == {
        "ok": True, "job_id": "a", "event_id": None, "duplicate": False,
        "pending": True,
    }
    [(kind, payload)] = outbox(node)
    assert kind == "report"
    assert payload["job_id"] == "a" and payload["type"] == "completed"
    assert json.loads(payload["data"])["output"] == {"seed": 1}
    assert node.writer.rows() == []
    assert read_inbound_metrics(node).value(
        "calls_total", outcome="pending") == 1


def test_all_others_are_pending(make_site):
    site = make(make_site, events_auth="ticket", jwt_key=HS_SECRET)
    site.start("webhook")
    answer = publish(site, "a", {"type": "x"}, key="k")
    assert answer.status == 202
    assert answer.json() == {"event_ids": None, "state": None, "pending": True}
    answer = register(site, job_id="a", owner="alice")
    assert answer.status == 202
    assert answer.json()["job_id"] == "a" and answer.json()["pending"] is True
    assert answer.json()["webhook_url"]
    answer = start_run(site, "a")
    assert answer.status == 202
    assert answer.json()["run_id"] is None
    assert answer.json()["restore_id"] is None
    assert answer.json()["status"] == "queued" and answer.json()["pending"]
    answer = cancel_run(site, "a")
    assert answer.status == 202
    assert answer.json() == {
        "job_id": "a", "run_id": None, "status": "cancelling", "pending": True,
    }
    answer = ask_ticket(site)
    assert answer.status == 202
    assert answer.json()["ticket"] and answer.json()["pending"] is True
    assert [kind for kind, _ in outbox(site)] == [
        "publication", "registration", "start", "cancel", "ticket",
    ]


def test_log_answers(make_site):
    site = make(make_site, LONG)
    site.start("webhook")
    epoch = site.writer.epoch()
    with Log(site, {"new": True, "first_id": FIRST, "job_id": "a"}):
        answer = site.deliver("a", DONE)
    assert answer == {
        "ok": True, "job_id": "a", "event_id": f"{epoch}-{FIRST}",
        "duplicate": False,
    }
    with Log(site, {"duplicate": True, "first_id": FIRST, "n_events": 2,
                    "state": "processing"}):
        answer = publish(site, "a", [{"type": "x"}, {"type": "y"}], key="k")
    assert answer.status == 200
    assert answer.json() == {
        "event_ids": [f"{epoch}-{FIRST}", f"{epoch}-{FIRST + 1}"],
        "state": "processing",
    }
    with Log(site, {"run_id": FIRST, "restore_id": "r"}):
        answer = start_run(site, "a")
    assert answer.status == 202
    assert answer.json()["run_id"] == FIRST
    assert answer.json()["restore_id"] == "r"
    assert "pending" not in answer.json()


def ask_ticket(site):
    """A ticket for a good token."""
    return site.endpoint("webhook").call(
        "POST", "/api/v1/tickets",
        {"Content-Type": "application/json", **bearer(token())}, b"{}",
    )


@pytest.mark.parametrize("call, refused, status, code", [
    (lambda site: register(site, job_id="a"), "job_owned", 409, "job_owned"),
    (lambda site: register(site, job_id="a"), "job_running", 409, "job_running"),
    (lambda site: publish(site, "a", {"type": "x"}, key="k"), "key_reused", 422,
     "idempotency_key_reused"),
    (lambda site: start_run(site, "a"), "job_running", 409, "job_running"),
    (lambda site: start_run(site, "a"), "job_forbidden", 403, "job_forbidden"),
    (lambda site: cancel_run(site, "a"), "no_run", 409, "no_run"),
    (ask_ticket, "too_many", 429, "too_many_tickets"),
    (lambda site: publish(site, "a", {"type": "x"}), "invalid", 400,
     "bad_payload"),
    (lambda site: publish(site, "a", {"type": "x"}), "of-a-later-version", 400,
     "bad_payload"),
])
def test_log_refuses(make_site, call, refused, status, code):
    site = make(make_site, LONG, events_auth="ticket", jwt_key=HS_SECRET)
    site.start("webhook")
    with Log(site, {"refused": refused}):
        answer = call(site)
    assert (answer.status, answer.error()) == (status, code)


def test_many_wait_at_once(make_site):
    """In any number, and nobody waits for them."""
    site = make(make_site, LONG)
    site.start("webhook")
    answers = {}

    def deliver(number):
        answers[number] = site.deliver(f"job-{number}", DONE)

    threads = [threading.Thread(target=deliver, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    until(lambda: len(outbox(site)) == 20, "all in the outbox")
    assert health(site) == 200
    jobs = [payload["job_id"] for _, payload in outbox(site)]
    with Log(site, *({"new": True, "first_id": FIRST + i, "job_id": job}
                     for i, job in enumerate(jobs))):
        for thread in threads:
            thread.join(patience(20))
    assert [answers[int(job[4:])]["event_id"].split("-")[1] for job in jobs] \
        == [str(FIRST + i) for i in range(20)]


def test_it_stays_after_a_kill(make_site):
    site = make(make_site)
    site.start("webhook")
    assert site.deliver("a", DONE)["pending"] is True
    site.webhook.kill()
    assert [kind for kind, _ in outbox(site)] == ["report"]


def test_stop_answers_who_waits(make_site):
    site = make(make_site, LONG)
    site.start("webhook")
    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(site.deliver("a", DONE)))
    thread.start()
    until(lambda: outbox(site), "the row in the outbox")
    site.webhook.terminate()
    thread.join(patience(20))
    assert answers and answers[0]["pending"] is True


def test_joins_while_it_runs(make_site):
    """Who wrote rows puts them into the outbox from the next call on."""
    site = make_site(publish_keys=KEY, cluster_wait=BRIEF)
    site.start("webhook")
    assert "pending" not in site.deliver("a", DONE)
    join(site)
    assert site.deliver("b", DONE)["pending"] is True
    site.writer.connection.execute("DELETE FROM meta WHERE key = 'cluster'")
    site.writer.connection.commit()
    assert "pending" not in site.deliver("c", DONE)
    assert [row[1] for row in site.writer.rows()] == ["a", "c"]


@pytest.mark.parametrize("carrier", ["pipe", "socket"])
def test_cgi(make_site, carrier):
    site = make(make_site)
    hook = CgiEndpoint(site, "webhook.cgi", carrier=carrier)
    assert site.deliver("a", DONE, endpoint=hook)["pending"] is True
    site.writer.connection.execute("UPDATE outbox SET result = '{}'")
    site.writer.connection.commit()
    with Log(site, {"new": True, "first_id": FIRST, "job_id": "b"}):
        site.configure(publish_keys=KEY, cluster_wait=LONG)
        answer = site.deliver("b", DONE, endpoint=hook)
    assert answer["event_id"].endswith(f"-{FIRST}")
    assert "pending" not in answer


def test_command_line(make_site):
    site = make(make_site)
    assert site.tool("publish", "a", "queued").stdout == "pending\n"
    value = json.loads(site.tool("publish", "a", "queued", "--json").stdout)
    assert value == {"event_id": None, "state": None, "pending": True}
    assert site.tool("delete", "a").stdout == "pending\n"
    assert site.tool("token", "revoke", "--sub", "x").stdout \
        == "revoked, pending\n"
    site.writer.connection.execute("UPDATE outbox SET result = '{}'")
    site.writer.connection.commit()
    site.configure(cluster_wait=LONG)
    with Log(site, {"first_id": FIRST, "n_events": 1, "state": "queued"}):
        assert site.tool("publish", "a", "queued").stdout.endswith(
            f"-{FIRST}\n")
    with Log(site, {"refused": "no_job"}):
        assert "no such job" in site.tool("delete", "a", check=False).stderr
    assert [kind for kind, _ in outbox(site)] == [
        "event", "event", "deletion", "revocation", "event", "deletion",
    ]
