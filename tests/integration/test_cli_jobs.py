"""`jobwire jobs`, `show`, `delete` and `prune`."""

import json
import os
import pty
import subprocess

import pytest
from harness.site import program
from harness.wait import patience


def lines(site, *arguments):
    """The output of a command as lists of cells."""
    text = site.tool(*arguments).stdout
    return [line.split("\t") for line in text.splitlines()]


def values(site, *arguments):
    """The output of a command with --json, a value per line."""
    text = site.tool(*arguments, "--json").stdout
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(name="filled")
def _filled(make_site):
    """Three jobs: one runs, one failed, one was only queued."""
    site = make_site()
    site.writer.publish("waits", "queued")
    site.writer.publish("runs", "progress", {"progress": 40})
    site.writer.publish("broke", "progress", {"progress": 7.5})
    site.writer.publish("broke", "failed", {"error": "out of\tpaper \u00fc\x1b"})
    site.writer.own("runs", "alice")
    return site


def test_jobs(filled):
    by_id = {cells[2]: cells for cells in lines(filled, "jobs")}
    assert by_id["broke"][1] == "failed"
    assert by_id["broke"][3:] == ["7.5", "", "out of?paper \u00fc?"]
    assert by_id["runs"][1:] == ["processing", "runs", "40", "alice", ""]
    assert by_id["waits"][1:] == ["queued", "waits", "", "", ""]


def test_text_is_harmless_and_whole(filled):
    """U+009B does on a terminal what ESC [ does; a zero is not the end."""
    filled.writer.publish("evil", "failed", {"error": "a\x00b\u009b31mc\u00a0d"})
    expected = "a?b?31mc\u00a0d"
    assert lines(filled, "jobs")[0][-1] == expected
    assert ["error", expected] in lines(filled, "show", "evil")


def test_events_are_harmless_and_whole(filled):
    """In the text as in JSON, of which the meaning stays the same."""
    error = "a\x7fb\u009b31mc\u00a0d"
    filled.writer.publish("evil", "failed", {"error": error})
    filled.writer.publish("evil", "note", {"text": error})
    filled.writer.connection.execute("PRAGMA ignore_check_constraints = ON")
    filled.writer.connection.execute(
        "UPDATE job_events SET created_at = '2026\u009b31m', type = 'no\x7fte'"
        " WHERE type = 'note'"
    )
    _, event = [cells for cells in lines(filled, "show", "evil")
                if len(cells) == 5]
    assert (event[0], event[3]) == ("2026?31m", "no?te")
    assert json.loads(event[4])["text"] == error
    for arguments in (["show", "evil"], ["show", "evil", "--json"],
                      ["jobs", "--json"], ["stats"], ["stats", "--json"]):
        text = filled.tool(*arguments).stdout
        assert not set(text) & set("\x7f\u009b"), arguments
    (job,) = values(filled, "show", "evil")
    assert job["error"] == error
    assert job["last_events"][1]["data"]["text"] == error
    assert job["last_events"][1]["event"] == "no\x7fte"


def test_jobs_come_by_their_latest_change(filled):
    for job, hour in (("runs", 1), ("broke", 3), ("waits", 2)):
        filled.writer.connection.execute(
            "UPDATE jobs SET updated_at = ? WHERE job_id = ?",
            (f"2026-01-01T0{hour}:00:00.000Z", job),
        )
    assert [cells[2] for cells in lines(filled, "jobs")] == [
        "broke", "waits", "runs",
    ]


def test_jobs_as_json(filled):
    found = {job["job_id"]: job for job in values(filled, "jobs")}
    assert found["broke"]["error"] == "out of\tpaper \u00fc\x1b"
    assert found["broke"]["progress"] == 7.5
    assert found["broke"]["owner"] is None
    assert found["runs"]["owner"] == "alice"
    assert found["waits"]["progress"] is None
    assert set(found["waits"]) == {
        "job_id", "state", "updated_at", "progress", "owner", "error",
    }


def test_an_error_is_forgotten_by_a_job_that_runs_again(filled):
    filled.writer.publish("broke", "processing")
    assert {job["error"] for job in values(filled, "jobs")} == {None}


def test_jobs_by_their_silence(filled):
    """Those that have not ended, the longest silence first."""
    filled.writer.publish("waits", "queued")
    filled.writer.publish("works", "progress")
    filled.writer.connection.execute(
        "UPDATE jobs SET updated_at = '2020-01-01T00:00:00.000Z'"
        " WHERE job_id = 'works'"
    )
    lines = filled.tool("jobs", "--silent").stdout.splitlines()
    states = {line.split("\t")[1] for line in lines}
    assert lines[0].split("\t")[:3] == [
        "2020-01-01T00:00:00.000Z", "processing", "works"
    ]
    assert states <= {"queued", "processing"}
    assert lines[-1].split("\t")[2] == "waits"
    both = filled.tool("jobs", "--silent", "--state", "queued", check=False)
    assert both.returncode == 2


def test_jobs_limit(filled):
    assert len(lines(filled, "jobs", "--limit", "2")) == 2
    assert len(lines(filled, "jobs", "--limit=1", "--state", "queued")) == 1
    rule = "limit must be a whole number"
    for bad, why in (
        ("0", rule), ("-1", rule), ("many", rule), ("", "needs a value")
    ):
        done = filled.tool("jobs", f"--limit={bad}", check=False)
        assert done.returncode == 2
        assert f"--limit: {why}" in done.stderr


