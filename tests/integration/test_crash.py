"""kill -9 at any moment: no event lost, none doubled, ids in order.

The number of rounds is JOBWIRE_ROUNDS (200)."""

import os
import random
import threading

from harness.publish import shell_publish
from harness.sse import StreamEnded, data_of, ids_of
from harness.wait import Deadline

ROUNDS = int(os.environ.get("JOBWIRE_ROUNDS", "200"))
JOB = "crash"


class Crash:
    """Kills one responder a moment from now, in a thread of its own."""

    broken_deliveries = 0  # of all rounds

    def __init__(self, site):
        self.name = random.choice(["events", "webhook"])
        self._site = site
        victim = getattr(site, self.name)
        self._timer = threading.Timer(random.uniform(0, 0.012), victim.kill)
        self._timer.start()
        self._is_over = False

    def recover(self):
        """Waits for the kill and starts the program again; once."""
        if not self._is_over:
            self._is_over = True
            self._timer.join()
            self._site.start(self.name)


def deliver(site, crash, number):
    """Posts as a provider that retries until it gets its 200."""
    payload = {"id": "r", "status": "IN_PROGRESS", "executionTime": number}
    deadline = Deadline(20)
    while deadline.left():
        try:
            return site.deliver(JOB, payload)
        except (ConnectionError, FileNotFoundError):
            Crash.broken_deliveries += 1
            crash.recover()


def read_up_to(stream, number, seen):
    """Reads until the event with that number, over as many connections as it
    takes; how many more it took."""
    deadline = Deadline(20)
    reconnects = 0
    while number not in seen:
        try:
            own = data_of(stream.next(deadline))
            seen.append(own.get("n", own.get("executionTime")))
        except StreamEnded:
            stream.reconnect()
            reconnects += 1
    return reconnects


def play_round(site, numbers):
    """Publishes these numbers while a responder is killed."""
    crash = Crash(site)
    shells = []
    for number in numbers:
        if random.random() < 0.5:
            deliver(site, crash, number)
        else:
            data = '{"n":%d}' % number
            shells.append(shell_publish(site.db, JOB, "note", data))
    for shell in shells:
        assert shell.wait(60) == 0
    crash.recover()


def test_kill_loop(make_site):
    site = make_site(keep_events="1000000").start_both()
    seen, published, reconnects = [], 0, 0
    with site.stream(JOB) as stream:
        stream.wait_open()
        for _ in range(ROUNDS):
            numbers = range(published, published + random.randint(1, 3))
            published = numbers.stop
            play_round(site, numbers)
            for number in numbers:
                reconnects += read_up_to(stream, number, seen)
        stream.reconnect()  # the last kill may have cut it off
        site.deliver(JOB, {"id": "r", "status": "COMPLETED"})
        stream.wait_end()
        rows = site.writer.rows(JOB)
        assert sorted(seen) == list(range(published))
        assert ids_of(stream.events) == [row[0] for row in rows]
        assert [e.event for e in stream.events] == [row[2] for row in rows]
        assert len(rows) == published + 1
    with site.stream(JOB) as replay:
        replay.wait_end(30)
        assert ids_of(replay.events) == [row[0] for row in rows]
    print(
        f"{ROUNDS} rounds, {published} events, {reconnects} streams and"
        f" {Crash.broken_deliveries} deliveries cut off: none lost, none doubled"
    )
