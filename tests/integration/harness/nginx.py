"""A real nginx in front of a site, with the shipped nginx.conf.example: only
what that file marks with CHANGE is changed."""

import grp
import os
import pwd
import shutil
import socket

from .http import HttpEndpoint
from .site import source_root
from .wait import free_port, until


def _program():
    found = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    assert found, "nginx is not installed"
    return found


class Nginx:
    """nginx on a free port; `endpoint` asks it."""

    def __init__(self, site):
        self.site = site
        self.port = free_port()
        self.endpoint = HttpEndpoint(self.port)
        self.config = os.path.join(site.root, "nginx.conf")
        self.process = None

    def _render(self):
        """Writes the configuration. The workers keep our user: whoever runs
        the tests may connect to the sockets."""
        for folder in ("log", "tmp"):
            os.makedirs(os.path.join(self.site.root, folder), exist_ok=True)
        user = pwd.getpwuid(os.geteuid())
        group = grp.getgrgid(os.getegid())
        changes = {
            "/run/jobwire/": f"{self.site.run_folder}/",
            "/run/nginx": f"{self.site.root}/nginx",
            "/var/log/nginx/": f"{self.site.root}/log/",
            "/var/lib/nginx/": f"{self.site.root}/tmp/",
            "/usr/local/share/jobwire/demo": self.site.root,
            "listen 80 ": f"listen 127.0.0.1:{self.port} ",
            "user www-data": f"user {user.pw_name} {group.gr_name}",
        }
        example = os.path.join(source_root(), "nginx.conf.example")
        with open(example, encoding="utf-8") as source, open(
            self.config, "w", encoding="utf-8"
        ) as file:
            for line in source:
                if "# CHANGE" in line:
                    for old, new in changes.items():
                        line = line.replace(old, new)
                file.write(line)

    def start(self):
        """Starts it and waits until it takes connections."""
        self._render()
        self.process = self.site.run_command(
            "nginx",
            [_program(), "-p", self.site.root, "-c", self.config,
             "-g", "daemon off;"],
        )
        until(self._is_ready, "nginx to be ready")
        return self

    def access_log(self):
        """The lines of the access log."""
        path = os.path.join(self.site.root, "log", "jobwire.log")
        with open(path, encoding="utf-8") as file:
            return file.read().splitlines()

    def _is_ready(self):
        assert self.process.is_alive(), self.process.log_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
