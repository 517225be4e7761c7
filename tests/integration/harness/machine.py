"""A machine as docs/operate.md sees it, in the folder of a site: its commands
are run word by word, with the paths of a package's installation replaced, and
with systemd, journald, apt and runuser played by short scripts."""

import os
import re
import shutil
import subprocess

from .nginx import Nginx
from .process import read_text
from .wait import patience, until

PROGRAMS = ("events", "webhook", "runner")

_SYSTEMCTL = r"""
verb= units=()
for word; do
  case $word in
    -*) ;;
    start | stop | restart | reload | status) verb=$word ;;
    *.socket) ;;
    *) units+=("${word%.service}") ;;
  esac
done
is_alive() { # and no zombie, which nobody may be there to bury
  grep -qs '^State:[[:space:]]*[RSDTtI]' "/proc/$(cat "$pids/$1" 2>/dev/null || echo x)/status"
}
for unit in "${units[@]}"; do
  case $verb in
    stop | restart)
      if is_alive "$unit"; then
        kill -TERM "$(cat "$pids/$unit")"
        end=$((SECONDS + 8)) # TimeoutStopSec
        while is_alive "$unit"; do
          [ $SECONDS -lt $end ] || kill -KILL "$(cat "$pids/$unit")"
          read -rt 0.05 <> <(:) || :
        done
      fi
      rm -f "$pids/$unit"
      ;;
  esac
  case $verb in
    start | restart)
      is_alive "$unit" && continue
      umask 007
      setsid "$bin/$unit" --config "$config" >>"$logs/$unit.log" 2>&1 </dev/null &
      echo $! >"$pids/$unit"
      ;;
    status) is_alive "$unit" && echo "$unit: active (running)" ;;
  esac
done
"""

_JOURNALCTL = r"""
units=(jobwire-events jobwire-webhook jobwire-runner)
while [ $# -gt 0 ]; do
  case $1 in
    -u) [ "$2" = 'jobwire-*' ] || units=("$2"); shift ;;
    -p | -n | --since) shift ;;
    --vacuum-size=*) exit 0 ;;
  esac
  shift
done
for unit in "${units[@]}"; do
  [ ! -e "$logs/$unit.log" ] || cat "$logs/$unit.log"
done
"""


class Machine:
    """Nothing is started."""

    def __init__(self, site):
        self.site = site
        self.web = Nginx(site)
        self.folder = os.path.join(site.root, "machine")
        self.backups = os.path.join(site.root, "backups")
        self.etc = os.path.join(site.root, "etc")
        self.logs = os.path.join(site.root, "journal")
        self.pids = os.path.join(site.root, "pids")
        for folder in (self.folder, self.backups, self.etc, self.logs, self.pids):
            os.makedirs(folder)
        self._script("systemctl", _SYSTEMCTL)
        self._script("journalctl", _JOURNALCTL)
        self._script("runuser", 'shift 3\nexec "$@"\n')
        self._script("apt-get", "exit 0\n")
        self._script("jobwire", 'exec "$bin/jobwire" --config "$config" "$@"\n')
        self._replaced = [
            ("/etc/jobwire/jobwire.conf", site.config),
            ("/etc/jobwire", self.etc),
            ("/var/lib/jobwire", site.db_folder),
            ("/var/backups/jobwire", self.backups),
            ("/run/jobwire", site.run_folder),
            ("/var/log/nginx/jobwire.log", self.web.path("log", "jobwire.log")),
            ("http://127.0.0.1/", f"http://127.0.0.1:{self.web.port}/"),
            ("-o jobwire -g jobwire ", ""),
            ("--since -1h", "--since -1h"),
        ]

    def _script(self, name, text):
        path = os.path.join(self.folder, name)
        head = "".join(
            f"{key}='{value}'\n" for key, value in {
                "bin": self.site.bin, "config": self.site.config,
                "pids": self.pids, "logs": self.logs,
            }.items()
        )
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!/usr/bin/env bash\n{head}{text}")
        os.chmod(path, 0o755)

    def run(self, command, **names):
        """A command of the document, JOB and the like replaced by these."""
        for old, new in self._replaced:
            command = command.replace(old, new)
        for name, value in names.items():
            command = re.sub(rf"\b{name}\b", str(value), command)
        return subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True,
            timeout=patience(30), check=False, stdin=subprocess.DEVNULL,
            cwd=self.site.root,
            env={**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}"},
        )

    def start(self, *programs):
        """Starts them, and waits until both halves answer."""
        units = " ".join(f"jobwire-{name}" for name in programs)
        done = self.run(f"systemctl start {units}")
        assert done.returncode == 0, done.stderr
        until(lambda: self.health() == 200, f"health\n{self.log()}", 10)
        return self

    def stop(self):
        """Ends all that is left."""
        self.run("systemctl stop " + " ".join(
            f"jobwire-{name}" for name in PROGRAMS))

    def health(self):
        """200: of both halves; 0: one of them answers nothing."""
        try:
            return max(
                self.site.endpoint(name).call("GET", path).status
                for name, path in (
                    ("events", "/healthz?all=1"),
                    ("webhook", "/api/v1/webhooks/healthz"),
                )
            )
        except OSError:
            return 0

    def log(self, name=None):
        """A program's, or all of them."""
        names = [name] if name else PROGRAMS
        paths = [os.path.join(self.logs, f"jobwire-{n}.log") for n in names]
        return "".join(read_text(p) for p in paths if os.path.exists(p))

    def pid(self, name):
        """The process id of a program."""
        return int(read_text(os.path.join(self.pids, f"jobwire-{name}")))

    def has(self, command):
        """Does this build of `jobwire` have the command?"""
        return self.run(f"jobwire help {command}").returncode == 0

    def remove(self):
        """Stops it, and the folder goes with the site."""
        if self.web.process and self.web.process.is_alive():
            self.web.stop()  # what it keeps open would be waited for
        self.stop()
        shutil.rmtree(self.pids, ignore_errors=True)
