// SPDX-License-Identifier: ISC
// The photo page and the operator's page on what `make run` starts, with its
// simulated RunPod: what they show, by keyboard, on a phone, in the dark and to
// assistive technology. JOBWIRE_SHOTS=FOLDER keeps pictures of them.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";

import { Stack, newContext, startBrowser, until } from "./stack.mjs";

const require = createRequire(fileURLToPath(new URL("../../client/package.json", import.meta.url)));
const axe = await readFile(require.resolve("axe-core"), "utf8");
const PHONE = { width: 390, height: 844 };
const NARROW = { width: 320, height: 640 };
const DESKTOP = { width: 1440, height: 900 };

let browser, stack, context, photos;
const errors = [];

before(async () => {
  browser = await startBrowser();
  stack = await Stack.start();
});
after(async () => {
  await stack?.close();
  await browser?.close();
});
beforeEach(async () => {
  context = await newContext(browser, { viewport: PHONE });
  photos = await open("");
});
afterEach(async () => {
  await context.close();
  assert.deepEqual(errors.splice(0), []);
});

async function open(path, site = stack) {
  const page = await context.newPage();
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(new URL(`/${path}`, site.page).href);
  await page.waitForFunction(() => document.querySelector("#samples canvas, #percentiles tr"));
  return page;
}

const card = (n = 1) => photos.locator(`#restorations > li:nth-child(${n})`);
const ended = (status, n = 1) => card(n).and(photos.locator(`[data-status=${status}]`)).waitFor();
const sizeOf = (locator) =>
  locator.evaluate((image) => image.decode().then(() => [image.naturalWidth, image.naturalHeight]));

test("a job started by keyboard becomes a restored picture without a reload", async () => {
  await photos.evaluate(() => {
    window.isTheSame = true;
    window.heard = [];
    const region = document.getElementById("announcement");
    new MutationObserver(() => heard.push(region.textContent)).observe(region, { childList: true });
  });
  await photos.focus("[name=sample]:checked");
  await photos.keyboard.press("ArrowRight");
  for (const key of ["Tab", "Tab", "Tab", "Enter"]) await photos.keyboard.press(key);

  await card().locator("progress:not([value='0'])").waitFor({ state: "attached" });
  await ended("completed");
  assert.equal(await card().locator("h3").textContent(), "Mountains #1");
  assert.equal(await card().locator("progress").evaluate(({ value }) => value), 100);
  assert.deepEqual(await sizeOf(card().getByAltText("Mountains #1, before")), [320, 240]);
  assert.deepEqual(await sizeOf(card().getByAltText("Mountains #1, restored")), [320, 240]);
  assert.equal(await photos.evaluate(() => window.isTheSame), true);

  // A screen reader hears where it stands, not each step; and nobody sees what is in the webhook.
  const heard = await photos.evaluate(() => window.heard);
  assert.equal(heard.at(-1), "Mountains #1: Completed");
  assert.ok(heard.some((text) => text.startsWith("Mountains #1: Processing, 50 %")), heard.join("\n"));
  assert.ok(heard.length <= 7, heard.join("\n"));
  const events = await photos.$$eval(".timeline li", (items) => items.map((item) => item.dataset.type));
  assert.deepEqual([...new Set(events)], ["queued", "progress", "completed"]);
  assert.doesNotMatch(await photos.textContent(".timeline"), /sig=|pixels/);
});

test("a failed job says why, is retried, and removed; jobs of one picture are told apart", async () => {
  await photos.check("#fail");
  await photos.click("#start");
  await photos.uncheck("#fail");
  await photos.click("#start");
  await ended("failed", 2);
  assert.equal(await card(2).locator(".status").textContent(), "Failed: CUDA out of memory");
  assert.equal(await card(2).locator("img").count(), 1);
  assert.deepEqual(await photos.locator("h3").allTextContents(), ["Lighthouse #2", "Lighthouse #1"]);
  await ended("completed", 1);
  const colorOf = (n) => card(n).locator("progress").evaluate((bar) => getComputedStyle(bar).color);
  assert.notEqual(await colorOf(1), await colorOf(2));

  await card(2).getByRole("button", { name: "Retry Lighthouse #1" }).press("Enter");
  await ended("completed", 2);
  await card(2).getByAltText("Lighthouse #1, restored").waitFor();
  const types = await card(2).locator(".timeline li").evaluateAll((items) => items.map((item) => item.dataset.type));
  assert.deepEqual(types.filter((type) => type !== "progress"), ["queued", "failed", "queued", "completed"]);
  const focused = () => photos.evaluate(() => document.activeElement.ariaLabel ?? document.activeElement.textContent);
  assert.equal(await focused(), "Remove Lighthouse #1");

  await card(1).getByRole("button", { name: "Remove Lighthouse #2" }).press("Enter");
  assert.equal(await focused(), "Remove Lighthouse #1");
  await photos.keyboard.press("Enter");
  assert.equal(await focused(), "Restorations");
  await photos.reload();
  await photos.waitForSelector("#samples canvas");
  await photos.getByText("None yet.").waitFor();
  assert.equal(await card().count(), 0);
});

