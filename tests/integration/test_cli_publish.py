"""`jobwire publish`: where its data come from, and types that look like a
mistake."""

import contextlib
import json
import os
import socket
import subprocess

import pytest
from harness.site import program
from harness.wait import patience

MEBIBYTE = 1 << 20


def publish(site, *arguments, **options):
    """Runs `jobwire publish` with the standard input of the options."""
    return subprocess.run(
        [program("jobwire"), "publish", "--config", site.config, *arguments],
        capture_output=True, text=True, timeout=patience(30), check=False,
        **options,
    )


@contextlib.contextmanager
def pipe(text, *, keep_open=False):
    """The end to read of a pipe that holds a text already."""
    reader, writer = os.pipe()
    os.write(writer, text)
    if not keep_open:
        os.close(writer)
    try:
        yield reader
    finally:
        os.close(reader)
        if keep_open:
            os.close(writer)


def data_of(site, job="job"):
    """The data of the job's events, as they are stored."""
    return [data for _, _, _, data in site.writer.rows(job)]


@pytest.mark.parametrize("text", ['{"progress":55}', ' {"progress": 55}\n'])
def test_data_on_standard_input(make_site, text):
    site = make_site()
    done = publish(site, "job", "progress", "-", input=text)
    assert done.returncode == 0, done.stderr
    assert data_of(site) == [text.strip()]


