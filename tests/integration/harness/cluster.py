"""Nodes of a cluster with all their programs, each in a folder and, where
wanted, in a network of its own; pages that follow jobs and move between nodes;
and a judge of what was accepted and what they saw."""

import collections
import contextlib
import json
import sqlite3
import threading
import time
import uuid

import pytest

from .http import HttpEndpoint
from .metrics import Metrics
from .nginx import Nginx
from .publish import RUNPOD, ForeignWriter, signed_query
from .process import Process
from .redis import Redis, redis_program
from .site import PREFIX, SECRET, events_target, program, webhook_target
from .sse import Stream, StreamEnded, data_of
from .wait import Deadline, patience, until

KEY = "harness-cluster-key-0123456789"
_JSON = {"Content-Type": "application/json"}
_BEARER = {**_JSON, "Authorization": f"Bearer {KEY}"}

# What all nodes have alike, row by row; of runs, what their node's runner has
# to itself is left out.
TABLES = {
    "job_events": "id, job_id, type, data, created_at, source, delivery_key,"
    " status, restore_id, origin, origin_seq",
    "jobs": "job_id, owner, external_id, restore_id, state, floor, created_at,"
    " updated_at, output, error",
    "unclaimed_events": "external_id, type, data, created_at, source,"
    " delivery_key, restore_id, output, error",
    "idempotency_keys": "key, request, first_id, n_events, created_at",
    "revoked": "kind, digest, revoked_at",
    "runs": "run_id, job_id, action, endpoint, restore_id, origin, origin_seq,"
    " state = 'ended', error",
    "meta": "value",
}
_WHERE = {"meta": "key IN ('epoch', 'gone_floor')"}


class _NodeNginx(Nginx):
    """nginx of a node, which may be in a network of its own."""

    def __init__(self, node):
        self.node = node
        self.host = node.place.host if node.place else "127.0.0.1"
        super().__init__(node.site)

    def command(self):
        launcher = self.node.place.launcher if self.node.place else []
        return [*launcher, *super().command()]


class Node:
    """One of them: a site with both responders behind nginx, and its relay."""

    def __init__(self, name, site, place=None):
        self.name = name
        self.site = site
        self.place = place
        self.web = _NodeNginx(self)
        self.relay = None

    def __repr__(self):
        return self.name

    @property
    def endpoint(self):
        """HTTP through its nginx."""
        return self.web.endpoint

    def start(self):
        """Starts all of it."""
        self.site.start_both()
        self.web.start()
        self.start_relay()
        return self

    def start_relay(self, *flags, **options):
        """Starts its relay, the first time or again."""
        launcher = self.place.launcher if self.place else []
        self.relay = Process(
            f"relay {self.name}",
            [*launcher, program("jobwire-relay"), "--config", self.site.config,
             *flags],
            self.site.log_path("relay"), **options,
        )
        self.site.processes.append(self.relay)
        return self.relay

    def tool(self, *arguments, **options):
        """Runs `jobwire` here."""
        return self.site.tool(*arguments, **options)

    # -- calls -----------------------------------------------------------

    def send(self, path, value, headers=None, endpoint=None):
        """POST by somebody who has the key; the whole answer."""
        return (endpoint or self.endpoint).call(
            "POST", PREFIX + path, {**_BEARER, **(headers or {})},
            json.dumps(value).encode(),
        )

    def deliver(self, job, payload, restore_id="", endpoint=None):
        """A webhook of RunPod's; the whole answer."""
        target = webhook_target(signed_query(SECRET, job, restore_id), RUNPOD)
        return (endpoint or self.endpoint).call(
            "POST", target, _JSON, json.dumps(payload).encode()
        )

    def publish(self, job, events, key=None):
        """A publication; the whole answer."""
        headers = {"Idempotency-Key": key} if key else {}
        return self.send(f"/jobs/{job}/events", events, headers)

    def get(self, path, headers=None):
        """What a reader asks; the whole answer."""
        return self.endpoint.call("GET", PREFIX + path, headers)

    def health(self):
        """The writing half's health; its JSON."""
        return self.site.endpoint("webhook").call(
            "GET", PREFIX + "/webhooks/healthz"
        ).json()

    def metrics(self):
        """The writing half's metrics."""
        answer = self.site.endpoint("webhook").call(
            "GET", PREFIX + "/webhooks/metrics"
        )
        return Metrics(answer.body.decode())

    def stream(self, job, query="", **options):
        """A stream of the job through its nginx."""
        return Stream(self.endpoint, events_target(job, query), **options)

    # -- looking at it ---------------------------------------------------

    def ask(self, statement, *values):
        """Rows of its database."""
        connection = sqlite3.connect(self.site.db, timeout=patience(10))
        try:
            return connection.execute(statement, values).fetchall()
        finally:
            connection.close()

    def waiting(self):
        """How many of its writes have no result yet."""
        return self.ask("SELECT count(*) FROM outbox WHERE result IS NULL")[0][0]

    def contents(self):
        """All that is the same on every node: {table: rows}."""
        connection = sqlite3.connect(self.site.db, timeout=patience(10))
        try:
            connection.execute("BEGIN")
            return {
                table: sorted(
                    connection.execute(
                        f"SELECT {names} FROM {table} WHERE"
                        f" {_WHERE.get(table, '1')}"
                    ).fetchall(),
                    key=repr,
                )
                for table, names in TABLES.items()
            }
        finally:
            connection.close()


