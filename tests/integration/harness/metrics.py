"""The Prometheus text format 0.0.4, read strictly: what a scraper would
forgive fails here."""

import re
import shutil
import subprocess

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_HELP = re.compile(rf"# HELP ({_NAME}) (\S.*)")
_TYPE = re.compile(rf"# TYPE ({_NAME}) (counter|gauge|histogram)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="([^"\\\n]*)"')
# What promtool says of a name: base units only, and no type of metric in it.
_NO_BASE_UNIT = re.compile(
    r"_(ms|us|ns|(milli|micro|nano)seconds|minutes|hours|days|weeks|"
    r"(kilo|mega|giga|kibi|mebi|gibi)bytes|kb|mb|gb|bits|percent)(_|$)"
)
_TYPE_IN_NAME = re.compile(r"_(counter|gauge|histogram|summary)(_|$)")
_SAMPLE = re.compile(rf"({_NAME})(?:\{{([^{{}}]*)\}})? (\d+(?:\.\d+)?)")


class Metrics:
    """The samples of one exposition."""

    def __init__(self, text):
        self.text = text
        self.types = {}
        self.samples = {}  # (name, ((label, value), ..)) -> number
        self._helped = None
        self._family = None
        assert text.endswith("\n"), "the last line is not ended"
        for line in text[:-1].split("\n"):
            self._take(line)
        for name, kind in self.types.items():
            self._check_name(name, kind)
            if kind == "histogram":
                self._check_histogram(name)

    def value(self, name, **labels):
        """The number of a sample; its name without `jobwire_`."""
        return self.samples["jobwire_" + name, tuple(sorted(labels.items()))]

    def total(self, name):
        """The sum over all its labels."""
        return sum(
            number for (key, _), number in self.samples.items()
            if key == "jobwire_" + name
        )

    def counters(self):
        """Everything that must never fall, by (name, labels)."""
        return {
            key: number
            for key, number in self.samples.items()
            if self.types.get(key[0]) != "gauge"
        }

    def _take(self, line):
        if line.startswith("# HELP"):
            match = _HELP.fullmatch(line)
            assert match, line
            assert match[1] not in self.types, f"{match[1]} twice"
            self._helped = match[1]
        elif line.startswith("#"):
            match = _TYPE.fullmatch(line)
            assert match and match[1] == self._helped, line
            self.types[match[1]] = match[2]
            self._family = match[1]
        else:
            self._take_sample(line)

    def _take_sample(self, line):
        match = _SAMPLE.fullmatch(line)
        assert match, line
        name, labels, number = match.groups()
        pairs = _LABEL.findall(labels or "")
        written = ",".join(f'{key}="{value}"' for key, value in pairs)
        assert written == (labels or ""), line
        kind = self.types[self._family]
        endings = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        assert name in [self._family + ending for ending in endings], line
        assert kind != "counter" or name.endswith("_total"), line
        key = name, tuple(sorted(pairs))
        assert key not in self.samples, f"{line}: twice"
        self.samples[key] = float(number)

    def _check_name(self, name, kind):
        assert name == name.lower(), name
        assert not _NO_BASE_UNIT.search(name), f"{name}: not a base unit"
        assert not _TYPE_IN_NAME.search(name), name
        assert ":" not in name, name
        assert kind == "counter" or not name.endswith("_total"), name
        endings = ("_count", "_sum", "_bucket")
        assert not name.endswith(endings), name
        assert kind != "histogram" or name.endswith("_seconds"), name

    def _check_histogram(self, name):
        series = {}  # other labels -> its buckets
        for (sample, labels), number in self.samples.items():
            if sample == name + "_bucket":
                limit = float(dict(labels)["le"])
                others = tuple(pair for pair in labels if pair[0] != "le")
                series.setdefault(others, []).append((limit, number))
        assert series, name
        for labels, buckets in series.items():
            for column in zip(*buckets):
                assert list(column) == sorted(column), f"{name} is not cumulative"
            assert buckets[-1][0] == float("inf"), name
            assert buckets[-1][1] == self.samples[name + "_count", labels], name
            assert (name + "_sum", labels) in self.samples, name


def assert_promtool_content(metrics):
    """Prometheus' own judgement, where its package is installed: it is too
    large (100 MB) to ask for. The parser above knows the same rules."""
    if shutil.which("promtool"):
        found = subprocess.run(
            ["promtool", "check", "metrics"], input=metrics.text.encode(),
            capture_output=True, check=False,
        )
        assert (found.returncode, found.stdout + found.stderr) == (0, b"")


def read_metrics(site):
    """What the responder of streams counts now."""
    answer = site.endpoint("events").call("GET", "/api/v1/metrics")
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == (
        "text/plain; version=0.0.4; charset=utf-8"
    )
    return Metrics(answer.body.decode("ascii"))


def gauge_is(site, name, number):
    """A condition for until(): that gauge has that value."""
    return lambda: read_metrics(site).value(name) == number
