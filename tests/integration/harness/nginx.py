"""nginx, with nginx.conf.example."""

import grp
import os
import pwd
import subprocess

from .http2 import CurlEndpoint
from .wait import patience
from .webserver import WebServer, change, find_program, switch


class Nginx(WebServer):
    """Its workers keep our user: whoever runs the tests may connect to the
    sockets. With http2 it speaks nothing but TLS."""

    name = "nginx"

    def __init__(self, site, *options):
        super().__init__(site, *options)
        if "http2" in options:
            self.endpoint = CurlEndpoint(self.port, "https", "--http2")

    def render(self, text):
        user = pwd.getpwuid(os.geteuid())
        group = grp.getgrgid(os.getegid())
        changes = {
            "/run/jobwire/": f"{self.site.run_folder}/",
            "/run/nginx": self.path("nginx"),
            "/var/log/nginx/": self.path("log", ""),
            "/var/lib/nginx/": self.path("tmp", ""),
            "/usr/local/share/jobwire/demo": self.folder,
            "listen 80 ": f"listen {self.host}:{self.port} ",
            "listen 443 ": f"listen {self.host}:{self.port} ",
            "/etc/ssl/certs/jobwire.pem": self.path("tls.pem"),
            "/etc/ssl/private/jobwire.key": self.path("tls.key"),
            "user www-data": f"user {user.pw_name} {group.gr_name}",
            "127.0.0.1:9001": f"127.0.0.1:{self.tcp_port('events')}",
            "127.0.0.1:9002": f"127.0.0.1:{self.tcp_port('webhook')}",
        }
        return change(self._switch_options(text), "# CHANGE", changes)

    def _switch_options(self, text):
        if "tcp" in self.options:
            text = switch(text, "server unix:", False)
            text = switch(text, "server 127.0.0.1:", True)
        if "limit" in self.options:
            text = switch(text, "limit_req", True)
        if "http2" in self.options:
            self._make_certificate()
            text = switch(text, "listen 80 ", False)
            text = switch(text, "listen 443 ", True)
            text = switch(text, "ssl_certificate", True)
        return text

    def _make_certificate(self):
        """A certificate that nobody knows, and its key."""
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-out", self.path("tls.pem"),
             "-keyout", self.path("tls.key")],
            check=True, capture_output=True, timeout=patience(20),
        )

    def command(self):
        return [
            find_program("nginx"), "-p", self.folder, "-c", self.config,
            "-g", "daemon off;",
        ]

    def check_command(self):
        return [
            find_program("nginx"), "-t", "-p", self.folder, "-c", self.config,
        ]
