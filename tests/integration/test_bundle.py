"""The bundle for hosts that only take uploads, unpacked on one: Apache with
mod_cgid that reads its .htaccess, and nothing else of jobwire's."""

import contextlib
import json
import os
import re
import subprocess

import pytest
from harness.process import read_text
from harness.publish import fixture
from harness.sharedhost import SharedHost
from harness.site import SECRET, events_target, source_root
from harness.sse import Stream
from harness.wait import patience, until

KEY = "publish-key-0123456789abcdef"
NOT_BUNDLED = r"lib(c|m|pthread|dl|rt|resolv)\.so|ld-linux|linux-vdso"


@pytest.fixture(name="bundle", scope="module")
def fixture_bundle():
    """What `make bundle` makes, and says."""
    done = subprocess.run(
        ["make", "-s", "--no-print-directory", "bundle", "FLAVOUR=release"],
        cwd=source_root(), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=patience(300), check=True,
    )
    last = done.stdout.splitlines()[-1]
    path, needs = re.fullmatch(r"(\S+): \S+, needs (.*)", last).groups()
    return os.path.join(source_root(), path), needs


@pytest.fixture(name="host")
def fixture_host(make_site, bundle):
    """A customer who has done what INSTALL.txt says."""
    host = SharedHost(make_site(init=False), bundle[0])
    host.set(webhook_secret=SECRET, publish_keys=KEY, poll="50ms")
    return host.start()


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
    assert len(text.splitlines()) <= 60, "more than a page"
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "@" not in text and f"with {bundle[1]}, Apache" in text


def test_libraries_are_beside_the_programs(make_site, bundle):
    host = SharedHost(make_site(init=False), bundle[0])
    folder = os.path.join(host.home, "cgi-bin")
    for name in ("events.cgi", "webhook.cgi"):
        needed = subprocess.run(
            ["ldd", os.path.join(folder, name)], env={}, capture_output=True,
            text=True, check=True,
        ).stdout
        for line in needed.splitlines():
            assert re.search(NOT_BUNDLED, line) or f"=> {folder}/lib/" in line
        assert f"{folder}/lib/libsqlite3.so" in needed


def test_first_request_makes_the_database(host):
    answer = host.endpoint.call("GET", "/healthz")
    assert (answer.status, answer.json()["status"]) == (200, "ok")
    assert os.path.exists(host.home + "/jobwire-db/jobwire.db")


def test_from_registration_to_the_end(host):
    """As in INSTALL.txt, with RunPod's call at the URL it was given."""
    made = publish(host, "/jobs", {"job_id": "test", "restore_id": "456"})
    target = made["webhook_url"].split("8080", 1)[-1]
    target = target[target.index("/api/v1/") :]
    with Stream(host.endpoint, events_target("test")) as stream:
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
    answer = host.endpoint.call("GET", "/api/v1/jobs/test")
    assert answer.json()["state"] == "completed"


def test_client_that_leaves(host):
    host.set(heartbeat="500ms")
    with Stream(host.endpoint, events_target("a")) as stream:
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
    host.start()
    assert host.endpoint.call("GET", "/page.html").status == 200
    for name in ("jobwire.conf", "jobwire.db", "jobwire.db-wal", ".htaccess"):
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
