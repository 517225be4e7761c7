// SPDX-License-Identifier: ISC
// A job that somebody else completes, on the demo page in a real browser, behind
// the shipped nginx configuration, on what `make run` starts.

import assert from "node:assert/strict";
import { after, before, beforeEach, afterEach, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { Stack, newContext, startBrowser, until } from "./stack.mjs";

// A client's pause before it reconnects: the shortest, to wait less.
const SETTINGS = { JOBWIRE_RUN_RESPAWN: "1", JOBWIRE_RETRY_MIN: "1s", JOBWIRE_RETRY_MAX: "1s" };

let browser, stack, page, streams, messages;

before(async () => {
  browser = await startBrowser();
});
after(() => browser.close());

beforeEach(async () => {
  stack = await Stack.start(SETTINGS);
  const context = await newContext(browser);
  page = await context.newPage();
  streams = [];
  messages = [];
  page.on("request", (request) => {
    if (request.url().includes("/api/v1/events")) streams.push(request.headers()["last-event-id"] ?? null);
  });
  page.on("console", (message) => messages.push(message.text()));
  page.on("pageerror", (error) => messages.push(`error: ${error}`));
  await page.goto(stack.page);
  await until(() => messages.includes("connected"), "the page to connect");
});
afterEach(async () => {
  await page.context().close();
  await stack.close();
});

/** What the card has of each event. */
function shown() {
  return page.$$eval(".timeline li", (items) =>
    items.map((item) => ({
      type: item.dataset.type,
      id: item.dataset.id,
      data: JSON.parse(item.querySelector(".data").textContent),
    })),
  );
}

const text = (id) => page.textContent(`#${id}`);
const status = () => page.textContent("#restorations .status");
const untilShown = (count) =>
  until(async () => (await shown()).length >= count, `${count} events on the page`);

test("the printed command completes the job on the page, which shows and copies it", async () => {
  const command = page.locator(".command code");
  assert.equal(await command.textContent(), stack.completes);
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.getByRole("button", { name: "Copy" }).click();
  await page.getByRole("button", { name: "Copied" }).waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), stack.completes);

  const answer = JSON.parse(await stack.complete());
  assert.equal(answer.ok, true);
  await untilShown(1);
  const [event] = await shown();
  assert.equal(event.type, "completed");
  assert.deepEqual([event.data.job_id, event.data.restore_id, event.data.status], [stack.job, "456", "completed"]);
  assert.equal(await status(), "Completed");
  assert.match(await text("restorations"), /"success": true/);
  await until(async () => (await text("connection")) === "finished", "the stream to end");
  assert.deepEqual(messages, ["connected"]);
});

test("a killed responder costs the page no event and doubles none", async () => {
  await stack.publish("processing", {});
  await stack.publish("progress", { progress: 10 });
  await untilShown(2);
  assert.equal(await page.locator(".command").count(), 1);

  const killed = await stack.pidOf("events");
  await stack.kill("events");
  await until(async () => (await text("connection")) !== "connected", "the page to notice");
  for (const progress of [20, 30, 40]) await stack.publish("progress", { progress });
  await stack.complete();
  await stack.kill("webhook");
  await page.click("#start");
  await page.getByText("The server does not answer.").waitFor();
  stack.revive();

  await untilShown(6);
  await until(async () => (await text("trouble")) + (await text("why")) === "", "the trouble to be over");
  assert.equal(await page.locator(".command").count(), 0);
  assert.notEqual(await stack.pidOf("events"), killed);
  const events = await shown();
  assert.deepEqual(
    events.map(({ type, data }) => data.progress ?? type),
    ["processing", 10, 20, 30, 40, "completed"],
  );
  assert.equal(new Set(events.map(({ id }) => id)).size, 6);
  assert.equal(streams[0], null);
  assert.ok(streams.length >= 2, "reconnected");

  // After the terminal event the page asks no more: longer than any pause of ours.
  await until(async () => (await text("connection")) === "finished", "the stream to end");
  const before = streams.length;
  await pause(3000);
  assert.equal(streams.length, before);
  assert.equal((await shown()).length, 6);
});
