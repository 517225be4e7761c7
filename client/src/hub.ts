// SPDX-License-Identifier: ISC
// One tab's subscriptions to one server. The tabs elect a leader with a lock:
// it alone talks to the server (leader.ts) and tells everybody on a channel. A
// tab without locks or channels leads itself.
//
// The lock says who leads. It is taken away from a leader that does not answer,
// and from a hidden one, whose timers the browser slows down.

import type { ConnectionOptions } from "./jobwire.js";
import { type Leader, lead } from "./leader.js";
import type { Message } from "./protocol.js";
import type { Subscriber } from "./subscriber.js";

/** In milliseconds. esbuild puts the values of enums, and of nothing else, where they are used. */
const enum Ms {
  /** A leader that is asked and stays silent for this long does not run any more. */
  answer = 5000,
  tick = 1000,
  /** After a longer gap between ticks the machine, or the tab, has slept. */
  gap = 5000,
  /** Streams are tried again so long after they did not get through. */
  poll = 3_600_000,
}
/** A leader is asked at every so many ticks. */
const enum Ticks {
  ask = 15,
}

export interface Hub {
  add(subscriber: Subscriber): void;
  remove(subscriber: Subscriber): void;
  /** A subscription wants less than before. */
  changed(): void;
}

const hubs: Record<string, Hub> = {};

export function hubFor(options: ConnectionOptions): Hub {
  const url = new URL(options.url ?? "/api/v1", location.href).href.replace(/\/$/, "");
  const { share = true, withCredentials } = options;
  const name = ["jobwire 2", url, !!withCredentials, share].join();
  return (hubs[name] ??= createHub(name, url, !!share));
}

const isHidden = () => !!globalThis.document?.hidden;

type Timer = ReturnType<typeof setTimeout>;

