"""The bundle for hosts that only take uploads, unpacked on one: Apache with
mod_cgid that reads its .htaccess, PHP, and nothing else of jobwire's."""

import contextlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from harness.process import read_text
from harness.publish import fixture
from harness.runpod import RunPod
from harness.sharedhost import PAGE_KEY, PASSWORD, SharedHost
from harness.site import SECRET, events_target, source_root
from harness.sse import Stream, data_of
from harness.wait import patience, until

KEY = "publish-key-0123456789abcdef"
NOT_BUNDLED = r"lib(c|m|pthread|dl|rt|resolv)\.so|ld-linux|linux-vdso"


@pytest.fixture(name="bundle", scope="module")
def fixture_bundle():
    """What `make bundle` makes, and says."""
    if not shutil.which("esbuild") and not os.path.exists(
        os.path.join(source_root(), "build/client/jobwire.js")
    ):
        pytest.skip("no esbuild, and no client that was built before")
    done = subprocess.run(
        ["make", "-s", "--no-print-directory", "bundle", "FLAVOUR=release"],
        cwd=source_root(), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=patience(300), check=True,
    )
    last = done.stdout.splitlines()[-1]
    path, needs = re.fullmatch(r"(\S+): \S+, needs (.*)", last).groups()
    return os.path.join(source_root(), path), needs


@pytest.fixture(name="home")
def fixture_home(make_site, bundle):
    """A customer who has done what INSTALL.txt says, before the first
    request."""
    host = SharedHost(make_site(init=False), bundle[0])
    host.set(
        base_url=f"http://127.0.0.1:{host.port}", webhook_secret=SECRET,
        publish_keys=KEY, poll="50ms",
    )
    host.write("jobwire/page.key", PAGE_KEY + "\n")
    host.write("jobwire/page.password", PASSWORD + "\r\n")
    return host


@pytest.fixture(name="host")
def fixture_host(home):
    """The same, running."""
    return home.start()


@pytest.fixture(name="cookie")
def fixture_cookie(host):
    """The header field of a visitor who has signed in."""
    return {"Cookie": host.sign_in()}


def publish(host, target, value):
    """A call of the publish API; its JSON."""
    headers = {
        "Content-Type": "application/json", "Authorization": f"Bearer {KEY}"
    }
    answer = host.endpoint.call(
        "POST", "/api/v1" + target, headers, json.dumps(value).encode()
    )
    assert answer.status == 201, answer
    return answer.json()


def test_instructions(make_site, bundle):
    text = read_text(SharedHost(make_site(init=False), bundle[0]).home + "/INSTALL.txt")
    assert len(text.splitlines()) <= 110, "more than two pages"
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "@" not in text and f"\n{bundle[1]},\nApache" in text


def test_what_is_in_it(make_site, bundle):
    home = SharedHost(make_site(init=False), bundle[0]).home
    source = source_root()
    for name, original in {
        "public_html/restore/jobwire.js": "build/client/jobwire.js",
        "public_html/restore/runs.js": "build/client/runs.js",
        "public_html/.htaccess": "contrib/htaccess.example",
        "jobwire/Jobwire.php": "publish/php/Jobwire.php",
    }.items():
        assert read_text(f"{home}/{name}") == read_text(f"{source}/{original}")
    modes = {
        "jobwire.conf": 0o600, "jobwire/jobwire-runner": 0o755,
        "cgi-bin/events.cgi": 0o755, "cgi-bin/webhook.cgi": 0o755,
        "cgi-bin/.htaccess": 0o644, "jobwire/.htaccess": 0o644,
        "public_html/restore/index.php": 0o644,
        "public_html/restore/page.js": 0o644,
    }
    for name, mode in modes.items():
        assert os.stat(f"{home}/{name}").st_mode & 0o7777 == mode, name


def test_libraries_are_beside_the_programs(make_site, bundle):
    host = SharedHost(make_site(init=False), bundle[0])
    for path in ("cgi-bin/events.cgi", "cgi-bin/webhook.cgi", "jobwire/jobwire-runner"):
        path = os.path.join(host.home, path)
        folder = os.path.dirname(path)
        needed = subprocess.run(
            ["ldd", path], env={}, capture_output=True, text=True, check=True,
        ).stdout
        for line in needed.splitlines():
            assert re.search(NOT_BUNDLED, line) or f"=> {folder}/lib/" in line
        assert f"{folder}/lib/libsqlite3.so" in needed
    assert f"{folder}/lib/libcurl.so" in needed


