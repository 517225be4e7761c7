"""Who may read with `events_auth = jwt`: what each token gets, at the real
responder. Streams that lose their right are in test_expiry.py."""

import base64
import json
import subprocess
import time

import pytest
from harness.metrics import read_metrics
from harness.reading import get, get_json, jobs_target, kinds, stream_at
from harness.site import program
from harness.sse import data_of
from harness.tokens import (
    HS_SECRET, b64url, bearer, claims, private_key, public_key, sign, token,
)
from harness.wait import patience

ALL = "/api/v1/events"
OTHER = "not-the-secret-0123456789abcdef01"
JOB = "/events/mine"


def start(make_site, **settings):
    """A responder that asks for tokens; alice owns `mine`, bob `other`."""
    site = make_site(**{
        "events_auth": "jwt", "jwt_key": HS_SECRET,
        **settings,
    })
    for job, owner in [("mine", "alice"), ("other", "bob")]:
        site.writer.own(job, owner)
        site.writer.publish(job, "step")
    site.start("events")
    return site


@pytest.fixture(name="guarded")
def fixture_guarded(make_site):
    return start(make_site)


def read(site, text, target=JOB, **headers):
    """What a token gets."""
    return get(site, target, {**bearer(text), **headers})


def refusal(answer):
    """(status, code), after a look at the challenge that 401 must have."""
    if answer.status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")
    return answer.status, answer.error()


# -- good tokens -------------------------------------------------------------


@pytest.mark.parametrize("alg", ["HS256", "RS256", "ES256"])
def test_each_algorithm(make_site, alg):
    key = HS_SECRET if alg == "HS256" else "@" + public_key(alg)
    site = start(make_site, jwt_alg=alg, jwt_key=key)
    for _ in range(5):  # an ECDSA signature is another one each time
        good = token(alg=alg)
        assert read(site, good, "/jobs/mine").status == 200
    site.writer.publish("mine", "completed")
    with stream_at(
        site, "/api/v1/events/mine", headers=bearer(good)
    ) as stream:
        assert kinds(stream.wait_end()) == ["step", "completed"]
    assert get_json(site, JOB, **bearer(good))["terminal"]
    assert read(site, good[:-8] + "AAAAAAAA").status == 401


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_key_in_a_certificate(make_site, tmp_path, alg):
    """As identity providers hand it out; the key in it is what counts."""
    file = tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-new", "-key", private_key(alg),
         "-subj", "/CN=issuer", "-days", "1", "-out", file],
        check=True, capture_output=True,
    )
    site = start(make_site, jwt_alg=alg, jwt_key=f"k1=@{file}")
    good = token(alg=alg, header={"kid": "k1"})
    assert read(site, good, "/jobs/mine").status == 200
    other = token(alg=alg, header={"kid": "k1"}, key=private_key(alg, "second"))
    assert read(site, other).status == 401


def test_token_in_the_header(guarded):
    for field in ("Bearer ", "bearer ", "BEARER   "):
        answer = get(guarded, "/jobs/mine", {"Authorization": field + token()})
        assert answer.status == 200


def test_stream_of_a_subject(guarded):
    with stream_at(guarded, ALL, headers=bearer(token())) as stream:
        guarded.writer.publish("other", "step")
        guarded.writer.publish("mine", "done")
        assert [data_of(e)["job_id"] for e in stream.take(2)] == ["mine"] * 2


def test_jobs_claim(guarded):
    """What it lists may be read, whoever owns it; its owner's stream has only
    what is owned."""
    good = token(claims(jobs=["other", "not-yet"]))
    for job in ("mine", "other"):
        assert read(guarded, good, f"/jobs/{job}").status == 200
    target = jobs_target(["mine", "other", "not-yet"])
    with stream_at(guarded, target, headers=bearer(good)) as stream:
        assert len(stream.take(2)) == 2
    value = get_json(guarded, "/events", **bearer(good))
    assert [e["data"]["job_id"] for e in value["events"]] == ["mine"]
    refused = read(guarded, token(claims("carol", jobs=["others"])), "/jobs/other")
    assert refusal(refused) == (403, "job_forbidden")


