// SPDX-License-Identifier: ISC
// A browser and a server as far as the client needs them: EventSource and fetch
// that the test answers, and no locks, so that the one tab leads itself.

import { vi } from "vitest";

import type { Message } from "../src/protocol.js";
import { type JobEvent, type SubscribeOptions, subscribe } from "../src/jobwire.js";

export class FakeSource {
  static all: FakeSource[] = [];
  static get last() {
    return FakeSource.all.at(-1)!;
  }

  readyState = 0;
  onopen?: (event: unknown) => void;
  onerror?: (event: unknown) => void;
  private listeners = new Map<string, Set<(event: unknown) => void>>();

  constructor(
    readonly url: string,
    readonly init: { withCredentials: boolean },
  ) {
    FakeSource.all.push(this);
  }

  get query() {
    return new URL(this.url).searchParams;
  }

  addEventListener(type: string, listener: (event: unknown) => void) {
    if (!this.listeners.has(type)) this.listeners.set(type, new Set());
    this.listeners.get(type)!.add(listener);
  }

  close() {
    this.readyState = 2;
  }

  /** As a browser does: an event of the server may be called as one of the browser's own. */
  private fire(type: string, event: unknown) {
    if (type === "open") this.onopen?.(event);
    if (type === "error") this.onerror?.(event);
    for (const listener of this.listeners.get(type) ?? []) listener(event);
  }

  // What the test does as the server.

  open() {
    this.readyState = 1;
    this.fire("open", { type: "open" });
  }

  send(type: string, id = "", data: object = {}) {
    if (this.readyState === 2) return;
    this.fire(type, { type, lastEventId: id, data: JSON.stringify(data) });
  }

  /** The connection ends; the browser is going to reconnect. */
  cut() {
    this.readyState = 0;
    this.fire("error", { type: "error" });
  }

  /** 204, an error status, or no stream: the browser gives up. */
  refuse() {
    this.readyState = 2;
    this.fire("error", { type: "error" });
  }
}

export interface Asked {
  path: string;
  query: URLSearchParams;
  credentials?: string;
}
type Reply = { status?: number; retryAfter?: number; body: unknown } | Error;

/** What was asked by fetch; `answer` decides what it gets. */
export const asked: Asked[] = [];
export let answer: (asked: Asked) => Reply | Promise<Reply>;
export const answerWith = (next: typeof answer) => (answer = next);

export const events = (list: [string, string, object][], last: string, terminal = false) => ({
  body: { events: list.map(([id, event, data]) => ({ id, event, data })), last_event_id: last, terminal },
});

/** The channel and the locks of a browser whose other tabs the test plays. */
export function newTabs() {
  type Grant = () => Promise<void> | undefined;
  const tabs = {
    /** What the tab said. */
    said: [] as Message[],
    hear: (_: Message) => {},
    /** The requests for the lead that wait. */
    waiting: [] as Grant[],
    /** Another tab takes the lead that this one holds. */
    lose: () => {},
  };
  class FakeChannel {
    onmessage = (_: { data: Message }) => {};
    constructor() {
      tabs.hear = (data) => this.onmessage({ data });
    }
    postMessage(message: Message) {
      tabs.said.push(message);
    }
    close() {}
  }
  async function request(name: string, ...rest: [{ steal?: boolean; signal?: AbortSignal }, Grant] | [Grant]) {
    const grant = rest.pop() as Grant;
    const [{ steal, signal } = {}] = rest as [{ steal?: boolean; signal?: AbortSignal }?];
    const isLead = !/ 0\.\d+$/.test(name);
    if (isLead && !steal) {
      await new Promise<void>((resolve, reject) => {
        signal!.addEventListener("abort", () => reject(signal!.reason));
        tabs.waiting.push(() => void resolve());
      });
    }
    if (!isLead) return grant();
    tabs.lose();
    const lost = new Promise<never>((_, reject) => {
      tabs.lose = () => reject(new DOMException("stolen", "AbortError"));
    });
    return Promise.race([grant(), lost]);
  }
  vi.stubGlobal("BroadcastChannel", FakeChannel);
  vi.stubGlobal("navigator", { locks: { request } });
  return tabs;
}

let worlds = 0;

/** A new world, with a server of its own, because hubs live as long as a page does. */
export function newWorld() {
  vi.useFakeTimers();
  FakeSource.all = [];
  asked.length = 0;
  answerWith(() => new Error("no answer"));
  const listeners = new Map<string, Set<() => void>>();
  const reported: unknown[] = [];
  const globals = {
    location: { href: "https://page.example/" },
    navigator: {},
    EventSource: FakeSource,
    reportError: (error: unknown) => reported.push(error),
    addEventListener(type: string, listener: () => void) {
      if (!listeners.has(type)) listeners.set(type, new Set());
      listeners.get(type)!.add(listener);
    },
    removeEventListener: (type: string, listener: () => void) => listeners.get(type)?.delete(listener),
    async fetch(address: string, { credentials, signal }: RequestInit) {
      const { pathname, searchParams } = new URL(address);
      const request = { path: pathname.replace(/^\/api-\d+/, ""), query: searchParams, credentials };
      asked.push(request);
      const aborted = new Promise<Error>((resolve) => {
        signal!.addEventListener("abort", () => resolve(new Error("aborted")));
      });
      const reply = await Promise.race([answer(request), aborted]);
      if (reply instanceof Error) throw reply;
      const headers = new Headers(reply.retryAfter ? { "Retry-After": `${reply.retryAfter}` } : {});
      return new Response(JSON.stringify(reply.body), { status: reply.status ?? 200, headers });
    },
  };
  for (const [name, value] of Object.entries(globals)) vi.stubGlobal(name, value);
  const url = `https://server.example/api-${++worlds}`;

  return {
    url,
    reported,
    dispatch: (type: string) => listeners.get(type)?.forEach((listener) => listener()),
    /** Subscribes, and writes down what comes. */
    follow(jobs: string | string[], options: SubscribeOptions = {}) {
      const got: JobEvent[] = [];
      const states: string[] = [];
      const subscription = subscribe(jobs, {
        url,
        ...options,
        onEvent(event) {
          got.push(event);
          options.onEvent?.(event);
        },
        onState(state, error) {
          states.push(error ? `${state}: ${error.code ?? error.message}` : state);
        },
      });
      return { subscription, got, states, ids: () => got.map(({ id }) => id) };
    },
  };
}

/** Lets pass what needs no time, and then this many milliseconds. */
export const pass = (milliseconds = 20) => vi.advanceTimersByTimeAsync(milliseconds);

export const data = (job_id: string, status: string, more = {}) => ({ job_id, status, ...more });
