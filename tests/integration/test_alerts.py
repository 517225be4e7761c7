"""The rules and the board of contrib/: each alert fires and clears, and each
query finds what it names in a real exposition. promtool and Prometheus, which
are too large to ask for, judge where they are installed."""

import glob
import json
import os
import re
import shutil
import subprocess
import urllib.parse
import urllib.request

import pytest
from harness.metrics import Metrics, read_metrics
from harness.nginx import Nginx
from harness.publish import fixture
from harness.site import source_root
from harness.wait import free_port, patience, until
from test_protocol import read

RULES = read("contrib", "prometheus", "jobwire.rules.yml")
RULE_TESTS = read("contrib", "prometheus", "jobwire.rules.test.yml")
BOARD = json.loads(read("contrib", "grafana", "jobwire.json"))
ALERTS = re.findall(r"^ +- alert: (\w+)$", RULES, re.M)


def queries():
    """(title, expression) of the board's panels, for any instance."""
    return [
        (panel["title"], target["expr"].replace("$instance", ".*"))
        for panel in BOARD["panels"]
        for target in panel.get("targets", [])
    ]


def promtool(*arguments):
    """Runs it in the folder of the rules."""
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed")
    done = subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, check=False,
        cwd=os.path.join(source_root(), "contrib", "prometheus"),
        timeout=patience(60),
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_and_clears():
    promtool("test", "rules", "jobwire.rules.test.yml")


def test_the_rules_and_the_scrape_are_well_formed():
    promtool("check", "config", "prometheus.yml")


def test_each_alert_has_a_test_and_a_page():
    """And nothing else has."""
    assert len(ALERTS) > 20 and len(set(ALERTS)) == len(ALERTS)
    assert re.findall(r"^  - name: (\w+)$", RULE_TESTS, re.M) == ALERTS
    pages = re.findall(r"runbook: (\S+)$", RULES, re.M)
    assert pages == [f"docs/operate.md#{name.lower()}" for name in ALERTS]
    headings = re.findall(r"^### (Jobwire\w+)$", read("docs", "operate.md"), re.M)
    assert sorted(headings) == sorted(ALERTS)


def whole_exposition(site):
    """One in which all parts have told their numbers."""
    metrics = read_metrics(site)
    parts = [
        number for (name, _), number in metrics.samples.items()
        if name == "jobwire_up"
    ]
    return metrics if sum(parts) == 3 else None


def test_each_metric_that_is_named_exists(site):
    """With the labels that are asked for."""
    metrics = until(lambda: whole_exposition(site), "all parts")
    names = {name for name, _ in metrics.samples}
    pairs = {pair for _, labels in metrics.samples for pair in labels}
    for text in [RULES] + [expression for _, expression in queries()]:
        for name in re.findall(r"\bjobwire_[a-z_]+", text):
            assert name in names, name
        for pair in re.findall(r'(\w+)="([^"]+)"', text):
            assert pair in pairs or pair == ("job", "jobwire"), pair


class Prometheus:
    """One that scrapes a site's web server each second."""

    def __init__(self, site, web):
        self.port = free_port()
        folder = os.path.join(site.root, "prometheus")
        os.makedirs(folder)
        for path in glob.glob(
            os.path.join(source_root(), "contrib", "prometheus", "*.yml")
        ):
            shutil.copy(path, folder)
        config = os.path.join(folder, "prometheus.yml")
        with open(config, encoding="utf-8") as file:
            text = file.read()
        text = text.replace("127.0.0.1:80", f"127.0.0.1:{web.port}")
        text = text.replace("15s", "1s") + "\nglobal: {evaluation_interval: 1s}\n"
        with open(config, "w", encoding="utf-8") as file:
            file.write(text)
        self.process = site.run_command("prometheus", [
            "prometheus", f"--config.file={config}",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ])

    def ask(self, path, **query):
        """What its API answers; None while it does not."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?"
        try:
            with urllib.request.urlopen(
                url + urllib.parse.urlencode(query), timeout=patience(5)
            ) as answer:
                return json.load(answer)["data"]
        except (OSError, ValueError):
            return None

    def query(self, expression):
        """The samples that it finds."""
        answer = self.ask("query", query=expression)
        return None if answer is None else answer["result"]


@pytest.fixture(name="prometheus")
def fixture_prometheus(site, web):
    """Beside a site that has had a webhook and a stream."""
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is not installed")
    prometheus = Prometheus(site, web)
    yield prometheus
    prometheus.process.terminate()


def test_prometheus_finds_what_the_board_shows(site, prometheus):
    """Each query is one, and those that do not depend on trouble find
    something; no alert fires on a site that is well."""
    site.deliver("a", fixture("runpod-in-progress.json"))
    until(lambda: prometheus.query(
        'count_over_time(jobwire_up{part="janitor"}[1m]) > 2'),
        "three scrapes", 20)
    quiet = {"Refused, by code", "Webhook latency, p99", "Commit to read",
             "Read to sent", "Calls to the provider", "Commit time",
             "Readers refused", "Since the last checkpoint and copy"}
    for title, expression in queries():
        found = prometheus.query(expression)
        assert found is not None, expression
        assert found or title in quiet, title
    groups = prometheus.ask("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert sorted(rule["name"] for rule in rules) == sorted(ALERTS)
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
    assert [r["name"] for r in rules if r["state"] == "firing"] == []


def test_prometheus_sees_a_program_that_is_gone(site, prometheus):
    """The alert is on its way within a scrape of its absence."""
    until(lambda: prometheus.query('jobwire_up{part="webhook"} == 1'), "it", 20)
    site.webhook.kill()
    until(
        lambda: prometheus.query('ALERTS{alertname="JobwireWritingAway"}'),
        "the alert", 30,
    )


def test_the_strict_parser_takes_what_prometheus_gets(site, web):
    """The web server hands it on as it is."""
    answer = web.endpoint.call("GET", "/metrics")
    assert answer.status == 200
    Metrics(answer.body.decode("ascii"))
    assert site.events.is_alive()
