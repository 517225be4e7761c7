# SPDX-License-Identifier: ISC
"""RunPod, as far as jobwire has to do with it, on this machine.

`jobwire simulate runpod` runs it, for whoever develops a page and has neither
a GPU nor a tunnel; so do `make run` and the tests, which need its bad days.

    POST /v2/ENDPOINT/run         {"input", "webhook", "policy"}
    GET  /v2/ENDPOINT/status/ID
    POST /v2/ENDPOINT/cancel/ID
    GET  /v2/ENDPOINT/health

A job works for a while, or a handler does, and its webhook is called, as
RunPod does: three times at most, 200 alone is success. What goes wrong is
decided by the seed, the job's input and how often that was asked before, not
by the order in which things happen: the same seed is the same bad day.
"""

import argparse
import collections
import contextlib
import heapq
import http.client
import http.server
import importlib.util
import itertools
import json
import os
import random
import re
import signal
import socketserver
import sys
import threading
import time
import types
import urllib.parse
import uuid
from concurrent.futures import ThreadPoolExecutor

MAX_BODY = 10 * 1000 * 1000  # RunPod's own limit for /run
HUGE = 2 << 30
TRIES = 3
TERMINAL = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")
KINDS = "slow, cut, hang, html, garbage, empty, huge or a status such as 503"
_KIND = r"(?:slow|(?:cut|hang|html|garbage|empty|huge|[345]\d\d)\+?)"
SLOW_S = 1
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


# --- chance -------------------------------------------------------------------


def canonical(value):
    """The same text for the same JSON."""
    return json.dumps(value, sort_keys=True)


class Chance:
    """What happens to a job. With plans, its input may say so itself."""

    def __init__(self, flags):
        self.flags = flags
        self.asked = collections.Counter()

    def _draw(self, *what):
        return random.Random(canonical([self.flags.seed, *what])).random()

    def plan(self, job, name, default=None):
        """What the input's member `simulate` says."""
        if not self.flags.plans:
            return default
        return job["input"].get("simulate", {}).get(name, default)

    def call(self, name, job):
        """The kind of failure of this call, or None."""
        key = canonical([name, job["input"]])
        n = self.asked[key]
        self.asked[key] += 1
        planned = self.plan(job, name, [])
        if n < len(planned):
            return planned[n]
        left = self._draw(key, n)
        for call, kind, share in self.flags.fail:
            if call in (None, name):
                left -= share
                if left < 0:
                    return kind
        return None

    def webhook(self, job, n):
        """drop, double, empty or send."""
        planned = self.plan(job, "webhook")
        if planned:
            return planned
        left = self._draw("webhook", job["input"], n)
        for way in ("drop", "double", "empty"):
            left -= getattr(self.flags, way)
            if left < 0:
                return way
        return "send"

    def late(self, job, n):
        """How many seconds after the end the webhook is sent."""
        most = self.plan(job, "late", self.flags.late)
        return most * self._draw("late", job["input"], n)

    def takes(self, job):
        """How many seconds it works."""
        return self.plan(job, "takes", self.flags.takes)

    def end(self, job, n):
        """A terminal status, or None where the result is lost."""
        planned = self.plan(job, "ends")
        if planned:
            return planned if planned in TERMINAL else None
        left = self._draw("end", job["input"], n)
        if left < self.flags.lose:
            return None
        return "FAILED" if left < self.flags.lose + self.flags.broken else "COMPLETED"


# --- time ---------------------------------------------------------------------


class Timers(threading.Thread):
    """Calls functions at their times, one after the other."""

    def __init__(self):
        super().__init__(daemon=True)
        self._heap = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self.start()

    def after(self, seconds, function, *arguments):
        """Calls it in so many seconds."""
        entry = (time.monotonic() + seconds, next(self._numbers), function, arguments)
        with self._changed:
            heapq.heappush(self._heap, entry)
            self._changed.notify()

    def run(self):
        while True:
            with self._changed:
                while not self._heap or self._heap[0][0] > time.monotonic():
                    left = self._heap[0][0] - time.monotonic() if self._heap else None
                    self._changed.wait(left)
                _, _, function, arguments = heapq.heappop(self._heap)
            function(*arguments)