class Cluster:
    """Nodes a, b, c .. and the Redis between them. With `networks` each has a
    place of its own."""

    def __init__(self, make_site, redis, size=3, networks=None, **settings):
        self.redis = redis
        self.networks = networks
        self._make_site = make_site
        self._settings = settings
        self.nodes = []
        for number in range(size):
            self.add("abcdefgh"[number])

    def __getitem__(self, index):
        return self.nodes[index]

    def __iter__(self):
        return iter(self.nodes)

    def settings(self, name, **more):
        """Those of a node."""
        return {
            "publish_keys": KEY, "keep_events": "1000000", "node_id": name,
            "redis_url": self.redis.url, "cluster_key": "harness",
            "runpod_actions": "restore=photos", **self._settings, **more,
        }

    def add(self, name, **more):
        """Makes a node, which has not joined."""
        place = self.networks.place(name) if self.networks else None
        site = self._make_site(**self.settings(name, **more))
        self.nodes.append(Node(name, site, place))
        return self.nodes[-1]

    def join(self):
        """All of them join."""
        for node in self.nodes:
            node.tool("cluster", "join")
        return self

    def start(self):
        """Joins, starts all, and waits until each has met Redis."""
        self.join()
        for node in self.nodes:
            node.start()
        self.wait_ok()
        return self

    def wait_ok(self, seconds=20):
        """Waits until every node says that it is in touch."""
        for node in self.nodes:
            until(
                lambda node=node: node.health().get("cluster") == "ok",
                f"node {node} to be in touch with the others", seconds,
            )

    def settle(self, seconds=30):
        """Waits until everything that was accepted is applied everywhere; the
        contents of all, which must be equal."""
        for node in self.nodes:
            until(
                lambda node=node: node.waiting() == 0,
                f"what node {node} accepted to be in the log", seconds,
            )
        until(self._is_level, "all nodes to be level", seconds)
        contents = [node.contents() for node in self.nodes]
        for other in contents[1:]:
            for table, rows in contents[0].items():
                assert_same_rows(table, rows, other[table])
        return contents[0]

    def _is_level(self):
        places = {
            node.ask("SELECT max(id), count(*) FROM job_events")[0]
            for node in self.nodes
        }
        return len(places) == 1

    def finish(self):
        """Stops nginx and the relays before their sites end."""
        for node in self.nodes:
            for process in (node.web.process, node.relay):
                if process is not None and process.is_alive():
                    if process is node.relay:
                        continue
                    node.web.stop()


