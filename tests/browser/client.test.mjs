// SPDX-License-Identifier: ISC
// The client library and the React hook in a real browser, with real responders
// behind a real nginx: what the library promises its pages.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { Front } from "./front.mjs";
import { Stack, startBrowser, until } from "./stack.mjs";

// Short, to wait less; the pages are told of the heartbeat.
const SETTINGS = {
  JOBWIRE_RUN_RESPAWN: "1",
  JOBWIRE_RETRY_MIN: "500ms",
  JOBWIRE_RETRY_MAX: "1s",
  JOBWIRE_HEARTBEAT: "3s",
};
const HEARTBEAT_MS = 3000;

let browser, stack, front, context;
let jobs = 0;

const newJob = () => `job-${++jobs}`;
const openStreams = () => front.gauge("jobwire_streams_open");
const publish = (job, type, data = {}) => stack.publish(type, data, job);

before(async () => {
  browser = await startBrowser();
  stack = await Stack.start(SETTINGS);
  front = await Front.start(stack);
});
after(async () => {
  await front?.close();
  await stack?.close();
  await browser?.close();
});

beforeEach(async () => {
  context = await browser.newContext();
});
afterEach(async () => {
  await context.close();
  await until(async () => (await openStreams()) === 0, "the streams of closed pages to end");
});

/** A tab with what it asked of the server (without its own files) and wrote to the console. */
async function openTab(path) {
  const tab = await context.newPage();
  tab.requests = [];
  tab.lines = [];
  tab.on("request", (request) => request.url().includes("/api/") && tab.requests.push(request.url()));
  tab.on("console", (message) => {
    // React praises its tools.
    if (!message.text().startsWith("%c")) tab.lines.push(message.text());
  });
  tab.on("pageerror", (error) => tab.lines.push(`error: ${error}`));
  await tab.goto(`${front.origin}/${path}`);
  return tab;
}

const follow = (...ids) =>
  openTab(`plain.html?heartbeat=${HEARTBEAT_MS}${ids.map((id) => `&job=${id}`).join("")}`);
const got = (tab) => tab.evaluate("got");
const states = (tab) => tab.evaluate("states");
const stateOf = (tab) => tab.evaluate("subscription.state");
const untilState = (tab, state) => until(async () => (await stateOf(tab)) === state, `a tab to be ${state}`);
const untilGot = (tab, n) => until(async () => (await got(tab)).length >= n, `${n} events in a tab`);
const numbers = (events, job) => events.filter((event) => event.jobId === job).map(({ type, n }) => n ?? type);
const upTo = (n) => Array.from({ length: n }, (_, i) => i + 1);

describe("the hook", () => {
  for (const version of ["", "18"])
    for (const mode of ["", "?strict"])
      test(`starts, completes and is quiet afterwards: React ${version || "19"} ${mode}`, async () => {
        const tab = await openTab(`react${version}.html${mode}`);
        assert.deepEqual(tab.requests, [], "nothing is asked without a job");
        for (const n of [1, 2]) {
          const job = newJob();
          await tab.evaluate((job) => window.start(job), job);
          await until(() => tab.lines.length === 1, "the page to connect");
          await publish(job, "progress", { progress: 40 });
          await until(async () => (await tab.textContent("#progress")) === "40", "progress");
          await publish(job, "completed");
          await until(() => tab.lines.length === 3, "the completion");
          assert.deepEqual(tab.lines.splice(0), ["connected", "progress 40", "completed"]);

          // The list is new without a reload, the stream closed.
          await until(async () => (await tab.$$("li")).length === n, "the list to be refreshed");
          assert.match(await tab.textContent("li:last-child"), new RegExp(`^${n}\\. ${job} completed$`));
          await until(async () => (await tab.textContent("#connection")) === "closed", "the end of the connection");
          assert.equal(await openStreams(), 0);

          // One stream and the page's own look at the job.
          assert.deepEqual(
            tab.requests.splice(0).map((url) => new URL(url).pathname),
            ["/api/v1/events", `/api/v1/jobs/${job}`],
          );
        }
        // A browser would have come back after a second, the client after two.
        if (version === "") await pause(3000);
        assert.deepEqual([tab.requests, tab.lines], [[], []]);
      });

  test("leaves nothing behind when it goes while it connects", async () => {
    const tab = await openTab("react.html?strict");
    const job = newJob();
    for (const delay of [0, 1, 5, 10, 15, 20, 40]) {
      await tab.evaluate(
        async ([job, delay]) => {
          window.start(job);
          await new Promise((resolve) => setTimeout(resolve, delay));
          window.show(false);
          window.start(null);
        },
        [job, delay],
      );
      await until(async () => (await openStreams()) === 0, "the stream to end");
      await tab.evaluate(() => window.show(true));
    }
    const held = await tab.evaluate(async () => (await navigator.locks.query()).held);
    assert.deepEqual(held, []);
    await publish(job, "completed");
    await tab.evaluate((job) => window.start(job), job);
    await until(async () => (await tab.textContent("#connection")) === "closed", "the end");
    assert.deepEqual(tab.lines.filter((line) => line !== "connected"), ["completed"]);
  });

  test("says why an id cannot be followed", async () => {
    const tab = await openTab("react.html");
    await tab.evaluate(() => window.start("not a job id"));
    await until(async () => (await tab.textContent("#error")) !== "", "the error");
    assert.equal(await tab.textContent("#connection"), "closed");
    assert.deepEqual(tab.requests, []);
  });
});

