// SPDX-License-Identifier: ISC
// start() and cancel(): what they send, and what they make of each answer.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { cancel, start } from "../src/runs.js";

let calls: { url: string; init: RequestInit }[];

/** The server's answer to the next calls. */
function answerWith(status: number, body: unknown, headers: Record<string, string> = {}) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    calls.push({ url, init });
    return new Response(text, { status, headers });
  });
}

/** No answer comes, until the page gives up. */
function answerNever() {
  vi.stubGlobal("fetch", (_: string, { signal }: RequestInit) => {
    signal!.throwIfAborted();
    return new Promise((_, reject) => signal!.addEventListener("abort", () => reject(signal!.reason)));
  });
}

const STARTED = { job_id: "a", restore_id: "r", run_id: 7, status: "queued", events_url: "/api/v1/events/a" };

beforeEach(() => {
  calls = [];
});
afterEach(() => vi.unstubAllGlobals());

test("a start is one call, with all that it was given", async () => {
  answerWith(202, STARTED);
  const started = await start("a", "restore", { seed: 1 }, {
    url: "https://jobs.example/api/v1",
    token: async () => "t0ken",
    withCredentials: true,
    restoreId: "r",
    policy: { ttl: 60_000 },
    idempotencyKey: "k",
  });
  expect(started).toEqual({ ok: true, ...STARTED });
  const [{ url, init }] = calls;
  expect(calls.length).toBe(1);
  expect(url).toBe("https://jobs.example/api/v1/jobs/a/restore");
  expect(init.method).toBe("POST");
  expect(init.credentials).toBe("include");
  expect(init.headers).toEqual({
    "Content-Type": "application/json",
    Authorization: "Bearer t0ken",
    "Idempotency-Key": "k",
  });
  expect(JSON.parse(init.body as string)).toEqual({ input: { seed: 1 }, restore_id: "r", policy: { ttl: 60_000 } });
});

test("what was not given is not sent", async () => {
  answerWith(202, STARTED);
  await start("a", "restore", {}, { url: "/api/v1/" });
  const [{ url, init }] = calls;
  expect(url).toBe("/api/v1/jobs/a/restore");
  expect(init.credentials).toBeUndefined();
  expect(init.headers).toEqual({ "Content-Type": "application/json" });
  expect(init.body).toBe('{"input":{}}');
});

test("a cancel sends the type that no form can, too", async () => {
  answerWith(202, { job_id: "a", run_id: 7, status: "cancelling" });
  expect(await cancel("a")).toEqual({ ok: true, job_id: "a", run_id: 7, status: "cancelling" });
  expect(calls[0].url).toBe("/api/v1/jobs/a/cancel");
  expect(calls[0].init.headers).toEqual({ "Content-Type": "application/json" });
});

describe("what is refused is told, not thrown", () => {
  test.each([
    [409, { error: { code: "job_running", message: "It runs." } }, {}, { code: "job_running", message: "It runs." }],
    [429, { error: { code: "busy", message: "Later." } }, { "Retry-After": "3" }, { code: "busy", message: "Later.", retryAfter: 3000 }],
    [502, "<html>", {}, { code: "http_502", message: "HTTP 502" }],
    [200, "<html>", {}, { code: "http_200", message: "HTTP 200" }],
    [403, "null", {}, { code: "http_403", message: "HTTP 403" }],
  ])("%i %j", async (status, body, headers, expected) => {
    answerWith(status, body, headers as unknown as Record<string, string>);
    expect(await start("a", "restore", {})).toEqual({ ok: false, status, ...expected });
  });

  test("a server that is away", async () => {
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
    expect(await cancel("a")).toEqual({ ok: false, code: "unreachable", message: "TypeError: Failed to fetch" });
  });

  test("a page that gives up, before and meanwhile", async () => {
    answerNever();
    const signal = AbortSignal.abort();
    expect(await start("a", "restore", {}, { signal })).toMatchObject({ ok: false, code: "aborted" });
    const controller = new AbortController();
    const started = start("a", "restore", {}, { signal: controller.signal });
    controller.abort();
    expect(await started).toMatchObject({ ok: false, code: "aborted" });
  });

  test.each(["unreachable", "aborted"])("an answer that breaks off: %s", async (code) => {
    const controller = new AbortController();
    const body = new ReadableStream({
      start(stream) {
        stream.enqueue(new TextEncoder().encode('{"job_id":'));
        if (code === "aborted") controller.abort();
        stream.error(code === "aborted" ? controller.signal.reason : new TypeError("network error"));
      },
    });
    vi.stubGlobal("fetch", async () => new Response(body, { status: 202 }));
    expect(await start("a", "restore", {}, controller)).toMatchObject({ ok: false, code });
  });

  test("a token that cannot be had", async () => {
    answerWith(202, STARTED);
    const token = () => Promise.reject(new Error("signed out"));
    expect(await start("a", "restore", {}, { token })).toMatchObject({ ok: false, message: "Error: signed out" });
    expect(calls).toEqual([]);
  });
});

test("what cannot be a job is a mistake of the page's", () => {
  for (const id of ["", "a/b", "x".repeat(129)]) {
    expect(() => start(id, "restore", {})).toThrow(TypeError);
    expect(() => cancel(id)).toThrow(TypeError);
  }
});

test("an action's name cannot lead elsewhere", async () => {
  answerWith(404, { error: { code: "unknown_action", message: "None." } });
  await start("a", "../b", {});
  expect(calls[0].url).toBe("/api/v1/jobs/a/..%2Fb");
});
