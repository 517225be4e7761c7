"""What is made of the figures: a table with the budgets, JSON beside it, plots,
and the part of docs/benchmarks.md that is made."""

import html
import json
import os
import re
import subprocess
import time
from typing import NamedTuple, Optional

FOLDER = "build/bench"
DOC = "docs/benchmarks.md"
PEER, MEMORY = "nchan + Redis", "nchan"
IN_MEMORY = (MEMORY, "Node.js, better-sse", "the old design (FastAPI)")


class Row(NamedTuple):
    """A budget, and what was measured."""

    what: str
    unit: str  # "x": the ratio to the peer
    budget: float
    value: Optional[float]  # None: not measured
    detail: str = ""
    is_least: bool = False  # the budget is a lower bound

    def share(self):
        """Of the budget that is used up; 1 is all of it."""
        if self.value is None:
            return None
        if self.is_least:
            return self.budget / self.value if self.value else float("inf")
        return self.value / self.budget

    def verdict(self):
        """In a word or two."""
        share = self.share()
        if share is None:
            return "not measured"
        if share <= 1:
            return "met"
        return f"missed by {abs(self.value / self.budget - 1):.0%}"


def number(value, unit=""):
    """Three digits are all that these measurements are worth."""
    if value is None:
        return "-"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    unit = " ×" if unit == "x" else f" {unit}" if unit else ""
    return f"{value:,.{digits}f}{unit}"


def _ratio(notes, label, unit, what, budget, peer=PEER, is_least=False):
    ours, theirs = notes.get("jobwire", label), notes.get(peer, label)
    if ours is None or theirs is None:
        return Row(what, "x", budget, None, is_least=is_least)
    return Row(what, "x", budget, ours / theirs,
               f"{number(ours)} against {number(theirs, unit)}", is_least)


def _plain(notes, label, unit, what, budget):
    return Row(what, unit, budget, notes.get("jobwire", label))


def _events_rows(notes):
    many = f"{notes.many():,} streams on {notes.many():,} jobs, 500/s"
    for label, what in ("stream", "one stream, 100/s"), ("streams", many):
        for share in ("p50", "p99"):
            yield _ratio(notes, f"{label}_{share}", "ms", f"{what}: {share}", 1)


def _post_rows(notes):
    for label in ("webhook", "publication"):
        # The peer knows one kind of post.
        for share, unit, what, budget, is_least in (
            ("rate", "/s", "rate", 1.1, True),
            ("p99", "ms", "p99", 1, False),
            ("us", "µs", "CPU of all servers per post", 1, False),
        ):
            ours = notes.get("jobwire", f"{label}_{share}")
            theirs = notes.get(PEER, f"publication_{share}")
            value = ours / theirs if ours and theirs else None
            detail = f"{number(ours)} against {number(theirs, unit)}"
            yield Row(f"{label}s from 32 connections: {what}", "x", budget,
                      value, detail if value else "", is_least)


def our_us(notes, system):
    """CPU of our programs per accepted webhook."""
    values = [notes.get(system, f"webhook_us_jobwire-{program}")
              for program in ("webhook", "events")]
    return None if None in values else sum(values)


def _base_row(notes):
    ours, old = our_us(notes, "jobwire"), our_us(notes, "base")
    what = "CPU of our programs per webhook, against an older revision"
    if notes.base:
        what = what.replace("an older revision", os.path.basename(notes.base))
    if not ours or not old:
        return Row(what, "x", 0.35, None)
    return Row(what, "x", 0.35, ours / old,
               f"{number(ours)} against {number(old, 'µs')}")


def _history_rows(notes):
    power = notes.get("long", "history_power") or notes.history
    for what in ("connect", "replay", "publish"):
        short = notes.get("short", f"history_{what}")
        long = notes.get("long", f"history_{what}")
        yield Row(f"history 10³ → 10^{power:.0f} rows: {what}", "x", 1.2,
                  long / short if short and long else None,
                  f"{number(long)} against {number(short, 'ms')}"
                  if short and long else "")


def rows(notes):
    """All budgets."""
    return [
        *_events_rows(notes),
        *_post_rows(notes),
        _base_row(notes),
        _plain(notes, "webhook_us_jobwire-events", "µs",
               "jobwire-events while no stream is open: per post", 8),
        _plain(notes, "foreign_us", "µs", "the same: per lone foreign commit", 15),
        _plain(notes, "lock_health", "ms", "write lock held 3 s: slowest health", 50),
        _plain(notes, "lock_refusal", "ms", "the same: slowest refusal", 50),
        _plain(notes, "idle_bytes", "B",
               "memory of jobwire-events per idle stream", 400),
        _ratio(notes, "fan_last", "ms",
               f"one job, {notes.most():,} streams: last delivery", 1.5, MEMORY),
        *_history_rows(notes),
        _plain(notes, "idle_cpu", "%", f"idle CPU, {notes.most():,} streams", 1),
        _plain(notes, "foreign_ms", "ms", "foreign commit → client, p50", 0.5),
        _plain(notes, "submitted_ms", "ms",
               "run accepted → submitted to a local provider, p50", 20),
        _ratio(notes, "nodes_p50", "ms",
               "three nodes: post on A → event on C, p50, against one node",
               1.5, "single"),
    ]


