"""`/metrics`: the format, gauges that are right whatever the clients do, and
counters that say what happened."""

import contextlib
import itertools

import pytest
from harness.fastcgi import begin, environ, params, request
from harness.metrics import (
    Metrics, assert_promtool_content, gauge_is, read_metrics,
)
from harness.reading import get, missing_database, stream_at
from harness.site import (
    events_target, is_sanitized, program, raise_descriptor_limit,
)
from harness.sse import ids_of
from harness.wait import patience, until

GAUGES = ("streams_open", "json_waiting", "streams_lagging")
ENDS = ("completed", "lifetime", "drained", "lagged", "left", "failed")


@pytest.fixture(name="reader")
def fixture_reader(make_site):
    """A site with the responder of streams."""
    site = make_site(lag_timeout="300ms")
    site.start("events")
    return site


def closed(site):
    """Streams closed, by reason; the reasons that happened."""
    metrics = read_metrics(site)
    counts = {
        reason: int(metrics.value("streams_closed_total", reason=reason))
        for reason in ENDS
    }
    return {reason: count for reason, count in counts.items() if count}


# -- the format --------------------------------------------------------------

DOCUMENTED = {
    "build_info": "gauge", "workers": "gauge", "watch_blind": "gauge",
    "streams_open": "gauge", "json_waiting": "gauge",
    "streams_lagging": "gauge", "database_failing": "gauge",
    "connections_open": "gauge", "streams_opened_total": "counter",
    "streams_closed_total": "counter", "events_delivered_total": "counter",
    "events_replayed_total": "counter", "replays_total": "counter",
    "resyncs_total": "counter", "overloads_total": "counter",
    "rows_read_total": "counter", "rows_skipped_total": "counter",
    "read_errors_total": "counter", "watch_wakes_total": "counter",
    "watch_checks_total": "counter", "connections_total": "counter", "body_bytes": "gauge",
    "requests_total": "counter", "requests_refused_total": "counter",
    "requests_timed_out_total": "counter",
    "commit_to_read_seconds": "histogram", "read_to_sent_seconds": "histogram",
}


def test_names_and_types(reader):
    metrics = read_metrics(reader)
    assert_promtool_content(metrics)
    types = metrics.types
    for name, kind in DOCUMENTED.items():
        assert types.get(f"jobwire_{name}") == kind, name


def test_build_info_names_the_version(reader):
    (labels,) = [
        dict(labels)
        for name, labels in read_metrics(reader).samples
        if name == "jobwire_build_info"
    ]
    version = reader.tool("--version").stdout.split()[-1]
    assert labels == {"version": version}


@pytest.mark.parametrize(
    "text",
    ["a 1\n", "# TYPE a gauge\na 1\n", "# HELP a x\n# TYPE a gauge\na 1",
     "# HELP a x\n# TYPE a gauge\na 1\na 1\n",
     "# HELP a x\n# TYPE a counter\na 1\n",
     "# HELP a x\n# TYPE a gauge\na{b=c} 1\n",
     "# HELP a x\n# TYPE a gauge\na NaN\n",
     "# HELP a_us_total x\n# TYPE a_us_total counter\na_us_total 1\n",
     "# HELP a_total x\n# TYPE a_total gauge\na_total 1\n",
     "# HELP a_gauge x\n# TYPE a_gauge gauge\na_gauge 1\n",
     '# HELP a x\n# TYPE a histogram\na_bucket{le="1"} 2\n'
     'a_bucket{le="+Inf"} 1\na_sum 1\na_count 1\n'],
)
def test_the_parser_is_strict(text):
    with pytest.raises((AssertionError, KeyError)):
        Metrics(text)


# -- what does not count as a stream -----------------------------------------


