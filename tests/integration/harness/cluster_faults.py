"""What goes wrong in a cluster, one thing at a time, while events are written
and pages follow: rounds of it, for test_cluster_faults.py."""

import random
import signal
import threading
import time

from .cluster import Page, Writer, check_order, check_page
from .wait import until


# After these, events may come twice: Redis has lost what it had acknowledged.
# (With `appendfsync everysec` it writes its file later when the disk is slow.)
DOUBLING = {"failover", "lost", "redis"}


class Engine:
    """The two Redis of a cluster, one of which is the master, by one
    interface with a single one."""

    def __init__(self, make_redis, networks=None):
        self.servers = [
            make_redis(name, place=networks and networks.place(name))
            for name in ("redis1", "redis2")
        ]
        self.master, self.replica = self.servers
        self.master.start()
        self.replica.start(replica_of=self.master)
        self.replica.wait_synced()

    @property
    def url(self):
        """What redis_url says: both."""
        return ",".join(server.url for server in self.servers)

    def restart(self):
        """kill -9 of the master, and its return with its file."""
        self.master.kill()
        self.master.start()
        self.replica.wait_synced()

    def fail_over(self, pause):
        """The replica gets nothing for that long, and then takes the place of
        the master, which dies; what was acknowledged meanwhile is lost."""
        self.replica.lose_touch()
        time.sleep(pause)
        self.swap()

    def swap(self):
        """The master dies, and the replica goes on with what it has."""
        self.master.kill()
        self.replica.promote()
        self.master, self.replica = self.replica, self.master
        self.replica.start(replica_of=self.master)
        self.replica.wait_synced()

    def lose_all(self):
        """Both are gone, with their files."""
        for server in self.servers:
            server.wipe()
        self.master.start()
        self.replica.start(replica_of=self.master)
        self.replica.wait_synced()


class Faults:
    """One fault each; they return when it is over, as an administrator or
    systemd would have it."""

    KINDS = (
        "relay", "webhook", "events", "stop", "reload", "redis", "cut",
        "failover", "lost",
    )

    def __init__(self, cluster, engine, rng):
        self.cluster = cluster
        self.engine = engine
        self.rng = rng

    def play(self, kind):
        """Says what it does, and does it."""
        node = self.rng.choice(self.cluster.nodes)
        pause = self.rng.uniform(0, 0.3)
        print(f"  {kind} {node} {pause:.3f} s")
        getattr(self, "_" + kind)(node, pause)

    def _relay(self, node, pause):
        node.relay.kill()
        time.sleep(pause)
        node.start_relay()

    def _webhook(self, node, pause):
        node.site.webhook.kill()
        time.sleep(pause / 3)
        node.site.start("webhook")

    def _events(self, node, pause):
        node.site.events.kill()
        time.sleep(pause / 3)
        node.site.start("events")

    def _any(self, node):
        """One of the node's programs."""
        return self.rng.choice([node.relay, node.site.webhook, node.site.events])

    def _stop(self, node, pause):
        process = self._any(node)
        process.child.send_signal(signal.SIGSTOP)
        time.sleep(2 * pause)
        process.child.send_signal(signal.SIGCONT)

    def _reload(self, node, pause):
        for process in (self._any(node), node.web.process):
            process.child.send_signal(signal.SIGHUP)
            time.sleep(pause / 3)

    def _redis(self, _node, pause):
        self.engine.master.kill()
        time.sleep(pause)
        self.engine.master.start()
        self.engine.replica.wait_synced()

    def _cut(self, node, pause):
        networks = self.cluster.networks
        if networks is None:  # as good as: it neither hears nor speaks
            node.relay.child.send_signal(signal.SIGSTOP)
            time.sleep(3 * pause)
            node.relay.child.send_signal(signal.SIGCONT)
        else:
            networks.cut(node.place)
            time.sleep(3 * pause)
            networks.mend(node.place)

    def _failover(self, _node, pause):
        self.engine.fail_over(pause)

    def _lost(self, _node, _pause):
        self.engine.lose_all()


class _Thread(threading.Thread):
    """Whose failure is raised where it is joined."""

    def __init__(self, act):
        super().__init__(daemon=True)
        self._act = act
        self._fault = None

    def run(self):
        try:
            self._act()
        except BaseException as fault:  # raised by finish()
            self._fault = fault

    def finish(self):
        """Waits for its end."""
        self.join()
        if self._fault:
            raise self._fault


class Drama:
    """Rounds on one cluster: in each a fault, while events are written and pages
    move."""

    JOBS = [f"job-{n}" for n in range(4)]
    WRITERS = 3

    def __init__(self, cluster, engine, seed, writes=4):
        self.rng = random.Random(seed)
        self.cluster = cluster
        self.faults = Faults(cluster, engine, random.Random(seed + 1))
        self.writer = Writer(cluster, random.Random(seed + 2))
        self.writes = writes
        self.kinds = []
        self.pages = [
            Page(self.rng.choice(cluster.nodes), jobs)
            for jobs in (self.JOBS, self.JOBS[:1], self.JOBS[1:3])
        ]
        for page in self.pages:
            page.start()

    def play(self, kind=None):
        """One round."""
        kind = kind or self.rng.choice(Faults.KINDS)
        self.kinds.append(kind)
        delay = self.rng.uniform(0, 0.05)

        def spoil():
            time.sleep(delay)
            self.faults.play(kind)

        fault = _Thread(spoil)
        writers = [_Thread(lambda: self._write(fault)) for _ in range(self.WRITERS)]
        for thread in [fault, *writers]:
            thread.start()
        for thread in [fault, *writers]:
            thread.finish()

    def _write(self, fault):
        written = 0
        while fault.is_alive() or written < self.writes:
            self.writer.write(self.rng.choice(self.JOBS), seconds=60)
            written += 1
            if self.rng.random() < 0.1:
                self.rng.choice(self.pages).move(self.rng.choice(self.cluster.nodes))
            time.sleep(self.rng.uniform(0, 0.02))

    def wait_pages(self, contents=None):
        """Waits until each page has had all that was accepted."""
        for page in self.pages:
            due = {
                n for n, job in self.writer.accepted.items() if job in page.jobs
            }
            try:
                until(
                    lambda page=page, due=due: due <= set(page.numbers())
                    or page.fault, "pages to have all that was accepted", 10,
                )
            except AssertionError:
                raise AssertionError(page.explain(
                    due, contents or self.cluster[0].contents()
                )) from None

    def judge(self, doubles_allowed=True):
        """Waits until all is level, and checks everything that is promised;
        how many events came twice."""
        self.cluster.wait_ok(60)
        contents = self.cluster.settle(60)
        accepted = self.writer.accepted
        self.wait_pages(contents)
        newest = {
            job: max(row[0] for row in contents["job_events"] if row[1] == job)
            for job in {row[1] for row in contents["job_events"]}
        }
        for page in self.pages:
            last = max((newest[job] for job in page.jobs if job in newest), default=0)
            until(lambda page=page, last=last: page.place() >= last,
                "pages to be at the end", 20)
            page.stop()
        assert len(contents["job_events"]) == len(accepted)
        doubled = 0
        for page in self.pages:
            doubled += check_page(page, accepted, doubles_allowed)
            check_order(page, contents)
        return doubled

    def stop(self):
        """Lets the pages go."""
        for page in self.pages:
            page.leave()