describe("several tabs", () => {
  test("use one connection, and another leads when the leader closes", async () => {
    const common = newJob();
    const own = upTo(12).map(newJob);
    await publish(common, "processing", { n: 1 });
    const tabs = [];
    for (const job of own) tabs.push(await follow(common, job));
    for (const tab of tabs) await untilState(tab, "open");
    assert.equal(await openStreams(), 1);
    await publish(common, "processing", { n: 2 });
    for (const [i, job] of own.entries()) await publish(job, "processing", { n: i });
    for (const tab of tabs) await untilGot(tab, 3);
    assert.equal(await openStreams(), 1);

    // The leader is the tab that asks. It goes while events are coming.
    const leader = tabs.findIndex((tab) => tab.requests.length > 0);
    const sending = (async () => {
      for (let n = 3; n <= 30; n++) await publish(common, "processing", { n });
    })();
    await tabs[leader].close();
    await sending;
    const rest = upTo(12).map((_, i) => i).filter((i) => i !== leader);
    for (const i of rest) await publish(own[i], "completed");
    await publish(common, "completed");
    for (const i of rest) await untilState(tabs[i], "closed");
    for (const i of rest) {
      const events = await got(tabs[i]);
      assert.deepEqual(numbers(events, common), [...upTo(30), "completed"], `tab ${i}`);
      assert.deepEqual(numbers(events, own[i]), [i, "completed"], `tab ${i}`);
      assert.equal(events.length, 33, `tab ${i} got nothing of others`);
    }
    assert.equal(await openStreams(), 0);
  });

  test("a tab that crashes does not keep its jobs in the stream", async () => {
    const [first, second] = [newJob(), newJob()];
    const leader = await follow(first);
    await untilState(leader, "open");
    const other = await follow(second);
    await untilState(other, "open");
    other.goto("chrome://crash").catch(() => {});
    await leader.evaluate("subscription.close()");
    await until(async () => (await openStreams()) === 0, "the stream to end");
  });

  test("a tab whose leader hangs takes over", async () => {
    const job = newJob();
    const leader = await follow(job);
    await untilState(leader, "open");
    const other = await follow(job);
    await untilState(other, "open");
    assert.equal(other.requests.length, 0);
    // Longer than anybody waits; the close of the context ends it.
    leader.evaluate("for (const end = Date.now() + 60000; Date.now() < end; );").catch(() => {});
    await until(() => other.requests.length > 0, "the other tab to ask", 3 * HEARTBEAT_MS + 15_000);
    await publish(job, "completed");
    await untilState(other, "closed");
    assert.deepEqual(numbers(await got(other), job), ["completed"]);
  });
});

