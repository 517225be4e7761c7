"""Nodes of a cluster as their relays see them: a database, `jobwire-relay`, the
webhook responder where it is asked for, and what comes of rows of the
outbox."""

import contextlib
import json
import sqlite3
import threading
import time

import pytest

from .process import Process
from .site import PREFIX, program
from .wait import patience, until

# What is the same on every node, in whatever order SQLite has it.
_SAME = {
    "job_events": "*",
    "jobs": "*",
    "unclaimed_events": "external_id, type, data, created_at, source,"
    " delivery_key",
    "idempotency_keys": "*",
    "revoked": "*",
    "log_marks": "*",
    "runs": "run_id, job_id, endpoint, restore_id, origin, origin_seq, state",
}


class RelayNode:
    """A site that has joined under this name."""

    def __init__(self, name, site):
        self.name = name
        self.site = site
        self.relay = None
        self.db = sqlite3.connect(
            site.db, timeout=patience(10), isolation_level=None,
            check_same_thread=False,
        )
        self.db.execute(
            "INSERT INTO meta VALUES ('cluster', ?) ON CONFLICT (key)"
            " DO UPDATE SET value = excluded.value", (name,),
        )
        self.n_put = 0
        self._lock = threading.RLock()  # tests write from several threads

    def start(self, *flags):
        """Starts its relay, the first time or again."""
        self.relay = Process(
            f"relay {self.name}",
            [program("jobwire-relay"), "--config", self.site.config, *flags],
            self.site.log_path("relay"),
        )
        self.site.processes.append(self.relay)
        return self.relay

    def kill(self):
        """kill -9 of its relay."""
        self.relay.kill()

    # -- writing ---------------------------------------------------------

    def put_kind(self, kind, created_at=None, **payload):
        """A row of the outbox; its number."""
        values = [kind, json.dumps(payload)]
        if created_at is not None:
            values.append(created_at)
        with self._lock:
            return self.db.execute(
                "INSERT INTO outbox (kind, payload"
                f"{', created_at' if created_at else ''})"
                f" VALUES ({', '.join('?' * len(values))}) RETURNING seq",
                values,
            ).fetchone()[0]

    def put(self, job, kind="progress", created_at=None, **members):
        """An event that can be told from all others; its number."""
        with self._lock:
            self.n_put += 1
            data = {"by": self.name, "n": self.n_put, **members}
            return self.put_kind(
                "event", created_at, job_id=job, type=kind,
                data=json.dumps(data), source="test",
                delivery_key=f"{self.name}-{self.n_put}",
            )

    # -- looking ---------------------------------------------------------

    def ask(self, statement, *values):
        """Rows of its database."""
        with self._lock:
            return self.db.execute(statement, values).fetchall()

    def result(self, seq):
        """What came of a row, or None."""
        text = self.ask("SELECT result FROM outbox WHERE seq = ?", seq)[0][0]
        return None if text is None else json.loads(text)

    def waiting(self):
        """How many rows have no answer yet."""
        return self.ask("SELECT count(*) FROM outbox WHERE result IS NULL")[0][0]

    def contents(self):
        """All that is the same on every node: {table: rows}."""
        with contextlib.closing(sqlite3.connect(self.site.db)) as db:
            db.execute("BEGIN")
            found = {
                table: sorted(
                    db.execute(f"SELECT {what} FROM {table}").fetchall(),
                    key=repr,
                )
                for table, what in _SAME.items()
            }
            found["gone_floor"] = db.execute(
                "SELECT value FROM meta WHERE key = 'gone_floor'"
            ).fetchall()
            return found

    def status(self):
        """What its relay says of itself: {name: value}."""
        with open(self.site.db + "-relay", encoding="utf-8") as file:
            lines = [line.partition(" ") for line in file.read().splitlines()]
        return {name: value.strip() for name, _, value in lines}

    def wait_state(self, state, seconds=20):
        """Waits until its relay says so; the whole status."""

        def look():
            with contextlib.suppress(FileNotFoundError):
                status = self.status()
                return status if status.get("state") == state else None
            return None

        return until(look, f"node {self.name} to be {state}", seconds)

    def health(self):
        """The JSON of its responder, which has been started."""
        answer = self.site.endpoint("webhook").call(
            "GET", PREFIX + "/webhooks/healthz"
        )
        return answer.status, answer.json()

    def log(self):
        """What its relay has logged."""
        return self.relay.log_text()


class RelayNodes(list):
    """The nodes of one cluster."""

    def start(self):
        """Starts all relays, and waits until each is well."""
        for node in self:
            node.start()
        for node in self:
            node.wait_state("ok")
        return self

    def put(self, count, first=0):
        """That many events on the nodes in turn, of few jobs."""
        kinds = ["queued", "processing", "progress", "completed", "failed"]
        for i in range(first, first + count):
            self[i % len(self)].put(f"job-{i % 7}", kinds[i * 3 % 5])

    def settle(self, seconds=40):
        """Waits until all that was taken is applied everywhere; the contents,
        which are the same on all nodes."""
        until(
            lambda: not any(node.waiting() for node in self),
            "all rows to be answered", seconds,
        )

        contents = []

        def is_level():
            contents[:] = [node.contents() for node in self]
            return all(other == contents[0] for other in contents)

        with contextlib.suppress(AssertionError):  # what differs is said here
            until(is_level, "all nodes to have the same", seconds)
        for node, other in zip(self, contents):
            for table, rows in contents[0].items():
                missing = [row for row in rows if row not in other[table]]
                more = [row for row in other[table] if row not in rows]
                assert (missing, more) == ([], []), (node.name, table)
        return contents[0]

    def check_nothing_is_lost(self):
        """Every event that was put is there once, and no other."""
        rows = self.settle()["job_events"]
        found = sorted(row[6] for row in rows)
        put = sorted(
            f"{node.name}-{n}" for node in self
            for n in range(1, node.n_put + 1)
        )
        assert found == put, f"{len(found)} of {len(put)}"
        return rows


class Writers:
    """A thread for each node puts events until it is told to stop."""

    def __init__(self, nodes, pause=0.002):
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(node, pause))
            for node in nodes
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, node, pause):
        kinds = ["queued", "processing", "progress", "completed", "failed"]
        while not self._stop.is_set():
            node.put(f"job-{node.n_put % 7}", kinds[node.n_put % 5])
            time.sleep(pause)

    def stop(self):
        """Waits for their end."""
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture(name="make_nodes")
def fixture_make_nodes(make_site):
    """Makes nodes on a Redis, or on several, not started."""
    made = []

    def make(*servers, names="abc", **settings):
        urls = ",".join(redis.url for redis in servers)
        nodes = RelayNodes()
        for name in names:
            site = make_site(
                **{"redis_url": urls, "cluster_key": "test", **settings}
            )
            nodes.append(RelayNode(name, site))
        made.extend(nodes)
        return nodes

    yield make
    for node in made:
        node.db.close()