def test_names_that_need_escapes(guarded):
    """JSON may write a name in several ways; it is one."""
    payload = json.dumps(claims()).replace("alice", "\\u0061lice")
    assert read(guarded, token(payload.encode()), "/jobs/mine").status == 200


def test_keys_by_name(make_site):
    """Two keys, as while they are rotated; each token names its own."""
    files = ",".join(
        f"{name}=@{public_key('ES256', name)}" for name in ("first", "second")
    )
    site = start(make_site, jwt_alg="ES256", jwt_key=files)
    for name in ("first", "second"):
        key = private_key("ES256", name)
        good = token(alg="ES256", key=key, header={"kid": name})
        assert read(site, good, "/jobs/mine").status == 200
        for kid in ("third", "", "FIRST", 7, None):
            head = {} if kid is None else {"kid": kid}
            bad = token(alg="ES256", key=key, header=head)
            assert refusal(read(site, bad)) == (401, "token_invalid"), kid
    swapped = token(
        alg="ES256", key=private_key("ES256"), header={"kid": "second"}
    )
    assert refusal(read(site, swapped)) == (401, "token_invalid")


def test_issuer_and_audience(make_site):
    site = start(make_site, jwt_issuer="https://login", jwt_audience="us")
    for aud in ("us", ["them", "us"]):
        good = token(claims(iss="https://login", aud=aud))
        assert read(site, good, "/jobs/mine").status == 200
    for bad in (
        {"iss": "https://login"}, {"aud": "us"},
        {"iss": "https://logi", "aud": "us"},
        {"iss": "https://login/", "aud": "us"},
        {"iss": ["https://login"], "aud": "us"},
        {"iss": "https://login", "aud": "them"},
        {"iss": "https://login", "aud": ["them", "use"]},
        {"iss": "https://login", "aud": []},
        {"iss": "https://login", "aud": {"us": 1}},
    ):
        answer = read(site, token(claims(**bad)))
        assert refusal(answer) == (401, "token_invalid"), bad


# -- bad tokens --------------------------------------------------------------


def unsigned(head):
    """A token that nobody signed."""
    parts = [json.dumps(part).encode() for part in (head, claims())]
    return ".".join(b64url(part) for part in parts) + "."


def with_payload(text):
    """Signed, whatever it says. % stands for the time in an hour."""
    return token(text.replace("%", str(int(time.time()) + 3600)).encode())


def padded():
    """The same bytes, otherwise written."""
    head, payload, signature = token().split(".")
    return [
        f"{head}={'.'}{payload}.{signature}", f"{head}.{payload}=.{signature}",
        f"{head}.{payload}.{signature}=", f"{head}.{payload}.{signature}==",
        f"{head}.{payload}.{signature}\t",
        f"{head}.{payload}.{signature.replace('-', '+').replace('_', '/')}/",
    ]


def truncated():
    """Cut off at many places."""
    good = token()
    places = [1, 5, good.index("."), good.rindex("."), good.rindex(".") + 1]
    return [good[:n] for n in places + [len(good) - 1, len(good) - 2]] + [
        good[1:], good + "A", good + ".", "." + good, good.replace(".", ""),
        good.replace(".", "..", 1), "..", ".", "a.b", "a.b.c.d",
    ]


def last_bits():
    """The last digit of 32 bytes has two bits that mean nothing."""
    good = token()
    digits = (
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    )
    at = digits.index(good[-1])
    return [good[:-1] + digits[at ^ bits] for bits in (1, 2, 3)]


