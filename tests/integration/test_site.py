"""The pages that scripts/site makes of the documentation: every link leads
somewhere, nothing comes from elsewhere, and all that there is to read is in them."""

import glob
import importlib.util
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from harness.process import read_text
from harness.site import source_root
from harness.wait import patience

ROOT = source_root()
MODULES = ("furo", "myst_parser", "yaml")
LOADS = {"link": "href", "script": "src", "img": "src", "source": "srcset", "iframe": "src", "video": "src"}


class Page(HTMLParser):
    """What a page points to, what it loads, and what can be pointed to in it."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loads, self.anchors, self.text = [], [], {""}, text
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.anchors.update(filter(None, (attributes.get("id"), attributes.get("name"))))
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        if attributes.get(LOADS.get(tag)) and attributes.get("rel") not in ("next", "prev", "search", "canonical"):
            self.loads.append(attributes[LOADS[tag]])


@pytest.fixture(name="built", scope="module")
def fixture_built(tmp_path_factory):
    """The folder of the site; its pages by their path in it."""
    missing = [name for name in MODULES if importlib.util.find_spec(name) is None]
    missing += [name for name in ("mandoc", "esbuild", "git") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)}: make deps G=site")
    folder = str(tmp_path_factory.mktemp("site") / "site")
    done = subprocess.run([os.path.join(ROOT, "scripts", "site"), folder], capture_output=True, text=True,
                          check=False, timeout=patience(120))
    assert done.returncode == 0, done.stderr
    names = glob.glob("**/*.html", root_dir=folder, recursive=True)
    return folder, {name: Page(read_text(os.path.join(folder, name))) for name in names}


def target(page, link):
    """The path in the site that a page's link leads to, and the anchor; None where it leads out."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    path = os.path.normpath(os.path.join(os.path.dirname(page), unquote(parts.path))) if parts.path else page
    return path, unquote(parts.fragment)


def test_every_link_leads_somewhere(built):
    """Also those to a heading of a page."""
    folder, pages = built
    broken = []
    for name, page in pages.items():
        for link in page.links:
            found = target(name, link)
            if found is None:
                continue
            path, anchor = found
            if path in pages:
                there = anchor in pages[path].anchors
            else:
                there = os.path.isfile(os.path.join(folder, path)) and not anchor
            if not there:
                broken.append(f"{name}: {link}")
    assert not broken, "\n".join(sorted(set(broken)))
    assert sum(len(page.links) for page in pages.values()) > 1000


def test_no_link_leads_out_of_the_site_to_a_file(built):
    """A relative path works below any path of a server, and from a disk."""
    _, pages = built
    for name, page in pages.items():
        assert not [link for link in page.links + page.loads if link.startswith(("/", "file:"))], name
        for link in page.links + page.loads:
            found = target(name, link)
            assert found is None or not found[0].startswith(".."), f"{name}: {link}"


def test_nothing_comes_from_another_host(built):
    """No font, style, script or picture."""
    folder, pages = built
    for name, page in pages.items():
        for load in page.loads:
            found = target(name, load)
            assert found or load.startswith("data:"), f"{name} loads {load}"
            assert not found or os.path.isfile(os.path.join(folder, found[0])), f"{name} loads {load}"
    styles = glob.glob(f"{folder}/**/*.css", recursive=True) + glob.glob(f"{folder}/**/*.svg", recursive=True)
    assert styles
    for style in styles:
        for url in re.findall(r"url\(['\"]?([^'\")]+)|@import ['\"]([^'\"]+)", read_text(style)):
            url = "".join(url)
            assert url.startswith(("data:", "#")) or os.path.isfile(
                os.path.join(os.path.dirname(style), url.partition("?")[0])), f"{style} loads {url}"


def test_all_there_is_to_read(built):
    """Each document and manual is a page that the front page's list leads to, and the search knows."""
    folder, pages = built
    listed = {target("index.html", link)[0] for link in pages["index.html"].links if target("index.html", link)}
    expected = {path[:-3] + ".html" for path in glob.glob("docs/*.md", root_dir=ROOT)}
    expected |= {f"{path}.html" for path in glob.glob("man/*.[1-8]", root_dir=ROOT)}
    expected |= {"README.html", "CONTRIBUTING.html", "CHANGELOG.html", "publish/README.html", "client/README.html",
                 "examples/README.html"}
    assert expected <= listed, expected - listed
    index = read_text(os.path.join(folder, "searchindex.js"))
    known = json.loads(re.search(r'"?docnames"?: ?(\[.*?\])', index)[1])
    assert {name[:-5] for name in expected} <= set(known)


def test_every_part_of_a_manual(built):
    """None of a manual's sections or options is lost on its way."""
    _, pages = built
    for manual in glob.glob("man/*.[1-8]", root_dir=ROOT):
        source = read_text(os.path.join(ROOT, manual))
        page = pages[f"{manual}.html"]
        for section in re.findall(r"(?m)^\.Sh (.*)$", source):
            assert section.replace(" ", "_") in page.anchors, f"{manual}: {section}"
        for option in re.findall(r"(?m)^\.It Fl ([\w-]+)", source):
            assert option.lstrip("-") in page.text, f"{manual}: {option}"


def test_every_call_of_the_contract(built):
    """Every path, method, status and error code of openapi.yaml can be read, and the file be had."""
    folder, pages = built
    yaml = pytest.importorskip("yaml")
    for name in ("openapi", "asyncapi"):
        with open(os.path.join(ROOT, f"docs/{name}.yaml"), "rb") as ours, \
                open(os.path.join(folder, f"docs/{name}.yaml"), "rb") as theirs:
            assert ours.read() == theirs.read()
    text = re.sub(r"<[^>]+>", "", pages["docs/openapi.html"].text)
    root = yaml.safe_load(read_text(os.path.join(ROOT, "docs/openapi.yaml")))
    for path, item in root["paths"].items():
        for method in item.keys() & {"get", "post", "put", "delete"}:
            assert f"{method.upper()} {path}" in text
    for name in root["components"]["schemas"]:
        assert name.lower() in pages["docs/openapi.html"].anchors, name
    for code in re.findall(r"code:\n +enum: \[(.*)\]", read_text(os.path.join(ROOT, "docs/openapi.yaml"))):
        for one in code.split(", "):
            assert one in text, one
    streams = yaml.safe_load(read_text(os.path.join(ROOT, "docs/asyncapi.yaml")))
    for name, message in streams["components"]["messages"].items():
        assert name in pages["docs/asyncapi.html"].text, name
        assert message["summary"].split("`")[0] in re.sub(r"<[^>]+>", "", pages["docs/asyncapi.html"].text)