# --- the handler ----------------------------------------------------------------


def load_handler(path, on_progress):
    """The function that a worker's file gives to runpod.serverless.start();
    the package need not be here."""
    given = {}
    runpod = types.ModuleType("runpod")
    runpod.serverless = types.SimpleNamespace(
        start=given.update, progress_update=on_progress
    )
    sys.modules["runpod"] = runpod
    spec = importlib.util.spec_from_file_location("worker", path)
    worker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worker)
    return given.get("handler") or worker.handler


def outcome_of(handler, job):
    """What becomes of a job: as RunPod's SDK reports a handler's result."""
    try:
        output = handler({"id": job["id"], "input": job["input"]})
    except Exception as error:  # whatever it is, the job has failed
        about = {
            "error_type": str(type(error)),
            "error_message": str(error),
            "error_traceback": "Traceback (most recent call last): ...",
            "hostname": "simulated",
            "worker_id": "simulated",
            "runpod_version": "1.7.9",
        }
        return {"status": "FAILED", "error": json.dumps(about)}
    if isinstance(output, dict) and output.get("error"):
        rest = {k: v for k, v in output.items() if k != "error"}
        return {"status": "FAILED", "error": output["error"], "output": rest}
    return {"status": "COMPLETED", "output": output}


# --- the service ------------------------------------------------------------------


