// SPDX-License-Identifier: ISC
// The photo page: orders restorations and follows their jobs. `?job=ID` in the
// address follows one more job, whoever started it.

import { subscribe } from "./client/jobwire.js";
import { cancel, start } from "./client/runs.js";
import { element, kept, make, moment } from "./page.js";
import { samples } from "./samples.js";

const MAX_SIDE = 320;
const MAX_KEPT = 8;
const AGAIN_MS = 2000;
const STATES = {
  queued: "Queued",
  processing: "Processing",
  completed: "Completed",
  failed: "Failed",
  cancelled: "Cancelled",
  timed_out: "Timed out",
};
const OPEN = ["queued", "processing"];
/** From the one that matters most. */
const CONNECTIONS = {
  waiting: "lost, trying again",
  connecting: "connecting",
  polling: "connected by long polling",
  open: "connected",
  closed: "finished",
};
/** A call that was refused, as a sentence. */
class Trouble extends Error {}
/** One that nobody answered. */
class Away extends Trouble {
  message = "The server does not answer.";
}

const asked = new URL(location.href).searchParams.get("job");
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

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

/** A picture's file on a canvas, small enough for a demo. */
async function drawn(file) {
  const photo = await createImageBitmap(file);
  const scale = Math.min(1, MAX_SIDE / Math.max(photo.width, photo.height));
  const [width, height] = [photo.width, photo.height].map((side) => Math.max(5, Math.round(side * scale)));
  const canvas = make("canvas", { width, height });
  canvas.getContext("2d").drawImage(photo, 0, 0, width, height);
  return canvas;
}

/** Name and canvas of what is chosen. */
async function chosen() {
  const [file] = element("file").files;
  if (!file) return samples[document.querySelector("[name=sample]:checked").value];
  const canvas = await drawn(file).catch(() => {
    throw new Trouble(`${file.name} is not a picture that this browser can read.`);
  });
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
  if (/^(unreachable|http_5..)$/.test(answer.code)) throw new Away();
  if (!answer.ok) throw new Trouble(answer.message);
  return answer;
}

/** Starts the job, or starts it anew; the worker is told its id, too. */
async function order(job, canvas, should_fail) {
  const { width, height } = canvas;
  good(await start(job, "restore", { job_id: job, width, height, pixels: pixelsOf(canvas), should_fail }));
}

/** Does it; what goes wrong with the server is told in the form. */
async function attempt(action) {
  element("trouble").textContent = "";
  try {
    await action();
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    element("trouble").textContent = error.message;
    if (error instanceof Away) untilBack(error);
  }
}

/** What is said of a server that is away goes when it is back. A stream does not know: nginx opens one all the same. */
async function untilBack({ message }) {
  do await pause(AGAIN_MS);
  while (!(await fetch("/healthz?all=1").catch(() => undefined))?.ok);
  if (element("trouble").textContent === message) element("trouble").textContent = "";
}

/** Tells jobs of one picture apart. */
function numbered(name) {
  const taken = kept().filter((one) => one.name.startsWith(`${name} #`)).map((one) => +one.name.split("#").at(-1));
  return `${name} #${Math.max(0, ...taken) + 1}`;
}

element("order").addEventListener("submit", async (submitted) => {
  submitted.preventDefault();
  element("start").disabled = true;
  await attempt(async () => {
    const { name, canvas } = await chosen();
    const job = crypto.randomUUID();
    await order(job, canvas, element("fail").checked);
    const restoration = { job, name: numbered(name), before: canvas.toDataURL("image/jpeg", 0.8) };
    keep([restoration, ...kept()]);
    new Card(restoration).follow();
  });
  element("start").disabled = false;
  element("start").focus();
});

// --- the connection -------------------------------------------------------------

const connections = new Map();

function showConnection(job, state, error) {
  connections.set(job, { state, error });
  const all = [...connections.values()];
  const worst = Object.keys(CONNECTIONS).find((one) => all.some(({ state }) => state === one));
  element("why").textContent = all.find(({ state }) => state === worst).error?.message ?? "";
  if (worst === element("pill").dataset.state) return;
  element("pill").dataset.state = worst;
  element("connection").textContent = CONNECTIONS[worst];
  if (worst === "open") console.log("connected");
}

element("raw").addEventListener("change", () => {
  for (const strip of document.querySelectorAll(".strip")) strip.scrollTop = strip.scrollHeight;
});

// --- a restoration --------------------------------------------------------------

