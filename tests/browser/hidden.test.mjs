// SPDX-License-Identifier: ISC
// Tabs that stop, hide and sleep, as a browser and a user let them, and how long
// afterwards events come. They take their time side by side, each with a stack
// and a window of its own.

import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { Scene, got, numbers, stateOf, untilGot, untilState, upTo } from "./scene.mjs";
import { patience, startWindow, until } from "./stack.mjs";

/** What users have: no test waits for a heartbeat. */
const SETTINGS = { JOBWIRE_HEARTBEAT: "15s" };
/** Of an idle machine. */
const TAKE_OVER_MS = 6000;
const LOOK_MS = 2000;
/** So long a machine sleeps, which is more than a busy page can hold up its timers. */
const SLEEP_MS = 8000;
/** Looking more often at a page keeps its timers awake. */
const GLANCE_MS = 3000;
const THROTTLED_MS = 60_000;

/** A test in a scene of its own; its figures are written down. */
function scene(name, play) {
  test(name, async (t) => {
    const scene = await Scene.start(await startWindow(), SETTINGS);
    scene.report = (what, milliseconds, bound) => {
      t.diagnostic(`${what}: ${milliseconds} ms`);
      assert.ok(milliseconds <= patience(bound), `${what}: ${milliseconds} ms`);
    };
    scene.follow = (job) => scene.openTab(`plain.html?job=${job}`);
    try {
      await play(scene);
    } finally {
      await scene.close();
    }
  });
}

const isHidden = (tab) => tab.evaluate("document.hidden");

async function show(tab) {
  await tab.bringToFront();
  await until(async () => !(await isHidden(tab)), "a tab to be visible");
}

/** Another page comes before the tab. */
async function hide(scene, tab) {
  await scene.context.newPage();
  await until(() => isHidden(tab), "a tab to be hidden");
}

/** Until the browser slows down the tab's timers. */
async function untilThrottled(tab) {
  await tab.evaluate(() => {
    window.ticked = Date.now();
    setInterval(() => (window.ticked = Date.now()), 1000);
  });
  await until(async () => {
    await pause(GLANCE_MS);
    return tab.evaluate("Date.now() - ticked > 5000");
  }, "the timers to be slow", THROTTLED_MS);
}

/** How long it takes until so many events are in the tab. */
async function untilCame(tab, n, start = Date.now()) {
  await untilGot(tab, n);
  return Date.now() - start;
}

/** The process that runs the tab: it alone has a thread that was started there. */
async function processOf(scene, tab) {
  await tab.evaluate(() => void (window.worker = new Worker(URL.createObjectURL(new Blob([""])))));
  const hasWorker = async (id) => {
    for (const thread of await readdir(`/proc/${id}/task`)) {
      const name = await readFile(`/proc/${id}/task/${thread}/comm`, "utf8").catch(() => "");
      if (name.startsWith("DedicatedWorker")) return true;
    }
    return false;
  };
  return until(async () => {
    for (const id of await scene.browser.renderers()) if (await hasWorker(id)) return id;
  }, "the tab's process to be known");
}

async function ends(scene, job, tabs, expected) {
  await scene.publish(job, "completed");
  for (const tab of tabs) {
    await untilState(tab, "closed");
    assert.deepEqual(numbers(await got(tab), job), [...expected, "completed"]);
    assert.deepEqual(tab.lines, []);
  }
}

describe("events come soon", { concurrency: true }, () => {
  scene("to a new tab when the leading one is stopped, and once to each when that one goes on", async (scene) => {
    const job = scene.newJob();
    const leader = await scene.follow(job);
    await untilState(leader, "open");
    await scene.publish(job, "processing", { n: 1 });
    await untilGot(leader, 1);
    const renderer = await processOf(scene, leader);
    process.kill(renderer, "SIGSTOP");
    const start = Date.now();
    const other = await scene.follow(job);
    scene.report("R4, first event in a new tab", await untilCame(other, 1, start), TAKE_OVER_MS);
    await scene.publish(job, "processing", { n: 2 });
    await untilGot(other, 2);
    process.kill(renderer, "SIGCONT");
    await untilGot(leader, 2);
    await until(async () => (await scene.openStreams()) === 1, "one of them to lead");
    await scene.publish(job, "processing", { n: 3 });
    await ends(scene, job, [leader, other], [1, 2, 3]);
  });

  scene("to a tab that is visible again, when its stream died meanwhile", async (scene) => {
    const job = scene.newJob();
    const tab = await scene.follow(job);
    await untilState(tab, "open");
    await hide(scene, tab);
    scene.front.freezeStreams();
    await scene.publish(job, "processing", { n: 1 });
    const start = Date.now();
    await show(tab);
    scene.report("R5, event after a tab was shown", await untilCame(tab, 1, start), LOOK_MS);
    await ends(scene, job, [tab], [1]);
  });

  scene("to a tab that slept, when its stream died meanwhile", async (scene) => {
    const job = scene.newJob();
    const tab = await scene.follow(job);
    await untilState(tab, "open");
    const renderer = await processOf(scene, tab);
    process.kill(renderer, "SIGSTOP");
    scene.front.freezeStreams();
    await scene.publish(job, "processing", { n: 1 });
    await pause(SLEEP_MS);
    process.kill(renderer, "SIGCONT");
    scene.report("R5, event after sleep", await untilCame(tab, 1), LOOK_MS);
    await ends(scene, job, [tab], [1]);
  });

  scene("through a proxy that buffers, whoever is hidden", async (scene) => {
    await scene.front.down();
    await scene.front.up("buffering");
    const job = scene.newJob();
    let n = 0;
    const takes = async (what, tab) => {
      for (let i = 0; i < 3; i++) {
        const polls = tab.requests.length;
        const start = Date.now();
        await scene.publish(job, "processing", { n: ++n });
        // Not by looking at the page; the same request also says who leads.
        await until(() => tab.requests.length > polls, "the next poll");
        await untilGot(tab, n);
        scene.report(`R6, ${what}`, (await got(tab)).at(-1).at - start, LOOK_MS);
      }
    };
    const first = await scene.follow(job);
    await untilState(first, "polling");
    await takes("one visible tab", first);
    await hide(scene, first);
    await untilThrottled(first);
    await takes("one hidden tab", first);

    // It leads as one comes that is visible.
    const second = await scene.follow(job);
    await until(() => second.requests.length > 0, "the visible tab to lead");
    await untilState(second, "polling");
    assert.ok(second.requests.every((url) => !url.includes("heartbeat=event")), "no stream is left with the proxy again");
    await takes("the leader was hidden", second);
    const polls = first.requests.length;
    await show(first);
    await until(() => first.requests.length > polls, "the other tab to lead");
    await takes("tabs were switched", first);
    for (const tab of [first, second]) assert.equal(await stateOf(tab), "polling");
    await ends(scene, job, [first, second], upTo(n));
  });
});