@pytest.mark.parametrize(
    "method, target, headers",
    [
        ("HEAD", "/events/a", None),
        ("OPTIONS", "/events/a", None),
        ("POST", "/events/a", None),
        ("GET", "/events/a%20b", None),
        ("GET", "/events", None),
        ("GET", "/events/a?wait=abc", None),
        ("GET", "/events/a", {"Accept": "text/html"}),
        ("GET", "/events/a?format=json", None),
        ("GET", "/events/done?last_event_id={last}", None),
        ("GET", "/nothing", None),
        ("GET", "/jobs/a", None),
    ],
)
def test_no_stream(reader, method, target, headers):
    number = reader.writer.publish("done", "completed")
    last = f"{reader.writer.epoch()}-{number}"
    get(reader, target.format(last=last), headers, method=method)
    metrics = read_metrics(reader)
    assert metrics.value("streams_opened_total") == 0
    assert not closed(reader)


def test_a_stream_of_a_missing_database_does_not_count(reader):
    with missing_database(reader):
        until(gauge_is(reader, "database_failing", 1), "the gauge")
        assert get(reader, "/events/a").status in (200, 503)
        assert read_metrics(reader).value("streams_open") == 0
    until(gauge_is(reader, "database_failing", 0), "the gauge")
    assert not closed(reader)


def test_a_stream_that_was_turned_away_does_not_count(make_site):
    site = make_site(max_streams="1")
    site.start("events")
    with site.stream("a") as stream:
        stream.wait_open()
        assert get(site, "/events/b").status == 200
        assert get(site, "/events/b?format=json&wait=5").status == 503
        metrics = read_metrics(site)
        assert metrics.value("overloads_total") == 2
        assert metrics.value("streams_opened_total") == 1
        assert metrics.value("streams_open") == 1


# -- ends --------------------------------------------------------------------


def test_closed_completed(reader):
    with reader.stream("a") as stream:
        stream.wait_open()
        reader.writer.publish("a", "completed")
        stream.wait_end()
    assert closed(reader) == {"completed": 1}


def test_closed_lifetime(make_site):
    site = make_site(lifetime="200ms")
    site.start("events")
    with site.stream("a") as stream:
        stream.wait_end()
    assert closed(site) == {"lifetime": 1}


def test_closed_left(reader):
    """At once: the next request sees it."""
    for _ in range(20):
        with reader.stream("a") as stream:
            stream.wait_open()
        until(gauge_is(reader, "streams_open", 0), "the gauge", 0.5)
    assert closed(reader) == {"left": 20}


def test_closed_lagged(reader):
    with reader.stream("a") as stream:
        stream.wait_open()
        reader.writer.publish_many([("a", "step", {"x": "x" * 9000})] * 60)
        until(gauge_is(reader, "streams_open", 0), "it to be closed")
    assert closed(reader) == {"lagged": 1}
    assert read_metrics(reader).value("streams_lagging") == 0


def test_left_while_lagging(make_site):
    """The gauge of lagging streams forgets who left."""
    site = make_site(lag_timeout="1h")
    site.start("events")
    with site.stream("a") as stream:
        stream.wait_open()
        site.writer.publish_many([("a", "step", {"x": "x" * 9000})] * 60)
        until(gauge_is(site, "streams_lagging", 1), "it to lag")
    until(gauge_is(site, "streams_lagging", 0), "the gauge")
    assert closed(site) == {"left": 1}


# -- counters ----------------------------------------------------------------


def test_delivered_replayed_and_read(reader):
    """Two live and three replayed events, of four rows read."""
    with reader.stream("a") as stream:
        stream.wait_open()
        reader.writer.publish_many([("a", "step"), ("b", "step")])
        reader.writer.publish_many([("a", "step"), ("b", "step")])
        first, _ = stream.take(2)
        before = read_metrics(reader)
        assert before.value("events_delivered_total") == 2
        assert before.value("rows_read_total") == 4
        with reader.stream("a") as late:
            late.take(2)
        with reader.stream("a", last_id=first.id) as late:
            late.take(1)
    after = read_metrics(reader)
    assert after.value("events_delivered_total") == 5
    replayed = before.value("events_replayed_total") + 3
    assert after.value("events_replayed_total") == replayed
    assert after.value("replays_total") == 1, "one had missed something"
    assert after.value("rows_read_total") == 4


