// SPDX-License-Identifier: ISC
// The client library and the React hook in a real browser, with real responders
// behind a real nginx: what the library promises its pages.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { HEARTBEAT_MS, SETTINGS, Scene, got, numbers, stateOf, states, untilCut, untilGot, untilState, upTo } from "./scene.mjs";
import { Stack, startBrowser, until } from "./stack.mjs";

const QUIET_MS = 10_000;
/** Tabs whose jobs have ended, and when it is clear that they ask no more. */
const finished = [];

let browser, scene, stack, front, newJob, openStreams, openTab, follow, publish;

before(async () => {
  browser = await startBrowser();
  scene = await Scene.start(browser);
  ({ stack, front, newJob, openStreams, openTab, follow, publish } = scene);
});
after(async () => {
  await scene?.close();
  await browser?.close();
});
afterEach(() => scene.renew());

const untilStreams = (n) => until(async () => (await openStreams()) === n, `${n} streams`);

describe("the hook", () => {
  for (const version of ["", "18"])
    for (const mode of ["", "?strict"])
      test(`starts, completes and closes the stream: React ${version || "19"} ${mode}`, async () => {
        const tab = await openTab(`react${version}.html${mode}`);
        assert.deepEqual(tab.requests, [], "nothing is asked without a job");
        for (const n of [1, 2]) {
          const job = newJob();
          await tab.evaluate((job) => window.start(job), job);
          await until(() => tab.lines.length >= 1, "the page to connect");
          await publish(job, "progress", { progress: 40 });
          await until(async () => (await tab.textContent("#progress")) === "40", "progress");
          await publish(job, "completed");
          await until(() => tab.lines.length >= 3, "the completion");
          assert.deepEqual(tab.lines.splice(0), ["connected", "progress 40", "completed"]);

          // The list is new without a reload, the stream closed.
          await until(async () => (await tab.$$("li")).length === n, "the list to be refreshed");
          assert.match(await tab.textContent("li:last-child"), new RegExp(`^${n}\\. ${job} completed$`));
          await until(async () => (await tab.textContent("#connection")) === "closed", "the end of the connection");
          await untilStreams(0);

          // One stream and the page's own look at the job.
          assert.deepEqual(
            tab.requests.splice(0).map((url) => new URL(url).pathname),
            ["/api/v1/events", `/api/v1/jobs/${job}`],
          );
        }
        finished.push({ tab, end: Date.now() + QUIET_MS });
        scene.context = undefined; // the tab stays
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
      await untilStreams(0);
      await tab.evaluate(() => window.show(true));
    }
    const held = await tab.evaluate(async () => (await navigator.locks.query()).held);
    assert.deepEqual(held, []);
    await publish(job, "completed");
    await tab.evaluate((job) => window.start(job), job);
    await until(() => tab.lines.includes("completed"), "the completion");
    await until(async () => (await tab.textContent("#connection")) === "closed", "the end");
    assert.deepEqual(tab.lines.filter((line) => line !== "connected"), ["completed"]);
  });

  test("shows nothing of an earlier time when an id comes back", async () => {
    const tab = await openTab("react.html");
    const [a, b] = [newJob(), newJob()];
    for (const job of [a, b]) await publish(job, "completed");
    const statuses = () => tab.evaluate("window.shown");
    const run = async (job) => {
      await tab.evaluate((job) => window.start(job), job);
      // Closed is also what it is before it connects.
      await until(async () => (await tab.textContent("#status")) === "completed", "the completion");
      await until(async () => (await tab.textContent("#connection")) === "closed", "the end");
    };
    await run(a);
    // In one turn: the list is fetched yet, and shows the job once more when it comes.
    await tab.evaluate(() => {
      window.flush(() => window.start(null));
      window.shown = [];
    });
    await run(a);
    const seen = (await statuses()).filter(([job]) => job === a).map(([, status]) => status);
    assert.equal(seen[0], null);
    assert.equal(seen.at(-1), "completed");

    // Back and forth in one turn: each job's own end, and only of the last.
    tab.lines.length = 0;
    await tab.evaluate(([a, b]) => void [a, b, a, b].forEach((job) => window.flush(() => window.start(job))), [a, b]);
    await until(() => tab.lines.includes("completed"), "the completion");
    await until(async () => (await tab.textContent("#connection")) === "closed", "the end");
    assert.deepEqual(tab.lines.filter((line) => line === "completed"), ["completed"]);
    // The list is fetched then.
    await until(
      async () => (await tab.textContent("li:last-child")).endsWith(`${b} completed`),
      "the end of the last job in the list",
    );
  });

  test("calls back into the latest rendering, also when the id goes", async () => {
    const tab = await openTab("react.html");
    const job = newJob();
    await tab.evaluate((job) => window.start(job), job);
    await until(() => tab.lines.includes("connected"), "the page to connect");
    await tab.evaluate(() => window.start(null));
    await until(() => tab.evaluate("window.closedIn !== undefined"), "the end");
    assert.equal(await tab.evaluate("window.closedIn"), "null");
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
    await untilStreams(1);
    await publish(common, "processing", { n: 2 });
    for (const [i, job] of own.entries()) await publish(job, "processing", { n: i });
    for (const tab of tabs) await untilGot(tab, 3);
    await untilStreams(1);

    // The leader is the one tab that asks. It goes while events are coming.
    assert.equal(tabs.filter((tab) => tab.requests.length > 0).length, 1);
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
    await untilStreams(0);
  });

  test("a tab that crashes does not keep its jobs in the stream", async () => {
    const [first, second] = [newJob(), newJob()];
    const leader = await follow(first);
    await untilState(leader, "open");
    const other = await follow(second);
    await untilState(other, "open");
    other.goto("chrome://crash").catch(() => {});
    await leader.evaluate("subscription.close()");
    await untilStreams(0);
  });

  test("lead for themselves where locks are refused", async () => {
    const job = newJob();
    await scene.context.addInitScript(() => {
      LockManager.prototype.request = () => Promise.reject(new DOMException("not here", "SecurityError"));
    });
    const tabs = [await follow(job), await follow(job)];
    for (const tab of tabs) await untilState(tab, "open");
    await untilStreams(2);
    await publish(job, "processing", { n: 1 });
    for (const tab of tabs) await untilGot(tab, 1);
    // Nobody misses the other.
    await tabs[1].close();
    await publish(job, "completed");
    await untilState(tabs[0], "closed");
    assert.deepEqual(numbers(await got(tabs[0]), job), [1, "completed"]);
    assert.equal(tabs[0].requests.length, 1);
  });

  test("bear what later versions may say", async () => {
    const job = newJob();
    const tabs = [await follow(job), await follow(job)];
    for (const tab of tabs) await untilState(tab, "open");
    await tabs[0].evaluate(() => {
      const channel = new BroadcastChannel(`jobwire 2,${location.origin}/api/v1,false,true`);
      for (const message of [{}, { kind: "later" }]) channel.postMessage(message);
    });
    await publish(job, "completed");
    for (const tab of tabs) {
      await untilState(tab, "closed");
      assert.deepEqual(numbers(await got(tab), job), ["completed"]);
      assert.deepEqual(tab.lines, []);
    }
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
    await untilStreams(1);
    for (const job of [a, b]) await publish(job, "completed");
    for (const each of [tab, second]) await untilState(each, "closed");
  });

  test("say why their history does not come, while the stream is open", async () => {
    const job = newJob();
    await publish(job, "processing", { n: 1 });
    const tab = await follow(job);
    await untilGot(tab, 1);
    // As when a page's own fetch adds a header that another origin does not allow.
    await tab.route(/format=json/, (route) => route.abort());
    await tab.evaluate((job) => {
      window.later = { events: [], states: [] };
      follow(job, {
        onEvent: ({ data }) => later.events.push(data.n),
        onState: (state, error) => later.states.push(error ? `${state}: ${error.message}` : state),
      });
    }, job);
    await until(() => tab.evaluate("later.states.length > 0"), "the reason");
    assert.match(await tab.evaluate("later.states.at(-1)"), /^waiting: .*fetch/);
    await publish(job, "processing", { n: 2 });
    await untilGot(tab, 2);
    assert.equal(await stateOf(tab), "open");
    assert.match(await tab.evaluate("later.states.at(-1)"), /^waiting/);
    await tab.unroute(/format=json/);
    await until(() => tab.evaluate("later.states.at(-1) === 'open'"), "the history");
    assert.deepEqual(await tab.evaluate("later.events"), [1, 2]);
  });

  test("to more jobs than a stream takes use several", async () => {
    const ids = upTo(70).map(newJob);
    const tab = await follow(...ids);
    await untilStreams(2);
    await publish(ids[0], "completed");
    await publish(ids[69], "completed");
    await untilGot(tab, 2);
    await tab.evaluate("subscription.close()");
    await untilStreams(0);
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
    await untilStreams(0);
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

    await other.kill("events");
    await untilCut(tabs);
    await other.publish("processing", { n: 2 }, job);
    other.revive();
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
  test("a responder that is killed and started again", () =>
    scene.survives(
      async (tabs) => {
        await stack.kill("events");
        await untilCut(tabs);
      },
      () => stack.revive(),
    ));

  test("an nginx that is stopped and started again", () =>
    scene.survives(
      async (tabs) => {
        await front.down();
        await untilCut(tabs);
      },
      () => front.up(),
    ));

  test("a connection that is dead without a word", async () => {
    const tabs = await scene.survives(
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
    // The proxy may never let go of a stream: what was found out is not tried again.
    const streams = () => tabs.flatMap((tab) => tab.requests).filter((url) => url.includes("heartbeat=event")).length;
    assert.ok(streams() <= 2);
    const before = streams();
    for (const tab of tabs) {
      await tab.reload();
      await untilState(tab, "polling");
    }
    assert.equal(streams(), before);
    await publish(job, "completed");
    for (const tab of tabs) {
      await untilState(tab, "closed");
      assert.deepEqual(numbers(await got(tab), job), [1, 2, 3, 4, 5, "completed"]);
    }
    await front.down();
    await front.up();
  });
});

// A browser would have come back after a second, the client after two.
test("tabs whose jobs have ended ask nothing in the following ten seconds", async () => {
  for (const { tab, end } of finished) {
    await pause(end - Date.now());
    assert.deepEqual([tab.requests, tab.lines], [[], []]);
    await tab.context().close();
  }
});
