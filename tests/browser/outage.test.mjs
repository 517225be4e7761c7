// SPDX-License-Identifier: ISC
// Faults that last as long as they do for users. They take their time side by
// side, each with a stack of its own.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { Scene, got, numbers, stateOf, states, untilCut, untilGot, untilState } from "./scene.mjs";
import { startBrowser, until } from "./stack.mjs";

const OFFLINE_MS = 40_000;
const UNAVAILABLE_MS = 10_000;
const TICKET_MS = 30_000;
/** Longer than a leader may be silent. */
const HANG_MS = 30_000;

let browser;
before(async () => {
  browser = await startBrowser();
});
after(() => browser?.close());

/** A test in a scene of its own. */
function scene(name, play, settings) {
  test(name, async () => {
    const scene = await Scene.start(browser, settings);
    try {
      await play(scene);
    } finally {
      await scene.close();
    }
  });
}

/** The fault lasts: no tab has more than what came before it. */
async function untilTime(end, tabs) {
  await pause(end - Date.now());
  for (const tab of tabs) {
    assert.equal((await got(tab)).length, 1);
    assert.notEqual(await stateOf(tab), "open");
  }
}

async function setToken(tabs, token) {
  for (const tab of tabs) await tab.evaluate((next) => void (token = next), token);
}

describe("each event arrives once, and the completion too,", { concurrency: true }, () => {
  scene("after 40 seconds without a network", async (scene) => {
    let sessions, end;
    const offline = (offline) =>
      Promise.all(
        sessions.map((session) =>
          session.send("Network.emulateNetworkConditions", {
            offline,
            latency: 0,
            downloadThroughput: -1,
            uploadThroughput: -1,
          }),
        ),
      );
    await scene.survives(
      async (tabs) => {
        sessions = await Promise.all(tabs.map((tab) => scene.context.newCDPSession(tab)));
        for (const session of sessions) await session.send("Network.enable");
        // Chromium refuses new requests, but what is open stays open.
        await offline(true);
        end = Date.now() + OFFLINE_MS;
        await scene.front.down();
        await untilCut(tabs);
        await scene.front.up();
      },
      async (tabs) => {
        await untilTime(end, tabs);
        await offline(false);
      },
    );
  });

  scene("after 10 seconds of 503", async (scene) => {
    let end;
    const tabs = await scene.survives(
      async (tabs) => {
        await scene.front.down();
        await scene.front.up("unavailable");
        end = Date.now() + UNAVAILABLE_MS;
        await until(async () => (await states(tabs[0])).includes("waiting 503"), "the tabs to be refused");
      },
      async (tabs) => {
        await untilTime(end, tabs);
        await scene.front.down();
        await scene.front.up();
      },
    );
    assert.ok((await states(tabs[1])).includes("waiting 503"), "the other tab was told, too");
  });

  scene("in both tabs, when the leader hangs and comes back", async (scene) => {
    const job = scene.newJob();
    const leader = await scene.follow(job);
    await untilState(leader, "open");
    const other = await scene.follow(job);
    await untilState(other, "open");
    assert.equal(other.requests.length, 0);
    const hang = leader.evaluate((end) => {
      while (Date.now() < end);
    }, Date.now() + HANG_MS);
    await until(() => other.requests.length > 0, "the other tab to ask");
    await scene.publish(job, "processing", { n: 1 });
    await untilGot(other, 1);
    await hang;
    await scene.publish(job, "completed");
    for (const tab of [leader, other]) {
      await untilState(tab, "closed");
      assert.deepEqual(numbers(await got(tab), job), [1, "completed"]);
      assert.deepEqual(tab.lines, []);
    }
  });

  scene(
    "after a token, and then a ticket, that expired",
    async (scene) => {
      const mint = async (ttl) =>
        (await scene.stack.command("token", "mint", "--sub", "u", "--jobs", "job-1", "--ttl", ttl)).trim();
      const url = `${scene.front.origin}/api/v1`;
      scene.query = `&url=${url}&token=${await mint("1h")}`;
      let early, end;
      const tabs = await scene.survives(
        async (tabs) => {
          early = await tabs[0].evaluate("ticket(['job-1'])");
          end = Date.now() + TICKET_MS;
          // The next stream is for a token that ends soon.
          await setToken(tabs, await mint("31s"));
          await scene.stack.kill("events");
          await untilCut(tabs);
          scene.stack.revive();
          await until(async () => (await states(tabs[0])).includes("waiting 401"), "the token to end");
        },
        async (tabs) => {
          await untilTime(end, tabs);
          // As a page does that got a ticket and kept it.
          await tabs[0].evaluate((early) => void kept.push(early), early);
          await until(() => tabs[0].requests.some((url) => url.includes(early)), "the ticket to be used");
          await setToken(tabs, await mint("1h"));
        },
      );
      assert.deepEqual(tabs[1].requests.filter((url) => !url.endsWith("/tickets")), [], "one tab asks for both");
    },
    {
      JOBWIRE_EVENTS_AUTH: "ticket",
      JOBWIRE_JWT_KEY: "a secret of this test, 32 bytes and more",
    },
  );
});
