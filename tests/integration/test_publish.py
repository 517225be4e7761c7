"""publish/: the same calls in Python, PHP and Node, over the database file and
over HTTP, seen by who reads a stream."""

import ast
import http.server
import importlib.util
import json
import os
import shutil
import subprocess
import threading

import pytest
from harness import leaks
from harness.helper import LANGUAGES, Helper, Refused, refusal_of, skip_without_sqlite
from harness.inbound import KEY, as_bytes, count
from harness.nginx import Nginx
from harness.process import read_text
from harness.reading import get, get_json, stream_at
from harness.site import PREFIX, SECRET, source_root
from harness.sse import data_of
from harness.tokens import HS_SECRET, bearer
from harness.wait import patience, until

VECTORS = os.path.join(source_root(), "tests", "vectors")
WAYS = ["database", "http"]
NOWHERE = "http://127.0.0.1:9/api/v1"


@pytest.fixture(name="language", params=LANGUAGES)
def fixture_language(request):
    return request.param


@pytest.fixture(name="shop")
def fixture_shop(make_site):
    """All that a helper may ask for, behind nginx."""
    site = make_site()
    site.web = Nginx(site)
    site.base = f"http://127.0.0.1:{site.web.port}"
    site.url = site.base + PREFIX
    site.configure(
        base_url=site.base, publish_keys=KEY, events_auth="ticket",
        jwt_key=HS_SECRET, runpod_actions="restore=abc123",
    )
    site.start_both()
    site.web.start()
    return site


@pytest.fixture(name="helper", params=WAYS)
def fixture_helper(request, language, shop):
    """connect() to the shop, in each language and both ways."""
    with connect(language, shop, request.param) as helper:
        yield helper


def connect(language, site, way, **options):
    if way == "database":
        skip_without_sqlite(language)
    return Helper(
        language, site.db if way == "database" else site.url,
        **{"url": site.url, "key": KEY, "webhook_secret": SECRET,
           "jwt_key": HS_SECRET, **options},
    )


def read(site, helper, job, sub="alice", jobs=None):
    """A stream as a page opens it: with a ticket."""
    ticket = leaks.secret(helper.call("ticket", sub, jobs or [job]))
    return stream_at(site, f"{PREFIX}/events/{job}?ticket={ticket}")


# --- vectors ------------------------------------------------------------------


def vectors(name):
    with open(os.path.join(VECTORS, name), encoding="utf-8") as file:
        return json.load(file)


def result_of(helper, *args, **options):
    """What is returned, or the code of the refusal."""
    try:
        return helper.call(*args, **options)
    except Refused as refused:
        return refused.code


def test_vectors_of_webhook_urls(language):
    """tests/unit/test_vectors.c has the same of C."""
    with Helper(language, NOWHERE) as helper:
        for vector in vectors("webhook-urls.json"):
            helper.connect(vector["base_url"] + vector["api_prefix"],
                           webhook_secret=vector["webhook_secret"])
            made = result_of(
                helper, "webhook_url", vector["job_id"],
                restore_id=vector["restore_id"], provider=vector["provider"],
                expires_at=vector["exp"],
            )
            assert made == vector.get("refused", vector.get("url")), vector["name"]


def test_vectors_of_tokens(language, tmp_path):
    with Helper(language, NOWHERE) as helper:
        for vector in vectors("tokens.json"):
            key = vector["jwt_key"]
            if vector["kid"]:
                (tmp_path / "key").write_text(key)
                key = f"{vector['kid']}=@{tmp_path / 'key'}"
            helper.connect(NOWHERE, jwt_key=key, jwt_issuer=vector["issuer"],
                           jwt_audience=vector["audience"])
            made = result_of(
                helper, "token", vector["sub"], vector["jobs"],
                expires_at=vector["exp"], issued_at=vector["iat"],
                jti=vector["jti"],
            )
            assert made == vector.get("refused", vector.get("token")), vector["name"]


# --- each call ----------------------------------------------------------------