def test_histograms(reader):
    with reader.stream("a") as one, reader.stream("a") as two:
        one.wait_open()
        two.wait_open()
        for _ in range(10):
            reader.writer.publish("a", "step")
            one.next()
            two.next()
    metrics = read_metrics(reader)
    assert metrics.value("commit_to_read_seconds_count") == 10
    assert metrics.value("read_to_sent_seconds_count") == 20
    assert 0 < metrics.value("read_to_sent_seconds_sum") < patience(1)
    assert metrics.value("commit_to_read_seconds_sum") < patience(5)


def test_resyncs(reader):
    for last_id in ("x", "00000000-1", f"{reader.writer.epoch()}-99"):
        with reader.stream("a", last_id=last_id) as stream:
            stream.next()
    assert read_metrics(reader).value("resyncs_total") == 3


def test_watch(reader):
    """While a stream is open, a commit wakes the watcher, and it looks."""
    with reader.stream("a") as stream:
        stream.wait_open()
        before = read_metrics(reader)
        reader.writer.publish("a", "step")
        for name in ("watch_wakes_total", "watch_checks_total"):
            until(
                lambda n=name: read_metrics(reader).value(n) > before.value(n),
                name,
            )


def test_watch_sleeps(reader):
    """While none is open, commits wake nobody; who comes misses nothing."""
    published = []

    def is_asleep():
        """Two base polls after a commit, which note what was counted."""
        before = read_metrics(reader)
        published.append(reader.writer.publish("a", "step"))
        checks = before.value("watch_checks_total") + 2
        until(
            lambda: read_metrics(reader).value("watch_checks_total") >= checks,
            "two looks",
        )
        now = read_metrics(reader)
        return now.value("watch_wakes_total") == before.value(
            "watch_wakes_total"
        )

    until(is_asleep, "commits to wake nobody")
    assert read_metrics(reader).value("rows_read_total") == 0
    with reader.stream("a") as stream:
        assert ids_of(stream.take(len(published))) == published
        published.append(reader.writer.publish("a", "step"))
        assert ids_of(stream.take(1)) == published[-1:]


def test_requests(reader):
    before = read_metrics(reader)
    get(reader, "/healthz")
    with reader.endpoint("events").connect() as raw:
        raw.send(b"GET / HTTP/1.1\r\n\r\n")
        raw.is_ended()
    after = read_metrics(reader)
    for name, count in [
        ("requests_total", 2), ("connections_total", 3),
        ("requests_refused_total", 1),
    ]:
        assert after.value(name) == before.value(name) + count, name


# -- comings and goings ------------------------------------------------------


