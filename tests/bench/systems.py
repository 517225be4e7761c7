"""What is measured: jobwire behind nginx as it is shipped, and the peers. Each
is a context manager that starts its programs in a folder of its own, on free
ports, and knows how to be asked for a stream and how to publish."""

import contextlib
import glob
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time

from common import BenchSite
from harness.http import HttpEndpoint
from harness.nginx import Nginx
from harness.process import Family, read_text
from harness.publish import RUNPOD, signature
from harness.site import SECRET, webhook_target
from harness.wait import free_port, until
from harness.webserver import find_program, switch

KEY = "publish-key-of-the-benchmark"
# The number finds an event's post again; see load.c.
BODY = '{"type":"note","data":{"progress":40,"n":"@@@########"}}'
_HERE = os.path.dirname(os.path.abspath(__file__))
NCHAN_MODULE = "/usr/lib/nginx/modules/ngx_nchan_module.so"


def children(pid):
    """The processes that it started."""
    text = read_text(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in text.split()]


def cpu_seconds(pids):
    """User and system time of processes with all their threads, to the
    nanosecond."""
    total = 0
    for pid in pids:
        for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
            total += int(read_text(path).split()[0])
    return total / 1e9


def is_kept(text):
    """Does this nginx.conf keep its connections to the writing half?"""
    return any(line.strip().startswith("keepalive ")
               for line in text.splitlines())


class Jobwire:
    """As installed by the book. `turned`: with the other answer than the
    shipped one to whether nginx keeps its connections."""

    name = "jobwire"
    header = f"Authorization: Bearer {KEY}"

    def __init__(self, folder=None, turned=False, **settings):
        self.site = BenchSite(
            publish_keys=KEY, max_streams="20000", drain="1s", **settings,
        )
        if folder:
            self.site.source = folder
            self.site.bin = os.path.join(folder, "build", "bin")
        self.turned = turned
        self.is_kept = self.nginx = None

    def __enter__(self):
        self.site.__enter__()
        try:
            self._start_programs()
            self.nginx = Nginx(self.site)
            self.nginx.prepare()
            self.nginx.rewrite(self._turn)
            self.nginx.start()
        except BaseException as fault:
            self.site.__exit__(type(fault), fault, None)
            raise
        return self

    def _start_programs(self):
        self.site.start_both()

    def held_ms(self):
        """How long jobwire-webhook had a call, from its log: the median."""
        log = read_text(self.site.log_path("webhook"))
        times = re.findall(r"event=request .* us=(\d+)", log)
        return statistics.median(map(int, times)) / 1e3

    def _turn(self, text):
        self.is_kept = is_kept(text) != self.turned
        if self.turned:
            for line in ("keepalive ", "fastcgi_keep_conn "):
                text = switch(text, line, self.is_kept)
        return text

    def __exit__(self, *fault):
        self.site.__exit__(*fault)

    @property
    def port(self):
        """Where the web server listens."""
        return self.nginx.port

    def programs(self):
        """Their processes by name."""
        master = self.nginx.process.pid
        return {
            "nginx": [master, *children(master)],
            "jobwire-webhook": [self.site.webhook.pid],
            "jobwire-events": [self.site.events.pid],
        }

    @staticmethod
    def stream_target(job):
        """Where its events are."""
        return f"/api/v1/events/{job}"

    @staticmethod
    def post_target(job):
        """Where an event of it is published."""
        return f"/api/v1/jobs/{job}/events"

    @staticmethod
    def webhooks(count):
        """As many signed URLs, each of a job of its own."""
        exp = int(time.time()) + 3600
        return [
            webhook_target(
                f"job_id=job-{number}&exp={exp}&sig="
                + signature(SECRET, RUNPOD, f"job-{number}", "", exp)
            )
            for number in range(count)
        ]

    def rows(self):
        """How many events are stored."""
        return self.site.writer.connection.execute(
            "SELECT count(*) FROM job_events"
        ).fetchone()[0]


_NGINX_CONF = """
{load}
user {user};
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes {workers};
worker_rlimit_nofile 21000;
events {{ worker_connections 20480; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    log_format jobwire '$remote_addr [$time_iso8601] "$request_method $uri" $status '
                       '$body_bytes_sent $request_time "$http_user_agent"';
    connection_pool_size 256;
    request_pool_size 2k;
    client_header_buffer_size 512;
    {upstream}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        access_log {folder}/access.log jobwire;
        {locations}
    }}
}}
"""

_NCHAN_LOCATIONS = """
        location ~ ^/pub/(.+)$ {{
            nchan_publisher;
            nchan_channel_id $1;
            {storage}
        }}
        location ~ ^/sub/(.+)$ {{
            nchan_subscriber eventsource;
            nchan_channel_id $1;
            {storage}
        }}
"""