class Service:
    """Jobs, their work and their webhooks. A job is a dict; each of its
    changes is a line of the journal, by which a killed service goes on."""

    def __init__(self, flags):
        self.flags = flags
        self.chance = Chance(flags)
        self.timers = Timers()
        self.lock = threading.RLock()
        self.jobs = {}
        self.submissions = collections.Counter()
        self.workers = ThreadPoolExecutor(flags.workers)
        self.senders = ThreadPoolExecutor(32)
        self.handler = None
        if flags.handler:
            self.handler = load_handler(flags.handler, self.progress)
        self.journal = None
        if flags.journal:
            self._replay(flags.journal)
            self.journal = open(flags.journal, "ab", buffering=0)
        for job in list(self.jobs.values()):
            self._resume(job)

    def _replay(self, path):
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break  # the kill came in the middle of it
                change = json.loads(line)
                if "input" in change:
                    self.submissions[canonical(change["input"])] += 1
                self.jobs.setdefault(change["id"], {}).update(change)

    def _resume(self, job):
        if job["status"] not in TERMINAL and "executionTime" not in job:
            self.timers.after(0, self._start, job)
        elif job["status"] in TERMINAL and not job.get("told"):
            self._tell(job)

    def _change(self, job, **members):
        job.update(members)
        if self.journal:
            line = json.dumps({"id": job["id"], **members}) + "\n"
            self.journal.write(line.encode())

    def accept(self, endpoint, body):
        """Takes a job; its first status."""
        with self.lock:
            text = canonical(body["input"])
            self.submissions[text] += 1
            n = self.submissions[text]
            job = {"id": f"{uuid.uuid4()}-u1"}
            self._change(
                job, endpoint=endpoint, input=body["input"], n=n,
                webhook=body.get("webhook"), policy=body.get("policy") or {},
                accepted=time.time(), status="IN_QUEUE",
            )
            self.jobs[job["id"]] = job
        say(job, "accepted" if n == 1 else f"accepted: THE SAME INPUT, {n} TIMES")
        self.timers.after(self.flags.queue, self._start, job)
        return {"id": job["id"], "status": "IN_QUEUE"}

    def find(self, endpoint, job_id):
        """A job that /status still knows."""
        with self.lock:
            job = self.jobs.get(job_id)
            if job is None or job["endpoint"] != endpoint:
                return None
            now = time.time()
            ttl = job["policy"].get("ttl")
            is_gone = (
                now > job.get("ended", now) + self.flags.keep
                or ttl is not None
                and now > job["accepted"] + ttl / 1000
            )
            return None if is_gone else job

    def shown(self, job):
        """As /status tells it."""
        names = ("id", "status", "delayTime", "executionTime", "output", "error")
        with self.lock:
            return {name: job[name] for name in names if name in job}

    def health(self, endpoint):
        """As /health tells it."""
        with self.lock:
            jobs = [job for job in self.jobs.values() if job["endpoint"] == endpoint]
        states = collections.Counter(job["status"] for job in jobs)
        busy = states["IN_PROGRESS"]
        return {
            "jobs": {
                "completed": states["COMPLETED"],
                "failed": states["FAILED"],
                "inProgress": busy,
                "inQueue": states["IN_QUEUE"],
                "retried": 0,
            },
            "workers": {"idle": max(0, self.flags.workers - busy), "running": busy},
        }

    # -- work ----------------------------------------------------------------

    def _start(self, job):
        """A worker takes it; a handler's waits for a worker."""
        if self.handler:
            self.workers.submit(self._work, job)
        elif self._begin(job):
            takes = self.chance.takes(job)
            limit = job["policy"].get("executionTimeout")
            if limit is not None and limit / 1000 < takes:
                self.timers.after(
                    limit / 1000, self._end, job, {"status": "TIMED_OUT"}
                )
            else:
                self.timers.after(takes, self._end, job, None)

    def _begin(self, job):
        with self.lock:
            if job["status"] in TERMINAL:
                return False
            waited = time.time() - job["accepted"]
            self._change(
                job, status="IN_PROGRESS", started=time.time(),
                delayTime=round(1000 * waited),
            )
            return True

    def _work(self, job):
        if self._begin(job):
            self._end(job, outcome_of(self.handler, job))

    def progress(self, job, output):
        """runpod.serverless.progress_update()."""
        with self.lock:
            job = self.jobs[job["id"]]
            if job["status"] == "IN_PROGRESS":
                job["output"] = output

    def _end(self, job, outcome):
        with self.lock:
            if job["status"] in TERMINAL:
                return
            took = round(1000 * (time.time() - job["started"]))
            status = self.chance.end(job, job["n"])
            if outcome is None and status == "COMPLETED":
                outcome = {"status": status, "output": {"echo": job["input"]}}
            elif outcome is None and status is not None:
                outcome = {"status": status}
                if status == "FAILED":
                    outcome["error"] = "the simulated job has failed"
            if status is None:
                self._change(job, executionTime=took)
                return say(job, "the result is lost")
            self._change(job, executionTime=took, ended=time.time(), **outcome)
        say(job, job["status"])
        self._tell(job)

    def cancel(self, job):
        """Ends it, unless it has ended; no webhook is called."""
        with self.lock:
            if job["status"] not in TERMINAL:
                self._change(job, status="CANCELLED", ended=time.time(), told=True)
                say(job, "CANCELLED")
        return {"id": job["id"], "status": job["status"]}

    # -- webhooks ------------------------------------------------------------

    def _tell(self, job):
        way = self.chance.webhook(job, job["n"])
        if way != "send":
            say(job, f"webhook: {way}")
        if not job["webhook"] or way == "drop":
            return
        with self.lock:
            body = {**self.shown(job), "input": job["input"], "webhook": job["webhook"]}
        data = b"" if way == "empty" else json.dumps(body).encode()
        late = self.chance.late(job, job["n"])
        for i in range(1 + (way == "double")):
            self.timers.after(
                late * (1 + i), self.senders.submit, self._send, job, data, TRIES
            )

    def _send(self, job, data, tries):
        try:
            status = post(job["webhook"], data)
        except (OSError, http.client.HTTPException) as error:
            status = type(error).__name__
        say(job, f"webhook answered {status}")
        if status == 200:
            with self.lock:
                self._change(job, told=True)
        elif tries > 1:
            self.timers.after(
                self.flags.retry, self.senders.submit, self._send, job, data, tries - 1
            )


def post(url, data):
    """The status of the answer. Neither proxies nor redirects are for us."""
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=10)
    with contextlib.closing(connection):
        target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        connection.request("POST", target, data, {"Content-Type": "application/json"})
        return connection.getresponse().status