def on_terminal(site, *arguments):
    """What a command prints on a terminal."""
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [program("jobwire"), *arguments, "--config", site.config],
            stdin=subprocess.DEVNULL, stdout=theirs, timeout=patience(20),
            check=True,
        )
        assert done.returncode == 0
        return os.read(ours, 65536).decode().replace("\r\n", "\n")
    finally:
        os.close(ours)
        os.close(theirs)


def test_jobs_are_aligned_on_a_terminal(filled):
    heading, *rows = on_terminal(filled, "jobs").splitlines()
    assert heading.split() == [
        "CHANGED", "STATE", "JOB", "PROGRESS", "OWNER", "ERROR",
    ]
    assert len(rows) == 3 and not any("\t" in row for row in rows)
    starts = [heading.index(name) for name in ("STATE", "JOB", "PROGRESS")]
    assert {
        tuple(row[start:].split(" ")[0] for start in starts) for row in rows
    } == {
        ("failed", "broke", "7.5"), ("processing", "runs", "40"),
        ("queued", "waits", ""),
    }
    assert {row[start - 1] for row in rows for start in starts} == {" "}


# -- show --------------------------------------------------------------------


def test_show(filled):
    for i in range(12):
        filled.writer.publish("broke", "note", {"n": i})
    filled.writer.publish("broke", "completed", {"output": {"pages": 3}})
    shown = lines(filled, "show", "broke")
    facts = {cells[0]: cells[1] for cells in shown if len(cells) == 2}
    assert facts["job"] == "broke" and facts["state"] == "completed"
    assert facts["progress"] == "7.5" and facts["events"] == "15"
    assert facts["output"] == '{"pages":3}' and facts["output bytes"] == "11"
    assert facts["created"] <= facts["changed"]
    events = [cells for cells in shown if len(cells) == 5]
    assert [cells[3] for cells in events] == ["note"] * 9 + ["completed"]
    assert json.loads(events[0][4])["n"] == 3


def test_show_as_json(filled):
    (job,) = values(filled, "show", "broke")
    assert job["state"] == "failed" and job["events"] == 2
    assert job["error"] == "out of\tpaper \u00fc\x1b"
    assert [event["event"] for event in job["last_events"]] == [
        "progress", "failed",
    ]
    assert job["last_events"][1]["data"]["status"] == "failed"
    assert job["output"] is None and job["output_bytes"] == 0


def test_show_leaves_a_large_output_out(filled):
    filled.writer.publish("runs", "completed", {"output": "x" * 5000})
    (job,) = values(filled, "show", "runs")
    assert job["output"] is None and job["output_bytes"] == 5002
    assert "larger than inline_output" in filled.tool("show", "runs").stdout


@pytest.mark.parametrize("command", ["show", "delete"])
def test_job_that_is_not_there(filled, command):
    done = filled.tool(command, "nobody", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "jobwire: no such job: nobody\n"
    assert filled.tool(command, "a b", check=False).returncode == 2
    assert filled.tool(command, check=False).returncode == 2


# -- delete ------------------------------------------------------------------


def test_delete(filled):
    done = filled.tool("delete", "broke")
    assert done.stdout == "broke removed with 2 events\n"
    assert filled.writer.rows("broke") == []
    assert len(filled.writer.rows()) == 2
    (said,) = values(filled, "delete", "runs")
    assert said == {"job_id": "runs", "events": 1}
    assert [cells[2] for cells in lines(filled, "jobs")] == ["waits"]


def test_client_of_a_deleted_job_is_told(site):
    """As after retention: what it has not seen is said to be gone."""
    first = site.writer.publish("job", "note")
    site.writer.publish("job", "note")
    epoch = site.writer.epoch()
    site.tool("delete", "job")
    with site.stream("job", last_id=f"{epoch}-{first}") as stream:
        event = stream.next()
        assert event.event == "resync" and "expired" in event.data


# -- prune -------------------------------------------------------------------


def test_prune_of_a_trial(make_site):
    """The trial counts what is then removed, and removes nothing."""
    site = make_site(keep_progress=2, keep_events=3, keep_days=1)
    for i in range(5):
        site.writer.publish("busy", "progress", {"progress": i})
        site.writer.publish("busy", "note")
        site.writer.publish("old", "progress", {"progress": i})
    site.writer.publish("old", "completed")
    site.writer.connection.execute(
        "UPDATE jobs SET updated_at = '2020-01-01T00:00:00.000Z'"
        " WHERE job_id = 'old'"
    )
    before = site.writer.rows()
    (trial,) = values(site, "prune", "--dry-run")
    assert site.tool("prune", "--dry-run").stdout == (
        "11 events and 1 jobs would be removed\n"
    )
    assert site.writer.rows() == before
    assert trial == {"events": 11, "jobs": 1}
    assert values(site, "prune") == [trial]
    assert len(site.writer.rows()) == len(before) - 11
    assert values(site, "prune", "--dry-run") == [{"events": 0, "jobs": 0}]
