"""The repository that `make apt` makes, as apt itself reads it."""

import os
import shutil
import subprocess

import pytest
from harness.site import source_root
from harness.wait import patience

DEBIANS = {"12": "bookworm", "13": "trixie"}


def run(*command, **how):
    """To its end; what it said is in the failure."""
    done = subprocess.run(command, capture_output=True, text=True, check=False,
                          timeout=patience(60), **how)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(autouse=True)
def fixture_tools():
    for program in ("apt-ftparchive", "apt-get", "gpg", "dpkg-deb"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program}")


@pytest.fixture(name="home")
def fixture_home(tmp_path):
    """A gpg that knows one key, whose public part is in key.gpg."""
    home = tmp_path / "gpg"
    home.mkdir(mode=0o700)
    environ = {**os.environ, "GNUPGHOME": str(home)}
    run("gpg", "--batch", "--passphrase", "", "--quick-generate-key", "repository", env=environ)
    run("gpg", "--batch", "--output", str(tmp_path / "key.gpg"), "--export", "repository", env=environ)
    yield environ
    run("gpgconf", "--kill", "gpg-agent", env=environ)


@pytest.fixture(name="repository")
def fixture_repository(tmp_path, home):
    """One package for each Debian; of the older one also a second build."""
    for version in ("0.2.0~deb12", "0.2.0~deb12+1", "0.2.0~deb13"):
        top = tmp_path / version
        (top / "DEBIAN").mkdir(parents=True)
        (top / "DEBIAN" / "control").write_text(
            f"Package: jobwire\nVersion: {version}\nArchitecture: amd64\n"
            "Maintainer: nobody <nobody@example.org>\nDescription: nothing\n")
        run("dpkg-deb", "--root-owner-group", "-b", str(top), str(tmp_path / f"jobwire_{version}_amd64.deb"))
    folder = tmp_path / "repository"
    debs = sorted(str(path) for path in tmp_path.glob("*.deb"))
    run(os.path.join(source_root(), "scripts", "apt"), "repository", str(folder), *debs, env=home)
    return folder


def candidate(tmp_path, repository, suite):
    """The version that an apt which trusts the key alone would install."""
    root = tmp_path / f"root-{suite}"
    for name in ("lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d"):
        (root / name).mkdir(parents=True)
    (root / "status").touch()
    (root / "sources.list").write_text(
        f"deb [arch=amd64 signed-by={tmp_path}/key.gpg] file:{repository} {suite} main\n")
    options = {
        "APT::Architecture": "amd64", "APT::Architectures": "amd64", "APT::Sandbox::User": "root",
        "Dir::State::Lists": root / "lists", "Dir::State::Status": root / "status",
        "Dir::Cache": root / "cache", "Dir::Etc::SourceList": root / "sources.list",
        "Dir::Etc::SourceParts": "-", "Dir::Etc::Preferences": "-",
        "Dir::Etc::PreferencesParts": root / "etc/preferences.d", "APT::Update::Error-Mode": "any",
    }
    flags = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    run("apt-get", *flags, "update")
    shown = run("apt-cache", *flags, "show", "--no-all-versions", "jobwire")
    return next(line.split()[1] for line in shown.splitlines() if line.startswith("Version:"))


def test_each_debian_gets_its_own(tmp_path, repository):
    found = {suite: candidate(tmp_path, repository, suite) for suite in DEBIANS.values()}
    assert found == {"bookworm": "0.2.0~deb12+1", "trixie": "0.2.0~deb13"}


def test_what_was_changed_after_the_signature_is_refused(tmp_path, repository):
    index = repository / "dists" / "trixie" / "main" / "binary-amd64" / "Packages"
    index.write_text(index.read_text().replace("nothing", "something"))
    index.with_suffix(".gz").unlink()
    with pytest.raises(AssertionError, match="(?i)hash|mismatch|size"):
        candidate(tmp_path, repository, "trixie")


def test_without_a_key_it_says_so(tmp_path):
    done = subprocess.run([os.path.join(source_root(), "scripts", "apt"), "", str(tmp_path)],
                          capture_output=True, text=True, check=False, timeout=patience(20))
    assert done.returncode == 2
    assert "KEY=" in done.stderr
    assert not list(tmp_path.iterdir())
