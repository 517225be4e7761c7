// SPDX-License-Identifier: ISC
// What the client does when it hears nothing: from a stream, from a machine that
// slept, from the tab that leads.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { Of } from "../src/protocol.js";
import { FakeSource, answerWith, asked, data, events, newTabs, newWorld, pass } from "./world.js";

let world: ReturnType<typeof newWorld>;
beforeEach(() => {
  world = newWorld();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("silence", () => {
  test("after heartbeats means a new stream from the last id", async () => {
    world.follow("a");
    await pass();
    FakeSource.last.send("queued", "e-1", data("a", "queued"));
    for (let i = 0; i < 10; i++) {
      await pass(40_000);
      FakeSource.last.send("heartbeat");
    }
    expect(FakeSource.all.length).toBe(1);
    await pass(46_000);
    expect(FakeSource.all.length).toBe(2);
    expect(FakeSource.last.query.get("last_event_id")).toBe("e-1");
    expect(asked).toEqual([]);
  });

  /** What JSON has of job a, and a poll waits when it has all. */
  const history = (...ids: string[]) =>
    answerWith(({ query }) => {
      const place = query.get("last_event_id");
      const rest = ids.slice(place ? ids.indexOf(place) + 1 : 0);
      if (!rest.length && query.get("wait") === "25") return new Promise(() => {});
      return events(rest.map((id) => [id, "processing", data("a", "processing")]), ids.at(-1)!);
    });

  test("of a new stream brings what JSON has after three seconds, and polling when it happens again", async () => {
    const { subscription, ids } = world.follow("a");
    history("e-1");
    await pass(2900);
    expect(asked).toEqual([]);
    await pass(200);
    expect([ids(), subscription.state]).toEqual([["e-1"], "waiting"]);
    history("e-1", "e-2", "e-3");
    await pass(5200);
    expect([subscription.state, ids()]).toEqual(["polling", ["e-1", "e-2", "e-3"]]);
    expect(FakeSource.all.map(({ readyState }) => readyState)).toEqual([2, 2]);

    // Another job joins, and neither is forgotten.
    world.follow("b");
    await pass();
    const polls = asked.filter(({ query }) => query.get("wait") === "25");
    expect(polls.at(-1)!.query.getAll("job_id")).toEqual(["a", "b"]);
    // A new network may let streams through.
    world.dispatch("online");
    await pass();
    expect(FakeSource.all.length).toBe(3);
  });

  test("of a stream that is open is compared with what JSON has", async () => {
    const { ids, states } = world.follow("a");
    history("e-0");
    await pass();
    FakeSource.last.open();
    FakeSource.last.send("processing", "e-0", data("a", "processing"));
    world.dispatch("visibilitychange");
    await pass();
    // A new one, of which only the head comes: nothing was to come.
    FakeSource.last.open();
    await pass(4000);
    expect([asked.length, FakeSource.all.length]).toEqual([1, 2]);
    FakeSource.last.send("heartbeat");
    await pass(40_000);
    expect(FakeSource.all.length).toBe(2);
    // Another, and something was.
    world.dispatch("visibilitychange");
    await pass();
    FakeSource.last.open();
    history("e-0", "e-1");
    await pass(3100);
    expect(ids()).toEqual(["e-0", "e-1"]);
    expect(states.at(-1)).toBe("waiting");
  });

  test("is no reason to leave a stream while JSON is silent, too", async () => {
    world.follow("a");
    answerWith(() => new Promise(() => {}));
    await pass(15_000);
    expect(FakeSource.all.map(({ readyState }) => readyState)).toEqual([0]);
  });

  test.each(["is", "is not", "can not be"])("that meant polling %s remembered, and ends some time", async (how) => {
    const stored: Record<string, unknown> = {};
    const forbidden = new Proxy({}, { set: () => false });
    if (how !== "is not") vi.stubGlobal("sessionStorage", how === "is" ? stored : forbidden);
    const { subscription } = world.follow("a");
    history("e-1");
    await pass(10_000);
    expect(subscription.state).toBe("polling");
    await pass(3_590_000);
    expect(FakeSource.all.length).toBe(2);
    if (how === "is") {
      expect(Object.keys(stored).length).toBe(1);
      // The page is loaded anew.
      vi.resetModules();
      const { subscribe: subscribeAnew } = await import("../src/jobwire.js");
      const again = subscribeAnew("a", { url: world.url });
      await pass();
      expect([again.state, FakeSource.all.length]).toEqual(["polling", 2]);
      again.close();
    }
    await pass(120_000);
    expect(FakeSource.all.length).toBeGreaterThan(2);
  });

  test("of a poll that does not wait is no reason to ask without end", async () => {
    world.follow("a");
    answerWith(() => events([], "e-1"));
    await pass(60_000);
    asked.length = 0;
    await pass(20_000);
    expect(asked.length).toBeGreaterThan(5);
    expect(asked.length).toBeLessThan(25);
  });

  test("polls without timers, which a hidden page has but once a minute", async () => {
    const { ids } = world.follow("a");
    history("e-1");
    await pass(10_000);
    let reply = (_: ReturnType<typeof events>) => {};
    answerWith(() => new Promise((resolve) => (reply = resolve)));
    world.dispatch("visibilitychange");
    await pass();
    for (const id of ["e-2", "e-3", "e-4"]) {
      const polls = asked.length;
      reply(events([[id, "processing", data("a", "processing")]], id));
      await pass(0);
      expect(asked.length).toBe(polls + 1);
    }
    expect(ids()).toEqual(["e-1", "e-2", "e-3", "e-4"]);
  });
});

describe("a page that looks again", () => {
  async function open() {
    world.follow("a");
    await pass();
    FakeSource.last.open();
    FakeSource.last.send("queued", "e-1", data("a", "queued"));
  }

  test("as it is visible again opens a new stream at once, from the last id", async () => {
    const document = { hidden: true };
    vi.stubGlobal("document", document);
    await open();
    world.dispatch("visibilitychange");
    await pass();
    expect(FakeSource.all.length).toBe(1);
    document.hidden = false;
    world.dispatch("visibilitychange");
    await pass();
    expect(FakeSource.all.map(({ readyState }) => readyState)).toEqual([2, 0]);
    expect(FakeSource.last.query.get("last_event_id")).toBe("e-1");
  });

  test.each([true, false])("after the machine slept does so within a second, unless it is hidden: %s", async (hidden) => {
    vi.stubGlobal("document", { hidden });
    await open();
    await pass(30_000);
    expect(FakeSource.all.length).toBe(1);
    vi.setSystemTime(Date.now() + 3_600_000);
    await pass(1100);
    expect(FakeSource.all.length).toBe(hidden ? 1 : 2);
    await pass(10_000);
    expect(FakeSource.all.length).toBe(hidden ? 1 : 2);
  });

  test("ends a pause at once", async () => {
    world.follow("a");
    await pass();
    answerWith(() => ({ status: 503, retryAfter: 20, body: {} }));
    FakeSource.last.refuse();
    await pass();
    world.dispatch("visibilitychange");
    await pass();
    expect(FakeSource.all.length).toBe(2);
  });
});

describe("a tab among others", () => {
  const here = (isHidden = false, isPolling = false) => ({ kind: "here", isHidden, isPolling }) as const;
  const kinds = (tabs: ReturnType<typeof newTabs>) => tabs.said.map(({ kind }) => kind);

  test("takes the lead from one that says no word for five seconds after it was asked", async () => {
    const tabs = newTabs();
    world.follow("a");
    await pass(4900);
    expect([FakeSource.all.length, kinds(tabs)]).toEqual([0, ["want"]]);
    await pass(200);
    expect(FakeSource.all.length).toBe(1);
  });

  test("asks the leader every 15 seconds, and leaves the lead to it while it answers", async () => {
    const tabs = newTabs();
    world.follow("a");
    await pass();
    tabs.hear(here());
    for (let i = 0; i < 4; i++) {
      await pass(15_000);
      expect(tabs.said.length).toBe(i + 2);
      if (i < 3) tabs.hear(here());
    }
    expect(FakeSource.all.length).toBe(0);
    await pass(5100);
    expect(FakeSource.all.length).toBe(1);
  });

  test.each([false, true])("leads instead of a hidden one, unless it is hidden itself: %s", async (hidden) => {
    vi.stubGlobal("document", { hidden });
    const tabs = newTabs();
    world.follow("a");
    await pass();
    // As often as it is said, it is one stream.
    for (let i = 0; i < 3; i++) tabs.hear(here(true));
    await pass(50);
    expect(FakeSource.all.map(({ readyState }) => readyState)).toEqual(hidden ? [] : [0]);
  });

  test("says that it leads, hidden or not, whenever it is asked or hidden", async () => {
    const document = { hidden: false };
    vi.stubGlobal("document", document);
    const tabs = newTabs();
    world.follow("a");
    await pass(5100);
    tabs.said.length = 0;
    tabs.hear({ kind: "want", tab: "other 0.1", jobs: [], types: [] });
    expect(tabs.said).toEqual([here()]);
    document.hidden = true;
    world.dispatch("visibilitychange");
    expect(tabs.said.at(-1)).toEqual(here(true));
  });

  test("that loses the lead ends its stream, asks the new leader, and can lead again", async () => {
    const tabs = newTabs();
    const { ids } = world.follow("a");
    await pass(5100);
    FakeSource.last.send("queued", "e-1", data("a", "queued"));
    tabs.lose();
    await pass();
    expect(FakeSource.last.readyState).toBe(2);
    tabs.said.length = 0;
    tabs.hear({ kind: "hello" });
    const [want] = tabs.said as Of<"want">[];
    expect(want).toMatchObject({ kind: "want", jobs: [["a", "e-1", expect.any(Number)]] });
    tabs.hear(here());
    // What both leaders tell is let through once.
    for (const id of ["e-1", "e-2"])
      tabs.hear({ kind: "live", jobs: ["a"], id, type: "progress", data: data("a", "processing") as never });
    tabs.hear({ kind: "past", key: want.jobs[0][2]!, events: [], place: "e-1" });
    expect(ids()).toEqual(["e-1", "e-2"]);
    tabs.waiting.at(-1)!();
    await pass(50);
    expect(FakeSource.all.length).toBe(2);
    expect(FakeSource.last.query.get("last_event_id")).toBe("e-2");
  });

  test("tells events in order, whatever the leader before it says while it does not know", async () => {
    const tabs = newTabs();
    const { ids } = world.follow("a");
    await pass();
    const live = (id: string) =>
      tabs.hear({ kind: "live", jobs: ["a"], id, type: "progress", data: data("a", "processing") as never });
    // What came before is still lacking.
    live("e-3");
    tabs.hear(here(true));
    await pass(50);
    live("e-4");
    for (const id of ["e-1", "e-2", "e-3", "e-4"]) FakeSource.last.send("progress", id, data("a", "processing"));
    expect(ids()).toEqual(["e-1", "e-2", "e-3", "e-4"]);
  });

  test.each([false, true])("polls at once when the leader before it did, be it new: %s", async (isNew) => {
    const tabs = newTabs();
    const { subscription } = world.follow("a");
    await pass();
    if (!isNew) tabs.hear({ kind: "told", jobs: ["a"], state: "polling" });
    answerWith(() => new Promise(() => {}));
    tabs.hear(here(true, isNew));
    await pass(50);
    expect([FakeSource.all.length, asked.length, subscription.state]).toEqual([0, 1, "polling"]);
  });
});
