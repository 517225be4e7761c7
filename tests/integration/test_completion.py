"""What shells complete: every command and option there is, by the shells
themselves where they are installed."""

import os
import re
import shutil
import subprocess

import pytest
from harness.process import read_text
from harness.site import BIN, run, source_root
from harness.wait import patience

SHELLS = ["bash", "zsh", "fish"]


def script(shell):
    return run("jobwire", "completion", shell, check=True).stdout


def commands():
    text = run("jobwire", "--help", check=True).stdout.split("Exit status:")[0]
    return re.findall(r"(?m)^  (\w+)", text)


def options(*command):
    """Those in the help of a command, or of all."""
    text = run("jobwire", *command, "--help", check=True).stdout
    return set(re.findall(r"(?m)^  (--[a-z-]+)", text))


def words_of(command):
    """What its first argument can be."""
    usage = run("jobwire", command, "--help", check=True).stdout.splitlines()[0]
    arguments = usage.split(f"[options] {command}")[1]
    return re.findall(r"[a-z]+", re.split(r"[A-Z\[]", arguments)[0])


def ask(shell, path, line):
    """What the shell offers behind that line."""
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    if shell == "fish":
        argv = ["fish", "--no-config", "-c", 'source $argv[1]; complete -C $argv[2]']
    else:
        argv = ["bash", "--norc", "-c", """
            source "$0"; read -ra COMP_WORDS <<<"$1"
            [[ $1 != *' ' ]] || COMP_WORDS+=("")
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _jobwire
            printf '%s\\n' "${COMPREPLY[@]}"
        """]
    done = subprocess.run(
        [*argv, str(path), line], capture_output=True, text=True, check=True,
        timeout=patience(30), env={**os.environ, "HOME": str(path.parent)},
    )
    assert done.stderr == ""
    return {offer.split("\t")[0] for offer in done.stdout.splitlines()}


@pytest.fixture(name="file", params=["bash", "fish"])
def fixture_file(request, tmp_path):
    path = tmp_path / "completion"
    path.write_text(script(request.param))
    return request.param, path


def test_commands(file):
    offered = ask(*file, "jobwire ")
    assert set(commands()) <= offered
    assert ask(*file, "jobwire do") == {"doctor"}


def test_options_of_all_commands(file):
    assert options() <= ask(*file, "jobwire --") | {"--help", "--version"}
    assert "--config" in ask(*file, "jobwire jobs --")


def test_options_and_words_of_each_command(file):
    with_words = 0
    for command in commands():
        own = options(command) if command != "simulate" else set()
        assert own <= ask(*file, f"jobwire {command} --"), command
        words = set(words_of(command))
        with_words += bool(words)
        assert words <= ask(*file, f"jobwire {command} "), command
    assert with_words >= 4
    assert {"show", "cancel", "retry"} <= ask(*file, "jobwire --json run ")
    assert "publish" in ask(*file, "jobwire help ")


def test_values(file):
    assert ask(*file, "jobwire --log-level ") == {"error", "warn", "info"}
    assert "run" not in ask(*file, "jobwire --api-prefix ")
    assert "show" in ask(*file, "jobwire --log-level warn run ")


def test_zsh(tmp_path):
    """zsh completes only at a terminal: its syntax, and that all is there."""
    text = script("zsh")
    for command in commands():
        own = options(command) if command != "simulate" else set()
        line = re.search(rf"(?m)^\t{command}\) (?:.*\\\n)*.*", text)[0]
        assert own <= set(re.findall(r"'(--[a-z-]+)\[", line)), command
        for word in words_of(command):
            assert re.search(rf"\b{word}\b", line), (command, word)
        assert f"\t\t'{command}:" in text
    common = text.split("common=(")[1].split("\n\t)")[0]
    assert options() == set(re.findall(r"'(--[a-z-]+)\[", common))
    if shutil.which("zsh") is None:
        pytest.skip("no zsh, so its syntax was not looked at")
    path = tmp_path / "_jobwire"
    path.write_text(text)
    done = subprocess.run(
        ["zsh", "-f", "-n", path], capture_output=True, text=True,
        check=True, timeout=patience(30),
    )
    assert done.stderr == ""


def test_no_such_shell():
    done = run("jobwire", "completion", "fishy")
    assert done.returncode == 2
    assert "did you mean fish?" in done.stderr


def test_where_they_are_installed(tmp_path):
    """As the Makefile says; each is what the program prints."""
    if BIN != os.path.join(source_root(), "build", "bin"):
        pytest.skip("another flavour than the one that is installed")
    makefile = read_text(os.path.join(source_root(), "Makefile"))
    made = tmp_path / "made"
    for shell, name in (("bash", "jobwire"), ("zsh", "_jobwire"), ("fish", "jobwire.fish")):
        assert f"$(GEN)/completions/{name}:share/" in makefile
        subprocess.run(
            ["make", "-s", f"GEN={made}", f"{made}/completions/{name}",
             "-o", "build/bin/jobwire"],
            cwd=source_root(), check=True, timeout=patience(60),
        )
        assert (made / "completions" / name).read_text() == script(shell)