def test_first_request_makes_the_database(host):
    answer = host.endpoint.call("GET", "/healthz")
    assert (answer.status, answer.json()["status"]) == (200, "ok")
    assert os.path.exists(host.home + "/jobwire-db/jobwire.db")


def test_from_registration_to_the_end(host, cookie):
    """With RunPod's call at the URL it was given."""
    made = publish(
        host, "/jobs", {"job_id": "test", "restore_id": "456", "owner": "me"}
    )
    target = made["webhook_url"]
    target = target[target.index("/api/v1/") :]
    with Stream(host.endpoint, events_target("test"), cookie) as stream:
        stream.wait_open()
        publish(host, "/jobs/test/events", {"type": "progress"})
        assert stream.next().event == "progress"
        answer = host.endpoint.call(
            "POST", target, {"Content-Type": "application/json"},
            fixture("runpod-completed.json"),
        )
        assert answer.status == 200, answer
        assert stream.next().event == "completed"
        assert stream.wait_end() == []
        assert stream.reconnect().status == 204
    answer = host.endpoint.call("GET", "/api/v1/jobs/test", cookie)
    assert answer.json()["state"] == "completed"


def test_a_copy_of_the_database_is_put_back(host, cookie):
    """As INSTALL.txt says at its end: clients are told that something is gone."""
    folder = host.home + "/jobwire-db"
    programs = [f"{host.home}/cgi-bin/{name}.cgi" for name in ("events", "webhook")]
    publish(host, "/jobs", {"job_id": "test", "owner": "me"})
    publish(host, "/jobs/test/events", {"type": "kept"})
    for path in programs:
        os.chmod(path, 0o600)
    for path in ("/healthz", "/api/v1/webhooks/healthz"):
        assert host.endpoint.call("GET", path).status in (403, 500)
    copies = {
        name: Path(folder, name).read_bytes() for name in os.listdir(folder)
        if name in ("jobwire.db", "jobwire.db-wal")
    }
    for path in programs:
        os.chmod(path, 0o755)
    publish(host, "/jobs/test/events", {"type": "lost"})
    page = "/api/v1/events/test?format=json"
    last = host.endpoint.call("GET", page, cookie).json()["last_event_id"]
    for name in os.listdir(folder):
        os.unlink(f"{folder}/{name}")
    for name, content in copies.items():
        Path(folder, name).write_bytes(content)
        host.give(f"{folder}/{name}")
    told = host.endpoint.call("GET", f"{page}&last_event_id={last}", cookie).json()["events"]
    assert [event["event"] for event in told] == ["resync", "kept"]


def call_of_page(host, cookie, job, action, value):
    """As runs.js does."""
    headers = {**cookie, "Content-Type": "application/json"}
    return host.endpoint.call(
        "POST", f"/api/v1/jobs/{job}/{action}", headers, json.dumps(value).encode()
    )


@pytest.fixture(name="runpod")
def fixture_runpod(home):
    """A RunPod, and the settings and the key that INSTALL.txt asks for."""
    runpod = RunPod(home.site).start()
    settings = runpod.settings()
    home.write("jobwire/runpod.key", read_text(settings.pop("runpod_key")[1:]))
    home.set(**settings)
    return runpod


def test_page_restores_a_photo(runpod, host, cookie):
    """It starts the job, cron submits it, the webhook ends it."""
    answer = call_of_page(host, cookie, "a", "restore", {"input": {"image": "x"}})
    assert answer.status == 202, answer
    with Stream(host.endpoint, events_target("a"), cookie) as stream:
        assert stream.next().event == "queued"
        assert host.cron() == ""
        events = stream.wait_end()
    assert events[-1].event == "completed"
    assert "echo" in data_of(events[-1])["output"]
    assert len(runpod.jobs()) == 1


def test_page_cancels(runpod, host, cookie):
    assert call_of_page(host, cookie, "a", "restore", {"input": {}}).status == 202
    answer = call_of_page(host, cookie, "a", "cancel", {})
    assert answer.json()["status"] == "cancelled"
    assert host.cron() == "" and runpod.jobs() == {}