def assert_same_rows(table, ours, theirs):
    """They are, or the first differences are shown."""
    if ours == theirs:
        return
    missing = [row for row in ours if row not in theirs][:3]
    extra = [row for row in theirs if row not in ours][:3]
    raise AssertionError(f"{table} differs: {missing} against {extra}")


# --- Pages ------------------------------------------------------------------


class Page(threading.Thread):
    """Follows jobs as an EventSource does, with what the client library adds:
    it comes back after everything. move() lets it go on at another node.

    `seen` has (origin, seq, event) of all that it was sent, in order, on
    whichever node; `resyncs` the reasons it was told.
    """

    def __init__(self, node, jobs, last_id=""):
        super().__init__(daemon=True)
        self.jobs = jobs
        self.seen = []
        self.resyncs = []
        self.moves = 0
        self.fault = None
        self._node = node
        self._last_id = last_id
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._query = "&".join(f"job_id={job}" for job in jobs)

    def move(self, node):
        """From its next look on, within half a second, it is there."""
        with self._lock:
            self._node = node
            self.moves += 1

    def run(self):
        try:
            while not self._over.is_set():
                self._follow()
        except BaseException as fault:  # the test's own thread raises it
            self.fault = fault

    def _follow(self):
        with self._lock:
            node, moves = self._node, self.moves
        stream = None
        try:
            stream = Stream(
                node.endpoint, f"{PREFIX}/events?{self._query}",
                last_id=self._last_id,
            )
            if stream.status == 204:
                self._over.wait(0.2)
            while stream.status == 200 and not self._over.is_set():
                if moves != self.moves:
                    return
                with contextlib.suppress(TimeoutError):
                    self._take(node, stream.next(0.05))
        except (StreamEnded, OSError):
            self._over.wait(0.02)
        finally:
            if stream is not None:
                # Also of a block without its end, which counts for nothing.
                self._last_id = stream.last_id or self._last_id
                stream.close()

    def _take(self, node, event):
        self._last_id = event.id
        data = data_of(event)
        if event.event == "resync":
            self.resyncs.append(data["reason"])
            return
        self.seen.append((data["origin"], data["seq"], event, node.name))

    def numbers(self):
        """How often each of the test's own numbers came: {n: times}."""
        return collections.Counter(
            number_of(event) for _, _, event, _ in list(self.seen)
        )

    def place(self):
        """The number in the id that it would come back with."""
        text = self._last_id.partition("-")[2].partition(".")[0]
        return int(text or 0)

    def explain(self, due, contents):
        """What it lacks, for a test that fails: how the table has it, and what
        the page saw before and after that place."""
        lacking = sorted(due - set(self.numbers()))
        lines = [f"lacking {lacking} of {len(due)}; it is at {self._last_id} of"
                 f" {self._node}; resyncs {self.resyncs}"]
        for row in contents["job_events"]:
            data = json.loads(row[3] or "{}")
            number = data.get("n", data.get("executionTime"))
            if number in lacking[:5]:
                lines.append(f"{number} has the id {row[0]}, of {row[9:]}")
        for event, name in [(e, name) for _, _, e, name in self.seen][-400:]:
            lines.append(f"  saw {number_of(event)} {event.id} at {name}")
        return "\n".join(lines)

    def leave(self):
        """Leaves."""
        self._over.set()

    def stop(self):
        """Leaves; raises what went wrong."""
        self.leave()
        self.join(patience(10))
        if self.fault:
            raise self.fault


def number_of(event):
    """The test's own number of an event."""
    data = data_of(event)
    return data.get("n", data.get("executionTime"))


# --- What was accepted ------------------------------------------------------


