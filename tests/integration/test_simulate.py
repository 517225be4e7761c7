"""`jobwire simulate runpod` itself: what tests of runs rely upon."""

import http.client
import http.server
import json
import socket
import subprocess
import threading
import time

import pytest
from harness.process import read_text
from harness.runpod import RunPod
from harness.site import program, run
from harness.wait import patience, until


class Hook:
    """Whoever is called by webhooks: keeps the bodies, with their times, and
    answers with the statuses given, then 200."""

    def __init__(self, *statuses):
        self.bodies = []
        self.times = []
        left = list(statuses)

        class Handler(http.server.BaseHTTPRequestHandler):
            """One webhook."""

            def do_POST(handler):
                length = int(handler.headers["Content-Length"])
                self.bodies.append(handler.rfile.read(length))
                self.times.append(time.monotonic())
                handler.send_response(left.pop(0) if left else 200)
                handler.send_header("Content-Length", "0")
                handler.end_headers()

            def log_message(handler, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?sig=x"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self, count):
        """The first so many bodies, parsed."""
        until(lambda: len(self.bodies) >= count, f"{count} webhooks", 10)
        return [json.loads(body or b"null") for body in self.bodies[:count]]

    def close(self):
        """Listens no more."""
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(name="hook")
def fixture_hook():
    """One that answers 200."""
    hook = Hook()
    yield hook
    hook.close()


@pytest.fixture(name="start")
def fixture_start(make_site):
    """Starts a simulator with these flags."""
    def start(*flags):
        return RunPod(make_site(init=False), "--seed", "1", *flags).start()
    return start


def submit(runpod, hook=None, policy=None, **plan):
    """Submits a job with this plan; its id."""
    status, answer = runpod.call("POST", "/photos/run", {
        "input": {"simulate": {"takes": 0, **plan}},
        "webhook": hook and hook.url, "policy": policy,
    })
    assert (status, answer["status"]) == (200, "IN_QUEUE")
    return answer["id"]


def state(runpod, job):
    """What /status says."""
    status, answer = runpod.call("GET", f"/photos/status/{job}")
    return answer["status"] if status == 200 else status


def test_a_job_from_its_submission_to_its_webhook(start, hook):
    """With the members that RunPod's own have."""
    runpod = start()
    job = submit(runpod, hook)
    (body,) = hook.wait(1)
    assert sorted(body) == [
        "delayTime", "executionTime", "id", "input", "output", "status",
        "webhook",
    ]
    assert (body["id"], body["status"]) == (job, "COMPLETED")
    assert (body["webhook"], body["output"]) == (hook.url, {"echo": body["input"]})
    _, told = runpod.call("GET", f"/photos/status/{job}")
    assert told == {k: v for k, v in body.items() if k not in ("input", "webhook")}
    _, health = runpod.call("GET", "/photos/health")
    assert health["jobs"]["completed"] == 1
    assert "sig=" not in read_text(runpod.process.log)


def test_a_webhook_that_is_refused_comes_three_times(start):
    """So far apart as was asked; whoever misses these gets no more."""
    hook = Hook(500, 204, 301)
    runpod = start("--retry", "50ms")
    submit(runpod, hook)
    hook.wait(3)
    assert all(b - a >= 0.05 for a, b in zip(hook.times, hook.times[1:]))
    log = runpod.process.log
    until(lambda: read_text(log).count("webhook answered") == 3, "its line")
    hook.close()


@pytest.mark.parametrize("way, count", [("double", 2), ("empty", 1)])
def test_ways_of_a_webhook(start, hook, way, count):
    """One that is dropped is told by the log alone."""
    runpod = start()
    submit(runpod, hook, webhook="drop")
    submit(runpod, hook, webhook=way)
    bodies = hook.wait(count)
    assert [body is None for body in bodies] == [way == "empty"] * count
    log = read_text(runpod.process.log)
    assert log.count("webhook: drop") == 1 and log.count(f"webhook: {way}") == 1


def test_shares_are_those_of_the_seed(start, hook):
    """Of jobs that differ, about so many; and the same with the same seed."""
    dropped = []
    for _ in range(2):
        runpod = start("--drop", "30%")
        for n in range(100):
            submit(runpod, hook, n=n)
        until(
            lambda r=runpod: sum(
                job["status"] == "COMPLETED" for job in r.jobs().values()
            ) == 100, "all to end",
        )
        dropped.append(read_text(runpod.process.log).count("webhook: drop"))
    assert dropped[0] == dropped[1] and 15 <= dropped[0] <= 45


@pytest.mark.parametrize(
    "end, status", [("FAILED", "FAILED"), ("TIMED_OUT", "TIMED_OUT")]
)
def test_ends(start, hook, end, status):
    """A plan says how a job ends."""
    runpod = start()
    submit(runpod, hook, ends=end)
    assert hook.wait(1)[0]["status"] == status


def test_a_result_that_is_lost(start):
    """executionTime, and yet no end: runpod-python#250."""
    runpod = start()
    job = submit(runpod, ends="lost")
    until(lambda: "executionTime" in runpod.jobs()[job], "it to be lost")
    _, told = runpod.call("GET", f"/photos/status/{job}")
    assert told["status"] == "IN_PROGRESS" and told["executionTime"] >= 0


def test_policy(start, hook):
    """executionTimeout ends a job with a webhook, ttl takes it away
    without."""
    runpod = start()
    submit(runpod, hook, {"executionTimeout": 20}, takes=600)
    assert hook.wait(1)[0]["status"] == "TIMED_OUT"
    gone = submit(runpod, hook, {"ttl": 1}, takes=600)
    until(lambda: state(runpod, gone) == 404, "it to be taken away")


def test_results_expire(start):
    """After --keep."""
    runpod = start("--keep", "100ms")
    job = submit(runpod)
    until(lambda: state(runpod, job) == 404, "the result to expire")


def test_cancel(start, hook):
    """No webhook; and what has ended stays as it was."""
    runpod = start()
    job = submit(runpod, hook, takes=600)
    for _ in range(2):
        assert runpod.call("POST", f"/photos/cancel/{job}") == (
            200, {"id": job, "status": "CANCELLED"}
        )
    done = submit(runpod, hook)
    assert hook.wait(1)[0]["id"] == done
    _, answer = runpod.call("POST", f"/photos/cancel/{done}")
    assert answer["status"] == "COMPLETED"
    assert runpod.call("POST", "/photos/cancel/nobody")[0] == 404


@pytest.mark.parametrize("kind, is_taken", [("503", False), ("503+", True)])
def test_a_plus_is_done_all_the_same(start, kind, is_taken):
    """Only the answer is another."""
    runpod = start()
    body = {"input": {"simulate": {"run": [kind], "takes": 0}}}
    assert runpod.call("POST", "/photos/run", body)[0] == 503
    assert len(runpod.jobs()) == is_taken
    assert runpod.call("POST", "/photos/run", body)[0] == 200
    assert list(runpod.submissions().values()) == [1 + is_taken]


@pytest.mark.parametrize("kind", ["cut", "html", "garbage", "empty"])
def test_answers_that_are_none(start, kind):
    """Nothing that could be taken for JSON."""
    runpod = start("--fail", f"run:{kind}=1")
    with pytest.raises((ValueError, http.client.HTTPException, OSError)):
        runpod.call("POST", "/photos/run", {"input": {}})


@pytest.mark.parametrize("path, body, key, status", [
    ("/photos/run", {"input": {}}, "another", 401),
    ("/photos/run", {"input": []}, None, 400),
    ("/photos/run", [], None, 400),
    ("/photos/walk", {"input": {}}, None, 404),
    ("/photos/run", {"input": {"a": "x" * 10_000_000}}, None, 413),
])
def test_refusals(start, path, body, key, status):
    """As RunPod's."""
    runpod = start()
    options = {"key": key} if key else {}
    assert runpod.call("POST", path, body, **options)[0] == status


def test_kill_9_loses_no_job(start, hook):
    """It goes on with what it has taken, at the same address."""
    runpod = start()
    waiting = submit(runpod, hook, takes=0.2)
    ended = submit(runpod)
    until(lambda: state(runpod, ended) == "COMPLETED", "one to end")
    runpod.kill()
    runpod.start()
    assert hook.wait(1)[0]["id"] == waiting
    assert state(runpod, ended) == "COMPLETED"


def test_a_workers_file(start, hook, tmp_path):
    """As RunPod runs it, without RunPod's package."""
    worker = tmp_path / "handler.py"
    worker.write_text("""
import runpod
def handler(job):
    runpod.serverless.progress_update(job, "half")
    if "bad" in job["input"]:
        raise RuntimeError("out of memory")
    return {"n": job["input"]["n"] + 1}
runpod.serverless.start({"handler": handler})
""")
    runpod = start("--handler", str(worker))
    submit(runpod, hook)  # without n: a KeyError
    failed = hook.wait(1)[0]
    assert failed["status"] == "FAILED"
    assert json.loads(failed["error"])["error_type"] == "<class 'KeyError'>"
    runpod.call("POST", "/photos/run", {"input": {"n": 1}, "webhook": hook.url})
    assert hook.wait(2)[1]["output"] == {"n": 2}


def test_a_unix_socket(make_site):
    """For a web server in front of it."""
    site = make_site(init=False)
    path = f"{site.run_folder}/runpod.sock"
    site.run_command("simulator", [
        program("jobwire"), "simulate", "runpod", "--socket", path
    ])
    with socket.socket(socket.AF_UNIX) as client:
        until(lambda: client.connect_ex(path) == 0, "it to listen", 20)
        client.settimeout(patience(10))
        client.sendall(b"GET /v2/photos/health HTTP/1.1\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("flags, message", [
    ([], "too few arguments"),
    (["--port", "1", "runpod"], "--port: unknown flag"),
    (["replicate"], "invalid choice"),
    (["runpod", "--drop", "110%"], "is no share"),
    (["runpod", "--late", "soon"], "is no time"),
    (["runpod", "--key", "@/nonexistent"], "No such file"),
    (["runpod", "--fail", "run:nonsense=1"], "is not [run:|status:|cancel:]"),
    (["runpod", "--nonsense"], "unrecognized arguments"),
])
def test_misuse(flags, message):
    """Status 2, and a sentence."""
    done = run("jobwire", "simulate", *flags)
    assert done.returncode == 2 and message in done.stderr


def test_where_it_is_not_installed(tmp_path):
    """It says which file is missing."""
    copy = tmp_path / "bin"
    copy.mkdir()
    subprocess.run(["cp", program("jobwire"), copy], check=True)
    done = subprocess.run(
        [copy / "jobwire", "simulate", "runpod"], capture_output=True,
        text=True, timeout=patience(20), check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"jobwire: {tmp_path}/share/jobwire/simulate/runpod.py:"
        " No such file or directory\n"
    )
