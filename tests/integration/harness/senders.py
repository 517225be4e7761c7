"""Providers that deliver without pause, and send again what was not answered
200."""

import collections
import threading

from .wait import Deadline


class Senders:
    """Connections that deliver while the block runs. Each delivery is a report
    of its own: (job, number). `accepted` has the event ids of those that were
    answered 200; `refusals` counts the other answers by (status, code).
    """

    def __init__(self, site, connections, first_job=0):
        self.accepted = {}
        self.refusals = collections.Counter()
        self.cut_off = 0  # connections that ended without an answer
        self._site = site
        self._is_over = threading.Event()
        self._faults = []
        self._threads = [
            threading.Thread(target=self._run, args=(f"job-{first_job + n}",))
            for n in range(connections)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        assert not self._faults, self._faults[0]

    def _run(self, job):
        try:
            number = 0
            while not self._is_over.is_set():
                self._send_until_accepted(job, number)
                number += 1
        except Exception as fault:  # the test fails with it
            self._faults.append(fault)

    def _send_until_accepted(self, job, number):
        deadline = Deadline(60)
        while deadline.left():
            try:
                answer = self.send(job, number)
            except (ConnectionError, FileNotFoundError):
                self.cut_off += 1
                self._is_over.wait(0.01)  # as a sender that tries again
                continue
            if answer.status == 200:
                return
            self.refusals[answer.status, answer.error()] += 1

    def send(self, job, number):
        """Sends one, whether it was sent before or not."""
        body = b'{"id":"%s","status":"FAILED","executionTime":%d}' % (
            job.encode(), number,
        )
        answer = self._site.post(self._site.signed(job), body)
        if answer.status == 200:
            self.accepted[job, number] = answer.json()["event_id"]
        return answer

    def check_stored(self, writer=None):
        """Everything that was accepted is there, once, under the id that was
        answered; how many events there are in all."""
        writer = writer or self._site.writer
        epoch = writer.epoch()
        stored = {}
        for number, job, _, data in writer.rows():
            text = data.partition('"executionTime":')[2].rstrip("}")
            assert (job, int(text)) not in stored, "doubled"
            stored[job, int(text)] = f"{epoch}-{number}"
        lost = {key for key in self.accepted if key not in stored}
        assert not lost
        for key, event_id in self.accepted.items():
            assert stored[key] == event_id
        return len(stored)
