// SPDX-License-Identifier: ISC
// Jobs that the photo page starts itself, through the runner, on a day on which
// every webhook of RunPod's is lost.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";

import { Stack, newContext, startBrowser } from "./stack.mjs";

const SETTINGS = { JOBWIRE_RUN_SIMULATE: "--drop 100%", JOBWIRE_RECONCILE_AFTER: "1s" };

let browser, stack, context, page;
const errors = [];

before(async () => {
  browser = await startBrowser();
  stack = await Stack.start(SETTINGS);
});
after(async () => {
  await stack?.close();
  await browser?.close();
});
beforeEach(async () => {
  context = await newContext(browser);
  page = await context.newPage();
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.goto(new URL("/", stack.page).href);
  await page.waitForSelector("#samples canvas");
});
afterEach(async () => {
  await context.close();
  assert.deepEqual(errors.splice(0), []);
});

const card = () => page.locator("#restorations > li").first();
const ended = (status) => card().and(page.locator(`[data-status=${status}]`)).waitFor();
const types = () => page.$$eval(".timeline li", (items) => items.map((item) => item.dataset.type));
const providersLog = () => readFile(join(stack.folder, "var/log/simulated-runpod.log"), "utf8");

test("a picture is restored although the webhook was lost", async () => {
  await page.click("#start");
  await ended("completed");
  const image = card().getByAltText("Lighthouse #1, restored");
  const size = await image.evaluate((image) => image.decode().then(() => [image.naturalWidth, image.naturalHeight]));
  assert.deepEqual(size, [320, 240]);
  assert.deepEqual([...new Set(await types())], ["queued", "progress", "completed"]);
  const log = await providersLog();
  assert.match(log, /webhook: drop/);
  assert.doesNotMatch(log, /webhook answered/);
});

test("a restoration is cancelled from its card", async () => {
  await page.click("#start");
  await card().and(page.locator("[data-status=processing]")).waitFor();
  await card().getByRole("button", { name: "Cancel Lighthouse #1" }).press("Enter");
  await ended("cancelled");
  assert.equal(await page.evaluate(() => document.activeElement.ariaLabel), "Retry Lighthouse #1"); // from the keyboard
  assert.equal(await card().locator(".status").textContent(), "Cancelled");
  assert.ok((await types()).includes("cancelling"));
  assert.equal(await card().getByRole("button", { name: "Cancel" }).count(), 0);
  assert.match(await providersLog(), /CANCELLED/);
});

test("what two tabs ordered is in the list of both after a reload", async () => {
  const other = await context.newPage();
  await other.goto(page.url());
  await other.waitForSelector("#samples canvas");
  for (const tab of [other, page]) {
    await tab.click("#start");
    await tab.locator("#restorations > li").first().waitFor();
  }
  await other.reload();
  await other.locator("#restorations > li").nth(1).waitFor();
  assert.deepEqual(await other.locator("#restorations h3").allTextContents(), ["Lighthouse #2", "Lighthouse #1"]);
});
