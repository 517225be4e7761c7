// SPDX-License-Identifier: ISC
// The table of clients in docs/client.md: each follows a job of its own behind nginx,
// all at once, while streams end every second and heartbeats come as comments. Each must
// get every event exactly once and nothing besides, and be done when the job is.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { findClients } from "../clients/node.mjs";
import { Stack, newContext, startBrowser, until } from "./stack.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const { build } = createRequire(join(root, "client/package.json"))("esbuild");
/** Only our own client asks here, for lists of jobs; it knows the end before the server says 204. */
const OWN_PATH = "/api/v1/events";
const PAGE_CLIENTS = [
  "EventSource",
  "jobwire.js",
  "@microsoft/fetch-event-source",
  "event-source-polyfill",
  "extended-eventsource",
  "reconnecting-eventsource",
];

const text = "a \u0085 b \u2028 c \u2029 d";
const long = (size) => Array.from({ length: size / 100 }, (_, n) => `${n}`.padEnd(97, "], "));
/** What each job's events hold: small, line ends, long, then one each 150 ms over some streams' lives. */
const STEPS = [{}, { text }, { long: long(70_000) }, { long: long(600_000) }, ...Array(20).fill({ text })];

const folder = await mkdtemp(join(tmpdir(), "jobwire-clients-"));
const clients = await findClients(join(folder, "donovanhide"));
let stack, browser, script;

before(async () => {
  stack = await Stack.start({
    JOBWIRE_RETRY_MIN: "100ms",
    JOBWIRE_RETRY_MAX: "200ms",
    JOBWIRE_HEARTBEAT: "200ms",
    JOBWIRE_LIFETIME: "1s",
  });
  browser = await startBrowser();
  const page = { entryPoints: [join(root, "tests/clients/page.mjs")], bundle: true, write: false, logLevel: "error" };
  script = (await build(page)).outputFiles[0].text;
});
after(async () => {
  await browser?.close();
  await stack?.close();
  await rm(folder, { recursive: true });
});

async function publish(job, type, data) {
  const key = await readFile(join(stack.folder, "var/publish.key"), "utf8");
  const answer = await fetch(new URL(`/api/v1/jobs/${job}/events`, stack.page), {
    method: "POST",
    headers: { Authorization: `Bearer ${key.trim()}`, "Content-Type": "application/json" },
    body: JSON.stringify({ type, data }),
  });
  assert.equal(answer.status, 201, await answer.text());
}

/** The statuses of the streams that were asked for at a path, as nginx logged them at their ends. */
async function answers(path) {
  const log = await readFile(join(stack.folder, "var/log/jobwire.log"), "utf8");
  const lines = log.matchAll(/"GET (\S+)" (\d+) /g);
  return [...lines].filter(([, uri]) => uri === path).map(([, , status]) => Number(status));
}

/**
 * Publishes all that a job has. `events()` are those that the client got from its stream at `path`;
 * `stop` is for a client that comes back after 204 and is to be stopped when the job is done.
 */
async function play(job, events, { path = `/api/v1/events/${job}`, stop } = {}) {
  const all = [];
  const step = async (type, data) => {
    all.push({ type, n: all.length });
    await publish(job, type, { n: all.length - 1, ...data });
  };
  for (const [i, data] of STEPS.entries()) {
    await step("step", data);
    if (i === 0) await until(async () => (await events()).length > 0, `the first event of ${job}`);
    if (i >= 4) await pause(150);
  }
  await step("completed", {});
  await until(async () => (await events()).some(({ type }) => type !== "step"), `the end of ${job}`);
  await stop?.();
  const isOver = (statuses) => statuses.includes(204) || stop || path === OWN_PATH;
  await until(async () => isOver(await answers(path)), `204 for ${job}`);
  const got = (await events()).map(({ type, data }) => ({ type, ...JSON.parse(data) }));
  assert.deepEqual(got.map(({ type, n }) => ({ type, n })), all);
  STEPS.forEach((data, n) => assert.deepEqual({ ...got[n], ...data }, got[n]));
  await pause(1000); // five times the pause of one that goes on
  const statuses = await answers(path);
  assert.ok(statuses.filter((status) => status === 200).length >= 2, "it never had to resume");
  assert.ok(statuses.filter((status) => status !== 200).length <= 1, `it came back after the end: ${statuses}`);
  assert.equal((await events()).length, all.length, "something came after the end");
}

describe("clients of the matrix", { concurrency: true }, () => {
  for (const [i, { name, version = "", client, why, isStoppedAtTheEnd }] of clients.entries())
    test(`${name} ${version}`, { skip: why }, async () => {
      const job = `job-${i}`;
      const events = [];
      const stop = client(`${new URL(stack.page).origin}/api/v1/events/${job}`, job, (event) => events.push(event));
      try {
        await play(job, async () => events, isStoppedAtTheEnd && { stop });
      } finally {
        stop();
      }
    });

  for (const name of PAGE_CLIENTS)
    test(`${name} in Chromium`, async () => {
      const job = name.replace(/\W/g, "-");
      const context = await newContext(browser); // has six connections of its own
      try {
        const page = await context.newPage();
        await page.goto(new URL("/healthz", stack.page).href);
        await page.addScriptTag({ content: script });
        await page.evaluate(([name, job]) => page.follow(name, `/api/v1/events/${job}`, job), [name, job]);
        const how = {
          "jobwire.js": { path: OWN_PATH },
          // After a 204 it comes back within its max_retry_time, for ever.
          "reconnecting-eventsource": { stop: () => page.evaluate("page.stop()") },
        };
        await play(job, () => page.evaluate("page.events"), how[name]);
      } finally {
        await context.close();
      }
    });
});
