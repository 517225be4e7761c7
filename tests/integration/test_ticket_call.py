"""A token for a ticket: POST /api/v1/tickets."""

import json
import signal
import time

import pytest
from harness import leaks
from harness.cgi import CgiEndpoint
from harness.inbound import read_inbound_metrics
from harness.nginx import Nginx
from harness.reading import get, jobs_target, stream_at
from harness.sse import data_of, ids_of
from harness.tokens import HS_SECRET, bearer, claims, token
from harness.wait import until

TARGET = "/api/v1/tickets"
ORIGIN = "https://app.example"


def make(make_site, **settings):
    """A site that gives tickets; alice owns `mine`, bob `other`."""
    site = make_site(**{
        "events_auth": "ticket", "jwt_key": HS_SECRET,
        "cors_origins": ORIGIN, "heartbeat": "300ms", **settings,
    })
    for job, owner in [("mine", "alice"), ("mine-too", "alice"),
                       ("other", "bob")]:
        site.writer.own(job, owner)
        site.writer.publish(job, "step")
    return site.start_both()


@pytest.fixture(name="shop")
def fixture_shop(make_site):
    return make(make_site)


def ask(site, body=b"{}", headers=None, method="POST", endpoint=None):
    """The answer to the call."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    if headers is None:
        headers = bearer(token())
    endpoint = endpoint or site.endpoint("webhook")
    return endpoint.call(
        method, TARGET, {"Content-Type": "application/json", **headers}, body
    )


def buy(site, body=b"{}", values=None, **options):
    """A ticket."""
    headers = bearer(token(values or claims()))
    answer = ask(site, body, headers, **options)
    assert answer.status == 201, answer
    value = answer.json()
    assert list(value) == ["ticket", "expires_in"]
    assert value["expires_in"] == 30
    assert answer.headers["cache-control"] == "no-store"
    return leaks.secret(value["ticket"])


def use(site, ticket, target):
    """What it gets at the responder of streams."""
    mark = "&" if "?" in target else "?"
    return get(site, f"{target}{mark}format=json&ticket={ticket}")


def test_ticket_for_all(shop):
    """It stands for what the token may read."""
    values = claims(jobs=["other"])
    for target in ("/events/mine", "/events/other", "/events",
                   jobs_target(["mine", "mine-too", "other"])[7:]):
        assert use(shop, buy(shop, values=values), target).status == 200
    assert use(shop, buy(shop), "/events/other").status == 403


def test_ticket_for_some_jobs(shop):
    """And for no others, whoever owns them."""
    body = {"job_ids": ["mine", "other"], "unknown": 1}
    values = claims(jobs=["other"])
    for target, status in [
        ("/events/mine", 200), ("/events/other", 200), ("/events", 403),
        ("/events/mine-too", 403), (jobs_target(["mine", "other"])[7:], 200),
    ]:
        ticket = buy(shop, body, values)
        assert use(shop, ticket, target).status == status, target


def test_ticket_call_for_a_job_not_owned(shop):
    for jobs in (["other"], ["mine", "other"], ["unknown"]):
        answer = ask(shop, {"job_ids": jobs})
        assert (answer.status, answer.error()) == (403, "job_forbidden")
    rows = shop.writer.connection.execute("SELECT count(*) FROM tickets")
    assert rows.fetchone() == (0,)


@pytest.mark.parametrize(
    "body, status, code", [
        (b"", 400, "bad_json"), (b"{", 400, "bad_json"),
        (b"[]", 400, "bad_payload"), (b"null", 400, "bad_payload"),
        (b'{"job_ids":[]}', 400, "bad_job_id"),
        (b'{"job_ids":null}', 400, "bad_job_id"),
        (b'{"job_ids":"mine"}', 400, "bad_job_id"),
        (b'{"job_ids":{"mine":"mine"}}', 400, "bad_job_id"),
        (b'{"job_ids":["mine",7]}', 400, "bad_job_id"),
        (b'{"job_ids":["mine","a b"]}', 400, "bad_job_id"),
        (b'{"job_ids":["mine",""]}', 400, "bad_job_id"),
        (json.dumps({"job_ids": ["mine"] * 65}).encode(), 400, "too_many_jobs"),
    ],
)
def test_bad_ticket_call(shop, body, status, code):
    answer = ask(shop, body, {**bearer(token()), "Origin": ORIGIN})
    assert (answer.status, answer.error()) == (status, code)
    assert answer.headers["access-control-allow-origin"] == ORIGIN


def test_ticket_call_with_a_bad_token(shop):
    """The same checks as at the responder of streams."""
    for headers, code in [
        ({}, "token_missing"), (bearer("bad"), "token_invalid"),
        (bearer(token(claims(ttl=-1))), "token_expired"),
        (bearer(token(key="x" * 32)), "token_invalid"),
        (bearer("a" * 30000), "token_invalid"),
    ]:
        answer = ask(shop, b"{", {**headers, "Origin": ORIGIN})
        assert (answer.status, answer.error()) == (401, code)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["access-control-allow-origin"] == ORIGIN


def test_ticket_call_with_a_cookie(make_site):
    shop = make(make_site, jwt_cookie="login")
    headers = {"Cookie": f"login={token()}"}
    answer = ask(shop, b"{}", headers)
    assert answer.status == 201
    leaks.secret(answer.json()["ticket"])
    late = token(claims(exp=int(time.time()) - 9))
    for other in (late, token(claims(jti="another"))):
        assert ask(shop, b"{}", {**headers, **bearer(other)}).status == 201
    both = {**headers, **bearer(token(claims(sub="bob")))}
    assert ask(shop, b"{}", both).error() == "token_conflict"
    assert ask(shop, b"{}", bearer(late)).error() == "token_expired"
    counted = read_inbound_metrics(shop)
    assert counted.value("webhook_auth_failures_total", rule="expired") == 1


def test_too_many_tickets(make_site):
    """Unused ones of a subject, whatever its tokens; one that is used makes
    room, and others do not notice."""
    shop = make(make_site, max_tickets="2")
    first = buy(shop)
    buy(shop, values=claims(jti="another"))
    answer = ask(shop, headers={**bearer(token()), "Origin": ORIGIN})
    assert (answer.status, answer.error()) == (429, "too_many_tickets")
    assert answer.headers["retry-after"] == "30"
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    buy(shop, values=claims(sub="bob"))
    metrics = read_inbound_metrics(shop)
    assert metrics.value("webhook_tickets_refused_total") == 1
    assert use(shop, first, "/events/mine").status == 200
    buy(shop)
    assert ask(shop).status == 429


@pytest.mark.parametrize("kind", ["jti", "sub"])
def test_ticket_falls_with_its_token(shop, kind):
    """Bought before, used after; and none can be bought."""
    values = claims(jti="of-this-token")
    ticket, other = buy(shop, values=values), buy(shop, values=values)
    path = f"/api/v1/events/mine?ticket={other}"
    with stream_at(shop, path) as stream:
        stream.wait_open()
        name = {"jti": "of-this-token", "sub": "alice"}[kind]
        shop.tool("token", "revoke", f"--{kind}", name)
        stream.wait_end()
    assert use(shop, ticket, "/events/mine").error() == "token_revoked"
    answer = ask(shop, b"{}", bearer(token(values)))
    assert (answer.status, answer.error()) == (401, "token_revoked")


def test_ticket_ends_with_its_token(shop):
    values = claims(ttl=3)
    answer = ask(shop, b"{}", bearer(token(values)))
    assert 1 <= answer.json()["expires_in"] <= 3
    path = f"/api/v1/events/mine?ticket={leaks.secret(answer.json()['ticket'])}"
    with stream_at(shop, path) as stream:
        assert [e.event for e in stream.wait_end()] == ["step", "expiring"]


def test_new_ticket_resumes(shop):
    """As the client library does when EventSource was refused."""
    path = "/api/v1/events/mine?ticket="
    with stream_at(shop, path + buy(shop)) as stream:
        stream.take(1)
        stream.reconnect()
        assert stream.status == 401
        last = stream.last_id
    shop.writer.publish("mine", "step")
    with stream_at(shop, path + buy(shop), last_id=last) as stream:
        shop.writer.publish("mine", "completed")
        events = stream.wait_end()
        assert [e.event for e in events] == ["step", "completed"]
        assert len(set(ids_of(events))) == 2
        assert data_of(events[0])["job_id"] == "mine"


def test_tickets_off(make_site):
    site = make_site(events_auth="jwt", jwt_key=HS_SECRET)
    site.start("webhook")
    answer = ask(site)
    assert (answer.status, answer.error()) == (403, "tickets_off")


def test_ticket_preflight(shop):
    answer = ask(shop, b"", {"Origin": ORIGIN}, method="OPTIONS")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-methods"] == "POST, OPTIONS"
    allowed = answer.headers["access-control-allow-headers"]
    assert "Authorization" in allowed and "Content-Type" in allowed
    answer = ask(
        shop, b"", {"Origin": "https://evil.example"}, method="OPTIONS"
    )
    assert "access-control-allow-origin" not in answer.headers
    answer = ask(shop, b"", method="GET")
    assert (answer.status, answer.headers["allow"]) == (405, "POST, OPTIONS")


def test_preflight_names(shop):
    """What a page's tracing adds to each fetch(), of both programs; nothing
    that is no list of names."""
    def allowed(site_ask, names):
        answer = site_ask({
            "Origin": ORIGIN, "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": names,
        })
        assert answer.status == 204
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        return answer.headers["access-control-allow-headers"]

    def of_events(headers):
        return get(shop, "/events/mine", headers, method="OPTIONS")

    def of_tickets(headers):
        return ask(shop, b"", headers, method="OPTIONS")

    for one in (of_events, of_tickets):
        fixed = allowed(one, "")
        assert allowed(one, "baggage,sentry-trace") == (
            fixed + ", baggage,sentry-trace"
        )
        for bad in ("a b", "a,,b", "x" * 1025, ",".join(["n"] * 33), "a:b"):
            assert allowed(one, bad) == fixed


def test_ticket_through_a_web_server(shop):
    """nginx passes the token on, and logs neither it nor the ticket."""
    web = Nginx(shop).start()
    ticket = buy(shop, endpoint=web.endpoint)
    target = f"/api/v1/events/mine?format=json&ticket={ticket}"
    assert web.endpoint.call("GET", target).status == 200
    assert web.endpoint.call("GET", target).status == 401
    until(lambda: len(web.access_log()) >= 3, "the access log")
    assert ticket not in "\n".join(web.access_log())


def test_webhook_reads_keys_again(make_site, tmp_path):
    """Those of tokens and those of webhooks, all or none."""
    files = {}
    for name in ("token", "webhook"):
        files[name] = tmp_path / name
        files[name].write_text("an-old-secret-0123456789abcdef-of-" + name)
    shop = make(
        make_site, jwt_key=f"@{files['token']}",
        webhook_secret=f"@{files['webhook']}",
    )
    server = shop.webhook

    def status(secret):
        return ask(shop, b"{}", bearer(token(key=secret))).status

    def hang_up(event):
        before = server.log_text().count(event)
        server.child.send_signal(signal.SIGHUP)
        until(lambda: server.log_text().count(event) > before, event)

    old, new = files["token"].read_text(), "a-new-secret-0123456789abcdef-abc"
    files["token"].write_text(new)
    files["webhook"].write_text("short")
    hang_up("event=keys_kept")
    assert (status(old), status(new)) == (201, 401)
    files["webhook"].write_text(new)
    hang_up("event=keys_reloaded")
    assert (status(old), status(new)) == (401, 201)
    url = shop.tool("url", "mine").stdout.strip()
    target = url[url.index("/api") :]
    assert shop.post(target, b'{"id":"x","status":"COMPLETED"}').status == 200


def test_tickets_by_cgi(make_site):
    """A process sells it, another one takes it, a third does not."""
    site = make_site(events_auth="ticket", jwt_key=HS_SECRET)
    values = claims(jobs=["a"])
    ticket = buy(
        site, {"job_ids": ["a"]}, values,
        endpoint=CgiEndpoint(site, "webhook.cgi"),
    )
    reader = CgiEndpoint(site, "events.cgi")
    target = f"/api/v1/events/a?format=json&ticket={ticket}"
    assert [reader.call("GET", target).status for _ in range(2)] == [200, 401]
    answer = reader.call(
        "GET", "/api/v1/events/a?format=json", bearer(token(values))
    )
    assert answer.status == 200
