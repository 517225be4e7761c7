// SPDX-License-Identifier: ISC
// The photo page: orders restorations and follows their jobs. `?job=ID` in the
// address follows one more job, whoever started it.

import { subscribe } from "./client/jobwire.js";
import { cancel, start } from "./client/runs.js";
import { samples } from "./samples.js";

const MAX_SIDE = 320;
const MAX_KEPT = 8;
const SHOWN_EVENTS = 200;
const STATES = {
  queued: "Queued",
  processing: "Processing",
  completed: "Completed",
  failed: "Failed",
  cancelled: "Cancelled",
  timed_out: "Timed out",
};
const CONNECTIONS = {
  open: "connected",
  polling: "connected by long polling",
  connecting: "connecting",
  waiting: "lost, trying again",
  closed: "finished",
};
/** A refused or unreachable call, as a sentence. */
class Trouble extends Error {}

const element = (id) => document.getElementById(id);

function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// --- choosing -------------------------------------------------------------------

for (const [i, { name, canvas }] of samples.entries()) {
  canvas.ariaHidden = "true";
  const radio = make("input", { type: "radio", name: "sample", value: String(i), checked: i === 0 });
  radio.addEventListener("change", () => (element("file").value = ""));
  element("samples").append(
    make("label", { className: "choice" }, canvas, make("span", { className: "label" }, radio, name)),
  );
}
element("file").addEventListener("change", () => {
  const isNone = !element("file").files.length;
  for (const radio of document.querySelectorAll("[name=sample]")) radio.checked = isNone && radio.value === "0";
});

/** Name and canvas of what is chosen, small enough for a demo. */
async function chosen() {
  const [file] = element("file").files;
  if (!file) return samples[document.querySelector("[name=sample]:checked").value];
  const photo = await createImageBitmap(file).catch(() => {
    throw new Trouble(`${file.name} is not a picture that this browser can read.`);
  });
  const scale = Math.min(1, MAX_SIDE / Math.max(photo.width, photo.height));
  const [width, height] = [photo.width, photo.height].map((side) => Math.max(5, Math.round(side * scale)));
  const canvas = make("canvas", { width, height });
  canvas.getContext("2d").drawImage(photo, 0, 0, width, height);
  return { name: file.name, canvas };
}

/** Three bytes a pixel, in base64. */
function pixelsOf(canvas) {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let bytes = "";
  for (let i = 0; i < data.length; i += 4) bytes += String.fromCharCode(data[i], data[i + 1], data[i + 2]);
  return btoa(bytes);
}

// --- ordering -------------------------------------------------------------------

/** The answer's data, or its reason as a sentence. */
function good(answer) {
  if (!answer.ok) throw new Trouble(answer.status ? answer.message : "The server does not answer.");
  return answer;
}

/** Starts a job, whose id is ours to choose; the worker is told it, too. */
async function order(input) {
  const job = crypto.randomUUID();
  good(await start(job, "restore", { job_id: job, ...input }));
  return job;
}

/** Does it; what goes wrong with the server is told in the form. */
async function attempt(action) {
  element("trouble").textContent = "";
  try {
    await action();
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    element("trouble").textContent = error.message;
  }
}

element("order").addEventListener("submit", async (submitted) => {
  submitted.preventDefault();
  element("start").disabled = true;
  await attempt(async () => {
    const { name, canvas } = await chosen();
    const { width, height } = canvas;
    const job = await order({ width, height, pixels: pixelsOf(canvas), should_fail: element("fail").checked });
    const restoration = { job, name, before: canvas.toDataURL("image/jpeg", 0.8) };
    keep([restoration, ...kept]);
    follow(restoration);
  });
  element("start").disabled = false;
  element("start").focus();
});

// --- following ------------------------------------------------------------------

const connections = new Map();

function showConnection(job, state) {
  connections.set(job, state);
  const all = [...connections.values()];
  const worst = ["waiting", "connecting", "polling", "open"].find((state) => all.includes(state)) ?? "closed";
  const text = CONNECTIONS[worst];
  if (text === element("connection").textContent) return;
  if (worst === "open") console.log("connected");
  element("connection").textContent = text;
}

