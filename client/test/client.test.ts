// SPDX-License-Identifier: ISC
// What the client does for each thing that a server or a network can do to it.
// silence.test.ts has what nobody says. Real tabs and networks are in
// tests/browser.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { subscribe } from "../src/jobwire.js";
import { lead } from "../src/leader.js";
import { backoff, pause } from "../src/protocol.js";
import { FakeSource, answerWith, asked, data, events, newWorld, pass } from "./world.js";

let world: ReturnType<typeof newWorld>;
beforeEach(() => {
  world = newWorld();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("a subscription", () => {
  test("is one stream, from the start, with heartbeats", async () => {
    const { got, states, subscription } = world.follow("a", { onProgress: () => states.push("progress") });
    await pass();
    expect(FakeSource.all.length).toBe(1);
    expect(FakeSource.last.url).toBe(`${world.url}/events?heartbeat=event&job_id=a`);
    FakeSource.last.open();
    FakeSource.last.send("progress", "e-1", data("a", "processing", { progress: 40 }));
    expect(got).toEqual([{ id: "e-1", type: "progress", jobId: "a", data: data("a", "processing", { progress: 40 }) }]);
    expect(states).toEqual(["open", "progress"]);
    expect(subscription.state).toBe("open");
    expect(asked).toEqual([]);
  });

  test("calls the callback of each type, after onEvent", async () => {
    const called: string[] = [];
    const names = ["Event", "Queued", "Processing", "Progress", "Cancelling", "Completed", "Failed", "Cancelled", "TimedOut"];
    const ends = ["completed", "failed", "cancelled", "timed_out"];
    world.follow("a", Object.fromEntries(names.map((name) => [`on${name}`, () => called.push(name)])));
    await pass();
    for (const type of ["queued", "processing", "progress", "cancelling", ...ends])
      FakeSource.last.send(type, type, data("a", ["progress", "cancelling"].includes(type) ? "processing" : type));
    expect(called).toEqual(names.slice(1).flatMap((name) => ["Event", name]));
  });

  test("gets types of its own only when it names them", async () => {
    const named = world.follow("a", { types: ["event", "deployed"] });
    const other = world.follow("a");
    await pass();
    for (const type of ["event", "deployed", "unknown"]) FakeSource.last.send(type, type, data("a", "processing"));
    expect(named.ids()).toEqual(["event", "deployed"]);
    expect(other.ids()).toEqual([]);
  });

  test.each([[[]], [["error", "open"]]])("takes no event called error or open for the browser's own: %j", async (types) => {
    const { ids, states } = world.follow("a", { types });
    await pass();
    FakeSource.last.open();
    for (const type of ["error", "open"]) FakeSource.last.send(type, type, data("a", "processing"));
    expect([ids(), states]).toEqual([types, ["open"]]);
    expect(FakeSource.last.readyState).toBe(1);
    FakeSource.last.cut();
    expect([ids(), states]).toEqual([types, ["open", "connecting"]]);
    // Neither does the browser's make a silent server one that was heard of.
    answerWith(() => events([], "e-0"));
    for (let i = 0; i < 2; i++) {
      FakeSource.last.refuse();
      await pass(3000);
    }
    expect(states.at(-1)).toBe("polling");
  });

  test("ends with its jobs, when the server ends the stream", async () => {
    const { subscription, states } = world.follow(["a", "b"]);
    await pass();
    expect(FakeSource.last.query.getAll("job_id")).toEqual(["a", "b"]);
    FakeSource.last.send("completed", "e-1", data("a", "completed"));
    FakeSource.last.send("failed", "e-2", data("b", "failed"));
    FakeSource.last.cut();
    expect(subscription.state).toBe("closed");
    await pass(60_000);
    expect(states).toEqual(["closed"]);
    expect([FakeSource.all.length, FakeSource.last.readyState, asked.length]).toEqual([1, 2, 0]);
  });

  test("does not take a cut stream for the end", async () => {
    const { subscription } = world.follow(["a", "b"]);
    await pass();
    FakeSource.last.open();
    FakeSource.last.send("completed", "e-1", data("a", "completed"));
    FakeSource.last.send("progress", "e-2", data("b", "processing"));
    FakeSource.last.cut();
    expect(subscription.state).toBe("connecting");
    await pass(10_000);
    // The browser reconnects by itself; the stream goes on.
    FakeSource.last.open();
    expect([FakeSource.all.length, subscription.state]).toEqual([1, "open"]);
  });

  test("is over some time after the end, when others keep the stream open", async () => {
    const first = world.follow("a");
    const second = world.follow("b");
    await pass();
    FakeSource.last.send("completed", "e-1", data("a", "completed"));
    expect(first.subscription.state).not.toBe("closed");
    await pass(2100);
    expect(first.subscription.state).toBe("closed");
    expect(second.subscription.state).not.toBe("closed");
    expect(FakeSource.last.readyState).not.toBe(2);
  });

  test("follows a job that is taken up again", async () => {
    const { subscription, ids } = world.follow(["a", "b"]);
    await pass();
    FakeSource.last.send("failed", "e-1", data("a", "failed"));
    await pass(1500);
    FakeSource.last.send("queued", "e-2", data("a", "queued"));
    await pass(10_000);
    FakeSource.last.send("completed", "e-3", data("a", "completed"));
    expect(ids()).toEqual(["e-1", "e-2", "e-3"]);
    expect(subscription.state).not.toBe("closed");
  });

  test("is silent once it is closed, even within a callback", async () => {
    const onProgress = vi.fn();
    const { subscription, ids } = world.follow("a", { onEvent: () => subscription.close(), onProgress });
    await pass();
    FakeSource.last.send("progress", "e-1", data("a", "processing"));
    FakeSource.last.send("progress", "e-2", data("a", "processing"));
    expect(ids()).toEqual(["e-1"]);
    expect(onProgress).not.toHaveBeenCalled();
    await pass();
    expect(FakeSource.last.readyState).toBe(2);
  });

  test("that is closed before it connects never connects", async () => {
    world.follow("a").subscription.close();
    await pass(1000);
    expect(FakeSource.all).toEqual([]);
  });

  test("survives callbacks that throw", async () => {
    const error = new Error("of the page");
    const { ids } = world.follow("a", {
      onEvent() {
        throw error;
      },
    });
    await pass();
    for (const id of ["e-1", "e-2"]) FakeSource.last.send("progress", id, data("a", "processing"));
    expect(ids()).toEqual(["e-1", "e-2"]);
    expect(world.reported).toEqual([error, error]);
  });

  test("needs job ids", () => {
    for (const id of ["", "a b", "ä", "a/b", "a".repeat(129)]) expect(() => subscribe(id)).toThrow(TypeError);
    for (const id of [null, undefined, 7, [7], ["a", null]]) expect(() => subscribe(id as never)).toThrow(TypeError);
    expect(subscribe([]).state).toBe("closed");
  });

  test("works where the browser has no channels, or forbids them", async () => {
    vi.stubGlobal("navigator", { locks: {} });
    for (const channel of [
      undefined,
      class {
        constructor() {
          throw new Error("the operation is insecure");
        }
      },
    ]) {
      vi.stubGlobal("BroadcastChannel", channel);
      const { ids } = world.follow("a", { share: `with ${channel}` });
      await pass();
      FakeSource.last.send("queued", "e-1", data("a", "queued"));
      expect(ids()).toEqual(["e-1"]);
    }
  });
});

describe("jobs that join", () => {
  test("get their history, and the stream goes on from its place", async () => {
    const first = world.follow("a");
    await pass();
    FakeSource.last.send("progress", "e-5", data("a", "processing"));
    answerWith(({ query }) =>
      query.has("last_event_id")
        ? events([], "e-6")
        : events(
            [
              ["e-2", "queued", data("b", "queued")],
              ["e-6", "progress", data("b", "processing")],
            ],
            "e-6",
          ),
    );
    const second = world.follow("b");
    await pass();
    expect(FakeSource.all.length).toBe(2);
    expect(FakeSource.all[0].readyState).toBe(2);
    expect(FakeSource.last.query.getAll("job_id")).toEqual(["a", "b"]);
    expect(FakeSource.last.query.get("last_event_id")).toBe("e-5");
    // What the history had already comes again.
    FakeSource.last.send("progress", "e-6", data("b", "processing"));
    FakeSource.last.send("progress", "e-7", data("b", "processing"));
    expect(second.ids()).toEqual(["e-2", "e-6", "e-7"]);
    expect(first.ids()).toEqual(["e-5"]);
  });

  test("get what comes meanwhile after their history", async () => {
    const first = world.follow("a");
    await pass();
    FakeSource.last.send("queued", "e-1", data("a", "queued"));
    let reply = (_: ReturnType<typeof events>) => {};
    answerWith(({ query }) =>
      query.has("last_event_id") ? events([], "e-2") : new Promise((resolve) => (reply = resolve)),
    );
    const second = world.follow("a");
    await pass();
    FakeSource.last.send("processing", "e-2", data("a", "processing"));
    FakeSource.last.send("progress", "e-3", data("a", "processing"));
    expect(second.ids()).toEqual([]);
    reply(events([["e-1", "queued", data("a", "queued")], ["e-2", "processing", data("a", "processing")]], "e-2"));
    await pass();
    for (const { ids } of [first, second]) expect(ids()).toEqual(["e-1", "e-2", "e-3"]);
    expect(FakeSource.all.length).toBe(1);
  });

  test("get their history in the end, when it fails at first", async () => {
    world.follow("a");
    await pass();
    FakeSource.last.send("queued", "e-1", data("a", "queued"));
    const second = world.follow("a");
    await pass(10_000);
    answerWith(() => events([["e-1", "completed", data("a", "completed")]], "e-1", true));
    await pass(30_000);
    expect(second.ids()).toEqual(["e-1"]);
  });

  test("say why their history is not to be had, and are open when it is", async () => {
    const first = world.follow("a");
    await pass();
    FakeSource.last.open();
    FakeSource.last.send("queued", "e-1", data("a", "queued"));
    answerWith(() => ({ status: 400, body: { error: { code: "bad_wait" } } }));
    const second = world.follow("a");
    await pass();
    expect([second.states, second.subscription.state]).toEqual([["waiting: bad_wait"], "waiting"]);
    // The stream is open, again and again, and brings more: that is not all.
    FakeSource.last.open();
    FakeSource.last.send("processing", "e-2", data("a", "processing"));
    expect([second.ids(), second.subscription.state]).toEqual([[], "waiting"]);
    expect(new Set(first.states)).toEqual(new Set(["open"]));
    answerWith(() => events([["e-1", "queued", data("a", "queued")]], "e-1", true));
    await pass(3000);
    expect([second.ids(), second.subscription.state]).toEqual([["e-1", "e-2"], "open"]);
  });

  test("ask for their history once, however often they say that they need it", async () => {
    world.follow("a");
    await pass();
    FakeSource.last.send("queued", "e-1", data("a", "queued"));
    const { ids } = world.follow("a");
    await pass();
    // The server is away; others come and go meanwhile.
    for (let i = 0; i < 20; i++) {
      world.follow("a").subscription.close();
      await pass();
    }
    asked.length = 0;
    answerWith(() => events([["e-1", "queued", data("a", "queued")]], "e-1", true));
    await pass(10_000);
    expect(ids()).toEqual(["e-1"]);
    expect(asked.length).toBe(1);
  });

  test("get all pages of their history, though their job never rests", async () => {
    const first = world.follow("a");
    await pass();
    FakeSource.last.send("queued", "0123abcd-2500", data("a", "queued"));
    // While a page is on its way, more comes.
    let last = 2600;
    answerWith(async ({ query }) => {
      await pause(50);
      const place = +(query.get("last_event_id") ?? "").slice(9);
      const id = `0123abcd-${Math.min(place + 1000, (last += 10))}`;
      return events([[id, "progress", data("b", "processing")]], id);
    });
    const second = world.follow("b");
    await pass(1000);
    for (const n of [last, 5000]) FakeSource.last.send("progress", `0123abcd-${n}`, data("b", "processing"));
    expect(second.ids().map((id) => +id.slice(9))).toEqual([1000, 2000, 2630, 5000]);
    expect(first.ids()).toEqual(["0123abcd-2500"]);
  });

  test("a second time have not ended because they had ended before", async () => {
    world.follow("b");
    const first = world.follow("a");
    await pass();
    FakeSource.last.send("failed", "e-1", data("a", "failed"));
    await pass(2100);
    expect(first.subscription.state).toBe("closed");
    world.follow("c");
    answerWith(() => events([], "e-1"));
    await pass();
    // While nobody follows it, a is taken up again.
    FakeSource.last.send("queued", "e-3", data("b", "queued"));
    answerWith(({ query }) =>
      events(query.has("last_event_id") ? [] : [["e-2", "queued", data("a", "queued")]], "e-2"),
    );
    const second = world.follow("a");
    await pass();
    expect(second.ids()).toEqual(["e-2"]);
    for (const [id, job] of [["e-4", "b"], ["e-5", "c"]]) FakeSource.last.send("completed", id, data(job, "completed"));
    FakeSource.last.cut();
    expect(FakeSource.last.readyState).not.toBe(2);
    FakeSource.last.send("completed", "e-6", data("a", "completed"));
    expect(second.ids()).toEqual(["e-2", "e-6"]);
  });

  test("use further streams when one is full", async () => {
    world.follow(Array.from({ length: 130 }, (_, i) => `job-${i}`));
    await pass();
    expect(FakeSource.all.map(({ query }) => query.getAll("job_id").length)).toEqual([64, 64, 2]);
    world.follow(Array.from({ length: 64 }, (_, i) => `${i}`.padEnd(128, "x")));
    await pass();
    expect(Math.max(...FakeSource.all.map(({ url }) => url.length))).toBeLessThan(8000);
  });

  test("that are refused do not keep the others out", async () => {
    let isRefused = true;
    answerWith(({ query }) =>
      isRefused && query.getAll("job_id").includes("bad")
        ? { status: 403, body: { error: { code: "job_forbidden", message: "Not yours." } } }
        : events([], "e-0"),
    );
    const good = world.follow(["a", "b"]);
    const bad = world.follow("bad");
    await pass();
    expect(FakeSource.last.query.getAll("job_id")).toEqual(["a", "b", "bad"]);
    FakeSource.last.refuse();
    await pass(100);
    const [, one, other] = FakeSource.all;
    const [rest, alone] = one.query.has("job_id", "a") ? [one, other] : [other, one];
    expect(rest.query.getAll("job_id")).toEqual(["a", "b"]);
    rest.open();
    rest.send("progress", "e-1", data("a", "processing"));
    expect(good.ids()).toEqual(["e-1"]);

    alone.refuse();
    await pass(100);
    expect(bad.states.at(-1)).toBe("waiting: job_forbidden");
    expect(good.subscription.state).toBe("open");
    isRefused = false;
    await pass(10_000);
    expect(FakeSource.last.query.getAll("job_id")).toEqual(["bad"]);
  });
});

describe("a stream that the browser gives up", () => {
  test("is over when JSON says so, and the job's state stands in for an end that was not sent", async () => {
    const completed = vi.fn();
    const { subscription, got } = world.follow("a", { onCompleted: completed });
    await pass();
    answerWith(({ path }) =>
      path === "/jobs/a"
        ? { body: { job_id: "a", state: "completed", progress: 100, output: { x: 1 }, last_event_id: "e-9" } }
        : events([], "e-9", true),
    );
    FakeSource.last.refuse();
    await pass();
    expect(subscription.state).toBe("closed");
    expect(completed).toHaveBeenCalledTimes(1);
    expect(got[0]).toMatchObject({ id: "e-9", type: "completed", data: { status: "completed", output: { x: 1 } } });
  });

  test("brings what JSON brings, and is opened again", async () => {
    const { ids, subscription } = world.follow("a");
    await pass();
    FakeSource.last.send("queued", "e-1", data("a", "queued"));
    answerWith(({ query }) => {
      expect(query.get("last_event_id")).toBe("e-1");
      return events([["e-2", "processing", data("a", "processing")]], "e-2");
    });
    FakeSource.last.refuse();
    await pass();
    expect([ids(), subscription.state]).toEqual([["e-1", "e-2"], "waiting"]);
    await pass(2000);
    expect(FakeSource.all.length).toBe(2);
    expect(FakeSource.last.query.get("last_event_id")).toBe("e-2");
  });

  test("is tried again less and less often while the server is away", async () => {
    const { states } = world.follow("a");
    answerWith(() => ({ status: 503, body: { error: { code: "overloaded" } } }));
    for (let i = 0; i < 120; i++) {
      await pass(1000);
      if (FakeSource.last.readyState !== 2) FakeSource.last.refuse();
    }
    expect(FakeSource.all.length).toBeGreaterThan(5);
    expect(FakeSource.all.length).toBeLessThan(14);
    expect(new Set(states)).toEqual(new Set(["waiting: overloaded", "connecting"]));
  });

  test("waits as long as the server says", async () => {
    world.follow("a");
    await pass();
    answerWith(() => ({ status: 503, retryAfter: 20, body: {} }));
    FakeSource.last.refuse();
    await pass(19_000);
    expect(FakeSource.all.length).toBe(1);
    await pass(1100);
    expect(FakeSource.all.length).toBe(2);
  });

  test("is not tried without end when the server says that it is away for months", async () => {
    world.follow("a");
    await pass();
    answerWith(() => ({ status: 503, retryAfter: 10_000_000, body: {} }));
    FakeSource.last.refuse();
    await pass(60_000);
    expect([FakeSource.all.length, asked.length]).toEqual([1, 1]);
  });

  test("is tried at once when the network is back", async () => {
    world.follow("a");
    await pass();
    answerWith(() => ({ status: 503, retryAfter: 20, body: {} }));
    FakeSource.last.refuse();
    await pass();
    world.dispatch("online");
    await pass();
    expect(FakeSource.all.length).toBe(2);
  });
});

describe("tickets", () => {
  const counting = () => {
    let n = 0;
    return vi.fn(async (_: string[]) => `t ${++n}`);
  };

  test("are fetched anew for each stream, which goes on from its place", async () => {
    const ticket = counting();
    world.follow(["a", "b"], { ticket, withCredentials: true });
    await pass();
    expect(ticket).toHaveBeenCalledWith(["a", "b"]);
    expect(FakeSource.last.query.get("ticket")).toBe("t 1");
    expect(FakeSource.last.init.withCredentials).toBe(true);
    FakeSource.last.send("queued", "e-1", data("a", "queued"));
    FakeSource.last.cut();
    expect(FakeSource.last.readyState).toBe(2);
    await pass(2100);
    expect(FakeSource.all.length).toBe(2);
    expect(FakeSource.last.query.get("ticket")).toBe("t 2");
    expect(FakeSource.last.query.get("last_event_id")).toBe("e-1");
  });

  test("are renewed before they expire", async () => {
    world.follow("a", { ticket: counting() });
    await pass();
    FakeSource.last.open();
    FakeSource.last.send("queued", "e-1", data("a", "queued"));
    // Of a token that is about to end anyway.
    FakeSource.last.send("expiring");
    await pass(1100);
    expect(FakeSource.all.length).toBe(1);
    FakeSource.last.send("expiring");
    await pass();
    expect(FakeSource.all.map(({ query }) => query.get("ticket"))).toEqual(["t 1", "t 2"]);
    expect(FakeSource.last.query.get("last_event_id")).toBe("e-1");
  });

  test("are for JSON, too", async () => {
    world.follow("a", { ticket: counting(), withCredentials: true });
    await pass();
    answerWith(({ path }) => (path === "/jobs/a" ? { body: { state: "failed" } } : events([], "e-1", true)));
    FakeSource.last.refuse();
    await pass();
    expect(asked.map(({ query }) => query.get("ticket"))).toEqual(["t 2", "t 3"]);
    expect(asked[0].credentials).toBe("include");
  });

  test("that are not to be had are waited for", async () => {
    const ticket = vi.fn().mockRejectedValueOnce(new Error("signed out")).mockResolvedValue("t");
    const { states } = world.follow("a", { ticket });
    await pass(10);
    expect(states).toEqual(["waiting: signed out"]);
    await pass(2100);
    expect(FakeSource.all.length).toBe(1);
  });

  test("that never come are asked for again", async () => {
    const ticket = vi.fn().mockReturnValueOnce(new Promise(() => {})).mockResolvedValue("t");
    const { states } = world.follow("a", { ticket });
    await pass(14_000);
    expect(FakeSource.all).toEqual([]);
    await pass(5000);
    expect(states).toEqual(["waiting: no ticket", "connecting"]);
    expect(FakeSource.last.query.get("ticket")).toBe("t");
  });

  test("may fail in any way", async () => {
    const ticket = vi.fn().mockImplementationOnce(() => Promise.reject()).mockResolvedValue("t");
    const { states } = world.follow(["a", "b"], { ticket });
    await pass(2100);
    expect(states[0]).toBe("waiting: undefined");
    expect(FakeSource.all.length).toBe(1);
  });

  test("of jobs that are not wanted any more open nothing", async () => {
    let give = (_: string) => {};
    const { subscription } = world.follow("a", { ticket: () => new Promise((resolve) => (give = resolve)) });
    await pass();
    subscription.close();
    await pass();
    give("t");
    await pass(1000);
    expect(FakeSource.all).toEqual([]);
  });

  test("are not needed for expiring to be heard by pages without them", async () => {
    world.follow("a");
    await pass();
    await pass(1100);
    FakeSource.last.send("expiring");
    await pass();
    expect(FakeSource.all.length).toBe(1);
  });

  test("that are refused for one job, as the page says by a status, do not keep the others out", async () => {
    answerWith(() => events([], "e-0"));
    const ticket = async (jobs: string[]) => {
      if (jobs.includes("bad")) throw { message: "not yours", status: 403 };
      return "t";
    };
    const { states } = world.follow("bad", { ticket });
    world.follow(["a", "b"], { ticket });
    await pass(100);
    expect(FakeSource.all.map(({ query }) => query.getAll("job_id"))).toEqual([["a", "b"]]);
    expect(states.at(-1)).toBe("waiting: not yours");
  });
});

describe("a resync", () => {
  test("is told, and what follows is delivered once", async () => {
    const onResync = vi.fn();
    const { ids } = world.follow(["a", "b"], { onResync });
    await pass();
    FakeSource.last.send("queued", "e-1", data("a", "queued"));
    FakeSource.last.send("resync", "e-0", { reason: "expired" });
    FakeSource.last.send("queued", "e-1", data("a", "queued"));
    FakeSource.last.send("processing", "e-9", data("a", "processing"));
    expect(onResync.mock.calls).toEqual([["expired"]]);
    expect(ids()).toEqual(["e-1", "e-9"]);
  });

  test("doubles nothing of a job, however much came of another", async () => {
    const { got } = world.follow(["a", "b"]);
    await pass();
    FakeSource.last.send("queued", "e-1", data("a", "queued"));
    for (let i = 2; i < 6000; i++) FakeSource.last.send("progress", `e-${i}`, data("b", "processing"));
    FakeSource.last.send("resync", "e-0", { reason: "expired" });
    FakeSource.last.send("queued", "e-1", data("a", "queued"));
    expect(got.filter(({ jobId }) => jobId === "a").length).toBe(1);
  });

  test("to an older database gives ids a new meaning", async () => {
    const { ids } = world.follow("a");
    await pass();
    FakeSource.last.send("queued", "e-1", data("a", "queued"));
    FakeSource.last.send("resync", "e-0", { reason: "future" });
    FakeSource.last.send("failed", "e-1", data("a", "failed"));
    expect(ids()).toEqual(["e-1", "e-1"]);
  });
});

describe("in a cluster", () => {
  const from = (origin: string, seq: number) => ({ ...data("a", "processing"), origin, seq });

  test("an event that comes again with another id is delivered once", async () => {
    const { ids } = world.follow("a");
    await pass();
    FakeSource.last.send("progress", "0123abcd-1099511627904", from("n1", 128));
    FakeSource.last.send("progress", "0123abcd-1099511628032", from("n2", 128));
    FakeSource.last.send("progress", "0123abcd-2199023255680", from("n1", 128));
    FakeSource.last.send("progress", "0123abcd-2199023255808", from("n1", 2128));
    expect(ids()).toEqual(["0123abcd-1099511627904", "0123abcd-1099511628032", "0123abcd-2199023255808"]);
  });

  test("a node that lags tells again what is known", async () => {
    const { ids } = world.follow("a");
    await pass();
    FakeSource.last.send("progress", "0123abcd-1099511627904", from("n1", 128));
    FakeSource.last.send("resync", "0123abcd-0", { reason: "behind" });
    FakeSource.last.send("progress", "0123abcd-1099511627904", from("n1", 128));
    expect(ids()).toEqual(["0123abcd-1099511627904"]);
  });

  test("only: on a single node these members are the page's own", async () => {
    const { ids } = world.follow("a");
    await pass();
    FakeSource.last.send("progress", "0123abcd-1.4294967295", from("n1", 128));
    FakeSource.last.send("progress", "0123abcd-2.4294967295", from("n1", 128));
    expect(ids()).toEqual(["0123abcd-1.4294967295", "0123abcd-2.4294967295"]);
  });
});

test("a leader forgets a tab that wants nothing any more", () => {
  const onTab = vi.fn();
  const onIdle = vi.fn();
  const leader = lead(world.url, () => ({}), () => false, () => {}, onTab, onIdle);
  const want = (jobs: string[]) => leader.want({ tab: "tab", jobs: jobs.map((job) => [job, ""]), types: [] });
  want(["a"]);
  want(["b"]);
  expect(onTab).toHaveBeenCalledTimes(1);
  want([]);
  expect(onTab).toHaveBeenCalledTimes(1);
  expect(onIdle).toHaveBeenCalledTimes(1);
  want(["a"]);
  expect(onTab).toHaveBeenCalledTimes(2);
});

test("pauses grow to half a minute, and no two clients' are the same", () => {
  for (const [tries, longest] of [[0, 2000], [1, 4000], [3, 16_000], [4, 30_000], [1000, 30_000]])
    for (let i = 0; i < 100; i++) {
      expect(backoff(tries)).toBeGreaterThanOrEqual(longest / 2);
      expect(backoff(tries)).toBeLessThanOrEqual(longest);
    }
  expect(new Set(Array.from({ length: 20 }, () => backoff(0))).size).toBeGreaterThan(10);
});
