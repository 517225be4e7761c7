"""What publish/ has for sites, called in each language by the programs of
tests/publish."""

import json
import os
import shutil
import subprocess

import pytest

from . import leaks
from .site import source_root
from .wait import patience

_FOLDER = os.path.join(source_root(), "tests", "publish")
_COMMANDS = {
    "python": ["/usr/bin/python3", "driver.py"],
    "php": ["php", "driver.php"],
    "node": ["node", "driver.mjs"],
}
LANGUAGES = list(_COMMANDS)


class Refused(Exception):
    """A JobwireError of the helper's."""

    def __init__(self, said):
        super().__init__(said["message"])
        self.code = said["error"]


class Helper:
    """A program in that language; the object of its last connect()."""

    def __init__(self, language, target, **options):
        argv = _COMMANDS[language]
        if shutil.which(argv[0]) is None:
            pytest.skip(f"no {argv[0]}")
        self._child = subprocess.Popen(
            argv, cwd=_FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
            env={**os.environ, "NODE_NO_WARNINGS": "1"},  # node:sqlite warns
        )
        try:
            self.connect(target, **options)
        except BaseException:
            self.close()
            raise

    def _ask(self, order):
        try:
            self._child.stdin.write(json.dumps(order) + "\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            pass  # it says why
        line = self._child.stdout.readline()
        assert line, self._child.stderr.read()
        said = json.loads(line)
        if "error" in said:
            leaks.note("an error of publish/", said["message"].encode())
            raise Refused(said)
        return said["ok"]

    def connect(self, target, **options):
        """Uses another object from now on; Refused."""
        self._ask({"target": target, "options": options})

    def call(self, name, *args, **options):
        """What the call returns; Refused."""
        return self._ask({"call": name, "args": args, "options": options})

    def close(self):
        """Ends the program, which must not have complained."""
        _, complaints = self._child.communicate(timeout=patience(20))
        assert complaints == ""

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.close()
        else:
            self._child.kill()
            self._child.communicate()


def skip_without_sqlite(language):
    """Node has a database only since 22.13, and before that says so."""
    if language != "node" or shutil.which("node") is None:
        return
    said = subprocess.run(
        ["node", "-e", 'require("node:sqlite")'], capture_output=True, check=False
    )
    if said.returncode != 0:
        pytest.skip("this Node.js has no node:sqlite")


def refusal_of(helper, name, *args, **options):
    """The code of a call that must be refused."""
    with pytest.raises(Refused) as caught:
        helper.call(name, *args, **options)
    return caught.value.code
