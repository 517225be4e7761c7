"""Stopping and taking over: no client sees a broken answer, none loses an
event."""

import contextlib
import signal
import socket
import time

import pytest
from harness.publish import fixture
from harness.sse import ids_of
from harness.wait import free_port, patience, until

COMPLETED = fixture("runpod-completed.json")

# Passes descriptor 0 on as systemd would, in descriptor 3.
SYSTEMD = [
    "sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@" 3<&0 </dev/null',
]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_ends_streams_cleanly(make_site, number):
    site = make_site(drain="1s", retry_min="1200ms", retry_max="1300ms")
    site.start("events")
    with contextlib.ExitStack() as stack:
        streams = [
            stack.enter_context(site.stream(f"job-{i}")).wait_open()
            for i in range(20)
        ]
        for stream in streams:
            stream.parser.retry = None
        begun = time.monotonic()
        site.events.child.send_signal(number)
        for stream in streams:
            assert stream.wait_end() == []
            assert 1200 <= stream.parser.retry <= 1300
        assert site.events.wait_exit() == 0
        assert time.monotonic() - begun < patience(2)


@pytest.mark.parametrize("name", ["events", "webhook"])
def test_stop_when_idle_is_immediate(make_site, name):
    site = make_site(drain="20s")
    server = site.start(name)
    begun = time.monotonic()
    assert server.terminate() == 0
    assert time.monotonic() - begun < patience(2)


@pytest.mark.parametrize("name", ["events", "webhook"])
def test_stop_at_any_moment_of_the_start(make_site, name):
    """A signal that comes while the program starts is not lost: it ends by
    the signal at first, and with 0 from when it can be connected to."""
    site = make_site()
    for step in range(60):
        begun = time.monotonic()
        server = site.spawn(name)
        while time.monotonic() - begun < step * 0.0002:
            pass  # far shorter than a sleep could be
        assert server.terminate() in (0, -signal.SIGTERM)
        server = site.spawn(name)
        while not server.is_ready():
            pass
        assert server.terminate() == 0


@pytest.mark.parametrize("name", ["events", "webhook"])
def test_stop_does_not_wait_for_silent_peers(make_site, name):
    site = make_site(drain="300ms")
    server = site.start(name)
    with site.endpoint(name).connect() as silent:
        with site.endpoint(name).connect() as half:
            half.send(b"\1\1\0")
            assert server.terminate() == 0
            assert silent.is_ended() and half.is_ended()


def test_stop_with_a_client_that_does_not_read(make_site):
    site = make_site(drain="500ms")
    site.start("events")
    with site.stream("stuck", receive_buffer=4096) as stuck:
        stuck.wait_open()
        for _ in range(200):
            site.writer.publish("stuck", "note", {"x": "x" * 20000})
        begun = time.monotonic()
        assert site.events.terminate() == 0
        assert time.monotonic() - begun < patience(1.5)


def test_new_process_takes_the_socket_over(site):
    """The socket's path is free for a new process once the old one has
    stopped accepting; streams move over with their ids."""
    with contextlib.ExitStack() as stack:
        streams = [
            stack.enter_context(site.stream("moves")).wait_open()
            for _ in range(5)
        ]
        first = site.writer.publish("moves", "note")
        for stream in streams:
            stream.next()
        assert site.events.terminate() == 0
        second = site.writer.publish("moves", "note")
        site.start("events")
        third = site.writer.publish("moves", "note")
        for stream in streams:
            stream.wait_end()
            stream.reconnect().take(2)
            assert ids_of(stream.events) == [first, second, third]


@pytest.mark.parametrize("kind", ["stdin", "systemd"])
def test_inherited_socket_is_never_closed(make_site, kind):
    """A socket that a manager holds open takes connections all the time,
    while one process stops and the next begins."""
    site = make_site(events_socket=None)
    address = site.sockets["events"]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)

    def start():
        if kind == "stdin":
            return site.start("events", stdin=listener)
        return site.start("events", stdin=listener, launcher=SYSTEMD)

    with listener, site.stream("held") as stream:
        first = start()
        stream.wait_open()
        one = site.writer.publish("held", "note")
        stream.next()
        assert first.terminate() == 0
        stream.wait_end()
        stream.reconnect()  # accepted by the socket; nobody is there yet
        two = site.writer.publish("held", "note")
        start()
        stream.next()
        assert ids_of(stream.events) == [one, two]


def test_stop_finishes_what_was_taken(site):
    """A delivery under way when the signal comes is answered, or is refused
    and not in the table."""
    exchanges = []
    for number in range(30):
        exchanges.append(
            site.endpoint("webhook").open(
                "POST", site.signed(f"job-{number}"),
                {"Content-Type": "application/json"}, COMPLETED,
            )
        )
    assert site.webhook.terminate() == 0
    answered = set()
    for number, exchange in enumerate(exchanges):
        while not exchange.ended:
            exchange.read_some()
        if exchange.complete and exchange.head.status == 200:
            answered.add(f"job-{number}")
        exchange.close()
    stored = {row[1] for row in site.writer.rows()}
    assert answered <= stored


def test_second_process_on_a_live_socket_is_refused(site):
    """Started twice by mistake, the second must not steal the socket."""
    second = site.spawn("events")
    assert second.wait_exit() > 0
    assert site.sockets["events"] in second.log_text()
    with site.stream("still") as stream:
        stream.wait_open()


def test_socket_left_by_a_kill_is_replaced(site):
    site.events.kill()
    site.start("events")
    with site.stream("again") as stream:
        stream.wait_open()


def test_tcp_socket(make_site):
    site = make_site(events_socket=None)
    port = free_port()
    site.sockets["events"] = ("127.0.0.1", port)
    site.start("events", "--socket", f"127.0.0.1:{port}")
    assert site.endpoint("events").call("GET", "/nothing").status == 404
    until(lambda: site.events.sockets() == 1, "the end of the request")
