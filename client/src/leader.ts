// SPDX-License-Identifier: ISC
// What the one leading tab does: puts the jobs of all tabs into lines, and
// sends each subscription what it missed before its line. How a line stays
// connected is line.ts's business.
//
// Nothing is lost between the two: a job joins a line at the line's place, and
// what it lacks up to that place is asked for afterwards. What comes on the
// line meanwhile waits in the subscription.

import type { ConnectionOptions } from "./jobwire.js";
import { type Line, type LineContext, createLine } from "./line.js";
import { type Live, type Message, type Of, TYPES, backoff, pause } from "./protocol.js";
import { createServer, reasonOf } from "./server.js";

/** What one request may name: the server takes 64 jobs, web servers 8 kB. */
const enum Max {
  jobs = 64,
  query = 6000,
}

export interface Leader {
  want(message: Omit<Of<"want">, "kind">): void;
  /** What is open may be dead: connect anew. */
  look(): void;
  stop(): void;
}

/** `isPolling`: streams do not come through. `onTab` is called for each new tab, `onIdle` when no tab wants anything. */
export function lead(
  url: string,
  options: () => ConnectionOptions,
  isPolling: () => boolean,
  say: (message: Message) => void,
  onTab: (tab: string) => void,
  onIdle: () => void,
): Leader {
  const wants = new Map<string, string[]>();
  const lines = new Set<Line>();
  /** The needs that are being met: a tab repeats them whenever it says what it wants. */
  const served = new Set<number>();
  const server = createServer(url, options);
  let isStopped = false;

  const context: LineContext = {
    server,
    options,
    isPolling,
    types: new Set([...TYPES, "resync"]),
    say: (message) => isStopped || say(message),
    onEnd: (line) => lines.delete(line),
    onRefused: (job, place) => open(place, true).jobs.add(job),
  };

  function open(place: string, isAlone = false) {
    const line = createLine(context, place, isAlone);
    lines.add(line);
    return line;
  }

  const wanted = () => [...wants.values()].flat();
  const lineWith = (job: string) => [...lines].find(({ jobs }) => jobs.has(job));

  function lineFor(job: string, place: string) {
    const found = lineWith(job);
    if (found) return found;
    const withRoom = [...lines].find(
      ({ jobs, isAlone }) =>
        jobs.size && jobs.size < Max.jobs && !isAlone && [...jobs, job].join("&job_id=").length < Max.query,
    );
    const line = withRoom ?? open(place);
    line.jobs.add(job);
    if (!line.carried.includes(job)) line.poke();
    return line;
  }

  /** Of the job what is after `place`, at least up to `end`; undefined when nobody wants it any more. */
  async function history(job: string, place: string, end: string, key: number) {
    const found: Live[] = [];
    for (let tries = 0; ; ) {
      try {
        const { events, last_event_id, terminal } = await server.events([job], place);
        place = last_event_id;
        for (const { id, event: type, data } of events) found.push({ kind: "live", jobs: [job], id, type, data });
        // A job that never rests has more each time: that comes on the line.
        if (terminal || !events.length || +place.slice(9) >= +end.slice(9)) return found;
      } catch (error) {
        context.say({ kind: "told", jobs: [job], key, state: "waiting", error: reasonOf(error) });
        await pause(backoff(tries++));
        if (isStopped || !wanted().includes(job)) return;
      }
    }
  }

  async function serve(job: string, from: string, key: number) {
    let line = lineFor(job, from);
    if (served.has(key)) return;
    served.add(key);
    const events = from === line.place ? [] : await history(job, from, line.place, key);
    served.delete(key);
    if (!events) return;
    line = lineWith(job) ?? line;
    context.say({ kind: "past", key, events, place: line.place });
    line.tell();
  }

  const look = () => lines.forEach((line) => line.poke());

  const want: Leader["want"] = ({ tab, jobs, types }) => {
    if (!jobs.length) wants.delete(tab);
    else {
      if (!wants.has(tab)) onTab(tab);
      wants.set(
        tab,
        jobs.map(([job]) => job),
      );
    }
    for (const type of types)
      if (!context.types.has(type)) {
        context.types.add(type);
        look();
      }
    const all = wanted();
    for (const line of lines) {
      for (const job of line.jobs) if (!all.includes(job)) line.jobs.delete(job);
      if (!line.jobs.size) line.poke();
    }
    for (const [job, place, key] of jobs) if (key) serve(job, place, key);
    if (!all.length) onIdle();
  };

  return {
    want,
    look,
    stop() {
      isStopped = true;
      for (const { jobs } of lines) jobs.clear();
      look();
    },
  };
}