class Peer:
    """Somebody else's server, in an nginx that is set up as ours where that
    means anything to it. `keep`: so many events of a job stay to be had."""

    header = ""
    workers = "auto"  # as ours; one alone was neither faster nor slower

    def __init__(self, keep=None):
        self.keep = keep
        self.folder = tempfile.mkdtemp(prefix="jobwire-")
        self.port = free_port()
        self.processes = {}
        self.environment = {}  # of a program's own, by its name
        self._argv = {}

    def __enter__(self):
        try:
            self._start()
            self.wait_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self):
        raise NotImplementedError

    def _start_nginx(self, locations, upstream="", load=""):
        user = subprocess.run(["id", "-un"], capture_output=True, text=True,
                              check=True).stdout.strip()
        group = subprocess.run(["id", "-gn"], capture_output=True, text=True,
                               check=True).stdout.strip()
        config = os.path.join(self.folder, "nginx.conf")
        with open(config, "w", encoding="utf-8") as file:
            file.write(_NGINX_CONF.format(
                user=f"{user} {group}", port=self.port, folder=self.folder,
                workers=self.workers, load=load, upstream=upstream,
                locations=locations,
            ))
        self._run("nginx", [find_program("nginx"), "-p", self.folder, "-c",
                            config, "-g", "daemon off;"])

    def _run(self, name, argv):
        self._argv[name] = argv
        self.start(name)

    def start(self, name):
        """Starts one of its programs, the first time or again."""
        self.processes[name] = Family(
            name, self._argv[name], os.path.join(self.folder, f"{name}.log"),
            cwd=self.folder, env={**os.environ, **self.environment.get(name, {})},
        )

    def wait_ready(self):
        """Waits until it takes posts."""
        until(self._takes_posts, f"{self.name} to take posts", 20)

    def _takes_posts(self):
        """Each worker has its own connection to Redis, and says 503 before."""
        for process in self.processes.values():
            assert process.is_alive(), process.log_text()
        endpoint = HttpEndpoint(self.port)
        with contextlib.suppress(OSError):
            return all(
                endpoint.call(
                    "POST", self.post_target("probe"), body=b"{}"
                ).status // 100 == 2
                for _ in range(50)
            )
        return False

    def __exit__(self, *_):
        for process in self.processes.values():
            if process.is_alive():
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def programs(self):
        """Their processes by name."""
        return {
            name: [process.pid, *children(process.pid)]
            for name, process in self.processes.items()
        }

    @staticmethod
    def stream_target(job):
        """Where its events are."""
        return f"/sub/{job}"

    @staticmethod
    def post_target(job):
        """Where an event of it is published."""
        return f"/pub/{job}"


class Nchan(Peer):
    """nchan in memory: what is accepted is gone after a crash."""

    name = "nchan"

    @classmethod
    def lacks(cls):
        """Why it cannot be measured; None when it can."""
        if not os.path.exists(NCHAN_MODULE):
            return "libnginx-mod-nchan is not installed"
        return None

    def _start(self):
        self._start_nchan()

    def _start_nchan(self, upstream="", storage=""):
        if self.keep:
            storage += f" nchan_message_buffer_length {self.keep};"
        self._start_nginx(_NCHAN_LOCATIONS.format(storage=storage), upstream,
                          f"load_module {NCHAN_MODULE};")


class NchanRedis(Nchan):
    """nchan with Redis that syncs its log before it answers: the peer that
    promises what we promise."""

    name = "nchan + Redis"
    durability = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")

    @classmethod
    def lacks(cls):
        if not shutil.which("redis-server"):
            return "redis-server is not installed"
        return super().lacks()

    def _start(self):
        port = free_port()
        self._run("redis", [
            "redis-server", "--port", str(port), "--bind", "127.0.0.1",
            *self.durability, "--dir", self.folder,
        ])
        self._start_nchan(
            f"upstream redis {{ nchan_redis_server redis://127.0.0.1:{port}; }}",
            "nchan_redis_pass redis;",
        )


class _Application(Peer):
    """A program behind nginx that keeps events in its memory. Its folder says
    what it is."""

    def _start(self):
        port = free_port()
        self._run("application", self._command(port))
        self._start_nginx(
            "location / { proxy_pass http://application; proxy_buffering off;"
            " proxy_http_version 1.1; proxy_set_header Connection '';"
            " proxy_read_timeout 1h; }",
            f"upstream application {{ server 127.0.0.1:{port};"
            " keepalive 64; }",
        )

    def _command(self, port):
        raise NotImplementedError


class OldDesign(_Application):
    """What jobwire replaced."""

    name = "the old design (FastAPI)"

    @classmethod
    def lacks(cls):
        """Why it cannot be measured; None when it can."""
        done = subprocess.run(
            ["/usr/bin/python3", "-c", "import fastapi, uvicorn"],
            capture_output=True, check=False)
        if done.returncode != 0:
            return "python3-fastapi or python3-uvicorn is not installed"
        return None

    def _command(self, port):
        return [
            "/usr/bin/python3", "-m", "uvicorn", "--app-dir", _HERE,
            "--port", str(port), "--no-access-log", "--log-level", "warning",
            "--timeout-keep-alive", "75", "old_design:app",
        ]


class BetterSse(_Application):
    """Node.js with better-sse."""

    name = "Node.js, better-sse"

    @classmethod
    def lacks(cls):
        """Why it cannot be measured; None when it can."""
        if not shutil.which("node"):
            return "nodejs is not installed"
        if not os.path.isdir(f"{_HERE}/node/node_modules/better-sse"):
            return "better-sse is not installed (npm ci --prefix tests/bench/node)"
        return None

    def _command(self, port):
        return ["node", f"{_HERE}/node/server.mjs", str(port),
                str(self.keep or 10)]
