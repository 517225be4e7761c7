"""lighttpd, with lighttpd.conf.example."""

from .http2 import CurlEndpoint
from .webserver import (
    Cgi, WebServer, change, find_program, ordinary_user, switch, switch_part,
)


class Lighttpd(WebServer):
    """With mod_fastcgi, as the example is. With http2 it is asked so: it
    speaks both on the same port."""

    name = "lighttpd"
    user = ordinary_user()
    good_statuses = {0, 1}  # 1 where a connection was not closed yet

    def __init__(self, site, *options):
        super().__init__(site, *options)
        if "http2" in options:
            self.endpoint = CurlEndpoint(
                self.port, "http", "--http2-prior-knowledge"
            )

    def render(self, text):
        return change(self._switch_options(text), "# CHANGE", self._changes())

    def _switch_options(self, text):
        if "tcp" in self.options:
            text = switch(text, '"socket" =>', False)
            text = switch(text, '"host" =>', True)
        return switch(text, "server.bind", True)

    def _changes(self):
        return {
            "server.port = 80 ": f"server.port = {self.port} ",
            "/run/jobwire/": f"{self.site.run_folder}/",
            "/run/lighttpd.pid": self.path("lighttpd.pid"),
            "/var/log/lighttpd/": self.path("log", ""),
            "/var/cache/lighttpd/uploads": self.path("tmp"),
            "/usr/local/share/jobwire/demo": self.path("tmp"),
            '"port" => 9001': f'"port" => {self.tcp_port("events")}',
            '"port" => 9002': f'"port" => {self.tcp_port("webhook")}',
            "/usr/local/lib/cgi-bin": self.path("bin"),
            "/etc/jobwire/jobwire.conf": self.site.config,
        }


    def command(self):
        return [find_program("lighttpd"), "-D", "-f", self.config]

    def check_command(self):
        return [find_program("lighttpd"), "-tt", "-f", self.config]


class LighttpdCgi(Cgi, Lighttpd):
    """With mod_cgi."""

    def _switch_options(self, text):
        text = switch_part(super()._switch_options(text), "FastCGI", False)
        return switch_part(text, "CGI", True)