function picture(caption, alt, src) {
  const shown = src ? make("img", { src, alt }) : make("div", { className: "empty" });
  return make("figure", {}, shown, make("figcaption", { textContent: caption }));
}

/** A command to run in a terminal, with a button that copies it. */
function commandLine(text) {
  const code = make("code", { textContent: text });
  const copy = make("button", { type: "button", className: "plain", textContent: "Copy" });
  copy.addEventListener("click", async () => {
    getSelection().selectAllChildren(code); // all that can be done where pages may not copy
    await navigator.clipboard?.writeText(text);
    if (!navigator.clipboard) return;
    copy.textContent = element("announcement").textContent = "Copied";
    await pause(AGAIN_MS);
    copy.textContent = "Copy";
  });
  return make("div", { className: "command" }, code, copy);
}

/** A job in the list. `before` is the picture of those that this page has started. */
class Card {
  #seen = new Set();
  #announced = "";
  #lastAt;

  constructor({ job, name, before }) {
    Object.assign(this, { job, name, before });
    const button = (text, action) => {
      const made = make("button", { type: "button", className: "plain", textContent: text, ariaLabel: `${text} ${name}` });
      made.addEventListener("click", () => attempt(() => action.call(this)));
      return made;
    };
    this.status = make("p", { className: "status", textContent: "Waiting for its first event" });
    this.bar = make("progress", { max: 100, value: 0, ariaLabel: `Progress of ${name}` });
    this.buttons = { stop: button("Cancel", this.cancel), again: button("Retry", this.retry), remove: button("Remove", this.remove) };
    this.buttons.stop.hidden = this.buttons.again.hidden = true;
    this.buttons.remove.hidden = Boolean(before); // until it is known whether it runs
    this.result = make("div", { className: "result" });
    this.events = make("ol", { className: "timeline" });
    this.strip = make("div", { className: "strip", tabIndex: 0, role: "group", ariaLabel: `Events of ${name}` }, this.events);
    const title = make("h3", { textContent: name });
    this.shown = make(
      "li",
      { className: "panel card" },
      make("div", { className: "heading" }, title, this.status, make("div", { className: "actions" }, ...Object.values(this.buttons))),
      this.bar,
      this.result,
      this.strip,
      make("p", { className: "quiet id" }, "Job ", make("code", { textContent: job })),
    );
    this.shown.dataset.job = job;
    if (before) this.showPictures();
    element("restorations").prepend(this.shown);
    element("none").hidden = true;
  }

  showPictures(after) {
    const restored = after ? [`${this.name}, restored`, after] : [];
    this.result.replaceChildren(picture("Before", `${this.name}, before`, this.before), picture("After", ...restored));
  }

  /** The end of a job that nobody works on. */
  offer(command) {
    const text = "It runs nowhere: complete it yourself, as RunPod would, from another terminal.";
    this.result.replaceChildren(make("div", { className: "waiting" }, make("p", { textContent: text }), commandLine(command)));
  }

  /** From now on, and again after a retry. `times` are those of events that are known to have been. */
  follow(times = new Map()) {
    this.subscription?.close();
    this.subscription = subscribe(this.job, {
      onEvent: (event) => this.take(event, times.get(event.id) ?? new Date()),
      onState: (state, error) => showConnection(this.job, state, error),
    });
  }