class Visits:
    """Each method is a way to come and to go."""

    def __init__(self, site):
        self.site = site
        self.endpoint = site.endpoint("events")
        self.done = f"{site.writer.epoch()}-1"

    def all(self):
        """All of them, in turns."""
        return itertools.cycle(
            getattr(self, name) for name in dir(self)
            if name.startswith("visit_")
        )

    def visit_abrupt(self):
        """Leaves an open stream."""
        with self.site.stream("a") as stream:
            stream.wait_open()

    def visit_abrupt_at_once(self):
        """Leaves before anything came."""
        self.site.stream("a").close()

    def visit_clean(self):
        """Reads a finished job to its end."""
        self.site.stream("done").wait_end()

    def visit_half_close(self):
        """Sends no more, and waits for the end."""
        with self.site.stream("a") as stream:
            stream.wait_open()
            stream.exchange.connection.half_close()
            stream.exchange.connection.is_ended()

    def visit_half_head(self):
        """Leaves in the middle of its request."""
        with self.endpoint.connect() as raw:
            raw.send(request(environ("GET", events_target("a")))[:100])

    def visit_no_stdin(self):
        """Leaves between head and body."""
        with self.endpoint.connect() as raw:
            raw.send(begin() + params(environ("GET", events_target("a"))))

    def visit_silent(self):
        """Says nothing."""
        self.endpoint.connect().close()

    def visit_garbage(self):
        """Speaks no FastCGI."""
        with self.endpoint.connect() as raw:
            raw.send(b"\x16\x03\x01" + bytes(range(200)))
            raw.is_ended()

    def visit_head(self):
        """HEAD."""
        get(self.site, "/events/a", method="HEAD")

    def visit_not_found(self):
        """404."""
        assert get(self.site, "/nothing").status == 404

    def visit_nothing_left(self):
        """204."""
        target = f"/events/done?last_event_id={self.done}"
        assert get(self.site, target).status == 204

    def visit_json_aborted(self):
        """Leaves while it waits."""
        self.endpoint.open(
            "GET", events_target("a", "format=json&wait=30")
        ).close()

    def visit_json(self):
        """A whole JSON answer."""
        assert get(self.site, "/events/done?format=json").status == 200

    def visit_many_jobs(self):
        """A stream of several jobs, left."""
        with stream_at(
            self.site, "/api/v1/events?job_id=a&job_id=b&job_id=c"
        ) as stream:
            stream.wait_open()

    def visit_resync(self):
        """Told that history was lost, left."""
        with self.site.stream("a", last_id="x") as stream:
            stream.next()

    def visit_kept_connection(self):
        """Two requests on one connection."""
        with self.endpoint.connect() as raw:
            for _ in range(2):
                raw.send(
                    request(environ("GET", "/api/v1/healthz"), keep=True)
                )
                while raw.receive().type != 3:
                    pass


VISITS = 10000


def test_comings_and_goings(make_site):
    """10,000 of every kind: descriptors and memory stay, gauges are zero."""
    site = make_site()
    site.start("events")
    site.writer.publish("done", "completed")
    visits = Visits(site).all()
    count = VISITS // 10 if is_sanitized(program("jobwire-events")) else VISITS
    for visit in itertools.islice(visits, count // 10):
        visit()
    until(gauge_is(site, "connections_open", 1), "all to be gone")
    until(lambda: site.events.sockets() == 1, "the last socket")
    memory, descriptors = site.events.anonymous(), site.events.descriptors()
    for visit in itertools.islice(visits, count):
        visit()
    until(gauge_is(site, "connections_open", 1), "all to be gone")
    for gauge in GAUGES:
        assert read_metrics(site).value(gauge) == 0, gauge
    until(lambda: site.events.sockets() == 1, "the last socket")
    assert site.events.descriptors() == descriptors
    if not is_sanitized(program("jobwire-events")):
        assert site.events.anonymous() - memory < 256 * 1024, "memory grew"
    opened = read_metrics(site).value("streams_opened_total")
    assert sum(closed(site).values()) == opened


STREAMS = 3000
STREAM_BYTES = 420  # 359 were measured


def test_idle_streams_cost_little_memory(make_site):
    """Each on a job of its own, whose name is as long as RunPod's."""
    if is_sanitized(program("jobwire-events")):
        pytest.skip("a sanitizer has memory of its own")
    raise_descriptor_limit(4 * STREAMS)
    site = make_site()
    site.start("events")
    before = 0
    with contextlib.ExitStack() as stack:
        for number in range(STREAMS + STREAMS // 10):
            if number == STREAMS // 10:  # what the first ones need is there
                before = site.events.anonymous()
            stream = stack.enter_context(site.stream(f"{number:036}-u1"))
            stream.wait_open()
        grown = site.events.anonymous() - before
    assert grown < STREAMS * STREAM_BYTES, f"{grown / STREAMS:.0f} each"


def test_many_at_once_and_gone_at_once(make_site):
    """The gauge follows up and down."""
    site = make_site()
    site.start("events")
    with contextlib.ExitStack() as stack:
        for number in range(300):
            stack.enter_context(site.stream(f"job-{number}")).wait_open()
        assert read_metrics(site).value("streams_open") == 300
    until(gauge_is(site, "streams_open", 0), "all to be gone", 2)
    assert closed(site) == {"left": 300}
