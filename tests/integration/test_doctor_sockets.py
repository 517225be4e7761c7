"""What `jobwire doctor` says of the sockets of the two programs."""

import contextlib
import os
import socket
import threading

import pytest
from harness.doctor import examine
from harness.users import as_nobody, needs_root
from harness.wait import free_port, patience

DOORS = {"events_socket": "jobwire-events", "webhook_socket": "jobwire-webhook"}


def tcp():
    """Settings that have both programs listen on ports."""
    return {check: f"127.0.0.1:{free_port()}" for check in DOORS}


def path_of(site, check):
    """The socket's path."""
    return site.sockets[check.partition("_")[0]]


@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_both_answer(make_site, way):
    """And their answer is shown, with mode and owner of a path."""
    site = make_site(**(tcp() if way == "tcp" else {})).start_both()
    findings = examine(site)
    for check in DOORS:
        found = findings.one(check)
        assert found.finding == "ok" and not found.remedy
        assert 'answers 200 {"status":"ok","database":"ok"' in found.text
        if way == "unix":
            assert path_of(site, check) in found.text
            assert ", mode 0666" in found.text


def test_another_prefix(make_site):
    site = make_site(api_prefix="/elsewhere").start_both()
    findings = examine(site)
    assert {findings.one(check).finding for check in DOORS} == {"ok"}


def test_a_program_that_is_ill(make_site):
    """Says so itself."""
    site = make_site().start_both()
    assert examine(site).one("webhook_socket").finding == "ok"
    os.rename(site.db, site.db + ".away")
    with contextlib.ExitStack() as stack:
        stack.callback(os.rename, site.db + ".away", site.db)
        found = examine(site).one("webhook_socket")
    assert found.finding == "fail"
    assert 'answers 503 {"status":"failing"' in found.text


@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_a_dead_program(make_site, way):
    """kill -9 leaves the socket's file behind."""
    site = make_site(**(tcp() if way == "tcp" else {})).start_both()
    site.events.kill()
    site.webhook.kill()
    findings = examine(site)
    for check, name in DOORS.items():
        fault = findings.one(check)
        assert fault.finding == "fail" and "program dead" in fault.text
        assert f"start {name}" in fault.remedy
        if way == "unix":
            assert os.path.exists(path_of(site, check))
            assert ", mode 0666" in fault.text


def test_no_socket(make_site):
    site = make_site()
    findings = examine(site)
    for check, name in DOORS.items():
        fault = findings.one(check)
        assert fault.finding == "fail" and "socket missing" in fault.text
        assert path_of(site, check) in fault.text
        assert f"start {name}" in fault.remedy and check in fault.remedy
        assert "install" not in fault.remedy


def test_no_folder_of_sockets(make_site):
    """As after a restart of a machine whose /run is in memory."""
    site = make_site()
    os.rmdir(site.run_folder)
    fault = examine(site).one("events_socket")
    assert "socket missing" in fault.text
    assert f"-m 2750 {site.run_folder}" in fault.remedy


@needs_root
@pytest.mark.parametrize("what", ["socket", "folder"])
def test_no_permission(make_site, what):
    """Names what forbids it, with its owner and mode."""
    site = make_site(socket_mode="0660").start_both()
    shown = {check: path_of(site, check) for check in DOORS}
    mode = "0660"
    if what == "folder":
        os.chmod(site.run_folder, 0o750)
        shown, mode = dict.fromkeys(DOORS, site.run_folder), "0750"
    findings = examine(site, **as_nobody(site))
    for check in DOORS:
        fault = findings.one(check)
        assert fault.finding == "fail"
        assert "no permission: nobody may not connect" in fault.text
        assert f"{shown[check]} is root:root, mode {mode}" in fault.text
        assert "group" in fault.remedy


def test_exchanged_sockets(make_site):
    site = make_site().start_both()
    names = {check: path_of(site, check) for check in DOORS}
    events, webhook = names.values()
    site.configure(events_socket=webhook, webhook_socket=events)
    findings = examine(site)
    for check in DOORS:
        fault = findings.one(check)
        assert fault.finding == "fail" and "answers 404" in fault.text
        assert "its own setting" in fault.remedy


def test_a_stranger(make_site):
    """On a port, something that does not speak FastCGI."""

    def serve():
        peer, _ = server.accept()
        with peer:
            peer.recv(4096)
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(patience(20))
        site = make_site(
            events_socket=f"127.0.0.1:{server.getsockname()[1]}",
            webhook_socket=None,
        )
        thread = threading.Thread(target=serve)
        thread.start()
        fault = examine(site).one("events_socket")
        thread.join()
    assert fault.finding == "fail" and "is not jobwire-events" in fault.text


def test_a_file_that_is_no_socket(make_site):
    site = make_site()
    with open(path_of(site, "events_socket"), "w", encoding="ascii"):
        pass
    fault = examine(site).one("events_socket")
    assert fault.finding == "fail" and "nobody listens" in fault.text


def test_no_setting(make_site):
    """systemd or a web server hands it over."""
    findings = examine(make_site(events_socket=None, webhook_socket=None))
    for check in DOORS:
        found = findings.one(check)
        assert found.finding == "ok" and "not set" in found.text