describe("subscriptions", () => {
  test("that come later get the history, each event once", async () => {
    const [a, b] = [newJob(), newJob()];
    for (const n of [1, 2]) for (const job of [a, b]) await publish(job, "processing", { n });
    const tab = await follow(a);
    await untilGot(tab, 2);
    // One to the same job, one to another, while events keep coming.
    const sending = (async () => {
      for (let n = 3; n <= 20; n++) for (const job of [a, b]) await publish(job, "processing", { n });
    })();
    await tab.evaluate(
      ([a, b]) => {
        window.later = { [a]: [], [b]: [] };
        for (const job of [a, b]) follow(job, { onEvent: ({ data }) => later[job].push(data.n) });
      },
      [a, b],
    );
    await sending;
    const second = await follow(b, a);
    await untilGot(second, 40);
    await untilGot(tab, 20);
    await until(async () => (await tab.evaluate((b) => later[b].length, b)) >= 20, "the later events");
    assert.deepEqual(await tab.evaluate("later"), { [a]: upTo(20), [b]: upTo(20) });
    assert.deepEqual(numbers(await got(tab), a), upTo(20));
    for (const job of [a, b]) assert.deepEqual(numbers(await got(second), job), upTo(20));
    assert.equal(await openStreams(), 1);
    for (const job of [a, b]) await publish(job, "completed");
    for (const each of [tab, second]) await untilState(each, "closed");
  });

  test("to more jobs than a stream takes use several", async () => {
    const ids = upTo(70).map(newJob);
    const tab = await follow(...ids);
    await until(async () => (await openStreams()) === 2, "two streams");
    await publish(ids[0], "completed");
    await publish(ids[69], "completed");
    await untilGot(tab, 2);
    await tab.evaluate("subscription.close()");
    await until(async () => (await openStreams()) === 0, "the streams to end");
  });

  test("to a job that ended before see its end and close", async () => {
    const job = newJob();
    for (const type of ["processing", "failed", "queued", "cancelled"]) await publish(job, type);
    const tab = await follow(job);
    await untilState(tab, "closed");
    assert.deepEqual(numbers(await got(tab), job), ["processing", "failed", "queued", "cancelled"]);
    assert.equal(tab.requests.length, 1);
  });

  test("survive the Back button", async () => {
    const job = newJob();
    const tab = await follow(job);
    await publish(job, "processing", { n: 1 });
    await untilGot(tab, 1);
    await tab.evaluate("addEventListener('pageshow', ({ persisted }) => (window.wasKept = persisted))");
    await tab.goto(`${front.origin}/react.html`);
    await until(async () => (await openStreams()) === 0, "the stream to end");
    await publish(job, "completed");
    await tab.goBack({ waitUntil: "commit" });
    await until(() => tab.evaluate("subscription.state === 'closed'").catch(() => false), "the end");
    assert.equal(await tab.evaluate("window.wasKept"), true);
    assert.deepEqual(numbers(await got(tab), job), [1, "completed"]);
  });
});

test("tickets across origins are renewed, and nothing is lost or doubled", async () => {
  const other = await Stack.start({
    ...SETTINGS,
    JOBWIRE_EVENTS_AUTH: "ticket",
    JOBWIRE_JWT_KEY: "a secret of this test, 32 bytes and more",
    JOBWIRE_CORS_ORIGINS: front.origin,
  });
  try {
    const job = newJob();
    const mint = async (ttl) => (await other.command("token", "mint", "--sub", "u", "--jobs", job, "--ttl", ttl)).trim();
    const query = new URLSearchParams({
      job,
      heartbeat: HEARTBEAT_MS,
      url: new URL("/api/v1", other.page),
      token: await mint("37s"), // the server warns 30 s before the end
    });
    const tabs = [await openTab(`plain.html?${query}`), await openTab(`plain.html?${query}`)];
    const streams = () =>
      tabs.flatMap(({ requests }) => requests).map((url) => new URL(url)).filter(({ pathname }) => pathname.endsWith("/events"));
    for (const tab of tabs) await untilState(tab, "open");
    await other.publish("processing", { n: 1 }, job);
    for (const tab of tabs) await untilGot(tab, 1);

    const token = await mint("1h");
    for (const tab of tabs) await tab.evaluate((next) => void (token = next), token);
    const before = streams().length;
    await until(() => streams().length > before, "the ticket to be renewed");
    for (const tab of tabs) await untilState(tab, "open");

    process.kill(await other.pidOf("events"), "SIGKILL");
    await until(async () => (await stateOf(tabs[0])) !== "open", "the tabs to notice");
    await other.publish("processing", { n: 2 }, job);
    for (const tab of tabs) await untilGot(tab, 2);
    await other.publish("completed", {}, job);
    for (const tab of tabs) {
      await untilState(tab, "closed");
      assert.deepEqual(numbers(await got(tab), job), [1, 2, "completed"]);
    }
    const tickets = streams().map(({ searchParams }) => searchParams.get("ticket"));
    assert.equal(new Set(tickets).size, tickets.length, "none was used twice");
  } finally {
    await other.close();
  }
});