def test_published_events_reach_a_stream(shop, helper):
    first = helper.call("publish", "job-1", "processing")
    with read(shop, helper, "job-1") as stream:
        event = stream.next()
        assert (event.id, event.event) == (first, "processing")
        second = helper.call(
            "publish", "job-1", "progress", {"progress": 40, "text": 'ä"\u2028'}
        )
        event = stream.next()
        assert (event.id, event.event) == (second, "progress")
        assert data_of(event)["text"] == 'ä"\u2028'
        helper.call("publish", "job-1", "completed", '{"output":12345678901234567890}')
        (event,) = stream.wait_end()
        assert event.data.endswith('"output":12345678901234567890}')


def test_a_key_publishes_once(shop, helper):
    first = helper.call("publish", "a", "step", {"n": 1}, idempotency_key="k 1")
    assert helper.call("publish", "a", "step", {"n": 1}, idempotency_key="k 1") == first
    assert helper.call("publish", "b", "step", {"n": 1}, idempotency_key="k 1") != first
    assert len(shop.writer.rows("a")) == 1


def test_what_is_refused_has_the_same_code_both_ways(shop, helper):
    for code, *args in [
        ("bad_job_id", "a b", "step"), ("bad_job_id", "a\n", "step"),
        ("bad_type", "a", "Step"), ("bad_type", "a", "resync"),
        ("bad_payload", "a", "step", "[1]"), ("bad_payload", "a", "step", [1]),
        ("bad_payload", "a", "step", '{"a":1}}'),
        ("data_too_large", "a", "step", {"x": "y" * (1 << 20)}),
    ]:
        assert refusal_of(helper, "publish", *args) == code
    assert count(shop, "job_events") == 0


def test_data_that_are_empty_are_an_object(shop, helper):
    helper.call("publish", "a", "step", {})
    assert json.loads(shop.writer.rows("a")[0][3] or "{}") == {}


def test_registration(shop, helper):
    made = helper.call("register", "job-1", owner="alice", external_id="e1", restore_id="r1")
    assert made["job_id"] == "job-1"
    assert made["events_url"].endswith("/api/v1/events/job-1")
    assert made["webhook_url"].partition("exp=")[0].endswith(
        "/api/v1/webhooks/runpod-completion?job_id=job-1&restore_id=r1&")
    report = as_bytes({"id": "e1", "status": "COMPLETED"})
    assert shop.post(made["webhook_url"].removeprefix(shop.base), report).status == 200
    row = shop.writer.connection.execute(
        "SELECT owner, external_id, restore_id, state FROM jobs").fetchall()
    assert row == [("alice", "e1", "r1", "completed")]
    assert helper.call("register", "job-1")["job_id"] == "job-1"
    assert refusal_of(helper, "register", "job-1", owner="bob") == "job_owned"
    assert len(helper.call("register")["job_id"]) == 32


def test_a_ticket_opens_one_request(shop, helper):
    shop.writer.own("mine", "alice")
    for job in ("mine", "other"):
        shop.writer.publish(job, "step")
    ticket = leaks.secret(helper.call("ticket", "alice"))
    target = f"/events/mine?format=json&ticket={ticket}"
    assert get(shop, target).status == 200
    assert get(shop, target).error() == "ticket_invalid"
    ticket = helper.call("ticket", "alice", ["other"], job_ids=["other"])
    assert get(shop, f"/events/mine?format=json&ticket={ticket}").status == 403
    ticket = helper.call("ticket", "alice", ["other"])
    get_json(shop, f"/events/other?ticket={ticket}")


def test_a_token_reads(shop, helper):
    shop.writer.own("mine", "alice")
    token = leaks.secret(helper.call("token", "alice", ["other"]))
    for job in ("mine", "other"):
        shop.writer.publish(job, "step")
        assert get(shop, f"/events/{job}?format=json", bearer(token)).status == 200
    shop.writer.publish("third", "step")
    assert get(shop, "/events/third?format=json", bearer(token)).status == 403