test("what cannot be a job's id is told in words", async () => {
  const page = await open("?job=bad%20id");
  await page.getByRole("alert").getByText(/^“bad id”, in the address of this page, is no job's id/).waitFor();
  assert.equal(await page.locator("#restorations > li").count(), 0);
});

test("why there is no news is told, and goes when there is some", async () => {
  const refusal = { error: { code: "job_forbidden", message: "not your job" } };
  await photos.route("**/api/v1/events**", (route) => route.fulfill({ status: 403, json: refusal }));
  await photos.click("#start");
  await photos.locator("#why").getByText("not your job").waitFor();
  assert.equal(await photos.textContent("#connection"), "lost, trying again");
  await photos.unroute("**/api/v1/events**");
  await ended("completed");
  assert.equal(await photos.textContent("#why"), "");
  assert.match(errors.splice(0).join(), /403/);
});

test("a reload keeps when each event was", async () => {
  await photos.click("#start");
  await ended("completed");
  await photos.reload();
  await ended("completed");
  const times = await card().locator("time").evaluateAll((all) => all.map((one) => Date.parse(one.dateTime)));
  assert.ok(times.at(-1) - times[0] > 2000 && times.at(-1) < Date.now(), times.join(" "));
});

test("a photo of the user's is restored; what is no photo is refused; a reload keeps the list", async () => {
  await photos.setInputFiles("#file", { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("no picture") });
  await photos.click("#start");
  await photos.getByText("notes.txt is not a picture").waitFor();

  const shot = await photos.screenshot({ clip: { x: 0, y: 0, width: 390, height: 200 } });
  await photos.setInputFiles("#file", { name: "mine.png", mimeType: "image/png", buffer: shot });
  await photos.click("#start");
  await ended("completed");
  assert.deepEqual(await sizeOf(card().getByAltText("mine.png #1, restored")), [320, 164]);
  assert.equal(await photos.textContent("#trouble"), "");

  await photos.reload();
  await ended("completed");
  assert.deepEqual(await sizeOf(card().getByAltText("mine.png #1, restored")), [320, 164]);
});

test("what is kept in this browser and cannot be read keeps nothing from working", async () => {
  const sound = { job: "kept-1", name: "Lighthouse #1" };
  for (const [stored, count] of [["[{", 0], ["null", 0], ["{}", 0], [JSON.stringify([null, 7, { job: 1 }, sound]), 1]]) {
    await stack.publish("completed", {}, sound.job);
    await photos.evaluate((text) => localStorage.setItem("restorations", text), stored);
    await photos.reload();
    const operator = await open("operator.html");
    await until(async () => (await operator.textContent("#database")) === "ok", `the operator's page, with ${stored}`);
    assert.equal(await operator.textContent("#trouble"), "");
    await operator.close();
    await until(async () => (await photos.locator("#restorations > li").count()) === count, `the cards, with ${stored}`);
  }
  await photos.click("#start");
  await ended("completed");
});

test("the operator's page shows streams, rates, latencies and events as they come", async () => {
  const operator = await open("operator.html");
  const rows = () => operator.$$eval("#events tr", (all) => all.map((tr) => tr.querySelector("strong").textContent));
  await photos.click("#start");
  await until(async () => Number(await operator.textContent("#streams")) > 0, "a stream to be counted");
  await until(async () => (await rows())[0] === "completed", "the completion to be listed");
  const percentiles = operator.getByRole("row", { name: /^Read to sent, last minute \d+(\.\d+)? (µs|ms)/ });
  await percentiles.waitFor();
  const rate = operator.getByRole("img", { name: /^Events sent per second: now [\d.]+, at most [1-9]/ });
  await rate.waitFor();
  assert.ok((await operator.$$("#sent-bars .bar div:not([hidden])")).length > 0);
  assert.equal(await operator.textContent("#database"), "ok");
  await until(async () => (await operator.textContent("#parts")) === "all", "all parts to be there");
  await until(async () => /completed[1-9]/.test(await operator.textContent("#jobs")), "jobs to be counted by state");
});

test("the operator's page opens no stream, and tells when an event was, not when it came", async () => {
  await photos.close();
  await stack.publish("progress", { progress: 7 }, "by-hand");
  const published = Date.now();
  const operator = await open("operator.html");
  await until(async () => Date.now() - published > 1200, "its time to differ from that of its arrival");
  const came = Date.now();
  await operator.fill("#job", "by-hand");
  await operator.keyboard.press("Enter");
  await operator.locator("#timeline").getByText("7 %", { exact: true }).waitFor();
  const at = Date.parse(await operator.getAttribute("#timeline time", "datetime"));
  assert.ok(Math.abs(at - published) < 1000 && came - at > 1000, `${published} ${at} ${came}`);
  assert.match(await operator.textContent("#timeline time"), /^\d\d:\d\d:\d\d[.,]\d{3}$/);
  assert.equal(await operator.textContent("#state"), "processing");
  await until(async () => (await operator.textContent("#streams")) === "0", "no stream to be open");
});

test("a run is cancelled, and started again, with a key that nothing keeps", async (t) => {
  // Where no worker ever takes a job, none ends before it is cancelled.
  const still = await Stack.start({ JOBWIRE_RUN_SIMULATE: "--queue 1h" });
  t.after(() => still.close());
  const headers = { "Content-Type": "application/json" };
  const job = new URL("/api/v1/jobs/to-cancel/restore", still.page);
  assert.equal((await fetch(job, { method: "POST", headers, body: '{"input":{}}' })).status, 202);
  const operator = await open("operator.html?job=to-cancel", still);
  await operator.click("#cancel");
  await operator.fill("#key", "a-key-that-nobody-may-find");
  await operator.click("#do");
  await operator.locator("#done").getByText("It is being cancelled.").waitFor();
  await operator.locator("#state[data-state=cancelled]").waitFor();
  const kept = await operator.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, location.href]));
  assert.doesNotMatch(kept, /a-key-that/);

  await operator.click("#again");
  assert.equal(await operator.inputValue("#action"), "restore");
  await operator.fill("#input", "{");
  await operator.click("#do");
  await operator.getByText("The input is no JSON.").waitFor();
  await operator.fill("#input", "{}");
  await operator.click("#do");
  await operator.locator("#done").getByText("It was started.").waitFor();
  await operator.locator("#timeline li:last-child[data-type=queued], #timeline li[data-type=queued] ~ li[data-type=queued]")
    .first().waitFor();
  await operator.close(); // before its server goes
});

