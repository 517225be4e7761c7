"""Files that the documents and the comments name are there: who looks for
something finds it by name, also after a file got another one."""

import glob
import os
import re

import pytest
from harness.process import read_text
from harness.site import source_root

ROOT = source_root()
FOLDERS = ("src", "fcgi", "cgi-bin", "tools", "tests", "client", "contrib", "scripts",
           "docs", "examples", "man", "publish", ".ci")
SOURCES = [
    name
    for folder in ("src/*", "fcgi", "cgi-bin", "tools", "tests/*")
    for name in glob.glob(f"{folder}/*.[ch]", root_dir=ROOT)
]
DOCUMENTS = ["CONTRIBUTING.md", "README.md", *(
    # The decisions are history.
    name for name in glob.glob("docs/*.md", root_dir=ROOT) if "decisions" not in name
)]


def names_of(folder):
    for top, _, files in os.walk(os.path.join(ROOT, folder)):
        if "node_modules" not in top:
            yield from files


BASE_NAMES = {name for folder in FOLDERS for name in names_of(folder)}
# What readers are told to make.
EXAMPLES = {"src/hook/provider_farm.c", "tools/cmd_NAME.c", "cmd_NAME.c",
            "app/controllers/streams_controller.rb", "app/jobs/restore_job.rb"}
# Of libraries, and the pattern of the commands' files.
FOREIGN = {"fcgiapp.h", "cmocka.h", "os.h", "cmd_NAME.c"}
LAYERS = set(os.listdir(os.path.join(ROOT, "src")))


def is_there(path):
    """A path from the top, or from src/ as an #include has it; perhaps a pattern."""
    return any(glob.glob(os.path.join(ROOT, start, path)) for start in ("", "src"))


def missing_in_document(text):
    """Paths and names of files between backticks that lead nowhere."""
    text = re.sub(r"(?ms)^```.*?^```", "", text)
    for word in set(re.findall(r"`([\w.*/-]+)`", text)) - EXAMPLES:
        first, *rest = word.split("/")
        if rest:
            is_ours = first in FOLDERS or (first in LAYERS and "." in rest[-1])
        else:
            is_ours = re.fullmatch(r"\w+\.(c|h|sql|py)", word)
        if is_ours and word not in BASE_NAMES and not is_there(word):
            yield word
    for link in re.findall(r"\]\(([\w./-]+)", text):
        if not link.startswith("http") and not is_there(link):
            if not is_there(os.path.join("docs", link)):
                yield link


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_name_files_that_exist(name):
    text = read_text(os.path.join(ROOT, name))
    assert sorted(set(missing_in_document(text))) == []


def test_documents_name_functions_that_exist():
    """In the way into the source, also structures."""
    code = "\n".join(read_text(os.path.join(ROOT, name)) for name in SOURCES)
    words = set(re.findall(r"\w+", code))
    text = read_text(os.path.join(ROOT, "docs", "architecture.md"))
    named = set(re.findall(r"`(\w+)\(\)`", text))
    for names in re.findall(r"(?m)^\| `(?:struct|enum) (.*?) \|", text):
        named |= set(re.findall(r"\w+", names))
    assert len(named) > 30
    assert named - words == set()


def missing_in_comments(text):
    """Those of ours; of others only few have such names."""
    for comment in re.findall(r"(?s)/\*.*?\*/", text):
        for path in re.findall(r"(?<![\w/.<])((?:[\w-]+/)*[a-z]\w*\.[ch])\b", comment):
            if "/" in path and path.split("/")[0] in {*FOLDERS, *LAYERS}:
                if not is_there(path):
                    yield path
            elif "/" not in path and path not in BASE_NAMES | FOREIGN:
                yield path


def test_comments_name_files_that_exist():
    missing = {
        (name, path)
        for name in SOURCES
        for path in missing_in_comments(read_text(os.path.join(ROOT, name)))
    }
    assert sorted(missing) == []


def test_each_question_has_an_answer():
    """Those of CONTRIBUTING.md, each with the file that has it."""
    text = read_text(os.path.join(ROOT, "CONTRIBUTING.md"))
    section = re.search(r"(?s)\n## Where is it\?\n(.*?)\n## ", text)[1]
    rows = re.findall(r"(?m)^\| ([^|]+\?) \| ([^|]+) \|$", section)
    assert len(rows) >= 15
    for question, answer in rows:
        assert re.findall(r"`[\w./-]+/[\w.-]+`", answer), question


def test_each_command_has_a_file_of_its_name():
    text = read_text(os.path.join(ROOT, "tools", "commands.c"))
    commands = set(re.findall(r"&command_(\w+)", text)) - {"help", "version"}
    files = {
        re.search(r"cmd_(\w+)\.c$", name)[1]
        for name in glob.glob(os.path.join(ROOT, "tools", "cmd_*.c"))
    }
    assert len(commands) > 10
    assert commands == files