class Writer:
    """Writes that insist, as RunPod, as a publisher with an Idempotency-Key,
    and as a foreign program; each with a number of its own. Where a node gives
    no good answer another one is tried, with the same delivery or key.

    `accepted` has the job of each number that was taken, `answered` the event
    id of those that were answered with one.
    """

    WAYS = ("webhook", "publication", "insert")

    def __init__(self, cluster, rng):
        self.cluster = cluster
        self.rng = rng
        self.accepted = {}
        self.answered = {}
        self.retries = 0
        self.elsewhere = 0  # accepted at another node than first asked
        self._next = 1
        self._lock = threading.Lock()

    def write(self, job, way=None, node=None, seconds=20):
        """One event, until it is accepted; its number."""
        with self._lock:
            number, self._next = self._next, self._next + 1
        way = way or self.rng.choice(self.WAYS)
        first = node = node or self.rng.choice(self.cluster.nodes)
        key = uuid.uuid4().hex
        deadline = Deadline(seconds)
        while not self._try(node, way, job, number, key):
            deadline.left()
            self.retries += 1
            time.sleep(0.01)
            node = self.rng.choice(self.cluster.nodes)
        self.elsewhere += node is not first
        self.accepted[number] = job
        return number

    def _try(self, node, way, job, number, key):
        if way == "insert":  # whose commit is its acceptance
            foreign = ForeignWriter(node.site.db)
            foreign.publish(job, "note", {"n": number})
            foreign.close()
            return True
        try:
            if way == "webhook":
                answer = node.deliver(job, {
                    "id": f"r-{job}", "status": "IN_PROGRESS",
                    "executionTime": number,
                })
            else:
                answer = node.publish(
                    job, {"type": "note", "data": {"n": number}}, key
                )
        except OSError:
            return False
        if answer.status in (500, 502, 503, 504):
            return False
        assert answer.status in (200, 201, 202), answer
        told = answer.json()
        (event_id,) = told.get("event_ids") or [told.get("event_id")]
        if event_id is not None:
            self.answered[number] = event_id
        return True


def check_page(page, accepted, doubles_allowed):
    """Everything that was accepted was seen, in the log's order, and what came
    twice is known by its origin and seq. How many doubles there were."""
    due = {number for number, job in accepted.items() if job in page.jobs}
    counts = page.numbers()
    lost = sorted(due - set(counts))
    assert not lost, f"lost: {lost} of {len(due)}; resyncs {page.resyncs}"
    doubled = 0
    names = {}
    for origin, seq, event, node in page.seen:
        number = number_of(event)
        name = origin, seq
        assert names.setdefault(number, name) == name, (
            f"{number} came again from {node} and cannot be recognised:"
            f" {names[number]} {name}"
        )
    doubled = sum(times - 1 for times in counts.values())
    # A node that lagged for too long has told it all again.
    assert doubles_allowed or page.resyncs or doubled == 0, {
        number: times for number, times in counts.items() if times > 1
    }
    return doubled


def check_order(page, contents):
    """Of each event the last time it came counts: these are in the order, and
    with the ids and the status, of the table."""
    table = {
        (row[9], row[10], row[0] & 127): row for row in contents["job_events"]
    }
    last = {}
    for place, (origin, seq, event, _) in enumerate(page.seen):
        last[origin, seq] = place, event
    ids = []
    for (origin, seq), (_, event) in sorted(last.items(), key=lambda i: i[1][0]):
        row = table[origin, seq >> 7, seq & 127]
        number = int(event.id.split("-")[1].partition(".")[0])
        assert number == row[0], (event, row)
        assert event.event == row[2], (event, row)
        assert data_of(event)["status"] == row[7], (event, row)
        ids.append(number)
    assert ids == sorted(ids), "out of order"


@pytest.fixture(name="make_cluster")
def fixture_make_cluster(make_site, make_redis):
    """Makes clusters of nodes in folders, each with a Redis of its own; not
    started."""
    made = []

    def make(size=3, redis=None, networks=None, **settings):
        if redis is None:
            place = networks.place("redis") if networks else None
            redis = make_redis(place=place).start()
        made.append(Cluster(make_site, redis, size, networks, **settings))
        return made[-1]

    yield make
    for cluster in made:
        cluster.finish()
