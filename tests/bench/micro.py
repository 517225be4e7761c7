#!/usr/bin/python3
"""Counts the instructions of hot paths and compares them with those in
micro.txt. usage: micro.py PROGRAM [update]    (by `make bench-micro`)

A count says nothing on another machine, compiler or library, so it is judged
only where these are the reference's; elsewhere it is printed."""

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys

REFERENCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "micro.txt")
TOLERANCE = 0.05
# What libraries choose their code by, as far as valgrind lets them see it.
CPU_FLAGS = ("avx2", "bmi2", "adx", "sha_ni", "pclmulqdq", "aes")


def output(*command):
    """What a command says, on one line."""
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return " ".join(done.stdout.split())


def machine():
    """All that a count depends on besides our source."""
    with open("/proc/cpuinfo", encoding="ascii") as file:
        found = re.search(r"(?m)^(?:flags|Features)\s*:(.*)", file.read())
    flags = found[1].split() if found else []
    compiler = os.environ.get("CC", "cc")
    return " ".join(
        [os.uname().machine, "cpu=" + ",".join(f for f in CPU_FLAGS if f in flags)]
        + [f"{name}={output('pkg-config', '--modversion', name)}"
           for name in ("fcgi", "sqlite3", "json-c", "libcrypto")]
        + [output("getconf", "GNU_LIBC_VERSION").replace(" ", "="),
           output("valgrind", "--version"),
           output(compiler, "--version").split(" Copyright")[0].split(" ", 1)[1],
           os.environ.get("CFLAGS", "")]
    ).strip()


def count(program, name):
    """The instructions of one run of a case."""
    done = subprocess.run(
        ["setarch", "-R", "valgrind", "--tool=callgrind",
         "--callgrind-out-file=/dev/null", "--collect-atstart=no",
         "--toggle-collect=micro_counted*", program, name],
        capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"]},
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not found or found[1] == "0":
        sys.exit(f"micro: {name} cannot be counted:\n{done.stderr}")
    return int(found[1])


def count_all(program):
    """Instructions per operation of each case."""
    cases = [line.split() for line in
             subprocess.run([program], check=True, capture_output=True,
                            text=True).stdout.splitlines()]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = pool.map(lambda case: count(program, case[0]), cases)
        return {name: round(total / int(n))
                for (name, n), total in zip(cases, counts)}


def read_reference():
    """The machine it was made on, and its counts."""
    with open(REFERENCE, encoding="utf-8") as file:
        lines = [line.rstrip("\n") for line in file if line[0] != "#"]
    pairs = (line.split() for line in lines[1:])
    return lines[0], {name: int(value) for name, value in pairs}


def update(counts):
    """Makes these the reference."""
    with open(REFERENCE, "w", encoding="utf-8") as file:
        file.write("# Instructions per operation; by `make bench-micro UPDATE=1`, on:\n")
        file.write(machine() + "\n")
        file.writelines(f"{name} {value}\n" for name, value in counts.items())


def compare(counts):
    """Prints the table; how many differ too much, or are on one side only."""
    _, reference = read_reference()
    failed = 0
    for name in sorted(counts.keys() | reference.keys()):
        here, there = counts.get(name, 0), reference.get(name, 0)
        difference = here / there - 1 if there else 1
        is_bad = abs(difference) > TOLERANCE
        failed += is_bad
        print(f"  {'FAILED' if is_bad else 'ok':8}{name:24}{here:>12,}"
              f"{there:>12,}{difference:>+8.1%}")
    return failed


def main():
    """Exit status 1: some path has become dearer, or so much cheaper that the
    reference hides what comes next."""
    if not shutil.which("valgrind"):
        sys.exit("micro: valgrind is missing (make deps G=bench)")
    counts = count_all(sys.argv[1])
    if sys.argv[2:] == ["update"]:
        update(counts)
    failed = compare(counts)
    there, here = read_reference()[0], machine()
    if here != there:
        print(f"not judged: this is not the machine of {REFERENCE}:\n"
              f"  there: {there}\n  here:  {here}")
        return
    if failed:
        print("if that is meant: make bench-micro UPDATE=1, and say why")
    print(f"{len(counts) - failed} passed, {failed} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
