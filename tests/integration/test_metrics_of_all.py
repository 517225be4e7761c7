"""All metrics at one address: those of the writing half and of the database,
which reach `/metrics` by way of files beside it."""

import os
import re
import time

from harness.inbound import read_inbound_metrics
from harness.metrics import assert_promtool_content, read_metrics
from harness.publish import fixture
from harness.reading import get
from harness.wait import patience, until
from test_protocol import read

COMPLETED = fixture("runpod-completed.json")


def all_parts(site):
    """A reading in which every part has told its numbers."""
    metrics = read_metrics(site)
    is_whole = all(
        metrics.value("up", part=part) for part in ("webhook", "janitor")
    )
    return metrics if is_whole else None


def test_one_address_has_the_numbers_of_all(site):
    """As the document lists them, and as Prometheus wants them."""
    metrics = until(lambda: all_parts(site), "all parts")
    assert_promtool_content(metrics)
    text = read("docs", "protocol.md")
    listed = set()
    for heading in ("## Metrics", "### Its metrics"):
        table = text.partition(f"\n{heading}\n")[2].partition("\n#")[0]
        for line in table.splitlines():
            if line.startswith("| `"):
                listed.update(
                    re.findall(r"`(\w+)(?:\{[\w,]+\})?`", line.split("|")[1])
                )
    of_clusters = {name for name in listed if name.startswith("cluster_")}
    assert listed - of_clusters == {
        name.removeprefix("jobwire_") for name in metrics.types
    }


def test_a_part_that_is_gone_is_seen(site):
    """Its numbers go with it, and come back."""
    until(lambda: all_parts(site), "all parts")
    site.webhook.kill()
    until(lambda: read_metrics(site).value("up", part="webhook") == 0,
          "the webhook's numbers to go", 15)
    assert "jobwire_calls_total" not in read_metrics(site).types
    site.start("webhook")
    until(lambda: read_metrics(site).value("up", part="webhook") == 1,
          "the webhook's numbers")


def test_numbers_of_the_database(site):
    """Jobs by state, the oldest of those that are open, and bytes."""
    site.writer.publish("a", "queued")
    site.writer.publish_many([("b", "progress"), ("c", "progress")])
    site.writer.publish("d", "completed")
    site.tool("backup", os.path.join(site.root, "copy.db"))
    # Last, for this is what is waited for.
    site.writer.connection.execute(
        "UPDATE jobs SET updated_at = '2020-01-01T00:00:00.000Z'"
        " WHERE job_id = 'c'"
    )

    def is_counted():
        metrics = all_parts(site)
        oldest = metrics and metrics.value(
            "job_oldest_timestamp_seconds", state="processing"
        )
        return metrics if oldest == 1577836800 else None

    metrics = until(is_counted, "the jobs to be counted")
    assert {
        state: metrics.value("jobs", state=state)
        for state in ("queued", "processing", "completed", "failed")
    } == {"queued": 1, "processing": 2, "completed": 1, "failed": 0}
    now = time.time()
    queued = metrics.value("job_oldest_timestamp_seconds", state="queued")
    assert now - 60 < queued <= now
    assert now - 60 < metrics.value("checkpoint_timestamp_seconds") <= now
    assert now - 60 < metrics.value("backup_timestamp_seconds") <= now
    assert metrics.value("database_bytes") == os.path.getsize(site.db)
    wal = metrics.value("database_wal_bytes")
    assert 0 < wal <= os.path.getsize(site.db + "-wal")
    disk = os.statvfs(site.db)
    assert 0 < metrics.value("database_free_bytes") <= (
        disk.f_blocks * disk.f_frsize
    )
    version = site.writer.connection.execute("PRAGMA user_version").fetchone()[0]
    assert metrics.value("schema_version") == version


def test_refusals_by_code(site):
    """Of both halves, also those that anybody can cause."""
    get(site, "/nothing")
    get(site, "/events/a%20b")
    assert site.endpoint("webhook").call(
        "POST", "/api/v1/webhooks/runpod-completion?job_id=a", {}, b"{}"
    ).status == 403
    metrics = read_metrics(site)
    assert metrics.value("refusals_total", code="not_found") == 1
    assert metrics.value("refusals_total", code="bad_job_id") == 1
    assert metrics.total("refusals_total") == 2
    until(lambda: read_inbound_metrics(site).total("calls_refused_total") == 1,
          "the refusal to be counted")
    assert read_inbound_metrics(site).value(
        "calls_refused_total", code="signature_missing") == 1


def test_every_code_has_a_counter(site):
    """None of the document counts as `other`."""
    codes = {
        dict(labels)["code"]
        for name, labels in read_metrics(site).samples
        if name == "jobwire_refusals_total"
    }
    listed = set(re.findall(r"\| [45]\d\d \| `([a-z_]+)` \|",
                            read("docs", "protocol.md")))
    assert len(listed) > 40 and listed <= codes


def test_latency_by_service(site):
    """Each webhook counts once, with its service."""
    for number in range(3):
        assert site.post(site.signed(f"job-{number}"), COMPLETED).status == 200
    metrics = read_inbound_metrics(site)
    counts = {
        dict(labels)["provider"]: count
        for (name, labels), count in metrics.samples.items()
        if name == "jobwire_webhook_seconds_count"
    }
    assert counts == {
        "runpod-completion": 3, "replicate": 0, "fal": 0, "standard": 0
    }
    took = metrics.value("webhook_seconds_sum", provider="runpod-completion")
    assert 0 < took < patience(3)


def test_hardening_is_told(site):
    """The version of Landlock that the kernel has, and the filter."""
    metrics = until(lambda: all_parts(site), "all parts")
    log = site.events.log_text()
    for program_name in ("events", "webhook"):
        name = f"{program_name}_hardening_version"
        landlock = metrics.value(name, part="landlock")
        assert (landlock > 0) == ("landlock=on" in log)
        assert metrics.value(name, part="seccomp") == ("seccomp=on" in log)
