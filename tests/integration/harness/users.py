"""Programs that run as somebody else, whom modes of files stop."""

import os
import pwd
import shutil

import pytest

from .site import program

NOBODY = pwd.getpwnam("nobody")

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can be another user"
)


def as_nobody(site):
    """Options of Site.tool() that run `jobwire` as nobody: from a copy that
    everybody can reach, with settings that everybody can read."""
    binary = os.path.join(site.root, "jobwire")
    if not os.path.exists(binary):
        shutil.copy(program("jobwire"), binary)
        os.chmod(binary, 0o755)
    os.chmod(site.config, 0o644)
    return {
        "binary": binary, "user": NOBODY.pw_uid, "group": NOBODY.pw_gid,
        "extra_groups": [],
    }