def markdown(header, lines):
    """A table."""
    return "".join(
        "| " + " | ".join(line) + " |\n"
        for line in [header, ["---"] * len(header), *lines]
    )


def budgets_table(notes):
    """The budgets, measured."""
    return markdown(
        ["what", "budget", "measured", "", "of that"],
        [[row.what,
          ("≥ " if row.is_least else "≤ ") + number(row.budget, row.unit),
          number(row.value, row.unit), row.verdict(), row.detail]
         for row in rows(notes) if row.value is not None])


def split_table(notes):
    """Where a post's CPU time and system calls go."""
    programs = ("jobwire-webhook", "jobwire-events", "application", "nginx", "redis")
    kept = notes.get("jobwire", "is_kept")
    turned = "kept" if kept == 0 else "not kept"
    systems = [
        ("jobwire, webhooks", "jobwire", "webhook"),
        ("jobwire, publications", "jobwire", "publication"),
        (f"jobwire, webhooks, nginx's connections {turned}", "turned", "webhook"),
        ("the older revision, webhooks", "base", "webhook"),
        *((name, name, "publication") for name in (PEER, *IN_MEMORY)),
    ]
    lines = [
        [what, number(notes.get(name, f"{label}_rate"), "/s")]
        + [number(notes.get(name, f"{label}_{share}"), "ms")
           for share in ("p50", "p99")]
        + [number(notes.get(name, f"{label}_us_{p}")) for p in programs]
        + [number(notes.get(name, f"{label}_us"))]
        for what, name, label in systems if notes.get(name, f"{label}_us")]
    text = ("CPU µs (user and system) per accepted post, 32 connections, by "
            "program:\n\n" + markdown(
                ["system", "rate", "p50", "p99", *programs, "in all"], lines)
            if lines else "")
    programs = tuple(p for p in programs if p != "application")
    lines = [[name] + [number(notes.get(name, f"calls_{p}")) for p in programs]
             for name in ("jobwire", PEER) if notes.get(name, "calls_nginx")]
    if lines:
        text += ("\nSystem calls per post, in a run of their own:\n\n"
                 + markdown(["system", *programs], lines))
    return text


def systems_table(notes):
    """Each system, also those that keep events in memory."""
    lines = [
        [name, "yes" if name in ("jobwire", PEER) else "no"]
        + [number(notes.get(name, label), unit) for label, unit in (
            ("stream_p50", "ms"), ("stream_p99", "ms"),
            ("publication_rate", "/s"), ("publication_p99", "ms"),
            ("publication_us", "µs"))]
        for name in ("jobwire", PEER, *IN_MEMORY)
        if notes.get(name, "stream_p50") or notes.get(name, "publication_us")]
    if not lines:
        return ""
    return ("Each system, also those that keep events in memory: one stream at "
            "100/s; publications from 32 connections, CPU of all servers:\n\n"
            + markdown(["system", "200 is on disk", "stream p50", "p99",
                        "posts", "p99", "CPU per post"], lines) + "\n")


def floor_text(notes):
    """One stream's latency beside what nothing can be below."""
    sync, trip = notes.get("jobwire", "floor_sync"), notes.get("jobwire", "floor_trip")
    if sync is None:
        return ""
    text = (f"The floor: an append of 4 KiB with fdatasync {number(sync, 'ms')}, a round "
            f"trip nginx → FastCGI {number(trip, 'ms')}; together {number(sync + trip, 'ms')}.")
    p50 = notes.get("jobwire", "stream_p50")
    if p50:
        answer = notes.get("jobwire", "stream_answer")
        text += (f" One stream has an event after {number(p50, 'ms')} (p50), "
                 f"{p50 / (sync + trip):.1f} times that; its post is answered "
                 f"after {number(answer, 'ms')}, of which jobwire-webhook has it for "
                 f"{number(notes.get('jobwire', 'stream_held'), 'ms')}.")
    return text + "\n"