  take(event, at) {
    if (this.#seen.has(event.id)) return; // before a retry
    this.#seen.add(event.id);
    this.showEvent(event, at);
    this.show(event);
    if (event.type === "completed") this.showOutput(event.data);
  }

  showEvent({ id, type, data }, at) {
    const item = moment(type, data, at, this.#lastAt);
    item.append(make("pre", { className: "data", textContent: JSON.stringify(data) }));
    item.dataset.id = id;
    this.#lastAt = at;
    const { strip } = this;
    const isAtEnd = strip.scrollTop + strip.clientHeight > strip.scrollHeight - 8;
    this.events.append(item);
    if (isAtEnd) strip.scrollTop = strip.scrollHeight;
  }

  show({ type, data }) {
    const { status, progress, step, error } = data;
    const isOpen = OPEN.includes(status);
    const moves = status === "processing" && progress !== undefined;
    this.shown.dataset.status = status;
    if (type === "queued") this.bar.value = 0;
    if (moves) this.bar.value = progress;
    if (type === "completed") this.bar.value = 100;
    this.showButtons(isOpen, status === "completed");
    this.buttons.stop.ariaDisabled = type === "cancelling"; // a disabled one would lose the focus
    if (type === "cancelling") return this.say("Cancelling", type);
    if (!isOpen && !this.before) this.result.replaceChildren();
    const detail = moves ? `, ${progress} %${step ? `: ${step}` : ""}` : "";
    const quarter = moves ? Math.floor(progress / 25) : "";
    this.say(`${STATES[status] ?? status}${detail}${error ? `: ${error}` : ""}`, status + quarter);
  }

  /** What has the focus and goes leaves it to the next. */
  showButtons(isOpen, isCompleted) {
    const { stop, again, remove } = this.buttons;
    const focused = document.activeElement;
    stop.hidden = !this.before || !isOpen;
    again.hidden = !this.before || isOpen || isCompleted;
    remove.hidden = !stop.hidden;
    if (focused.hidden) Object.values(this.buttons).find(({ hidden }) => !hidden).focus();
  }

  /** To the eye each time, to a screen reader four times a job and at its end. */
  say(text, step) {
    this.status.textContent = text;
    if (step === this.#announced) return;
    this.#announced = step;
    element("announcement").textContent = `${this.name}: ${text}`;
  }

  /** A large output does not travel in events: it is fetched, as soon as the server lets it. */
  async showOutput(data) {
    let { output } = data;
    while (data.output_omitted && this.shown.isConnected) {
      const answer = await fetch(`/api/v1/jobs/${this.job}`).catch(() => undefined);
      if (answer?.ok) {
        ({ output } = await answer.json());
        break;
      }
      this.status.textContent = "Completed; its picture cannot be fetched at the moment";
      await pause(AGAIN_MS);
    }
    this.status.textContent = STATES.completed;
    const image = String(output?.image ?? "");
    if (image.startsWith("data:image/png;base64,") && this.before) this.showPictures(image);
    else this.result.replaceChildren(make("pre", { textContent: JSON.stringify(output, null, 2) }));
  }

  async cancel() {
    good(await cancel(this.job));
  }

  /** The same job runs again, this time to a good end. */
  async retry() {
    await order(this.job, await drawn(await (await fetch(this.before)).blob()), false);
    this.follow();
  }

  remove() {
    this.subscription.close();
    const next = this.shown.nextElementSibling?.querySelector("button:not([hidden])");
    this.shown.remove();
    (next ?? element("restorations-title")).focus();
    element("none").hidden = element("restorations").childElementCount > 0;
    keep(kept().filter(({ job }) => job !== this.job));
    if (this.job === asked) history.replaceState(null, "", "./");
  }
}

// --- what was ordered before ----------------------------------------------------

/** The newest so many, for the page's next visit. */
function keep(restorations) {
  localStorage.setItem("restorations", JSON.stringify(restorations.slice(0, MAX_KEPT)));
}

/** Retention may have taken a job, or var/ was removed: nothing more would be heard of it. */
async function isKnown({ job }) {
  const answer = await fetch(`/api/v1/jobs/${job}`).catch(() => undefined);
  return answer?.status !== 404;
}

/** When each event was that the server has of the job: a stream does not say it. */
async function timesOf(job) {
  const answer = await fetch(`/api/v1/events/${job}?format=json`).catch(() => undefined);
  const { events } = answer?.ok ? await answer.json() : { events: [] };
  return new Map(events.map(({ id, created_at }) => [id, new Date(created_at)]));
}

const earlier = kept();
const known = await Promise.all(earlier.map(isKnown));
const gone = earlier.filter((_, i) => !known[i]).map(({ job }) => job);
keep(kept().filter(({ job }) => !gone.includes(job)));
const ordered = kept();
const times = await Promise.all(ordered.map(({ job }) => timesOf(job)));
for (let i = ordered.length; i-- > 0; ) new Card(ordered[i]).follow(times[i]);

/** The job in the address, whose end scripts/run says how to bring about. */
async function followAsked(job) {
  if (!/^[\w.:~-]{1,128}$/.test(job))
    throw new Trouble(
      `“${job}”, in the address of this page, is no job's id: those are 1 to 128 letters, digits and . _ : ~ - without spaces.`,
    );
  const card = new Card({ job, name: "The job in the address" });
  const times = await timesOf(job);
  const answer = times.size ? undefined : await fetch("complete.txt").catch(() => undefined);
  if (answer?.ok) card.offer((await answer.text()) + job);
  card.follow(times);
}

if (asked && !ordered.some(({ job }) => job === asked)) attempt(() => followAsked(asked));
