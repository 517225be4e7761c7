"""events.cgi as a process: how it is set up, how it reads, how it ends, what it
costs."""

import os
import re
import shutil
import signal
import socket
import subprocess

import pytest
from harness.cgi import CgiEndpoint, cgi_stream, install, wait_ended
from harness.process import Server, read_text
from harness.reading import get, kinds
from harness.site import is_sanitized, program
from harness.wait import patience, until

MIB = 1 << 20
TARGET = "/api/v1/events/a"
STREAM = {"Accept": "text/event-stream"}
REQUEST = {
    "GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "GET",
    "REQUEST_URI": "/api/v1/healthz",
}


@pytest.fixture(name="cgi", params=["pipe", "socket"])
def fixture_cgi(make_site, request):
    """A site with nothing running: each request is a process."""
    return CgiEndpoint(make_site(), carrier=request.param)


def run(path, *arguments, environment=None, **options):
    """From a shell, or with an environment of its own."""
    options = {"stdin": subprocess.DEVNULL, **options}
    return subprocess.run(
        [path, *arguments], env=environment or {}, capture_output=True,
        text=True, timeout=patience(20), check=False, **options,
    )


# -- set-up ------------------------------------------------------------------


def test_arguments_of_a_request_count_for_nothing(cgi):
    """RFC 3875, section 4.4: a query without = becomes arguments."""
    answer = cgi.call(
        "GET", "/api/v1/healthz?--help",
        arguments=["--help", "--db=/nonexistent/x", "--nonsense"],
    )
    assert answer.json()["status"] == "ok"


def test_from_a_shell(make_site):
    site = make_site()
    path = install(site, "events.cgi")
    assert run(path, "--help").stdout.startswith("usage: events.cgi")
    assert re.fullmatch(r"events\.cgi \d\S*\n", run(path, "--version").stdout)
    done = run(path, "--check")
    assert done.returncode == 0
    for line in (
        f"db = {site.db}", "lifetime = 50s", "max_streams = 15",
        "poll = 100ms", f"database: ok, epoch {site.writer.epoch()}",
    ):
        assert line in done.stdout.splitlines()
    done = run(path)
    assert done.returncode == 1 and "event=cannot_listen" in done.stderr
    assert run(path, "--nonsense").returncode == 2


def test_database_is_made_by_the_first_request(make_site):
    """Relative to the settings file, its folder included; also when many come
    first at once."""
    site = make_site(init=False, db="data/jobs.db")
    cgi = CgiEndpoint(site)
    done = run(cgi.path, "--check")
    assert done.returncode == 0 and "database: none yet" in done.stdout
    assert not os.path.exists(os.path.join(site.root, "data"))
    streams = [cgi_stream(cgi, "a") for _ in range(8)]
    for stream in streams:
        stream.wait_open()
        assert stream.comments[0].startswith(" jobwire 1 epoch=")
        stream.close()
    data = os.path.join(site.root, "data")
    assert os.stat(data).st_mode & 0o777 == 0o700
    site.db = os.path.join(data, "jobs.db")
    assert len(site.writer.epoch()) == 8


def test_default_database(make_site):
    site = make_site(init=False, db=None)
    CgiEndpoint(site).call("GET", "/api/v1/healthz")
    assert os.path.exists(os.path.join(site.root, "jobwire-db", "jobwire.db"))


def test_another_settings_file(make_site, tmp_path):
    cgi = CgiEndpoint(make_site())
    other = tmp_path / "other.conf"
    other.write_text("db = other.db\n")
    extra = {"JOBWIRE_CONFIG": str(other)}
    assert cgi.call("GET", "/api/v1/healthz", extra=extra).status == 200
    assert (tmp_path / "other.db").exists()


def test_settings_above_a_folder_that_is_given_out(make_site):
    """~/public_html/cgi-bin reads ~/jobwire.conf; one that is nearer counts."""
    site = make_site(init=False, db="data/jobs.db")
    folder = os.path.join(site.root, "public_html")
    os.makedirs(os.path.join(folder, "cgi-bin"))
    path = shutil.copy(program("events.cgi"), os.path.join(folder, "cgi-bin"))
    assert "db = data/jobs.db" in run(path, "--check").stdout
    done = run(path, environment=REQUEST)
    assert done.returncode == 0 and os.path.exists(site.root + "/data/jobs.db")
    with open(folder + "/jobwire.conf", "w", encoding="ascii") as file:
        file.write("db = nearer.db\n")
    assert "db = nearer.db" in run(path, "--check").stdout


def test_no_settings_at_all(tmp_path):
    """No database is made in the wrong place; variables would do."""
    (tmp_path / "home" / "cgi-bin").mkdir(parents=True)
    path = shutil.copy(program("events.cgi"), tmp_path / "home" / "cgi-bin")
    done = run(path, environment=REQUEST)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"no {tmp_path}/home/jobwire.conf" in done.stderr
    assert os.listdir(tmp_path / "home") == ["cgi-bin"]
    done = run(path, environment={**REQUEST, "JOBWIRE_DB": str(tmp_path / "x.db")})
    assert done.returncode == 0 and (tmp_path / "x.db").exists()