def say(job, what):
    """A line for whoever watches; never the webhook, which is a secret."""
    print(f"{time.strftime('%H:%M:%S')} {job['id']} {what}", flush=True)


# --- HTTP -------------------------------------------------------------------------


class Refusal(Exception):
    """A status and its reason, as an answer."""


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection; libcurl keeps it."""

    protocol_version = "HTTP/1.1"
    service = None

    def do_GET(self):
        self._answer_call({"status": self._status, "health": self._health})

    def do_POST(self):
        self._answer_call({"run": self._run, "cancel": self._cancel})

    def _answer_call(self, calls):
        try:
            body = self._body()
            match = re.fullmatch(r"/v2/([^/]+)/(\w+)(?:/([^/]+))?", self.path)
            if not match or match[2] not in calls:
                raise Refusal(404, "no such call")
            key = self.service.flags.key
            given = self.headers.get("Authorization", "")
            if not re.fullmatch(rf"Bearer {re.escape(key) if key else '.+'}", given):
                raise Refusal(401, "unauthorized")
            endpoint, job_id = (urllib.parse.unquote(part or "") for part in match.group(1, 3))
            calls[match[2]](endpoint, job_id, body)
        except Refusal as refusal:
            status, why = refusal.args
            self._answer(status, {"error": why})

    def _body(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if len(body) > MAX_BODY:
            raise Refusal(413, "the body has more than 10 MB")
        return body

    def _run(self, endpoint, _, body):
        try:
            value = json.loads(body)
            is_good = isinstance(value["input"], dict)
        except (ValueError, KeyError, TypeError):
            is_good = False
        if not is_good:
            raise Refusal(400, "there is no input")
        self._perform("run", value, lambda: self.service.accept(endpoint, value))

    def _status(self, endpoint, job_id, _):
        job = self._find(endpoint, job_id)
        self._perform("status", job, lambda: self.service.shown(job))

    def _cancel(self, endpoint, job_id, _):
        job = self._find(endpoint, job_id)
        self._perform("cancel", job, lambda: self.service.cancel(job))

    def _health(self, endpoint, *_):
        self._answer(200, self.service.health(endpoint))

    def _find(self, endpoint, job_id):
        job = self.service.find(endpoint, job_id)
        if job is None:
            raise Refusal(404, "job not found")
        return job

    def _perform(self, name, job, act):
        """Does it and answers, unless it is to fail; a + after the kind of
        failure: it is done all the same."""
        kind = self.service.chance.call(name, job)
        if kind is not None:
            print(f"{time.strftime('%H:%M:%S')} {name} fails: {kind}", flush=True)
        if kind in (None, "slow"):
            answer = act()
            time.sleep(SLOW_S if kind else 0)
            return self._answer(200, answer)
        if kind.endswith("+"):
            act()
        self._fail(kind.rstrip("+"))

    def _fail(self, kind):
        if kind.isdigit():
            headers = {"Retry-After": "1"} if kind in ("429", "503") else {}
            if kind[0] == "3":
                headers["Location"] = "/elsewhere"
            return self._answer(int(kind), {"error": "simulated"}, **headers)
        if kind in ("html", "garbage", "empty"):
            data = {"html": b"<html>busy</html>", "garbage": b'{"id": "x', "empty": b""}
            return self._write(200, data[kind])
        self.close_connection = True
        if kind == "hang":
            with contextlib.suppress(OSError):
                self.connection.recv(1)  # until the client goes
        if kind == "huge":
            self._write_head(200, HUGE)
            with contextlib.suppress(OSError):
                for _ in range(HUGE >> 20):
                    self.wfile.write(b" " * (1 << 20))

    def _answer(self, status, body, **headers):
        self._write(status, json.dumps(body).encode(), headers)

    def _write(self, status, data, headers=None):
        self._write_head(status, len(data), headers)
        with contextlib.suppress(OSError):
            self.wfile.write(data)

    def _write_head(self, status, length, headers=None):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length))
        for name, value in (headers or {}).items():
            self.send_header(name.replace("_", "-"), value)
        with contextlib.suppress(OSError):
            self.end_headers()

    def log_request(self, code="-", size="-"):
        """The jobs' lines say enough."""

    def address_string(self):
        return "client"  # a Unix socket has no address


