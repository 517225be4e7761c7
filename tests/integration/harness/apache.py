"""Apache, with apache.conf.example."""

from .webserver import (
    Cgi, Spawning, WebServer, change, find_program, ordinary_user, switch,
)
from .workers import clients_of


class Apache(WebServer):
    """With mod_proxy_fcgi, as the example is. It does not run as root."""

    name = "apache"
    user = ordinary_user()
    way = "PROXY"

    def render(self, text):
        changes = {
            "ADDRESS *:80": f"ADDRESS 127.0.0.1:{self.port}",
            "/var/log/apache2": self.path("log"),
            "/run/apache2": self.folder,
            "/run/jobwire/": f"{self.site.run_folder}/",
            "/etc/jobwire/jobwire.conf": self.site.config,
            "/usr/local/share/jobwire/demo": self.path("tmp"),
            "/usr/local/bin": self.path("bin"),
            "/usr/local/lib/cgi-bin": self.path("bin"),
            "127.0.0.1:9001": f"127.0.0.1:{self.tcp_port('events')}",
            "127.0.0.1:9002": f"127.0.0.1:{self.tcp_port('webhook')}",
        }
        return change(self._switch_options(text), "Define ", changes)

    def _switch_options(self, text):
        for way in ("PROXY", "FCGID", "CGI"):
            text = switch(text, f"Define JOBWIRE_{way}\n", way == self.way)
        if "tcp" in self.options:
            for name in ("EVENTS", "WEBHOOK"):
                text = switch(text, f"Define JOBWIRE_{name} unix:", False)
                text = switch(text, f"Define JOBWIRE_{name} fcgi:", True)
        return text

    def command(self):
        return [find_program("apache2"), "-DFOREGROUND", "-f", self.config]

    def check_command(self):
        return [find_program("apache2"), "-t", "-f", self.config]


class ApacheFcgid(Spawning, Apache):
    """With mod_fcgid: a process of jobwire-events for each stream."""

    way = "FCGID"
    programs = {"events": "jobwire-events", "webhook": "jobwire-webhook"}

    def streams_open(self):
        return sum(clients_of(pid) for pid in self.pids("events"))


class ApacheFcgidCgi(ApacheFcgid):
    """With mod_fcgid, and the CGI programs under it."""

    programs = Cgi.programs

    def _switch_options(self, text):
        text = super()._switch_options(text)
        text = switch(text, "FcgidWrapper ${JOBWIRE_BIN}", False)
        return switch(text, "FcgidWrapper ${JOBWIRE_CGI_BIN}", True)


class ApacheCgi(Cgi, Apache):
    """With mod_cgid."""

    way = "CGI"
