"""A small file system that can be filled up: a tmpfs in a namespace of its
own, which an ordinary user may make as well as root."""

import errno
import os
import shutil
import subprocess

import pytest

# The folder, then the program and its arguments.
_MOUNT = """
mount -t tmpfs -o size="$0",mode=700 tmpfs "$1" && shift && exec "$@"
"""


def _command(size, folder):
    return ["unshare", "-rm", "sh", "-c", _MOUNT, size, folder]


def small_disk(size, folder):
    """The command in front of a program that has a file system of that size at
    the folder. Skips the test where the system allows no namespaces."""
    probe = subprocess.run(
        [*_command(size, folder), "true"], capture_output=True, text=True
    )
    if probe.returncode != 0:
        pytest.skip(f"no file system to fill up: {probe.stderr.strip()}")
    return _command(size, folder)


def inside(pid):
    """The command in front of a program that sees the file systems which that
    process sees."""
    return ["nsenter", "-U", "-m", "--preserve-credentials", "-t", str(pid)]


class Ballast:
    """A file that takes all the space there is, in the folder as a process
    sees it."""

    def __init__(self, pid, folder):
        self.folder = f"/proc/{pid}/root{folder}"
        self._path = os.path.join(self.folder, "ballast")

    def fill(self):
        """Until not a byte fits."""
        with open(self._path, "ab", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError as fault:
                    assert fault.errno == errno.ENOSPC, fault

    def give_back(self, size):
        """That many bytes of room again."""
        os.truncate(self._path, os.path.getsize(self._path) - size)

    def drop(self):
        """All the room again."""
        os.unlink(self._path)

    def copy_out(self, target):
        """Copies the other files to where everybody sees them."""
        for name in os.listdir(self.folder):
            if name != "ballast" and not name.endswith("-shm"):
                shutil.copy(os.path.join(self.folder, name), target)
