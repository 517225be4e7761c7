"""contrib/apparmor/jobwire: the parser takes it, it covers what the units and
the settings name, and, where the kernel has AppArmor, the programs work under
it."""

import os
import re
import shutil
import subprocess

import pytest
from harness.process import read_text
from harness.publish import fixture
from harness.site import BIN, source_root
from harness.wait import patience

PROFILE = os.path.join(source_root(), "contrib", "apparmor", "jobwire")
COMPLETED = fixture("runpod-completed.json")


def parser(*arguments, **options):
    """apparmor_parser, to its end."""
    path = shutil.which("apparmor_parser", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if path is None:
        pytest.skip("no apparmor_parser")
    if not os.path.isdir("/etc/apparmor.d/abstractions"):
        pytest.skip("no /etc/apparmor.d/abstractions")
    return subprocess.run(
        [path, "-K", *arguments], capture_output=True, text=True,
        timeout=patience(60), check=False, **options,
    )


def test_it_is_understood():
    done = parser("-Q", PROFILE)
    assert done.returncode == 0, done.stderr
    names = sorted(parser("-N", PROFILE).stdout.split())
    assert names == ["jobwire-relay", "jobwire-responder", "jobwire-runner"]


def test_it_covers_what_is_there():
    """Programs, and the folders that the units and the example name."""
    text = read_text(PROFILE)
    for name in os.listdir(os.path.join(source_root(), "fcgi")):
        assert re.search(rf"jobwire-\{{[^}}]*{name[:-2]}", text), name
    example = read_text(os.path.join(source_root(), "contrib", "jobwire.conf.example"))
    for path in re.findall(r"(?m)^#?\w+ = @?(/[^\s,]+/)", example):
        rule = path.replace("/run/", "@{run}/", 1) if path.startswith("/run/") else path
        if path not in ("/api/",):
            assert f"  {rule}" in text, path


def test_the_programs_work_under_it(make_site):
    if not os.path.isdir("/sys/kernel/security/apparmor"):
        pytest.skip("this kernel has no AppArmor, or its securityfs is not mounted")
    if os.geteuid() != 0:
        pytest.skip("only root loads profiles")
    site = make_site()
    text = read_text(PROFILE).replace("/usr/bin /usr/local/bin", BIN)
    text = text.replace("jobwire-responder", "jobwire-test-responder")
    text = text.replace("jobwire-runner ", "jobwire-test-runner ", 1)
    for old, new in (
        ("/etc/jobwire", site.root), ("/var/lib/jobwire", site.db_folder),
        ("@{run}/jobwire", site.run_folder),
    ):
        text = text.replace(old, new)
    done = parser("-r", input=text)
    assert done.returncode == 0, done.stderr
    try:
        site.start_both()
        for server in (site.events, site.webhook):
            label = read_text(f"/proc/{server.pid}/attr/current")
            assert label.strip("\0\n") == "jobwire-test-responder (enforce)"
        with site.stream("a") as stream:
            stream.wait_open()
            site.deliver("a", COMPLETED)
            stream.wait_end()
        long = COMPLETED.replace(b'"Hello World"', b'"%s"' % (b"x" * 300_000), 1)
        site.deliver("b", long)
        assert site.tool("reload").returncode == 0
    finally:
        site.events.terminate()
        site.webhook.terminate()
        parser("-R", input=text)
