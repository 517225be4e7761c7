"""Every way in which a web server can stand in front of the programs, with
the programs behind it."""

import os
import signal

from .apache import Apache, ApacheCgi, ApacheFcgid, ApacheFcgidCgi
from .lighttpd import Lighttpd, LighttpdCgi
from .nginx import Nginx
from .site import events_target
from .sse import Stream
from .wait import free_port

PUBLISH_KEY = "publish-key-0123456789abcdef"

# name: (class, options)
WAYS = {
    "nginx": (Nginx, ()),
    "nginx-tcp": (Nginx, ("tcp",)),
    "nginx-http2": (Nginx, ("http2",)),
    "apache-proxy": (Apache, ()),
    "apache-proxy-tcp": (Apache, ("tcp",)),
    "apache-fcgid": (ApacheFcgid, ()),
    "apache-fcgid-cgi": (ApacheFcgidCgi, ()),
    "apache-cgi": (ApacheCgi, ()),
    "lighttpd": (Lighttpd, ()),
    "lighttpd-tcp": (Lighttpd, ("tcp",)),
    "lighttpd-http2": (Lighttpd, ("http2",)),
    "lighttpd-cgi": (LighttpdCgi, ()),
}


class Front:
    """One of them, running. `edit` is given the text of the configuration and
    returns what is used in its place; other settings may be given."""

    def __init__(self, name, make_site, edit=None, **settings):
        kind, options = WAYS[name]
        addresses = {}
        if "tcp" in options:
            addresses = {
                f"{responder}_socket": f"127.0.0.1:{free_port()}"
                for responder in ("events", "webhook")
            }
        self.name = name
        usual = {
            "heartbeat": "1s", "publish_keys": PUBLISH_KEY, "max_streams": "30",
            "runpod_actions": "restore=abc123",
        }
        self.site = make_site(**{**usual, **settings, **addresses})
        if not kind.starts_programs:
            self._start("events")
            self._start("webhook")
        self.web = kind(self.site, *options)
        if edit:
            self.web.prepare()
            self.web.rewrite(edit)
        self.web.start()
        self.endpoint = self.web.endpoint
        # nginx, and lighttpd by tcp-fin-propagate, say that a client left;
        # Apache finds out when it writes.
        self.tells_of_leavers = kind in (Nginx, Lighttpd)

    def stream(self, job, query="", **options):
        """A stream of the job through the web server."""
        return Stream(self.endpoint, events_target(job, query), **options)

    def kill_readers(self):
        """kill -9 of all that serve streams; the web server goes on."""
        if self.web.starts_programs:
            for pid in self.web.pids("events"):
                os.kill(pid, signal.SIGKILL)
        else:
            self.site.events.kill()

    def start_reader(self):
        """What the system does after that."""
        if not self.web.starts_programs:
            self._start("events")

    def start_writer(self):
        """The same, for who takes webhooks."""
        self._start("webhook")

    def _start(self, name):
        """The usual way; on a TCP port, by spawn-fcgi."""
        address, launcher = self.site.sockets[name], ()
        if not isinstance(address, str):
            launcher = [
                "spawn-fcgi", "-n", "-a", address[0], "-p", str(address[1]), "--",
            ]
        self.site.start(name, launcher=launcher)