def test_start(shop, helper):
    run = helper.call("start", "job-1", "restore", '{"seed":1234567890123456789}',
                      restore_id="r1", policy={"ttl": 60000}, idempotency_key="click")
    assert run["status"] == "queued" and run["restore_id"] == "r1"
    assert helper.call("start", "job-1", "restore", '{"seed":1234567890123456789}',
                       restore_id="r1", policy={"ttl": 60000},
                       idempotency_key="click") == run
    assert refusal_of(helper, "start", "job-1", "restore", {}) == "job_running"
    assert refusal_of(helper, "start", "job-2", "nonsense", {}) == "unknown_action"
    (stored,) = shop.writer.connection.execute("SELECT input, policy FROM runs").fetchall()
    assert stored == ('{"seed":1234567890123456789}', '{"ttl":60000}')


def test_the_url_is_that_of_the_command_line(shop, language):
    """Byte for byte, in the same second."""
    with connect(language, shop, "http") as helper:
        def same():
            ours = shop.tool("url", "job-1", "--restore-id", "r 1/ü").stdout.strip()
            return ours == helper.call("webhook_url", "job-1", restore_id="r 1/ü")
        until(same, "both to sign in the same second")


# --- trouble ------------------------------------------------------------------


def test_connect_with_too_little_says_what_is_missing(shop, language):
    with Helper(language, shop.url) as helper:
        for name, args in [
            ("publish", ("a", "step")), ("register", ()), ("webhook_url", ("a",)),
            ("start", ("a", "restore", {})), ("token", ("alice",)), ("ticket", ("alice",)),
        ]:
            assert refusal_of(helper, name, *args) == "not_configured"
        for options in ({"webhook_secret": "short"}, {"jwt_key": "too-short-for-hs256"},
                        {"key": "@/nowhere"}):
            with pytest.raises(Refused) as caught:
                helper.connect(shop.url, **options)
            assert caught.value.code == "not_configured"


def test_a_wrong_key(shop, language):
    with connect(language, shop, "http", key="a-key-of-somebody-else") as helper:
        assert refusal_of(helper, "publish", "a", "step") == "publish_key_invalid"


def test_a_server_that_is_away_for_a_moment(shop, language):
    """The call is sent again, and its event is stored once."""
    with connect(language, shop, "http", timeout=patience(20)) as helper:
        shop.webhook.terminate()
        shop.webhook.is_expected_dead = True
        back = threading.Timer(0.3, lambda: shop.start("webhook"))
        back.start()
        helper.call("publish", "a", "step")
        back.join()
        assert len(shop.writer.rows("a")) == 1
        shop.web.stop()
    with connect(language, shop, "http", timeout=0.5) as helper:
        assert refusal_of(helper, "publish", "a", "step") == "unreachable"


class Foreign(http.server.BaseHTTPRequestHandler):
    """A server that is not jobwire's: it sends elsewhere, and keeps what came."""

    def do_POST(self):
        self.server.seen.append(self.path)
        self.send_response(302)
        self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/other")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_):
        pass


