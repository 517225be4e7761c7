"""Drives the load program against a system, and looks at the system's
processes meanwhile."""

import json
import os
import subprocess
import tempfile
import time

from harness.process import read_text
from systems import BODY, cpu_seconds

LOAD = os.environ.get("LOAD", "build/release/bench/load")


def cpu_by_program(system):
    """Seconds of each of its programs so far."""
    return {name: cpu_seconds(pids) for name, pids in system.programs().items()}


class Load:
    """The load program with its streams open. `posts` and `streams` are
    request targets; the rest is as load.c says."""

    def __init__(self, system, streams=(), posts=(), body=BODY, **options):
        self.system = system
        self._folder = tempfile.TemporaryDirectory(prefix="jobwire-load-")
        argv = [LOAD, str(system.port), "-s", self._file("streams", streams)]
        if posts:
            argv += ["-p", self._file("posts", posts), "-h", system.header,
                     "-b", self._file("body", [body], end="")]
        for name, value in options.items():
            argv += [f"-{name[0]}", str(value)]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        self.opened = self._answer()

    def _file(self, name, lines, end="\n"):
        path = os.path.join(self._folder.name, name)
        with open(path, "w", encoding="ascii") as file:
            file.writelines(line + end for line in lines)
        return path

    def _answer(self):
        line = self._process.stdout.readline()
        assert line, "the load program failed, as it says above"
        return json.loads(line)

    def run(self):
        """Posts, to the end; its figures, and CPU by program: seconds in all,
        and microseconds per accepted post."""
        before = cpu_by_program(self.system)
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        figures = self._answer()
        after = cpu_by_program(self.system)
        figures["cpu"] = {name: after[name] - before[name] for name in after}
        accepted = max(1, figures["accepted"])
        figures["us"] = {name: seconds * 1e6 / accepted
                         for name, seconds in figures["cpu"].items()}
        return figures

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.kill()  # bounded anyway; the streams just go
        self._process.wait()
        self._process.stdout.close()
        self._folder.cleanup()


def idle_share(pids, seconds):
    """CPU of the processes as a share of one core."""
    before = cpu_seconds(pids)
    time.sleep(seconds)
    return (cpu_seconds(pids) - before) / seconds


def count_calls(system, run):
    """System calls of each program while run() runs; None where perf may not
    count them. Counting slows nothing down, so batches stay as they are."""
    with tempfile.TemporaryDirectory() as folder:
        counters = {}
        for name, pids in system.programs().items():
            path = os.path.join(folder, name)
            counters[name] = path, subprocess.Popen(
                ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-o",
                 path, "-p", ",".join(map(str, pids))],
                stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
        figures = run()
        counts = {}
        for name, (path, process) in counters.items():
            process.send_signal(2)
            process.wait()
            for line in read_text(path).splitlines():
                if "raw_syscalls" in line and line.split(",")[0].isdigit():
                    counts[name] = int(line.split(",")[0])
        return figures, counts if len(counts) == len(counters) else None
