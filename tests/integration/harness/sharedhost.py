"""A host where one may only upload files: an Apache that starts CGI programs
and PHP, of whose configuration nothing can be changed but .htaccess."""

import os
import re
import shutil
import subprocess
import tarfile

from . import leaks
from .apache import Apache
from .process import read_text
from .wait import patience
from .webserver import WebServer, find_program

PAGE_KEY = leaks.secret("page-key-0123456789abcdef0123456789abcdef")
PASSWORD = leaks.secret("page-password-0123456789")

_CONFIG = """\
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/apache.pid
ErrorLog {folder}/log/error.log
ServerName localhost
Listen 127.0.0.1:{port}
User www-data
Group www-data
{modules}
ScriptSock {folder}/cgisock
TypesConfig /dev/null
AddType text/javascript .js
<VirtualHost 127.0.0.1:{port}>
    CustomLog {folder}/log/jobwire.log "%m %U %>s"
    DocumentRoot {home}/public_html
    ScriptAlias /cgi-bin/ {home}/cgi-bin/
    ScriptAlias /php {php}
    Action php /php
    AddHandler php .php
    DirectoryIndex index.php
    <Directory {home}>
        AllowOverride All
        Require all granted
    </Directory>
    <Location /php>
        Require all granted
    </Location>
</VirtualHost>
"""
_MODULES = [
    "mpm_event", "authz_core", "mime", "env", "setenvif", "alias", "rewrite",
    "cgid", "actions", "dir",
]


class SharedHost(Apache):
    """With the home folder of a customer who has unpacked a bundle there."""

    def __init__(self, site, bundle):
        WebServer.__init__(self, site)
        self.home = os.path.join(site.root, "home", "customer")
        os.mkdir(os.path.dirname(self.home))
        with tarfile.open(bundle) as archive:
            archive.extractall(site.root)
        os.rename(os.path.join(site.root, "jobwire-bundle"), self.home)

    def prepare(self):
        for folder in (self.folder, self.path("log")):
            os.makedirs(folder)
        modules = "\n".join(
            f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"
            for name in _MODULES
        )
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(
                _CONFIG.format(
                    folder=self.folder, home=self.home, port=self.port,
                    modules=modules, php=find_program("php-cgi"),
                )
            )
        for top in (self.folder, self.home):
            for folder, _, names in os.walk(top):
                for path in [folder, *(os.path.join(folder, n) for n in names)]:
                    self.give(path)

    def set(self, **settings):
        """As the customer does: changes lines of jobwire.conf."""
        with open(self.home + "/jobwire.conf", "a", encoding="utf-8") as file:
            for name, value in settings.items():
                file.write(f"{name} = {value}\n")

    def write(self, name, text):
        """As the customer does: a file below the home folder."""
        path = os.path.join(self.home, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        self.give(path)

    def instructions(self, pattern):
        """The groups of what INSTALL.txt says once."""
        (found,) = re.findall(pattern, read_text(self.home + "/INSTALL.txt"), re.M)
        return found

    def cron(self):
        """What its line in a crontab does, each minute; what is mailed."""
        done = subprocess.run(
            ["sh", "-c", self.instructions(r"^ +(cd ~ && \S.*)$")],
            env={"HOME": self.home, "PATH": "/usr/bin:/bin"}, cwd="/",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=patience(30), check=False,
            **self.user,
        )
        return done.stdout

    def sign_in(self, password=PASSWORD):
        """Gives the page the password; what its cookies are then."""
        answer = self.endpoint.call(
            "POST", "/restore/",
            {"Content-Type": "application/x-www-form-urlencoded"},
            f"password={password}".encode(),
        )
        if answer.status != 303:
            return None
        session = answer.headers["set-cookie"].partition(";")[0]
        answer = self.endpoint.call("GET", "/restore/", {"Cookie": session})
        assert answer.status == 200, answer
        return answer.headers["set-cookie"].partition(";")[0]

    def upload(self, name, *parts):
        """Puts a file somewhere below the home folder."""
        path = os.path.join(self.home, *parts)
        shutil.copy(name, path)
        self.give(path)
