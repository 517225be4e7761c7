"""`jobwire top`: once as text, and live on a terminal of any size."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios

import pytest
from harness.metrics import read_metrics
from harness.site import program
from harness.wait import patience, until

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def once(site, *flags, **environment):
    """The lines of one page."""
    done = subprocess.run(
        [program("jobwire"), "--config", site.config, "top", "--once", *flags],
        capture_output=True, text=True, check=False, timeout=patience(10),
        env={**os.environ, **environment},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def line_of(lines, label):
    """A label's items, also those in the lines below it."""
    start = next(i for i, line in enumerate(lines) if line.startswith(label))
    items = lines[start][9:]
    for line in lines[start + 1:]:
        if not line.startswith(" " * 9):
            break
        items += "  " + line[9:]
    return items.split("  ")


def all_told(site):
    """Have the others told their numbers?"""
    metrics = read_metrics(site)
    return all(metrics.value("up", part=p) for p in ("webhook", "janitor"))


@pytest.fixture(name="busy")
def fixture_busy(site):
    """A site with jobs, one of which has been silent for years."""
    site.writer.publish("old", "progress", {"progress": 40})
    site.writer.publish("new", "queued")
    site.writer.publish("done", "completed")
    site.writer.connection.execute(
        "UPDATE jobs SET updated_at = '2020-01-01T00:00:00.000Z'"
        " WHERE job_id = 'old'"
    )
    until(lambda: all_told(site) and read_metrics(site).value(
        "jobs", state="completed") == 1, "the numbers")
    return site


def test_once(busy):
    lines = once(busy)
    version = busy.tool("--version").stdout.split()[-1]
    assert lines[0].startswith(f"jobwire {version}  20")
    assert line_of(lines, "parts") == ["events ok", "webhook ok", "janitor ok"]
    jobs = line_of(lines, "jobs")
    assert re.fullmatch(r"1 queued \d+ s", jobs[0])
    assert re.fullmatch(r"1 processing \d+ d", jobs[1])
    assert jobs[2:] == ["1 completed", "0 failed", "0 cancelled", "0 timed_out"]
    assert "0 unknown" in line_of(lines, "runs")
    assert line_of(lines, "streams")[:2] == ["0 open", "0 slow"]
    assert re.match(r"database \d+", line_of(lines, "disk")[0])
    rows = lines[lines.index("SILENT   STATE      JOB  PROGRESS") + 1:]
    assert [row.split()[2:] for row in rows] == [
        ["processing", "old", "40"], ["queued", "new"]
    ]
    assert not any("\x1b" in line for line in lines)


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_it_fits(busy, columns):
    """No line is longer: items go on in the next one, rows are cut."""
    lines = once(busy, COLUMNS=str(columns))
    assert all(len(line) <= columns for line in lines), lines
    assert "janitor ok" in line_of(lines, "parts")


def test_parts_that_are_away(busy):
    """What the others have left is shown; the rest is `-`."""
    busy.events.terminate()
    lines = once(busy)
    assert line_of(lines, "parts") == ["events away", "webhook ok", "janitor ok"]
    assert line_of(lines, "streams")[0] == "- open"
    busy.webhook.terminate()
    until(lambda: "webhook away" in line_of(once(busy), "parts"),
          "it to be away", 15)
    assert line_of(once(busy), "jobs")[2] == "1 completed", "they are counted"
    assert any("old" in line for line in once(busy)), "the jobs are still read"


def test_without_a_database(make_site):
    site = make_site(init=False)
    done = site.tool("top", "--once", check=False)
    assert done.returncode == 1 and "jobwire.db" in done.stderr


def test_json_is_refused(site):
    done = site.tool("--json", "top", check=False)
    assert done.returncode == 2 and "stats" in done.stderr


class Terminal:
    """A program on a terminal."""

    def __init__(self, argv, rows, columns):
        self.leader, follower = pty.openpty()
        self.resize(rows, columns)
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            argv, stdin=follower, stdout=follower, stderr=follower,
            start_new_session=True,
        )
        os.close(follower)
        self.text = ""

    def resize(self, rows, columns):
        """As a window manager would."""
        fcntl.ioctl(self.leader, termios.TIOCSWINSZ,
                    struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        """What it has written so far."""
        while select.select([self.leader], [], [], 0)[0]:
            try:
                self.text += os.read(self.leader, 65536).decode()
            except OSError:  # it has ended
                break
        return self.text

    def pages(self):
        """The lines of each whole page."""
        found = re.findall(r"\x1b\[H(.*?)\x1b\[J", self.read(), re.S)
        return [ESCAPES.sub("", page).split("\r\n") for page in found]

    def close(self):
        """Ends what is left."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        os.close(self.leader)


def test_live(busy):
    """It fills the window and no more, follows what changes and the window's
    size, and leaves the terminal as it was."""
    for number in range(50):
        busy.writer.publish(f"job-{number}", "queued")
    terminal = Terminal(
        [program("jobwire"), "--config", busy.config, "top", "--every", "100ms"],
        24, 80,
    )
    try:
        page = until(terminal.pages, "a page")[0]
        assert len(page) == 24 and all(len(line) <= 80 for line in page)
        assert sum("queued" in line for line in page[10:]) > 5
        busy.writer.publish("old", "completed")
        until(lambda: not any(" old " in f"{line} " for line in
                              terminal.pages()[-1]), "the job to go")
        until(lambda: any("/s stored" in line and "- /s" not in line
                          for line in terminal.pages()[-1]), "a rate")
        terminal.resize(12, 40)
        os.kill(terminal.process.pid, signal.SIGWINCH)
        until(lambda: len(terminal.pages()[-1]) == 12, "the smaller page")
        assert all(len(line) <= 40 for line in terminal.pages()[-1])
        terminal.process.send_signal(signal.SIGINT)
        until(lambda: terminal.process.poll() is not None, "its end")
        assert terminal.process.returncode == 0
        assert terminal.read().endswith("\x1b[?25h\x1b[?1049l")
    finally:
        terminal.close()
