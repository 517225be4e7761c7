"""`jobwire stats`, and what `jobwire doctor` says of a machine without asking
its web server."""

import json
import os


def test_stats(make_site):
    site = make_site()
    site.writer.publish("a", "completed")
    last = site.writer.publish("b", "progress", {"progress": 1})
    numbers = json.loads(site.tool("stats", "--json").stdout)
    assert numbers.pop("jobs") == {
        "queued": 0, "processing": 1, "completed": 1, "failed": 0,
        "cancelled": 0, "timed_out": 0,
    }
    assert numbers.pop("oldest") <= numbers.pop("newest")
    assert numbers == {
        "events": 2,
        "unclaimed": 0,
        "last_event_id": f"{site.writer.epoch()}-{last}",
        "database_bytes": os.path.getsize(site.db),
        "wal_bytes": os.path.getsize(site.db + "-wal"),
    }


def test_stats_as_lines(make_site):
    site = make_site()
    site.writer.publish("a", "failed")
    lines = dict(
        line.split("\t") for line in site.tool("stats").stdout.splitlines()
    )
    assert lines["jobs failed"] == lines["events"] == "1"
    assert lines["unclaimed"] == "0"


def test_stats_of_nothing(make_site):
    numbers = json.loads(make_site().tool("stats", "--json").stdout)
    assert numbers["events"] == 0
    assert numbers["oldest"] is None and numbers["newest"] is None


def test_stats_without_database(make_site):
    done = make_site(init=False).tool("stats", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "jobwire init" in done.stderr
