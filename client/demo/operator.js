// SPDX-License-Identifier: ISC
// The operator's page: reads the metrics of both programs each second, draws
// them, and lists the events of the jobs that it watches.

import { subscribe } from "./client/jobwire.js";
import { bucketsOf, parseMetrics, percentile, since, total } from "./metrics.js";

const EVERY_MS = 1000;
const SHOWN_SECONDS = 120;
const SHOWN_EVENTS = 15;
/** The members of an event's data that are worth a place in the list. */
const SAID = ["progress", "step", "error", "delayTime", "executionTime"];
const LATENCIES = [
  { name: "jobwire_commit_to_read_seconds", title: "Commit to read", bars: "commit-bars" },
  { name: "jobwire_read_to_sent_seconds", title: "Read to sent", bars: "sent-bars" },
];

const element = (id) => document.getElementById(id);

function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function row(heading, ...cells) {
  const first = make("th", { scope: "row", textContent: heading });
  return make("tr", {}, first, ...cells);
}

const cell = (text, className = "") => make("td", { textContent: text, className });

/** Seconds in the unit that reads best. */
function duration(seconds) {
  if (seconds === undefined) return "–";
  if (seconds === Infinity) return "over 5 s";
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`;
  return seconds < 1 ? `${Number((seconds * 1000).toPrecision(2))} ms` : `${seconds.toFixed(1)} s`;
}

const tenths = (number) => Number(number.toFixed(1)).toLocaleString();

// --- charts -----------------------------------------------------------------------

/** A line over the last two minutes, with its summary as text and its values as a table. */
function lineChart(id, title) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS(svg.namespaceURI, "path");
  svg.setAttribute("viewBox", `0 0 ${SHOWN_SECONDS} 100`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.append(path);
  const highest = make("span", { className: "highest" });
  const values = make("tbody");
  element(id).append(
    make(
      "figure",
      {},
      make("figcaption", {}, make("h2", { textContent: title })),
      make("div", { className: "plot" }, svg, highest),
      make("div", { className: "times" }, make("span", {}, "2 minutes ago"), make("span", {}, "now")),
    ),
    make(
      "details",
      {},
      make("summary", { textContent: "As a table" }),
      make("table", {}, make("caption", { className: "unseen", textContent: title }), values),
    ),
  );

  return function draw(points) {
    const now = points.at(-1);
    const top = Math.max(1, ...points.map(({ value }) => value));
    const ago = (point) => (now.at - point.at) / 1000;
    const places = points.map((point) => `${SHOWN_SECONDS - ago(point)} ${98 - (92 * point.value) / top}`);
    path.setAttribute("d", `M${places.join("L")}`);
    highest.textContent = tenths(top);
    const most = tenths(Math.max(...points.map(({ value }) => value)));
    svg.setAttribute("aria-label", `${title}: now ${tenths(now.value)}, at most ${most} in the last two minutes`);
    const tenth = points.filter((_, i) => (points.length - 1 - i) % 10 === 0).reverse();
    const rows = tenth.map((point) => row(`${Math.round(ago(point))} s ago`, cell(tenths(point.value), "number")));
    values.replaceChildren(...rows);
  };
}

/** A table whose bars are the chart: from the first bucket that has something to the last. */
function drawBars(body, buckets) {
  const first = buckets.findIndex(({ count }) => count);
  const last = buckets.findLastIndex(({ count }) => count);
  const most = Math.max(...buckets.map(({ count }) => count));
  const rows = buckets.slice(Math.max(0, first), last + 1).map(({ limit, count }) => {
    const bar = make("div", { hidden: !count });
    bar.style.width = `${(100 * count) / most}%`;
    const label = limit === Infinity ? duration(limit) : `up to ${duration(limit)}`;
    return row(label, make("td", { className: "bar" }, bar), cell(count.toLocaleString(), "number"));
  });
  body.replaceChildren(...(rows.length ? rows : [row("No events yet")]));
}

// --- metrics ----------------------------------------------------------------------

const drawStreams = lineChart("streams-chart", "Streams open");
const drawRate = lineChart("rate-chart", "Events sent per second");
/** Readings of the last two minutes: the time and both programs' metrics. */
const readings = [];

async function read() {
  const answers = await Promise.all(["/api/v1/metrics", "/api/v1/webhooks/metrics"].map((path) => fetch(path)));
  const refused = answers.find(({ ok }) => !ok);
  if (refused) throw new Error(`${new URL(refused.url).pathname} answers ${refused.status}`);
  const texts = await Promise.all(answers.map((answer) => answer.text()));
  readings.push({ at: performance.now(), metrics: parseMetrics(texts.join("\n")) });
  while (readings.at(-1).at - readings[0].at > SHOWN_SECONDS * 1000) readings.shift();
}

/** The growth of a counter per second at a reading; 0 where a program began anew. */
function growth(name, i) {
  if (i < 1) return 0;
  const [before, after] = [readings[i - 1], readings[i]];
  const grown = after.metrics.get(name) - before.metrics.get(name);
  return Math.max(0, (1000 * grown) / (after.at - before.at));
}

function drawLatencies() {
  const { at, metrics } = readings.at(-1);
  const minuteAgo = readings.find((reading) => at - reading.at <= 60_000);
  const rows = [];
  for (const { name, title, bars } of LATENCIES) {
    const all = bucketsOf(metrics, name);
    const lately = since(bucketsOf(minuteAgo.metrics, name), all);
    for (const [when, buckets] of [["last minute", lately], ["since the start", all]]) {
      const parts = [0.5, 0.95, 0.99].map((part) => cell(duration(percentile(buckets, part)), "number"));
      rows.push(row(`${title}, ${when}`, ...parts, cell(total(buckets).toLocaleString(), "number")));
    }
    drawBars(element(bars), all);
  }
  element("percentiles").replaceChildren(...rows);
}

function draw() {
  const { metrics } = readings.at(-1);
  const last = readings.length - 1;
  const rates = readings.map(({ at }, i) => ({ at, value: growth("jobwire_events_delivered_total", i) }));
  element("streams").textContent = metrics.get("jobwire_streams_open").toLocaleString();
  element("rate").textContent = tenths(rates[last].value);
  element("calls").textContent = tenths(growth('jobwire_calls_total{outcome="stored"}', last));
  element("lagging").textContent = metrics.get("jobwire_streams_lagging").toLocaleString();
  element("failed").textContent = metrics.get('jobwire_calls_total{outcome="failed"}').toLocaleString();
  const isFailing = metrics.get("jobwire_database_failing") || metrics.get("jobwire_commit_failing");
  element("database").textContent = isFailing ? "failing" : "ok";
  drawStreams(readings.map(({ at, metrics }) => ({ at, value: metrics.get("jobwire_streams_open") })));
  drawRate(rates);
  drawLatencies();
}

async function tick() {
  try {
    await read();
    draw();
    element("trouble").textContent = "";
  } catch (error) {
    element("trouble").textContent = `The metrics cannot be read: ${error.message}.`;
  }
}

// --- events -----------------------------------------------------------------------

const watched = new Set();

function watch(job) {
  if (watched.has(job)) return;
  watched.add(job);
  subscribe(job, {
    onEvent({ type, jobId, data }) {
      const said = SAID.filter((key) => data[key] !== undefined).map((key) => `${key}: ${data[key]}`);
      const time = new Date().toLocaleTimeString([], { hour12: false });
      const id = make("code", { textContent: jobId, title: jobId });
      const what = make("td", {}, make("strong", {}, type), " ", make("span", {}, said.join(", ")));
      element("events").prepend(make("tr", {}, cell(time), make("td", {}, id), what));
      if (element("events").childElementCount > SHOWN_EVENTS) element("events").lastElementChild.remove();
    },
  });
}

element("watch").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  watch(element("job").value);
  element("job").value = "";
});
for (const job of new URL(location.href).searchParams.getAll("job")) watch(job);

/** The photo page's jobs, which this browser keeps. */
function watchDemo() {
  for (const { job } of JSON.parse(localStorage.getItem("restorations") ?? "[]")) watch(job);
}

for (;;) {
  if (!document.hidden) {
    watchDemo();
    await tick();
  }
  await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
}
