// SPDX-License-Identifier: ISC
// The operator's page: reads the metrics of all programs each second and draws
// them, shows a job's timeline, and cancels it or starts it again. It opens no
// stream, which would count among those that it shows: events are asked for.

import { clock, duration, element, kept, make, moment, said } from "./page.js";
import { bucketsOf, parseMetrics, percentile, since, total } from "./metrics.js";

const EVERY_MS = 1000;
const SHOWN_SECONDS = 120;
const SHOWN_EVENTS = 15;
const WATCHED_JOBS = 20;
const ENDS = ["completed", "failed", "cancelled", "timed_out"];
const STATES = ["queued", "processing", ...ENDS];
const LATENCIES = [
  { name: "jobwire_commit_to_read_seconds", title: "Commit to read", bars: "commit-bars", half: "half-read" },
  { name: "jobwire_read_to_sent_seconds", title: "Read to sent", bars: "sent-bars", half: "half-sent" },
];

function row(heading, ...cells) {
  const first = make("th", { scope: "row", textContent: heading });
  return make("tr", {}, first, ...cells);
}

const cell = (text, className = "") => make("td", { textContent: text, className });

/** What lasts, in whole units. */
function age(seconds) {
  if (seconds < 120) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} d`;
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
  const answer = await fetch("/api/v1/metrics");
  if (!answer.ok) throw new Error(`${new URL(answer.url).pathname} answers ${answer.status}`);
  readings.push({ at: performance.now(), metrics: parseMetrics(await answer.text()) });
  while (readings.at(-1).at - readings[0].at > SHOWN_SECONDS * 1000) readings.shift();
}

/** The growth of a counter per second at a reading; 0 where a program began anew. */
function growth(name, i) {
  if (i < 1) return 0;
  const [before, after] = [readings[i - 1], readings[i]];
  const grown = after.metrics.get(name) - before.metrics.get(name);
  return Math.max(0, (1000 * grown) / (after.at - before.at)) || 0; // a part may be away
}

function drawLatencies() {
  const { at, metrics } = readings.at(-1);
  const minuteAgo = readings.find((reading) => at - reading.at <= 60_000);
  const rows = [];
  for (const { name, title, bars, half } of LATENCIES) {
    const all = bucketsOf(metrics, name);
    const lately = since(bucketsOf(minuteAgo.metrics, name), all);
    element(half).textContent = duration(percentile(all, 0.5));
    for (const [when, buckets] of [["last minute", lately], ["since the start", all]]) {
      const parts = [0.5, 0.95, 0.99].map((part) => cell(duration(percentile(buckets, part)), "number"));
      rows.push(row(`${title}, ${when}`, ...parts, cell(total(buckets).toLocaleString(), "number")));
    }
    drawBars(element(bars), all);
  }
  element("percentiles").replaceChildren(...rows);
}

/** A tile for each state; of open jobs with the longest silence. */
function drawJobs(metrics) {
  const tiles = STATES.map((state) => {
    const count = metrics.get(`jobwire_jobs{state="${state}"}`);
    const since = metrics.get(`jobwire_job_oldest_timestamp_seconds{state="${state}"}`);
    const tile = make("div", {}, make("dt", { textContent: state.replace("_", " ") }));
    const number = make("dd", { textContent: count?.toLocaleString() ?? "–" });
    if (since > 0) number.append(make("small", { textContent: `silent ${age(Date.now() / 1000 - since)}` }));
    tile.append(number);
    return tile;
  });
  element("jobs").replaceChildren(...tiles);
}

function draw() {
  const { metrics } = readings.at(-1);
  const last = readings.length - 1;
  const rates = readings.map(({ at }, i) => ({ at, value: growth("jobwire_events_delivered_total", i) }));
  const failed = metrics.get('jobwire_calls_total{outcome="failed"}');
  const away = ["webhook", "janitor"].filter((part) => !metrics.get(`jobwire_up{part="${part}"}`));
  element("parts").textContent = away.length ? `no ${away.join(", no ")}` : "all";
  element("parts").className = away.length ? "bad" : "";
  element("streams").textContent = metrics.get("jobwire_streams_open").toLocaleString();
  element("rate").textContent = tenths(rates[last].value);
  element("calls").textContent = tenths(growth('jobwire_calls_total{outcome="stored"}', last));
  element("failed").textContent = failed?.toLocaleString() ?? "–";
  const isFailing = metrics.get("jobwire_database_failing") || metrics.get("jobwire_commit_failing");
  element("database").textContent = isFailing ? "failing" : "ok";
  element("database").className = isFailing ? "bad" : "";
  drawJobs(metrics);
  drawStreams(readings.map(({ at, metrics }) => ({ at, value: metrics.get("jobwire_streams_open") })));
  drawRate(rates);
  drawLatencies();
}

async function tick() {
  await read();
  draw();
}

// --- events -----------------------------------------------------------------------

/** Jobs to ask for, each with its events so far, the newest watched last. */
const watched = new Map();
/** The one whose timeline is shown. */
let shown;

function watch(job) {
  if (watched.has(job)) return;
  watched.set(job, { events: [], lastId: "", isOver: false });
  const oldest = [...watched.keys()].find((id) => id !== shown);
  if (watched.size > WATCHED_JOBS) watched.delete(oldest);
}

/** What came since the last time. A job that has ended may run again: the one that is shown is asked for all the same. */
async function follow(job, known) {
  if (known.isOver && job !== shown) return;
  const query = new URLSearchParams({ format: "json", last_event_id: known.lastId });
  const answer = await fetch(`/api/v1/events/${encodeURIComponent(job)}?${query}`);
  if (!answer.ok) throw new Error(`the events of ${job}: ${answer.status}`);
  const { events, last_event_id, terminal } = await answer.json();
  known.lastId = last_event_id ?? known.lastId;
  known.isOver = terminal;
  for (const event of events) {
    // Another database, or some are gone: what is stored comes again.
    if (event.event === "resync") known.events = [];
    else known.events.push({ ...event, job, at: new Date(event.created_at) });
  }
}

function drawEvents() {
  const all = [...watched.values()].flatMap(({ events }) => events);
  const newest = all.sort((a, b) => b.at - a.at).slice(0, SHOWN_EVENTS);
  const rows = newest.map(({ at, job, event, data }) => {
    const id = make("button", { type: "button", className: "link", title: `Show ${job}`, textContent: job });
    id.addEventListener("click", () => show(job, true));
    const what = make("td", {}, make("strong", {}, event), " ", make("span", {}, said(data)));
    return make("tr", {}, cell(clock(at)), make("td", {}, id), what);
  });
  replaceIfOther(element("events"), rows);
}

/** What has the focus stays, unless something is new. */
function replaceIfOther(parent, children) {
  const text = children.map(({ textContent }) => textContent).join("\n");
  if (parent.dataset.text === text) return;
  parent.dataset.text = text;
  parent.replaceChildren(...children);
}

function drawTimeline() {
  const { events } = watched.get(shown);
  const items = events.map(({ at, event, data }, i) => moment(event, data, at, events[i - 1]?.at));
  replaceIfOther(element("timeline"), items.length ? items : [make("li", {}, "No events yet")]);
}

// --- a job ------------------------------------------------------------------------

/** As the server knows it; undefined until it has an event. */
let details;

async function refresh() {
  const job = shown;
  if (!watched.get(job)?.events.length) details = undefined;
  else {
    const answer = await fetch(`/api/v1/jobs/${encodeURIComponent(job)}`);
    if (answer.ok && job === shown) details = await answer.json();
  }
  const { state = "unknown", run } = details ?? {};
  element("state").textContent = state;
  element("state").dataset.state = state;
  element("shown-id").textContent = job;
  const attempts = run?.attempts > 1 ? `, ${run.attempts} attempts` : "";
  const external = run?.external_id ? `, ${run.external_id}` : "";
  element("shown-run").textContent = run
    ? `Run ${run.run_id}${run.action ? ` of ${run.action}` : ""}: ${run.state}${attempts}${external}`
    : "Started by others: jobwire has no run of it";
  element("cancel").hidden = !run || ENDS.includes(state);
  element("again").hidden = !run?.action || !ENDS.includes(state);
  drawTimeline();
}

function show(job, doScroll = false) {
  shown = job;
  details = undefined;
  watch(job);
  element("job").value = job;
  element("done").textContent = "";
  element("shown").hidden = false;
  if (doScroll) element("job-title").scrollIntoView();
  refresh();
}

element("choose").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  show(element("job").value);
});

/** In memory only, and no longer than this page. */
let key = "";

/** What the dialog is about: its title, its button, and the call that it makes. */
let wanted;

function ask(what) {
  wanted = what;
  element("ask-title").textContent = what.title;
  element("do").textContent = what.button;
  element("ask-start").hidden = !what.isStart;
  element("action").required = what.isStart;
  element("action").value = details?.run?.action ?? "";
  element("key").value = key;
  element("ask-trouble").textContent = "";
  element("ask").showModal();
}

async function send(path, body) {
  const headers = { "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID() };
  if (key) headers.Authorization = `Bearer ${key}`;
  const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  const { error } = await answer.json().catch(() => ({}));
  if ([401, 403].includes(answer.status)) key = "";
  if (!answer.ok) throw new Error(error?.message ?? `The answer was ${answer.status}.`);
}

element("cancel").addEventListener("click", () => {
  const path = `/api/v1/jobs/${encodeURIComponent(shown)}/cancel`;
  const call = () => send(path, {});
  ask({ title: `Cancel ${shown}?`, button: "Cancel the job", call, done: "It is being cancelled." });
});

element("again").addEventListener("click", () => {
  const job = encodeURIComponent(shown);
  const call = () =>
    send(`/api/v1/jobs/${job}/${element("action").value}`, { input: JSON.parse(element("input").value) });
  ask({ title: `Start ${shown} again?`, button: "Start it", isStart: true, call, done: "It was started." });
});

element("leave").addEventListener("click", () => element("ask").close());

element("ask-form").addEventListener("submit", async (submitted) => {
  submitted.preventDefault();
  key = element("key").value;
  try {
    await wanted.call();
    element("ask").close();
    element("done").textContent = wanted.done;
  } catch (error) {
    element("ask-trouble").textContent = error instanceof SyntaxError ? "The input is no JSON." : error.message;
  }
});

// --- each second ------------------------------------------------------------------

/** The photo page's jobs, which this browser keeps. */
function watchDemo() {
  for (const { job } of kept()) watch(job);
}

async function look() {
  await Promise.all([...watched].map(([job, known]) => follow(job, known)));
  drawEvents();
  if (shown) await refresh();
}

/** Does it; what went wrong, as a sentence, or nothing. */
async function attempt(what, action) {
  try {
    await action();
    return "";
  } catch (error) {
    return `The ${what} cannot be read: ${error.message}.`;
  }
}

for (const job of new URL(location.href).searchParams.getAll("job")) show(job);

for (;;) {
  if (!document.hidden) {
    watchDemo();
    const trouble = [await attempt("metrics", tick), await attempt("events", look)].join(" ").trim();
    if (trouble !== element("trouble").textContent) element("trouble").textContent = trouble; // said once
  }
  await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
}
