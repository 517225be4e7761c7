"""Figures over time as an SVG: a panel for each kind of figure."""

import html
import statistics

_POINTS = 240
_WIDTH, _HEIGHT, _LEFT, _TOP = 880, 110, 70, 24
_COLOURS = ("#27a", "#c43", "#2a7", "#a63")
# Title, unit, and what is drawn: (column, label, what to divide it by).
_PANELS = (
    ("latency of an event, from its post to the page", "ms",
     (("p50_ms", "p50", 1), ("p99_ms", "p99", 1))),
    ("resident memory", "MiB",
     (("events_rss_kb", "jobwire-events", 1024),
      ("webhook_rss_kb", "jobwire-webhook", 1024),
      ("nginx_rss_kb", "nginx", 1024))),
    ("sockets", "",
     (("events_sockets", "jobwire-events", 1),
      ("webhook_sockets", "jobwire-webhook", 1), ("nginx_sockets", "nginx", 1))),
    ("other descriptors", "",
     (("events_files", "jobwire-events", 1),
      ("webhook_files", "jobwire-webhook", 1), ("nginx_files", "nginx", 1))),
    ("files", "MiB",
     (("db_kb", "database", 1024), ("wal_kb", "WAL", 1024))),
    ("CPU", "% of a core",
     (("events_cpu_percent", "jobwire-events", 1),
      ("webhook_cpu_percent", "jobwire-webhook", 1),
      ("nginx_cpu_percent", "nginx", 1))),
    ("events published, a second", "",
     (("events_per_s", "published", 1),)),
    ("pages and load average", "",
     (("pages", "pages", 1), ("load", "load", 1))),
)


def _top_of(values):
    """A round number above them."""
    top = 1
    while top < max(values, default=0):
        for step in (2, 5, 10):
            if top * step >= max(values):
                return top * step
        top *= 10
    return top


def _thin(rows):
    """Not more rows than can be seen; of p99 the worst, or peaks are lost."""
    size = -(-len(rows) // _POINTS)
    for at in range(0, len(rows), size):
        part = rows[at:at + size]
        yield {
            name: (max if name == "p99_ms" else statistics.median)(
                [row[name] for row in part if row[name] != ""] or [0])
            for name in part[0]
        }


def _panel(rows, place, title, unit, lines):
    end = max(rows[-1]["seconds"], 1)
    base = place * (_HEIGHT + 40) + _TOP + _HEIGHT
    width = _WIDTH - _LEFT - 20
    top = _top_of([row[column] / by for column, _, by in lines
                   for row in rows])
    yield (f'<text x="{_LEFT}" y="{base - _HEIGHT - 6}" font-weight="bold">'
           f"{html.escape(title)}</text>"
           f'<path d="M{_LEFT},{base - _HEIGHT}V{base}H{_LEFT + width}" '
           'fill="none" stroke="#888"/>'
           f'<text x="{_LEFT - 4}" y="{base - _HEIGHT + 8}" text-anchor="end">'
           f"{top:g} {unit.partition(' ')[0]}</text>"
           f'<text x="{_LEFT - 4}" y="{base}" text-anchor="end">0</text>\n')
    for number, (column, label, by) in enumerate(lines):
        points = " ".join(
            f"{_LEFT + row['seconds'] / end * width:.1f},"
            f"{base - row[column] / by / top * _HEIGHT:.1f}"
            for row in rows)
        colour = _COLOURS[number]
        yield (f'<polyline points="{points}" fill="none" stroke="{colour}"/>'
               f'<text x="{_LEFT + width - 130 * (len(lines) - number)}" '
               f'y="{base - _HEIGHT - 6}" fill="{colour}">'
               f"{html.escape(label)}</text>\n")


def write_plot(rows):
    """The SVG of rows that are dictionaries, with `seconds` in each."""
    rows = list(_thin(rows))
    height = len(_PANELS) * (_HEIGHT + 40) + _TOP
    panels = "".join(
        part for place, panel in enumerate(_PANELS)
        for part in _panel(rows, place, *panel))
    minutes = rows[-1]["seconds"] / 60
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" '
        f'height="{height}" font-family="sans-serif" font-size="12">\n'
        '<rect width="100%" height="100%" fill="#fff"/>\n'
        f'{panels}<text x="{_WIDTH - 20}" y="{height - 12}" '
        f'text-anchor="end">{minutes:.0f} minutes</text>\n</svg>\n'
    )
