// SPDX-License-Identifier: ISC
// One tab's subscriptions to one server. The tabs elect a leader with a lock:
// it alone talks to the server (leader.ts) and tells everybody on a channel. A
// tab without locks or channels leads itself.

import type { ConnectionOptions } from "./jobwire.js";
import { type Leader, lead } from "./leader.js";
import { HEARTBEAT_MS, type Message, type Of, SILENT_BEATS } from "./protocol.js";
import type { Subscriber } from "./subscriber.js";

/** A leader that is asked and stays silent for this long does not run any more. */
const ANSWER_MS = 5000;

export interface Hub {
  add(subscriber: Subscriber): void;
  remove(subscriber: Subscriber): void;
  /** A subscription wants less than before. */
  changed(): void;
}

const hubs = new Map<string, Hub>();

export function hubFor(options: ConnectionOptions): Hub {
  const url = new URL(options.url ?? "/api/v1", location.href).href.replace(/\/$/, "");
  const { share = true, withCredentials } = options;
  const name = ["jobwire 1", url, !!withCredentials, share].join();
  let hub = hubs.get(name);
  if (!hub) hubs.set(name, (hub = createHub(name, url, !!share)));
  return hub;
}

function createHub(name: string, url: string, isShared: boolean): Hub {
  const subscribers = new Set<Subscriber>();
  let options: ConnectionOptions = {};
  let tab = "";
  let leave: (() => void) | undefined;
  let announce: () => void;
  let timer: ReturnType<typeof setTimeout> | undefined;

  /** Whatever changes in one turn of the page is one change. */
  function changed() {
    if (leave) timer ??= setTimeout(() => announce());
  }

  /** From the first subscription to the last, or to the page's being put away. */
  function join() {
    const { locks } = navigator;
    let channel: BroadcastChannel | false | undefined;
    try {
      channel = isShared && locks && new BroadcastChannel(name);
    } catch {
      // Browsers that keep nothing for this page, or are old, have none.
    }
    const left = new AbortController();
    const present = new Promise((resolve) => left.signal.addEventListener("abort", resolve));
    let leader: Leader | undefined;
    let silence: ReturnType<typeof setTimeout>;

    function hear(message: Message) {
      if (message.kind === "want") return leader?.want(message);
      watchLeader();
      if (message.kind === "hello") {
        for (const subscriber of subscribers) subscriber.forget();
        announce();
      } else for (const subscriber of subscribers) subscriber[message.kind]?.(message as never);
    }

    function say(message: Message) {
      if (channel) channel.postMessage(message);
      hear(message);
    }

    announce = () => {
      clearTimeout(timer);
      timer = undefined;
      const jobs: string[] = [];
      const need: Of<"want">["need"] = [];
      const types: string[] = [];
      for (const subscriber of subscribers) {
        for (const [job, { key, place }] of subscriber.tracks) {
          jobs.push(job);
          if (key) need.push([job, place, key]);
        }
        types.push(...(subscriber.options.types ?? []));
      }
      say({ kind: "want", tab, jobs, need, types });
      if (!subscribers.size && !leader) leave?.();
    };

    function takeOver() {
      leader ??= lead(url, () => options, say, watchTab, leaveAndReturn);
      say({ kind: "hello" });
      return present;
    }

    function giveUp() {
      leader?.stop();
      leader = undefined;
    }

    function queue(steal?: boolean) {
      locks.request(name, steal ? { steal } : { signal: left.signal }, takeOver).catch((error) => {
        giveUp();
        if (left.signal.aborted) return;
        // Somebody else took the lead.
        if (error.name === "AbortError") queue();
        else goAlone();
      });
    }

    /** A tab that froze or hangs keeps the lead but does nothing: ask it, then take the lead away. */
    function watchLeader() {
      clearTimeout(silence);
      if (channel && !leader) silence = setTimeout(ask, SILENT_BEATS * (options.heartbeat ?? HEARTBEAT_MS));
    }

    function ask() {
      clearTimeout(silence);
      if (!channel || leader || globalThis.document?.hidden) return;
      silence = setTimeout(queue, ANSWER_MS, true);
      announce();
    }

    /** Each tab holds a lock of its own name while it is there. */
    function watchTab(name: string) {
      if (name !== tab)
        locks
          ?.request(name, { signal: left.signal }, () =>
            leader?.want({ tab: name, jobs: [], need: [], types: [] }),
          )
          .catch(() => {});
    }

    function leaveAndReturn() {
      leave?.();
      if (subscribers.size) join();
    }

    /** Locks are not for pages like this one. */
    function goAlone() {
      isShared = false;
      leaveAndReturn();
    }

    leave = () => {
      leave = undefined;
      clearTimeout(timer);
      clearTimeout(silence);
      timer = undefined;
      giveUp();
      left.abort();
      if (channel) channel.close();
    };

    tab = `${name} ${Math.random()}`;
    for (const subscriber of subscribers) subscriber.forget();
    addEventListener("visibilitychange", ask, { signal: left.signal });
    if (!channel) return void takeOver();
    channel.onmessage = ({ data }) => {
      if (data.kind === "hello") giveUp();
      hear(data);
    };
    locks
      .request(tab, () => {
        if (left.signal.aborted) return;
        queue();
        watchLeader();
        changed();
        return present;
      })
      .catch(goAlone);
  }

  // A page that is kept for the Back button must not keep others from the lead.
  addEventListener("pagehide", () => leave?.());
  addEventListener("pageshow", () => {
    if (!leave && subscribers.size) join();
  });

  return {
    add(subscriber) {
      options = subscriber.options;
      subscribers.add(subscriber);
      subscriber.forget();
      if (leave) changed();
      else join();
    },
    remove(subscriber) {
      subscribers.delete(subscriber);
      changed();
    },
    changed,
  };
}
