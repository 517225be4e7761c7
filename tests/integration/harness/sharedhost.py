"""A host where one may only upload files: an Apache that starts CGI programs,
of whose configuration nothing can be changed but .htaccess."""

import os
import shutil
import tarfile

from .apache import Apache
from .webserver import WebServer

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
<VirtualHost 127.0.0.1:{port}>
    CustomLog {folder}/log/jobwire.log "%m %U %>s"
    DocumentRoot {home}/public_html
    ScriptAlias /cgi-bin/ {home}/cgi-bin/
    <Directory {home}>
        AllowOverride All
        Require all granted
    </Directory>
</VirtualHost>
"""
_MODULES = [
    "mpm_event", "authz_core", "mime", "env", "setenvif", "alias", "rewrite",
    "cgid",
]


class SharedHost(Apache):
    """With the home folder of a customer who has unpacked a bundle there."""

    def __init__(self, site, bundle):
        WebServer.__init__(self, site)
        self.home = os.path.join(site.root, "home")
        with tarfile.open(bundle) as archive:
            archive.extractall(site.root)
        os.rename(os.path.join(site.root, "jobwire"), self.home)

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
                    modules=modules,
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

    def upload(self, name, *parts):
        """Puts a file somewhere below the home folder."""
        path = os.path.join(self.home, *parts)
        shutil.copy(name, path)
        self.give(path)