def test_data_in_a_file(make_site):
    site = make_site()
    path = os.path.join(site.root, "data.json")
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"progress":55}\n')
    done = publish(site, "job", "progress", f"@{path}", stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    assert data_of(site) == ['{"progress":55}']


@pytest.mark.parametrize("kind", ["-", "@"])
def test_data_are_bounded(make_site, kind):
    """As on the command line: 1 MiB and no more."""
    site = make_site()
    path = os.path.join(site.root, "data.json")
    source = kind if kind == "-" else kind + path
    for size, status in ((MEBIBYTE, 0), (MEBIBYTE + 1, 2)):
        text = '{"a":"' + "x" * (size - 8) + '"}'
        assert len(text) == size
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        done = publish(site, "job", "note", source, input=text)
        assert done.returncode == status, done.stderr
    assert "larger than 1 MiB" in done.stderr
    assert len(site.writer.rows()) == 1


@pytest.mark.parametrize(
    "text, said",
    [("", "the data is empty"),
     ("[1]", "not a JSON object, but another JSON value\n"),
     ("{} {}", "not a JSON object: byte 4 is wrong\n"),
     ('{"a":"\0"}', "not a JSON object: byte 7 is wrong\n"),
     ('{"a":"\\x"}', "not a JSON object: byte 8 is wrong; only"),
     ('{"a":01}', "not a JSON object: byte 7 is wrong\n"),
     ('{"a":NaN}',
      "byte 6 is wrong; only true, false and null go without quotes\n"),
     ('\ufeff{"a":NaN}', "byte 9 is wrong; only"),
     ("{a:1}", "byte 2 is wrong; only true, false and null go without"),
     ('{"a":[1,', "not a JSON object: it ends too early\n"),
     ('{"a":tru', "not a JSON object: byte 6 is wrong; only"),
     ('{"a":' + "[" * 32 + "]" * 32 + "}",
      "nested deeper than 32 levels, at byte 37\n")],
    ids=repr,
)
def test_bad_data_on_standard_input(make_site, text, said):
    site = make_site()
    done = publish(site, "job", "note", "-", input=text)
    assert done.returncode == 2
    assert said in done.stderr
    assert site.writer.rows() == []


def test_an_empty_argument(make_site):
    """A command that has failed must not make a job that has no output."""
    site = make_site()
    done = publish(site, "job", "completed", "")
    assert done.returncode == 2
    assert "the data is empty" in done.stderr
    assert site.writer.rows() == []


def test_byte_order_mark(make_site):
    """It is passed over, as in what is posted."""
    site = make_site()
    done = publish(site, "job", "progress", "-", input='\ufeff{"progress":55}')
    assert done.returncode == 0, done.stderr
    assert data_of(site) == ['{"progress":55}']


def test_file_without_a_name(make_site):
    site = make_site()
    done = publish(site, "job", "note", "@", stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert "a file's name is missing after @" in done.stderr


def test_file_that_is_missing(make_site):
    site = make_site()
    done = publish(site, "job", "note", "@/nonexistent", stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    assert "/nonexistent: No such file" in done.stderr


def refused(done):
    """Was it refused because nobody asked for its standard input?"""
    return done.returncode == 2 and "give - as the third" in done.stderr


@pytest.mark.parametrize("keep_open", [False, True])
def test_data_that_nobody_asked_for(make_site, keep_open):
    site = make_site()
    with pipe(b'{"progress":55}\n', keep_open=keep_open) as stdin:
        assert refused(publish(site, "job", "progress", stdin=stdin))
        assert site.writer.rows() == []
        # With data as an argument there is no doubt, and it stays unread.
        assert publish(site, "job", "note", "{}", stdin=stdin).returncode == 0
        assert os.read(stdin, 99) == b'{"progress":55}\n'


def test_loop_that_reads_a_list(make_site):
    """The data are an argument, so the rest of the list is left to the loop."""
    site = make_site()
    path = os.path.join(site.root, "list")
    with open(path, "w", encoding="utf-8") as file:
        file.write("a\nb\nc\n")
    subprocess.run(
        ["sh", "-ec", 'while read -r job; do "$0" publish --config "$1"'
         ' "$job" note "{}"; done <"$2"', program("jobwire"), site.config, path],
        check=True, capture_output=True, timeout=patience(30),
    )
    assert [row[1] for row in site.writer.rows()] == ["a", "b", "c"]


def test_a_file_that_nobody_asked_for(make_site):
    site = make_site()
    with open(site.config, "rb") as stdin:
        assert refused(publish(site, "job", "progress", stdin=stdin))
        stdin.seek(0, os.SEEK_END)
        assert publish(site, "job", "progress", stdin=stdin).returncode == 0
    assert data_of(site) == [None]


def test_a_socket_that_nobody_asked_for(make_site):
    site = make_site()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert publish(site, "job", "note", stdin=theirs).returncode == 0
        ours.send(b"{}")
        assert refused(publish(site, "job", "note", stdin=theirs))


def test_input_that_stays_open_and_empty(make_site):
    """As over ssh, or from a program that does not care."""
    site = make_site()
    with pipe(b"", keep_open=True) as stdin:
        assert publish(site, "job", "note", stdin=stdin).returncode == 0
    with pipe(b"") as stdin:
        assert publish(site, "job", "note", stdin=stdin).returncode == 0
    done = publish(site, "job", "note", preexec_fn=lambda: os.close(0))
    assert done.returncode == 0, done.stderr
    assert len(site.writer.rows("job")) == 3


def test_standard_input_that_is_closed(make_site):
    site = make_site()
    done = publish(site, "job", "note", "-", preexec_fn=lambda: os.close(0))
    assert done.returncode == 1
    assert "standard input: " in done.stderr


# -- types -------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed, meant",
    [("complete", "completed"), ("compelted", "completed"),
     ("canceled", "cancelled"), ("timed-out", "timed_out"),
     ("progres", "progress"), ("progresss", "progress"), ("queue", "queued"),
     ("faild", "failed"), ("procesing", "processing"),
     ("timedout", "timed_out"), ("timeout", "timed_out"), ("done", "completed"),
     ("success", "completed"), ("succeeded", "completed"),
     ("finished", "completed"), ("error", "failed"), ("running", "processing"),
     ("started", "processing"), ("in_progress", "processing"),
     ("in_queue", "queued"), ("pending", "queued")],
)
def test_type_that_is_nearly_a_state(make_site, typed, meant):
    site = make_site()
    done = site.tool("publish", "job", typed, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"did you mean {meant}?" in done.stderr and "--custom" in done.stderr
    assert site.writer.rows() == []
    site.tool("publish", "job", typed, "--custom")
    assert [row[2] for row in site.writer.rows("job")] == [typed]


@pytest.mark.parametrize("name", ["note", "download.done", "failure", "step.1", "a" * 64])
def test_type_of_ones_own(make_site, name):
    site = make_site()
    site.tool("publish", "job", name)
    assert len(site.writer.rows("job")) == 1


def test_state_after_the_event(make_site):
    site = make_site()

    def state(event_type):
        done = site.tool("publish", "job", event_type, "--json")
        return json.loads(done.stdout)["state"]

    types = ["note", "progress", "completed", "note", "processing"]
    assert [state(name) for name in types] == [
        None, "processing", "completed", "completed", "processing",
    ]