def test_page_is_for_those_who_know_the_password(host):
    answer = host.endpoint.call("GET", "/restore/")
    assert answer.status == 200 and b'type="password"' in answer.body
    assert b"page.js" not in answer.body and b"@GLIBC@" not in answer.body
    assert host.sign_in("wrong") is None
    answer = call_of_page(host, {}, "a", "restore", {"input": {}})
    assert answer.error() == "token_missing"
    for name in ("page.js", "jobwire.js", "runs.js"):
        assert host.endpoint.call("GET", f"/restore/{name}").status == 200


def test_page_says_what_is_missing(host):
    for name in ("page.password", "page.key", "Jobwire.php"):
        os.rename(f"{host.home}/jobwire/{name}", f"{host.home}/jobwire/away")
        answer = host.endpoint.call("GET", "/restore/")
        assert answer.status == 500
        assert answer.body.startswith(f"jobwire/{name} is missing".encode())
        os.rename(f"{host.home}/jobwire/away", f"{host.home}/jobwire/{name}")
    host.write("jobwire/page.password", "short")
    answer = host.endpoint.call("GET", "/restore/")
    assert answer.body.startswith(b"jobwire/page.password is missing")


def test_cron_says_what_is_missing(runpod, host):
    os.unlink(host.home + "/jobwire/runpod.key")
    host.cron()
    assert "event=bad_secret" in read_text(host.home + "/jobwire/runner.log")
    assert "jobwire/runpod.key" in read_text(host.home + "/jobwire/runner.log")
    host.set(nonsense="1")
    assert "unknown setting nonsense" in host.cron()
    os.unlink(host.home + "/jobwire.conf")
    assert "jobwire.conf" in host.cron()
    assert runpod.jobs() == {}


def test_key_and_settings_that_are_missing(host):
    os.rename(host.home + "/jobwire/page.key", host.home + "/page.key")
    assert host.endpoint.call("GET", "/healthz").status == 500
    assert "jobwire/page.key" in host.logs()
    os.rename(host.home + "/jobwire.conf", host.home + "/cgi-bin/jobwire.conf")
    assert host.endpoint.call("GET", "/healthz").status == 500
    assert f"no {host.home}/jobwire.conf" in host.logs()


def test_client_that_leaves(host, cookie):
    host.set(heartbeat="500ms")
    call = call_of_page(host, cookie, "a", "restore", {"input": {}})
    assert call.error() == "runs_off"
    publish(host, "/jobs", {"job_id": "a", "owner": "me"})
    with Stream(host.endpoint, events_target("a"), cookie) as stream:
        stream.wait_open()
        assert running(host)
    until(lambda: not running(host), "the process to end", 10)


def running(host):
    """The processes of events.cgi."""
    path = os.path.join(host.home, "cgi-bin", "events.cgi")
    found = []
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit() and os.readlink(f"/proc/{name}/exe") == path:
                found.append(name)
    return found


def test_nothing_secret_is_given_out(make_site, bundle):
    """Also when it was put into the wrong folder."""
    host = SharedHost(make_site(init=False), bundle[0])
    host.upload(host.home + "/jobwire.conf", "public_html", "jobwire.conf")
    for name in ("jobwire.db", "jobwire.db-wal", "page.html"):
        host.upload(host.home + "/INSTALL.txt", "public_html", name)
    shutil.copytree(host.home + "/jobwire", host.home + "/public_html/jobwire")
    host.write("public_html/jobwire/page.key", PAGE_KEY)
    host.start()
    assert host.endpoint.call("GET", "/page.html").status == 200
    for name in (
        "jobwire.conf", "jobwire.db", "jobwire.db-wal", ".htaccess",
        "jobwire/page.key", "jobwire/Jobwire.php", "jobwire/jobwire-runner",
    ):
        assert host.endpoint.call("GET", "/" + name).status in (403, 404), name


def test_mistake_in_the_settings(host):
    """An EventSource that comes meanwhile is told to come again."""
    host.set(nonsense="1")
    with Stream(host.endpoint, events_target("a")) as stream:
        assert stream.status == 200
        assert stream.wait_end() == [] and stream.parser.retry == 30000
    assert "unknown setting nonsense" in host.logs()
    assert host.endpoint.call("GET", "/healthz").status == 500


def test_arguments_from_the_query(host):
    """Apache makes the words of a query without = arguments."""
    answer = host.endpoint.call("GET", "/healthz?--help+--db+/nonexistent/x")
    assert answer.json()["status"] == "ok"