def _said_by(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return (done.stdout or done.stderr).strip()


def _package(name):
    return _said_by("dpkg-query", "-Wf", "${Version}", name) or "none"


def _better_sse():
    path = os.path.join(os.path.dirname(__file__),
                        "node/node_modules/better-sse/package.json")
    if not os.path.exists(path):
        return "none"
    with open(path, encoding="utf-8") as file:
        return json.load(file)["version"]


def machine():
    """What it was measured on, and with."""
    with open("/proc/cpuinfo", encoding="ascii") as file:
        found = re.search(r"(?m)^model name\s*:\s*(.*)", file.read())
    kernel = os.uname()
    dirty = " and changes" if _said_by("git", "status", "--porcelain", "-uno") else ""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "revision": _said_by("git", "rev-parse", "--short", "HEAD") + dirty,
        "cores": f"{os.cpu_count()} × {found[1] if found else kernel.machine}",
        "kernel": kernel.release,
        "file system": _said_by("stat", "-fc", "%T", "/tmp"),
        "load averages at the end": " ".join(f"{x:.1f}" for x in os.getloadavg()),
        **{name: _package(package) for name, package in (
            ("nginx", "nginx"), ("nchan", "libnginx-mod-nchan"),
            ("Redis", "redis-server"), ("SQLite", "libsqlite3-0"),
            ("FastAPI", "python3-fastapi"), ("uvicorn", "python3-uvicorn"))},
        "Node.js": _said_by("node", "--version") or "none",
        "better-sse": _better_sse(),
    }


def facts():
    """The same in a line."""
    return "; ".join(f"{name} {value}" for name, value in machine().items())


def _svg_bar(row, top):
    share = min(row.share(), 3)
    colour = "#2a7" if row.share() <= 1 else "#c43"
    return (
        f'<text x="410" y="{top + 12}" text-anchor="end">{html.escape(row.what)}</text>'
        f'<rect x="420" y="{top + 1}" width="{share * 120:.0f}" height="14" fill="{colour}"/>'
        f'<text x="{425 + share * 120:.0f}" y="{top + 12}">'
        f"{html.escape(number(row.value, row.unit))}</text>\n"
    )


def svg(notes):
    """A bar for each budget: how much of it is used up."""
    measured = [row for row in rows(notes) if row.value is not None]
    height = 22 * len(measured) + 40
    bars = "".join(_svg_bar(row, 30 + 22 * i) for i, row in enumerate(measured))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="880" height="{height}" '
        'font-family="sans-serif" font-size="12">\n'
        '<rect width="100%" height="100%" fill="#fff"/>\n'
        '<text x="540" y="16" text-anchor="middle">the budget</text>\n'
        f'{bars}<line x1="540" y1="22" x2="540" y2="{height - 8}" stroke="#000" '
        'stroke-dasharray="4 3"/>\n</svg>\n'
    )


def document(notes, seconds):
    """The made part of the page."""
    return (f"{facts()}. {notes.rounds} round{'s' * (notes.rounds > 1)}, "
            f"{seconds / 60:.0f} minutes.\n\n" + budgets_table(notes) + "\n"
            + systems_table(notes) + split_table(notes) + "\n" + floor_text(notes))


def write_made(path, text):
    """Puts it into a page, between the lines that say that it is made."""
    with open(path, encoding="utf-8") as file:
        page = file.read()
    page, count = re.subn(
        r"(?s)(<!-- made by [^\n]*: begin -->\n).*?(<!-- end -->\n)",
        lambda found: found[1] + text + found[2], page)
    assert count == 1, f"{path} has {count} places"
    with open(path, "w", encoding="utf-8") as file:
        file.write(page)


def _write_doc(text, plot):
    write_made(DOC, text)
    with open("docs/benchmarks.svg", "w", encoding="utf-8") as file:
        file.write(plot)


def write(notes, seconds):
    """Prints the table, and writes all files."""
    os.makedirs(FOLDER, exist_ok=True)
    text, plot = document(notes, seconds), svg(notes)
    print("\n" + text)
    with open(f"{FOLDER}/results.json", "w", encoding="utf-8") as file:
        json.dump({
            "machine": machine(), "seconds": seconds, "skipped": notes.skipped,
            "budgets": [{**row._asdict(), "verdict": row.verdict()}
                        for row in rows(notes)],
            "rounds": {f"{system}: {name}": values
                       for (system, name), values in notes.values.items()},
        }, file, indent=1, ensure_ascii=False)
    with open(f"{FOLDER}/budgets.svg", "w", encoding="utf-8") as file:
        file.write(plot)
    print(f"also in {FOLDER}/results.json and {FOLDER}/budgets.svg")
    if os.environ.get("DOC"):
        _write_doc(text, plot)
        print(f"{DOC} has them too")