NOW = int(time.time())
BAD = {
    "algorithm_none": lambda: [
        unsigned({"alg": name, "typ": "JWT"})
        for name in ("none", "None", "NONE", "", None)
    ] + [unsigned({"typ": "JWT"}), unsigned([]), unsigned("HS256")],
    "other_algorithm": lambda: [
        token(header={"alg": name}) for name in (
            "HS384", "hs256", "HS256 ", "RS256", "ES256", ["HS256"], None, 1)
    ] + [token(alg="RS256"), token(alg="ES256")],
    "other_secret": lambda: [
        token(key=key) for key in (OTHER, HS_SECRET + " ", HS_SECRET[:-1])
    ],
    "critical_header": lambda: [
        token(header={"crit": crit, "b64": False})
        for crit in (["b64"], [], None)
    ],
    "kid_no_text": lambda: [
        token(header={"kid": kid}) for kid in ("a\0b", "", 7, ["a"], None)
    ],
    "duplicate_header": lambda: [
        token(header=b'{"alg":"none","alg":"HS256"}'),
        token(header=b'{"alg":"HS256","kid":"a","k\\u0069d":"b"}'),
    ],
    "header_no_json": lambda: [
        token(header=text) for text in (
            b"{", b'{"alg":"HS256"}x', b"\xff", b'{"alg":"HS256",}', b"null")
    ],
    "truncated": truncated,
    "padded": padded,
    "other_last_bits": last_bits,
    "payload_of_another": lambda: [
        ".".join([
            token().split(".")[0], token(claims("bob")).split(".")[1],
            token().split(".")[2],
        ])
    ],
    "duplicate_claims": lambda: [
        with_payload('{"sub":"bob","sub":"alice","exp":%}'),
        with_payload('{"sub":"bob","s\\u0075b":"alice","exp":%}'),
        with_payload('{"sub":"alice","exp":1,"exp":%}'),
        with_payload('{"sub":"alice","exp":%,"x":1,"x":2}'),
    ],
    "subject": lambda: [
        token(claims(sub)) for sub in (
            "", None, 7, True, ["alice"], {"alice": 1}, "a" * 257, "alice\n",
            "alice\0", "\x7f", "alice\ufffd")
    ] + [
        with_payload('{"sub":"a\\ud800","exp":%}'),
        with_payload('{"sub":null,"exp":%}'),
        token(b'{"sub":"\xff","exp":%d}' % (NOW + 3600)),
    ],
    "expiry": lambda: [
        token({**claims(), "exp": exp}) for exp in (
            None, True, "4000000000", str(NOW + 60), [NOW + 60], -1,
            NOW + 10 ** 12, NOW + 367 * 86400)
    ] + [
        token({"sub": "alice"}),
        with_payload('{"sub":"alice","exp":%e1}'),
        with_payload('{"sub":"alice","exp":1e10}'),
    ],
    "not_yet_valid": lambda: [
        token(claims(nbf=nbf)) for nbf in (
            NOW + 3600, "0", True, [NOW], -1, 10 ** 15)
    ] + [token(claims(iat=NOW + 3600)), token(claims(iat="0"))],
    "jobs_claim": lambda: [
        token(claims(jobs=jobs)) for jobs in (
            "mine", {"mine": 1}, ["mine", 7], [["mine"]], 1, True)
    ],
    "jti_claim": lambda: [
        token(claims(jti=jti)) for jti in (7, "", ["a"], "j" * 257)
    ],
    "payload_no_object": lambda: [
        token(text) for text in (b"[]", b"", b"1", b'"alice"', b"{}", b"{}{}",
                                 b"\xef\xbb\xbf{}", b"[" * 40 + b"]" * 40)
    ],
    "many_claims": lambda: [token(claims(**{f"c{n}": n for n in range(70)}))],
    "long": lambda: ["a" * 20000, token(claims(x="x" * 15000)), "." * 16000,
                     "." * 50000, token(claims(x="x" * 40000))],
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_token(guarded, kind):
    """Every one is refused, in every form, and nothing is opened."""
    bad = BAD[kind]()
    for text in bad:
        answer = read(guarded, text)
        assert refusal(answer) == (401, "token_invalid"), text
    for target in ("/jobs/mine", "/events", "/events/mine?format=json&wait=9"):
        assert read(guarded, bad[0], target).status == 401
    counted = read_metrics(guarded)
    assert counted.total("auth_failures_total") == len(bad) + 3
    assert counted.value("streams_opened_total") == 0


def test_many_bad_tokens_shut_nobody_out(guarded):
    """An office behind one address, on the morning after."""
    late = token(claims(exp=int(time.time()) - 60))
    for _ in range(200):
        assert refusal(read(guarded, late)) == (401, "token_expired")
    assert read(guarded, token(), "/jobs/mine").status == 200


def test_a_failure_costs_little(guarded):
    """The longest token that is read at all, with a good header and a bad
    signature, many times: less than a millisecond of the processor each."""
    bad = token(claims(x="x" * 12000), key=OTHER)
    assert read(guarded, bad).status == 401
    before = guarded.events.cpu_seconds()
    for _ in range(300):
        assert read(guarded, bad).status == 401
    assert guarded.events.cpu_seconds() - before < patience(0.3)


def test_public_key_as_a_secret(make_site):
    """RS256 made HS256 with the public key: the header decides nothing."""
    site = start(make_site, jwt_alg="RS256", jwt_key="@" + public_key("RS256"))
    with open(public_key("RS256"), encoding="ascii") as file:
        pem = file.read()
    for key in (pem, pem.strip(), pem.replace("\n", "")):
        for alg in ("HS256", "RS256"):
            head = b64url(json.dumps({"alg": alg}).encode())
            message = head + "." + b64url(json.dumps(claims()).encode())
            bad = message + "." + b64url(sign("HS256", message.encode(), key))
            assert refusal(read(site, bad)) == (401, "token_invalid")
    assert read(site, token(alg="RS256"), "/jobs/mine").status == 200


@pytest.mark.parametrize("before", ["", "RSA key of the issuer\n\n"])
def test_public_key_as_the_secret_is_no_configuration(make_site, before):
    site = make_site()
    with open(public_key("RS256"), encoding="ascii") as pem:
        text = before + pem.read()
    with open(f"{site.root}/key", "w", encoding="ascii") as key:
        key.write(text)
    site.configure(
        events_auth="jwt", jwt_alg="HS256", jwt_key=f"@{site.root}/key"
    )
    server = site.spawn("events")
    assert server.wait_exit() == 1
    assert "bad_jwt_key" in server.log_text()


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_key_of_another(make_site, alg):
    site = start(make_site, jwt_alg=alg, jwt_key="@" + public_key(alg))
    bad = [
        token(alg=alg, key=private_key(alg, "second")),
        token(alg="HS256"), unsigned({"alg": alg}),
    ]
    head, payload, signature = token(alg=alg).split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    for other in (bytes(len(raw)), raw[:-1], raw + b"\0", raw[::-1],
                  b"\xff" * len(raw), b"", b"\0"):
        bad.append(f"{head}.{payload}.{b64url(other)}")
    for text in bad:
        assert refusal(read(site, text)) == (401, "token_invalid"), text


def test_expired(guarded):
    for ttl in (-3600, -1, 0):
        answer = read(guarded, token(claims(ttl=ttl)))
        assert refusal(answer) == (401, "token_expired")


def test_clock_of_the_issuer(guarded):
    """It may be some seconds ahead."""
    now = int(time.time())
    for good in (claims(nbf=now + 5), claims(iat=now + 5),
                 claims(nbf=now - 99), claims(iat=now + 0.5),
                 claims(iat=None), claims(exp=now + 60.5)):
        assert read(guarded, token(good), "/jobs/mine").status == 200, good


def test_token_of_a_megabyte(guarded):
    """It is no request: the head has a limit."""
    exchange = guarded.endpoint("events").open(
        "GET", "/api/v1/events/mine", bearer("a" * (1 << 20))
    )
    with pytest.raises(ConnectionError):
        exchange.finish()
    assert get(guarded, "/healthz").status == 200


def test_token_just_below_the_limit_of_a_head(guarded):
    for text in ("a" * 64000, "." * 64000, token(claims(x="x" * 47000))):
        assert len(text) > 60000
        assert refusal(read(guarded, text)) == (401, "token_invalid")


@pytest.mark.parametrize("job", ["other", "none", "unknown"])
@pytest.mark.parametrize(
    "form", ["/events/{}", "/jobs/{}", "/events/{}?format=json",
             "/events?job_id=mine&job_id={}", "/events/{}?last_event_id=x"],
)
def test_token_for_another_job(guarded, form, job):
    answer = read(guarded, token(), form.format(job))
    assert refusal(answer) == (403, "job_forbidden")
    wanted = read(guarded, token(), form.format("other"))
    assert answer.body == wanted.body


# -- where a token may be ----------------------------------------------------


@pytest.mark.parametrize(
    "headers", [
        {}, {"Authorization": ""}, {"Authorization": "Bearer"},
        {"Authorization": "Bearer "}, {"Authorization": "Basic YTpi"},
        {"Authorization": "Bearerx"}, {"Cookie": "jobwire_token=abc"},
    ],
)
@pytest.mark.parametrize("target", [JOB, "/events", "/jobs/mine"])
def test_no_token(guarded, headers, target):
    """Without a name set, no cookie counts. It is no failed attempt."""
    answer = get(guarded, target, headers)
    assert refusal(answer) == (401, "token_missing")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert read_metrics(guarded).total("auth_failures_total") == 0


@pytest.mark.parametrize("target", ["/healthz", "/metrics"])
def test_watchers_need_no_token(guarded, target):
    assert get(guarded, target).status == 200


def test_options_need_no_token(guarded):
    assert get(guarded, JOB, method="OPTIONS").status == 204


def test_token_in_the_query_is_none(guarded):
    for name in ("token", "access_token", "jwt", "ticket"):
        answer = get(guarded, f"{JOB}?{name}={token()}")
        assert refusal(answer) == (401, "token_missing")


@pytest.fixture(name="baker")
def fixture_baker(make_site):
    """Cookies count."""
    return start(make_site, jwt_cookie="jobwire_token")


def test_token_in_the_cookie(baker):
    good = token()
    for text in ("jobwire_token={}", "a=b; jobwire_token={}; c=d",
                 "x;jobwire_token={};y", "jobwire_token=; jobwire_token={}",
                 "jobwire_token={0}; jobwire_token={0}"):
        answer = get(baker, "/jobs/mine", {"Cookie": text.format(good)})
        assert answer.status == 200, text


def test_cookie_of_another_name(baker):
    good = token()
    for text in ("jobwire_toke={}", "Jobwire_token={}", "a=jobwire_token={}",
                 "xjobwire_token={}", "jobwire_token", "=;=", "{}"):
        answer = get(baker, JOB, {"Cookie": text.format(good)})
        assert refusal(answer) == (401, "token_missing"), text


def test_header_and_cookie_disagree(baker):
    """Two good ones of different subjects; one subject may have two."""
    good, same = token(), token(claims(jti="another"))
    other = token(claims(sub="bob"))
    cookies = "jobwire_token={}; jobwire_token={}"
    for headers in (
        {**bearer(good), "Cookie": f"jobwire_token={other}"},
        {"Cookie": cookies.format(good, other)},
        {"Cookie": "jobwire_token=x; " + cookies.format(good, other)},
    ):
        assert refusal(get(baker, JOB, headers)) == (400, "token_conflict")
    for headers in (
        {**bearer(good), "Cookie": f"jobwire_token={same}"},
        {"Cookie": cookies.format(good, same)},
        {"Authorization": "Basic YTpi", "Cookie": f"jobwire_token={good}"},
    ):
        assert get(baker, "/jobs/mine", headers).status == 200


def test_old_cookie_beside_a_good_one(baker):
    """A browser sends both, for ever: the old one of another path or domain
    shuts nobody out, wherever it stands."""
    now = int(time.time())
    late = token(claims(exp=now - 60, iat=now - 120))
    taken = token(claims(jti="taken"))
    baker.tool("token", "revoke", "--jti", "taken")
    for bad in (late, taken, "rubbish", token(key=OTHER)):
        for text in ("t={0}; t={1}", "t={1}; t={0}", "t={0}; t={0}; t={0}; t={1}"):
            cookie = text.replace("t=", "jobwire_token=").format(bad, token())
            answer = get(baker, "/jobs/mine", {"Cookie": cookie})
            assert answer.status == 200, text
        headers = {**bearer(bad), "Cookie": f"jobwire_token={token()}"}
        assert get(baker, "/jobs/mine", headers).status == 200
    assert read_metrics(baker).total("auth_failures_total") == 0


def test_four_tokens_are_tried(baker):
    cookie = "; ".join(["jobwire_token=rubbish"] * 4 + [f"jobwire_token={token()}"])
    assert refusal(get(baker, JOB, {"Cookie": cookie})) == (401, "token_invalid")


def test_no_good_token_is_refused_as_the_first(baker):
    now = int(time.time())
    late = token(claims(exp=now - 60, iat=now - 120))
    taken = token(claims(jti="taken"))
    baker.tool("token", "revoke", "--jti", "taken")
    codes = {late: "token_expired", taken: "token_revoked",
             "rubbish": "token_invalid"}
    for first, code in codes.items():
        for second in codes:
            headers = {"Cookie": f"jobwire_token={first}; jobwire_token={second}"}
            assert refusal(get(baker, JOB, headers)) == (401, code)
            headers = {**bearer(first), "Cookie": f"jobwire_token={second}"}
            assert refusal(get(baker, JOB, headers)) == (401, code)


# -- which rule --------------------------------------------------------------

BROKEN = {
    "form": lambda: "a.b",
    "alg": lambda: token(header={"alg": "none"}),
    "signature": lambda: token(key=OTHER),
    "sub": lambda: token(claims(sub=42)),
    "exp": lambda: token(b'{"sub":"alice","exp":1.9e9}'),
    "life": lambda: token(claims(ttl=10 * 366 * 86400)),
    "jobs": lambda: token(claims(jobs="a")),
    "expired": lambda: token(claims(exp=int(time.time()) - 9)),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_refusal_is_logged_by_rule(guarded, rule):
    """One line a minute, without the token; the metric counts all. The command
    says the same of the token."""
    bad = BROKEN[rule]()
    for _ in range(3):
        assert read(guarded, bad).status == 401
    lines = [
        line for line in guarded.events.log_text().splitlines()
        if "event=token_refused" in line
    ]
    assert len(lines) == 1 and f"rule={rule} " in lines[0]
    assert bad not in guarded.events.log_text()
    assert read_metrics(guarded).value("auth_failures_total", rule=rule) == 3
    done = guarded.tool("token", "check", bad, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith(f"refused: {rule} (needs: ")
    done = guarded.tool("token", "check", bad, "--json", check=False)
    assert json.loads(done.stdout)["rule"] == rule


def test_token_check(guarded, make_site):
    done = guarded.tool("token", "check", token())
    assert done.stdout.startswith('good: "sub":"alice"')
    for arguments in ((), ("-",)):
        done = subprocess.run(
            [program("jobwire"), "token", "check", *arguments, "--json",
             "--config", guarded.config],
            input=f"{token()}\n", capture_output=True, text=True, check=True,
        )
        assert json.loads(done.stdout)["sub"] == "alice"
    for site, arguments in (
        (guarded, ("a.b.c", "d")), (make_site(jwt_key=None), ("a.b.c",)),
    ):
        done = site.tool("token", "check", *arguments, check=False)
        assert (done.returncode, done.stdout) == (2, "")


def test_jobs_null_is_absent(guarded):
    good = token(b'{"sub":"alice","exp":%d,"jobs":null}' % (time.time() + 60))
    assert read(guarded, good, "/jobs/mine").status == 200


def test_refusals_can_be_read_by_pages(make_site):
    origin = "https://app.example"
    site = start(make_site, cors_origins=origin)
    answer = get(site, JOB, {"Origin": origin})
    assert answer.status == 401
    assert answer.headers["access-control-allow-origin"] == origin


# -- the configuration -------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [
        {}, {"jwt_key": "short"}, {"jwt_key": "@/nonexistent"},
        {"jwt_key": "@/dev/null"}, {"jwt_key": "a=@/nonexistent"},
        {"jwt_alg": "RS256", "jwt_key": HS_SECRET},
        {"jwt_alg": "RS256", "jwt_key": "ES256"},
        {"jwt_alg": "ES256", "jwt_key": "RS256"},
        {"jwt_alg": "ES256", "jwt_key": "private"},
    ],
)
def test_check_finds_bad_keys(make_site, settings):
    """And the program does not start with them."""
    key = settings.get("jwt_key")
    if key in ("RS256", "ES256"):
        settings = {**settings, "jwt_key": "@" + public_key(key)}
    elif key == "private":
        settings = {**settings, "jwt_key": "@" + private_key("ES256")}
    site = make_site(events_auth="jwt", **settings)
    for flags in (["--check"], []):
        server = site.spawn("events", *flags)
        assert server.wait_exit() == 1
    assert server.log_text().count("event=bad_jwt_key") == 2