function createHub(name: string, url: string, isShared: boolean): Hub {
  const { locks } = navigator;
  const subscribers = new Set<Subscriber>();
  let options: ConnectionOptions = {};
  /** Names this tab while it is there, that is, from the first subscription to the last; else "". */
  let tab = "";
  let channel: BroadcastChannel | false | undefined;
  let leader: Leader | undefined;
  /** The request for the lead that counts; aborted when another one, or none, takes its place. */
  let request = new AbortController();
  /** Lasts as long as the tab is there, and its locks with it. */
  let presence: Promise<void>;
  let release: (() => void) | undefined;
  let change: Promise<void> | undefined;
  let answer: Timer | undefined;
  let ticker: Timer;
  let ticked: number;
  /** Kept for the session, where the page may keep anything. */
  let memory: Record<string, unknown> = {};
  try {
    memory = sessionStorage;
  } catch {}

  // --- Polling -------------------------------------------------------------------

  const isPolling = () => Date.now() < +memory[name]!;

  function pollUntil(time: number) {
    try {
      memory[name] = time;
    } catch {
      memory = { [name]: time };
    }
  }

  /** Who leads next must not find it out again. */
  function keepPolling() {
    if (!isPolling()) pollUntil(Date.now() + Ms.poll);
  }

  // --- What tabs say ---------------------------------------------------------------

  function hear(message: Message) {
    if (message.kind === "want") {
      leader?.want(message);
      if (leader) say({ kind: "here", isHidden: isHidden(), isPolling: isPolling() });
      return;
    }
    clearTimeout(answer);
    answer = undefined;
    if (message.kind === "hello") {
      for (const subscriber of subscribers) subscriber.forget();
      announce();
    } else if (message.kind === "here") {
      if (message.isPolling) keepPolling();
      if (message.isHidden && !leader && !isHidden()) queue(true);
    } else {
      if (message.kind === "told" && message.state === "polling") keepPolling();
      for (const subscriber of subscribers) subscriber[message.kind]?.(message as never);
    }
  }

  function say(message: Message) {
    if (channel) channel.postMessage(message);
    hear(message);
  }

  /** Says what this tab wants, and asks thereby whether the leader is there. */
  function announce() {
    change = undefined;
    if (!tab) return;
    answer ??= setTimeout(queue, Ms.answer, true);
    const all = [...subscribers];
    say({
      kind: "want",
      tab,
      jobs: all.flatMap(({ tracks }) => [...tracks].map(([job, { place, key }]) => [job, place, key] as const)),
      types: all.flatMap(({ options }) => options.types ?? []),
    });
    if (!subscribers.size && !leader) leave();
  }

  /** Whatever changes in one turn of the page is one change. */
  function changed() {
    change ??= Promise.resolve().then(announce);
  }

  /** What was open may be dead. */
  function look() {
    ticked = Date.now();
    leader?.look();
    announce();
  }

  // --- Who leads -------------------------------------------------------------------

  function takeOver() {
    if (!leader) {
      leader = lead(url, () => options, isPolling, say, watchTab, leaveAndReturn);
      say({ kind: "hello" });
    }
    return presence;
  }

  function giveUp() {
    leader?.stop();
    leader = undefined;
  }

  function queue(steal?: boolean) {
    request.abort();
    const { signal } = (request = new AbortController());
    locks
      .request(name, steal ? { steal } : { signal }, () => signal.aborted || takeOver())
      .catch((error) => {
        if (signal.aborted) return;
        // Somebody else took the lead, and was not heard until now; or locks are not for pages like this one.
        if (error.name === "AbortError") leaveAndReturn();
        else goAlone();
      });
  }

  /** Each tab holds a lock of its own name while it is there. */
  function watchTab(name: string) {
    if (name !== tab)
      locks
        .request(name, { signal: request.signal }, () => leader?.want({ tab: name, jobs: [], types: [] }))
        .catch(() => {});
  }

  // --- Coming and going --------------------------------------------------------------

  function join() {
    tab = `${name} ${Math.random()}`;
    try {
      channel = isShared && locks && new BroadcastChannel(name);
    } catch {
      // Browsers that keep nothing for this page, or are old, have none.
    }
    presence = new Promise((resolve) => (release = resolve));
    let ticks = 0;
    ticked = Date.now();
    ticker = setInterval(() => {
      if (Date.now() > ticked + Ms.gap && !isHidden()) look();
      else if (!(++ticks % Ticks.ask)) announce();
      ticked = Date.now();
    }, Ms.tick);
    for (const subscriber of subscribers) subscriber.forget();
    const { signal } = (request = new AbortController());
    if (!channel) return void takeOver();
    // Who led before may not know that yet, and be further than our line is.
    channel.onmessage = ({ data }) => (leader && data.kind === "live") || hear(data);
    locks
      .request(tab, () => {
        if (signal.aborted) return;
        queue();
        changed();
        return presence;
      })
      .catch(goAlone);
  }

  function leave() {
    tab = "";
    clearTimeout(answer);
    clearInterval(ticker);
    answer = undefined;
    giveUp();
    request.abort();
    release?.();
    if (channel) channel.close();
    channel = undefined;
  }

  function leaveAndReturn() {
    leave();
    if (subscribers.size) join();
  }

  function goAlone() {
    isShared = false;
    leaveAndReturn();
  }

  // A page that is kept for the Back button must not keep others from the lead.
  addEventListener("pagehide", leave);
  addEventListener("pageshow", () => {
    if (!tab && subscribers.size) join();
  });
  // Hidden, it offers the lead; visible, it may have missed anything.
  addEventListener("visibilitychange", () => (isHidden() ? announce() : look()));
  addEventListener("online", () => {
    pollUntil(0);
    look();
  });

  return {
    add(subscriber) {
      options = subscriber.options;
      subscribers.add(subscriber);
      subscriber.forget();
      if (tab) changed();
      else join();
    },
    remove(subscriber) {
      subscribers.delete(subscriber);
      changed();
    },
    changed,
  };
}
