"""RunPod, simulated by what `jobwire simulate runpod` runs: as a program of
its own, so that it can be killed, with a journal by which it goes on."""

import collections
import http.client
import json
import os
import re

from . import leaks
from .process import Process, read_text
from .wait import free_port, patience, until

KEY = leaks.secret("rpa_harness-key-0123456789abcdef")
_READY = re.compile(r"is simulated at http://127\.0\.0\.1:(\d+)/v2")


class RunPod:
    """The provider of a site. `flags` are the simulator's; inputs may hold
    plans."""

    def __init__(self, site, *flags):
        self.site = site
        self.flags = flags
        self.journal = os.path.join(site.root, "runpod.journal")
        self.key_file = os.path.join(site.root, "runpod.key")
        self.port = free_port()
        self.process = None
        with open(self.key_file, "w", encoding="utf-8") as file:
            file.write(KEY + "\n")

    def start(self):
        """Starts it, the first time or again, and waits until it listens."""
        log = os.path.join(self.site.root, "runpod.log")
        seen = len(_READY.findall(read_text(log)))
        with open(log, "ab") as stdout:
            self.process = Process(
                "simulator",
                [os.path.join(self.site.bin, "jobwire"), "simulate", "runpod",
                 "--port", str(self.port), "--key", f"@{self.key_file}", "--plans",
                 "--journal", self.journal, *self.flags],
                log, stdout=stdout,
            )
        self.site.processes.append(self.process)
        ready = until(
            lambda: self._is_ready(log, seen), "the simulator to listen", 20
        )
        self.port = int(ready)
        return self

    def _is_ready(self, log, seen):
        assert self.process.is_alive(), read_text(log)
        ports = _READY.findall(read_text(log))
        return ports[-1] if len(ports) > seen else None

    def kill(self):
        """kill -9."""
        self.process.kill()

    @property
    def url(self):
        """What runpod_url is set to."""
        return f"http://127.0.0.1:{self.port}/v2"

    def settings(self, **more):
        """Those of a site whose runner uses it."""
        return {
            "runpod_url": self.url, "runpod_key": f"@{self.key_file}",
            "runpod_actions": "restore=photos", **more,
        }

    def jobs(self):
        """All jobs that it has ever taken, as it knows them, by id."""
        found = {}
        for line in read_text(self.journal).splitlines(keepends=True):
            if line.endswith("\n"):
                change = json.loads(line)
                found.setdefault(change["id"], {}).update(change)
        return found

    def submissions(self):
        """How often each input was taken: {its text: number}."""
        return collections.Counter(
            json.dumps(job["input"], sort_keys=True)
            for job in self.jobs().values()
        )

    def call(self, method, path, body=None, key=KEY):
        """Asks it as the runner does; status and JSON."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=patience(10)
        )
        data = None if body is None else json.dumps(body)
        connection.request(
            method, "/v2" + path, data, {"Authorization": f"Bearer {key}"}
        )
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text)