describe("a fault", () => {
  /** Each event once and in order, what came in between and the completion too. */
  async function survives(breakIt, mendIt, n = 2) {
    const job = newJob();
    const tabs = [await follow(job), await follow(job)];
    for (const tab of tabs) await untilState(tab, "open");
    await publish(job, "processing", { n: 1 });
    for (const tab of tabs) await untilGot(tab, 1);
    await breakIt(tabs);
    for (; n <= 5; n++) await publish(job, "processing", { n });
    await publish(job, "completed");
    await mendIt(tabs);
    for (const tab of tabs) {
      await untilState(tab, "closed");
      assert.deepEqual(numbers(await got(tab), job), [1, 2, 3, 4, 5, "completed"]);
      assert.deepEqual(tab.lines.filter((line) => line.startsWith("error")), []);
    }
    return tabs;
  }
  const noOpen = (tabs) =>
    until(async () => !(await Promise.all(tabs.map(stateOf))).includes("open"), "the tabs to notice");

  test("a responder that is killed and started again", () =>
    survives(
      async (tabs) => {
        process.kill(await stack.pidOf("events"), "SIGKILL");
        await noOpen(tabs);
      },
      () => {},
    ));

  test("an nginx that is stopped and started again", () =>
    survives(
      async (tabs) => {
        await front.down();
        await noOpen(tabs);
      },
      () => front.up(),
    ));

  test("503 for some seconds", async () => {
    const tabs = await survives(
      async (tabs) => {
        await front.down();
        await front.up("unavailable");
        await until(async () => (await states(tabs[0])).includes("waiting 503"), "the tabs to be refused");
      },
      async () => {
        await pause(2000);
        await front.down();
        await front.up();
      },
    );
    assert.ok((await states(tabs[1])).includes("waiting 503"), "the other tab was told, too");
  });

  test("a network that goes away and comes back", () => {
    let sessions;
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
    return survives(
      async (tabs) => {
        sessions = await Promise.all(tabs.map((tab) => context.newCDPSession(tab)));
        for (const session of sessions) await session.send("Network.enable");
        // Chromium refuses new requests, but what is open stays open.
        await offline(true);
        await front.down();
        await noOpen(tabs);
        await front.up();
      },
      async () => {
        // Longer than the browser's pause and the client's first one.
        await pause(3000);
        await offline(false);
      },
    );
  });

  test("a connection that is dead without a word", async () => {
    const tabs = await survives(
      () => front.freezeStreams(),
      () => {},
    );
    assert.equal(tabs.flatMap((tab) => tab.requests).length, 2, "the first stream, and the one after it");
  });

  test("a proxy that holds the stream back", async () => {
    await front.down();
    await front.up("buffering");
    const job = newJob();
    await publish(job, "processing", { n: 1 });
    const tabs = [await follow(job), await follow(job)];
    for (const tab of tabs) await untilState(tab, "polling");
    for (let n = 2; n <= 5; n++) await publish(job, "processing", { n });
    for (const tab of tabs) await untilGot(tab, 5);
    await publish(job, "completed");
    for (const tab of tabs) {
      await untilState(tab, "closed");
      assert.deepEqual(numbers(await got(tab), job), [1, 2, 3, 4, 5, "completed"]);
    }
    await front.down();
    await front.up();
  });
});