class TcpServer(http.server.ThreadingHTTPServer):
    """On a port of the loopback interface."""

    request_queue_size = 128


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Behind a web server."""

    daemon_threads = True
    request_queue_size = 128


# --- start ------------------------------------------------------------------------


def seconds(text):
    """500ms, 2s, 30m or a number of seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 500ms or 2s")
    return float(match[1]) * _UNITS[match[2] or "s"]


def share(text):
    """10% or 0.1."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", text)
    value = float(match[1]) / (100 if match[2] else 1) if match else 2
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share such as 10%")
    return value


def secret(text):
    """The text, or what the file has."""
    if not text.startswith("@"):
        return text
    try:
        with open(text[1:], encoding="utf-8") as file:
            return file.read().strip()
    except OSError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def failure(text):
    """[CALL:]KIND=SHARE"""
    match = re.fullmatch(rf"(?:(run|status|cancel):)?({_KIND})=(.+)", text)
    if not match:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not [run:|status:|cancel:]KIND=SHARE, where KIND is {KINDS}"
        )
    return match[1], match[2], share(match[3])


def parser():
    """The flags."""
    made = argparse.ArgumentParser(
        prog="jobwire simulate", description="Plays RunPod, for development only.",
        allow_abbrev=False,
    )
    add = made.add_argument
    add("provider", choices=["runpod"])
    add("--port", type=int, default=8090, metavar="N",
        help="of 127.0.0.1, where it listens (8090); 0: any")
    add("--socket", metavar="PATH", help="listen there instead")
    add("--key", type=secret, metavar="KEY|@FILE", help="the only API key that is let in (any)")
    add("--handler", metavar="FILE",
        help="a worker's Python file, as RunPod runs it; without it, a job echoes its input")
    add("--workers", type=int, default=2, metavar="N", help="handlers at a time (2)")
    add("--queue", type=seconds, default=0, metavar="TIME", help="a job waits for a worker (0)")
    add("--takes", type=seconds, default=2, metavar="TIME", help="it works, without a handler (2s)")
    add("--broken", type=share, default=0, metavar="SHARE", help="of jobs that fail")
    add("--lose", type=share, default=0, metavar="SHARE", help="of jobs whose result is lost")
    add("--drop", type=share, default=0, metavar="SHARE", help="of webhooks that are not sent")
    add("--double", type=share, default=0, metavar="SHARE", help="of webhooks that are sent twice")
    add("--empty", type=share, default=0, metavar="SHARE", help="of webhooks without a body")
    add("--late", type=seconds, default=0, metavar="TIME", help="webhooks come up to so much later")
    add("--retry", type=seconds, default=10, metavar="TIME",
        help="between a webhook's three attempts (10s)")
    add("--keep", type=seconds, default=1800, metavar="TIME",
        help="/status knows a job so long after its end (30m)")
    add("--fail", type=failure, action="append", default=[], metavar="[CALL:]KIND=SHARE",
        help=f"of calls that fail; KIND is {KINDS}; with a + behind it, what was asked is done all the same")
    add("--seed", help="the same seed, the same failures (any)")
    add("--journal", metavar="FILE", help="keep all jobs there, for the next start")
    add("--plans", action="store_true",
        help="an input's member `simulate` says what happens to its job")
    return made


def main():
    flags = parser().parse_args()
    flags.seed = flags.seed or str(random.randrange(1 << 30))
    Handler.service = Service(flags)
    if flags.socket:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(flags.socket)
        server, where = UnixServer(flags.socket, Handler), flags.socket
    else:
        Handler.disable_nagle_algorithm = True
        server = TcpServer(("127.0.0.1", flags.port), Handler)
        where = f"http://127.0.0.1:{server.server_port}/v2"
    print(f"RunPod is simulated at {where}, seed {flags.seed}", flush=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))  # not before its last webhook
    server.serve_forever()


if __name__ == "__main__":
    main()