def test_no_redirect_is_followed(language):
    """Or the key would go to whoever is named there."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Foreign) as server:
        server.seen = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/api/v1"
        with Helper(language, url, key=KEY) as helper:
            assert refusal_of(helper, "publish", "a", "step") == "http_302"
        server.shutdown()
        assert server.seen == ["/api/v1/jobs/a/events"]


def test_the_database_is_found_anew(shop, language):
    """What was committed to a file that has gone would be lost."""
    with connect(language, shop, "database") as helper:
        helper.call("publish", "a", "step")
        shop.replace_database()
        helper.call("publish", "a", "second")
        assert [kind for _, _, kind, _ in shop.writer.rows("a")] == ["second"]


def test_no_database_is_made(language, tmp_path):
    skip_without_sqlite(language)
    path = tmp_path / "missing.db"
    with Helper(language, str(path)) as helper:
        assert refusal_of(helper, "publish", "a", "step") == "database_missing"
    assert not path.exists()
    path.write_bytes(b"")
    with Helper(language, str(path)) as helper:
        assert refusal_of(helper, "publish", "a", "step") == "database_error"


def test_a_locked_database(shop, language):
    with connect(language, shop, "database", timeout=0.3) as helper:
        helper.call("publish", "a", "step")
        shop.writer.connection.execute("BEGIN IMMEDIATE")
        assert refusal_of(helper, "publish", "a", "step") == "database_busy"
        shop.writer.connection.execute("COMMIT")
        helper.call("publish", "a", "step")


# --- the packages -------------------------------------------------------------


def test_python_is_of_3_9():
    ast.parse(read_text(os.path.join(source_root(), "publish/python/jobwire.py")),
              feature_version=(3, 9))


def test_python_after_a_fork(shop):
    """A connection that a child shared would damage the database."""
    code = (
        "import os, sys, threading; sys.path.insert(0, 'publish/python')\n"
        "import jobwire\n"
        f"jw = jobwire.connect({shop.db!r})\n"
        "jw.publish('a', 'step')\n"
        "pid = os.fork()\n"
        "threads = [threading.Thread(target=jw.publish, args=('a', 'step')) for _ in range(9)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "pid == 0 or sys.exit(os.waitpid(pid, 0)[1])\n"
    )
    subprocess.run(["/usr/bin/python3", "-c", code], cwd=source_root(), check=True)
    assert len(shop.writer.rows("a")) == 19


PACKAGES = {
    "python": [
        ["/usr/bin/python3", "-m", "pip", "wheel", "-q", "--no-index", "--no-deps",
         "--no-build-isolation", "-w", "OUT", "FOLDER"],
        ["/usr/bin/python3", "-m", "pip", "install", "-q", "--no-index", "--target",
         "OUT/site", "OUT/jobwire_publish-VERSION-py3-none-any.whl"],
        ["/usr/bin/python3", "-c", "import sys; sys.path = ['OUT/site', *sys.path];"
         " import jobwire; assert jobwire.__file__.startswith('OUT')"],
    ],
    "php": [
        ["composer", "validate", "--strict", "-q", "-d", "FOLDER"],
        ["composer", "init", "-q", "-n", "-d", "OUT", "--name", "site/site",
         "--repository", '{"type":"path","url":"FOLDER","options":{"symlink":false}}'],
        ["composer", "require", "-q", "-n", "-d", "OUT", "jobwire/publish:@dev"],
        ["php", "-r", "require 'OUT/vendor/autoload.php';"
         " Jobwire\\connect('https://h.example/api/v1');"],
    ],
    "node": [
        ["npm", "pack", "--silent", "--pack-destination", "OUT", "FOLDER"],
        ["npm", "install", "--silent", "--offline", "--prefix", "OUT",
         "OUT/jobwire-publish-VERSION.tgz"],
        ["node", "--input-type=module", "-e",
         "import { connect } from 'OUT/node_modules/jobwire-publish/jobwire.js';"
         " connect('https://h.example/api/v1')"],
    ],
}


def test_its_package_is_built_and_installed_offline(language, tmp_path):
    version = read_text(os.path.join(source_root(), "VERSION")).strip()
    folder = str(tmp_path / language)
    shutil.copytree(os.path.join(source_root(), "publish", language), folder)
    (tmp_path / "out").mkdir()
    for argv in PACKAGES[language]:
        if shutil.which(argv[0]) is None:
            pytest.skip(f"no {argv[0]}")
        if "pip" in argv and importlib.util.find_spec("pip") is None:
            pytest.skip("no pip")
        for word, value in [("OUT", str(tmp_path / "out")), ("FOLDER", folder),
                            ("VERSION", version)]:
            argv = [part.replace(word, value) for part in argv]
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=patience(60), check=False,
            env={**os.environ, "HOME": str(tmp_path), "COMPOSER_DISABLE_NETWORK": "1",
                 "COMPOSER_ALLOW_SUPERUSER": "1"},
        )
        assert done.returncode == 0, (argv, done.stdout, done.stderr)


def test_versions_are_those_of_the_source():
    version = read_text(os.path.join(source_root(), "VERSION")).strip()
    for path, line in [
        ("python/jobwire.py", f'__version__ = "{version}"'),
        ("php/Jobwire.php", f"const VERSION = '{version}';"),
        ("node/jobwire.js", f'export const VERSION = "{version}";'),
        ("node/package.json", f'"version": "{version}"'),
    ]:
        assert line in read_text(os.path.join(source_root(), "publish", path)), path