def test_unusable_settings(make_site):
    """An EventSource is told to come back; an error would end it for good."""
    cgi = CgiEndpoint(make_site())
    with open(cgi.site.config, "a", encoding="ascii") as file:
        file.write("nonsense = 1\n")
    environment = {"GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "GET"}
    done = run(cgi.path, environment=environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert "unknown setting nonsense" in done.stderr
    environment["HTTP_ACCEPT"] = "text/event-stream"
    done = run(cgi.path, environment=environment)
    assert done.stdout.startswith("Content-Type: text/event-stream\n")
    assert done.stdout.partition("\n\n")[2].startswith("retry: 30000\n:")


# -- standard input -----------------------------------------------------------


def test_open_standard_input_is_not_waited_for(cgi):
    exchange = cgi.open("GET", "/api/v1/healthz", half_sent=True)
    assert exchange.finish().status == 200


@pytest.mark.parametrize("length", ["65536", None])
def test_body_is_read(cgi, length):
    """With a length, and without one, as of a chunked request, to its end."""
    answer = cgi.call(
        "POST", TARGET, body=b"x" * 65536, extra={"CONTENT_LENGTH": length}
    )
    assert (answer.status, answer.error()) == (405, "method_not_allowed")


@pytest.mark.parametrize("length", ["1000000", None])
def test_long_body(cgi, length):
    answer = cgi.call(
        "POST", TARGET, body=b"x" * 1000000, extra={"CONTENT_LENGTH": length}
    )
    assert (answer.status, answer.error()) == (413, "body_too_large")


def test_no_more_than_the_body_is_read(cgi):
    exchange = cgi.open(
        "POST", TARGET, body=b"xxxxx", extra={"CONTENT_LENGTH": "3"},
        half_sent=True,
    )
    assert exchange.finish().status == 405


def test_half_a_body(cgi):
    exchange = cgi.open(
        "POST", TARGET, body=b"xxx", extra={"CONTENT_LENGTH": "5"}
    )
    assert exchange.read_some() == b""
    assert not exchange.head.done
    exchange.close()


def test_body_that_does_not_come(make_site):
    cgi = CgiEndpoint(make_site(body_timeout="100ms"))
    exchange = cgi.open(
        "POST", TARGET, body=b"xxx", extra={"CONTENT_LENGTH": "5"},
        half_sent=True,
    )
    assert exchange.read_some() == b""
    assert not exchange.head.done
    exchange.close()


def test_input_and_output_that_are_files(make_site, tmp_path):
    cgi = CgiEndpoint(make_site())
    body = tmp_path / "body"
    body.write_bytes(b"x" * 100)
    environment = {
        "GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "POST",
        "REQUEST_URI": TARGET, "CONTENT_LENGTH": "100",
    }
    with open(body, "rb") as stdin, open(tmp_path / "out", "wb") as stdout:
        subprocess.run(
            [cgi.path], env=environment, stdin=stdin, stdout=stdout,
            timeout=patience(20), check=True,
        )
    text = (tmp_path / "out").read_text()
    assert text.startswith("Status: 405 ") and "method_not_allowed" in text


# -- ends -----------------------------------------------------------------------


def test_client_gone(cgi):
    """Noticed at once, with nothing to write."""
    stream = cgi_stream(cgi, "a").wait_open()
    stream.exchange.leave()
    assert wait_ended(stream.exchange.process) < patience(1)


def test_client_gone_while_waiting(cgi):
    exchange = cgi.open("GET", TARGET + "?format=json&wait=50")
    process = exchange.process
    until(lambda: has_inotify(process), "the request to wait")
    exchange.leave()
    assert wait_ended(process) < patience(1)


def test_client_gone_before_the_body_came(cgi):
    exchange = cgi.open(
        "POST", TARGET, extra={"CONTENT_LENGTH": "5"}, half_sent=True
    )
    exchange.leave()
    assert wait_ended(exchange.process) < patience(1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_at_once(make_site, number):
    cgi = CgiEndpoint(make_site(drain="5s"))
    stream = cgi_stream(cgi, "a").wait_open()
    stream.exchange.process.child.send_signal(number)
    assert wait_ended(stream.exchange.process) < patience(1)
    stream.close()


# -- watching -------------------------------------------------------------------


def watches(process):
    """The inodes that its inotify descriptor watches."""
    folder = f"/proc/{process.pid}/fdinfo"
    found = []
    for name in os.listdir(folder):
        text = read_text(os.path.join(folder, name))
        found += re.findall(r"(?m)^inotify .*\bino:([0-9a-f]+)", text)
    return [int(number, 16) for number in found]


def has_inotify(process):
    """Has it come so far that it waits?"""
    return bool(watches(process))


def test_only_the_bell_is_watched(cgi):
    """Never the folder: each write to the WAL would wake every process."""
    with cgi_stream(cgi, "a") as stream:
        stream.wait_open()
        process = stream.exchange.process
        until(lambda: has_inotify(process), "the watch to be set")
        assert watches(process) == [os.stat(cgi.site.db + "-bell").st_ino]


def test_bell_brings_the_event(make_site):
    """Of our own writers; the base poll would take a minute."""
    cgi = CgiEndpoint(make_site(poll="60s"))
    with cgi_stream(cgi, "a") as stream:
        stream.wait_open()
        until(lambda: has_inotify(stream.exchange.process), "the watch")
        cgi.site.tool("publish", "a", "completed")
        assert kinds(stream.wait_end()) == ["completed"]


def test_inotify_off(make_site):
    cgi = CgiEndpoint(make_site(inotify="off"))
    with cgi_stream(cgi, "a") as stream:
        stream.wait_open()
        cgi.site.writer.publish("a", "step")
        assert kinds([stream.next()]) == ["step"]
        assert not watches(stream.exchange.process)


# -- upkeep ----------------------------------------------------------------------


def test_requests_prune(make_site):
    """Without a daemon, processes that end do a little of it each."""
    cgi = CgiEndpoint(make_site())
    cgi.site.writer.publish_many(("a", "progress", None) for _ in range(700))

    def is_pruned():
        assert cgi.call("GET", "/api/v1/healthz").status == 200
        return len(cgi.site.writer.rows()) <= 10

    until(is_pruned, "retention", 20)


def test_requests_keep_the_wal_short(make_site):
    cgi = CgiEndpoint(make_site())
    cgi.site.writer.connection.execute("PRAGMA wal_autocheckpoint = 0")
    size = 0
    for n in range(60):
        cgi.site.writer.publish("a", "step", {"n": n, "text": "x" * 200000})
        assert cgi.call("GET", "/api/v1/healthz").status == 200
        size = os.stat(cgi.site.db + "-wal").st_size
    assert size < 3 * MIB


# -- costs -----------------------------------------------------------------------


def test_memory_of_a_stream(make_site):
    """With 15 of them, as many as run by default."""
    cgi = CgiEndpoint(make_site())
    # With sanitizers all that buffers leave as they move is kept for a while.
    limit = (128 if is_sanitized(cgi.path) else 4) * MIB
    for n in range(50):
        cgi.site.writer.publish("a", "step", {"text": "x" * 20000, "n": n})
    streams = [cgi_stream(cgi, "a") for _ in range(15)]
    for stream in streams:
        stream.take(50)
    sizes = [pss(stream.exchange.process) for stream in streams]
    for stream in streams:
        stream.close()
    print(f"PSS of 15: {min(sizes)} to {max(sizes)} bytes")
    assert max(sizes) <= limit


def pss(process):
    """Its proportional set size in bytes."""
    text = read_text(f"/proc/{process.pid}/smaps_rollup")
    return int(re.search(r"(?m)^Pss:\s+(\d+) kB", text)[1]) * 1024


# -- as a FastCGI process ------------------------------------------------------------


class Inherited(Server):
    """Started with a listening socket as descriptor 0, as mod_fcgid does."""

    def __init__(self, site, number):
        address = os.path.join(site.run_folder, f"{number}.sock")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address)
            listener.listen()
            super().__init__(
                f"events-{number}", [install(site, "events.cgi")],
                site.log_path(f"events-{number}"), address, stdin=listener,
                env={"GATEWAY_INTERFACE": "CGI/1.1"} if number else {},
            )
        site.processes.append(self)


def test_fastcgi(make_site):
    """Also where GATEWAY_INTERFACE has leaked into its environment."""
    site = make_site(max_streams="1")
    for number in (0, 1):
        server = Inherited(site, number).wait_ready()
        site.sockets["events"] = server.address
        assert get(site, "/healthz").json()["status"] == "ok"
    with site.stream("a") as stream:
        stream.wait_open()
        site.sockets["events"] = site.processes[0].address
        answer = get(site, "/events/a", STREAM)
        assert answer.status == 200, "the only place is the other's"
        assert answer.body.startswith(b"retry: ")
        site.writer.publish("a", "completed")
        assert kinds(stream.wait_end()) == ["completed"]
    with site.stream("a") as stream:
        assert kinds(stream.wait_end()) == ["completed"]
        stream.close()


def test_fastcgi_ends_at_once(make_site):
    site = make_site(drain=None)
    server = Inherited(site, 0).wait_ready()
    site.sockets["events"] = server.address
    with site.stream("a") as stream:
        stream.wait_open()
        assert server.terminate(2) == 0
        assert stream.wait_end() == []
        assert stream.exchange.complete
