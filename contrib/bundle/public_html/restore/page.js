// SPDX-License-Identifier: ISC
// Restores a photo: starts the job, follows it, cancels it. After a reload the
// page goes on with the last one.

import { subscribe } from "./jobwire.js";
import { cancel, start } from "./runs.js";

const ACTION = "restore"; // one of runpod_actions in jobwire.conf
const KEPT = "restore.job";
const STATES = {
  queued: "Waiting for its turn, up to a minute",
  processing: "Being restored",
  completed: "Restored",
  failed: "It could not be restored",
  cancelled: "Cancelled",
  timed_out: "It took too long",
};

const element = (id) => document.getElementById(id);
const say = (id, text) => (element(id).textContent = text);

/** No crypto.randomUUID(): a page without https has none. */
function newId() {
  return `photo-${Array.from(crypto.getRandomValues(new Uint8Array(12)), (n) => n.toString(16).padStart(2, "0")).join("")}`;
}

/** What the worker answered: yours to show as the picture that it is. */
function detailsOf({ job_id, error, output, output_omitted }) {
  if (output_omitted) return `What it made is at /api/v1/jobs/${job_id}`;
  return error ?? (output === undefined ? "" : JSON.stringify(output, null, 2));
}

function show({ type, data }) {
  const isOpen = ["queued", "processing"].includes(data.status);
  say("status", type === "cancelling" ? "Being cancelled" : (STATES[data.status] ?? data.status));
  say("details", detailsOf(data));
  if (data.progress !== undefined) element("bar").value = data.progress;
  element("bar").hidden = element("cancel").hidden = !isOpen;
  element("start").disabled = isOpen;
}

function follow(job) {
  localStorage.setItem(KEPT, job);
  element("job").hidden = false;
  element("bar").removeAttribute("value"); // until a progress is known
  say("id", job);
  say("status", "…");
  element("cancel").onclick = async () => {
    const answer = await cancel(job);
    say("trouble", answer.ok ? "" : answer.message);
  };
  const subscription = subscribe(job, {
    onEvent: show,
    onState: (_, error) => {
      say("trouble", error ? `No news at the moment: ${error.message}` : "");
      if (error?.status !== 403) return;
      subscription.close(); // it was deleted, keep_days after its end
      localStorage.removeItem(KEPT);
      element("job").hidden = true;
      say("trouble", "");
    },
  });
}

element("order").onsubmit = async (submitted) => {
  submitted.preventDefault();
  element("start").disabled = true;
  const job = newId();
  // The input is what your worker on RunPod takes.
  const answer = await start(job, ACTION, { image: element("image").value });
  say("trouble", answer.ok ? "" : `Not started: ${answer.message}`);
  if (answer.ok) follow(job);
  else element("start").disabled = false;
};

if (localStorage.getItem(KEPT)) follow(localStorage.getItem(KEPT));