function showEvent(event) {
  const item = make(
    "li",
    {},
    make("strong", { textContent: event.type }),
    make("pre", { textContent: JSON.stringify(event.data) }),
  );
  Object.assign(item.dataset, { id: event.id, type: event.type });
  element("events").append(item);
  if (element("events").childElementCount > SHOWN_EVENTS) element("events").firstElementChild.remove();
}

function picture(caption, alt, src) {
  const shown = src ? make("img", { src, alt }) : make("div", { className: "empty" });
  return make("figure", {}, shown, make("figcaption", { textContent: caption }));
}

/** Puts a card into the list and keeps it up to date from now on. */
function follow({ job, name, before }) {
  const status = make("span", { className: "status", textContent: "Waiting for its first event" });
  const bar = make("progress", { max: 100, value: 0, ariaLabel: `Progress of ${name}` });
  const result = make("div");
  const stop = make("button", { type: "button", textContent: "Cancel", hidden: true, ariaLabel: `Cancel ${name}` });
  stop.addEventListener("click", () => attempt(async () => good(await cancel(job))));
  const after = picture("After", "");
  const both = [picture("Before", `${name}, before`, before), after];
  const pictures = before ? [make("div", { className: "pictures" }, ...both)] : [];
  const card = make(
    "li",
    {},
    make("h3", { textContent: name }),
    make("p", {}, status),
    bar,
    make("p", {}, stop),
    ...pictures,
    result,
    make("p", { className: "quiet" }, "Job ", make("code", { textContent: job })),
  );
  card.dataset.job = job;
  element("restorations").prepend(card);
  element("none").hidden = true;
  let announced = "";

  /** To the eye each time, to a screen reader four times a job and at its end. */
  function say(text, step) {
    status.textContent = text;
    if (step === announced) return;
    announced = step;
    element("announcement").textContent = `${name}: ${text}`;
  }

  function show({ type, data }) {
    card.dataset.status = data.status;
    const moves = data.status === "processing" && data.progress !== undefined;
    if (moves) bar.value = data.progress;
    if (type === "completed") bar.value = 100;
    stop.hidden = !before || !["queued", "processing"].includes(data.status);
    if (type === "cancelling") return say("Cancelling", type);
    const detail = moves ? `, ${data.progress} %${data.step ? `: ${data.step}` : ""}` : "";
    const why = data.error ? `: ${data.error}` : "";
    const quarter = moves ? Math.floor(data.progress / 25) : "";
    say(`${STATES[data.status] ?? data.status}${detail}${why}`, data.status + quarter);
  }

  async function showOutput({ data }) {
    // A large output does not travel in events.
    const output = data.output_omitted ? (await (await fetch(`/api/v1/jobs/${job}`)).json()).output : data.output;
    const image = String(output?.image ?? "");
    if (image.startsWith("data:image/png;base64,") && before)
      after.replaceWith(picture("After", `${name}, restored`, image));
    else result.replaceChildren(make("pre", { textContent: JSON.stringify(output, null, 2) }));
  }

  subscribe(job, {
    onEvent(event) {
      showEvent(event);
      show(event);
    },
    onCompleted: (event) => showOutput(event).catch(() => result.replaceChildren("Reload the page to see the result.")),
    onState: (state) => showConnection(job, state),
  });
}

// --- what was ordered before ----------------------------------------------------

let kept = JSON.parse(localStorage.getItem("restorations") ?? "[]");

/** The newest so many, for the page's next visit. */
function keep(restorations) {
  kept = restorations.slice(0, MAX_KEPT);
  localStorage.setItem("restorations", JSON.stringify(kept));
}

/** Retention may have taken a job, or var/ was removed: nothing more would be heard of it. */
async function isKnown({ job }) {
  const answer = await fetch(`/api/v1/jobs/${job}`).catch(() => undefined);
  return answer?.status !== 404;
}

const known = await Promise.all(kept.map(isKnown));
keep(kept.filter((_, i) => known[i]));
for (const restoration of kept.toReversed()) follow(restoration);

const job = new URL(location.href).searchParams.get("job");
if (job && !kept.some((restoration) => restoration.job === job)) follow({ job, name: "The job in the address" });