test("the operator's page says how long an event takes, and how that is measured", async () => {
  await photos.click("#start");
  await ended("completed");
  const operator = await open("operator.html");
  for (const id of ["half-read", "half-sent"]) assert.match(await operator.textContent(`#${id}`), /^[\d.]+ (µs|ms|s)$/);
  const link = await operator.getByRole("link", { name: "How jobwire is measured" }).getAttribute("href");
  const answer = await fetch(new URL(link, stack.page));
  assert.equal(answer.headers.get("content-type"), "text/plain; charset=utf-8");
  assert.match(await answer.text(), /\n## How it is measured\n/);
});

test("both pages are fit for assistive technology, phones and the dark", async () => {
  await photos.click("#start");
  await ended("completed");
  await photos.check("#fail");
  await photos.click("#start");
  await ended("failed");
  const operator = await open("operator.html");
  await operator.waitForSelector("#events tr");
  await operator.locator("#events .link").first().click();
  await operator.waitForSelector("#timeline li[data-type]");
  for (const summary of await operator.$$("summary")) await summary.click();

  for (const [name, page] of [["photos", photos], ["photos-data", photos], ["operator", operator]]) {
    await page.bringToFront();
    await page.evaluate(axe);
    if (name === "photos-data") await page.check("#raw");
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      for (const size of [DESKTOP, NARROW, PHONE]) {
        await page.setViewportSize(size);
        const what = `${name}-${colorScheme}-${size.width}`;
        if (process.env.JOBWIRE_SHOTS)
          await page.screenshot({ path: join(process.env.JOBWIRE_SHOTS, `${what}.png`), fullPage: true });
        const width = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(width <= size.width, `${what} is ${width} wide`);
        const cut = await page.$$eval(".scrolls", (all) => all.filter((one) => one.scrollWidth > one.clientWidth).length);
        assert.equal(cut, 0, `${what} has tables that are wider than it`);
      }
      const { violations } = await page.evaluate(() => window.axe.run());
      const found = violations.map(({ impact, id, nodes }) => `${impact} ${id}: ${nodes.map(({ html }) => html)}`);
      assert.deepEqual(found, [], `${name}, ${colorScheme}`);
    }
  }
});
