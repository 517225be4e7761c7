// SPDX-License-Identifier: ISC
// One subscription: keeps its place in the events of each of its jobs, lets
// each event through once and in order, and knows when its jobs have ended.
// Where events come from is the business of the hub and its leader.

import type { Hub } from "./hub.js";
import type {
  ConnectionError,
  ConnectionState,
  JobEvent,
  ResyncReason,
  SubscribeOptions,
  Subscription,
} from "./jobwire.js";
import { type Hearing, type Live, type Of, TYPES, call, isTerminal } from "./protocol.js";

const enum Max {
  /** A job that has ended may be taken up again; after so many milliseconds without news it is over. */
  unsettled = 2000,
  /** More than the server keeps of a job, so nothing older is sent again. */
  remembered = 5000,
}
/** In a cluster numbers in ids are greater: the log's epoch stands above 40 bits. */
const CLUSTER_ID = 1e12;

interface Track {
  /** Names what this track lacks at the moment, to all tabs; undefined when it lacks nothing. */
  key?: number;
  place: string;
  /** The names of what was let through. */
  seen: Set<string>;
  /** What came live while the past was still missing, since it was last asked for. */
  queue: Live[];
  status?: string;
  timer?: ReturnType<typeof setTimeout>;
}

/** What the hub sees of a subscription: a method for each kind of news. */
export interface Subscriber extends Subscription, Hearing {
  readonly options: SubscribeOptions;
  readonly tracks: ReadonlyMap<string, Readonly<Track>>;
  /** From now on somebody else sends: what was missed until then must be asked for. */
  forget(): void;
}

export function createSubscriber(jobs: string[], options: SubscribeOptions, hub: Hub): Subscriber {
  const tracks = new Map<string, Track>();
  let state: ConnectionState = "connecting";

  function setState(next: ConnectionState, error?: ConnectionError) {
    if (next === state && !error) return;
    state = next;
    call(options.onState, next, error);
  }

  const isOurs = (jobs: string[]) => jobs.some((job) => tracks.has(job));

  function close() {
    if (state === "closed") return;
    for (const job of tracks.keys()) drop(job);
    hub.remove(self);
    setState("closed");
  }

  function drop(job: string) {
    clearTimeout(tracks.get(job)?.timer);
    tracks.delete(job);
  }

  function finish(job: string) {
    drop(job);
    if (tracks.size) hub.changed();
    else close();
  }

  function take(job: string, track: Track, { id, type, data, isMade }: Live) {
    const { seen } = track;
    // In a cluster an event can get another id, but keeps its origin and seq. Elsewhere these are the page's own.
    const key = data.seq && +id.slice(9) > CLUSTER_ID ? data.origin + " " + data.seq : id;
    if (seen.has(key) || (isMade && isTerminal(track.status))) return;
    const [oldest] = seen.add(key);
    if (seen.size > Max.remembered) seen.delete(oldest!);
    track.status = data.status;
    clearTimeout(track.timer);
    if (isTerminal(data.status)) track.timer = setTimeout(finish, Max.unsettled, job);
    const isKnown = TYPES.includes(type);
    if (!isKnown && !options.types?.includes(type)) return;
    const event: JobEvent = { id, type, jobId: job, data };
    call(options.onEvent, event);
    // timed_out is onTimedOut; a callback may have closed us.
    const name = "on" + type.replace(/(^|_)./g, (start) => start.at(-1)!.toUpperCase());
    if (isKnown && state !== "closed") call((options as Record<string, any>)[name], event);
  }

  function resync({ data }: Live) {
    // Ids are given out again.
    if (data.reason === "future") tracks.forEach(({ seen }) => seen.clear());
    call(options.onResync, data.reason as ResyncReason);
  }

  function live(message: Live) {
    const { id, type, data, jobs } = message;
    if (type === "resync" && isOurs(jobs)) resync(message);
    for (const job of jobs) {
      const track = tracks.get(job);
      if (!track) continue; // another's, or closed by a callback
      if (track.key) track.queue.push(message);
      else {
        track.place = id;
        if (data.job_id === job) take(job, track, message);
      }
    }
  }

  function past({ key, events, place }: Of<"past">) {
    for (const [job, track] of tracks) {
      if (track.key !== key) continue;
      track.key = undefined;
      track.place = track.queue.at(-1)?.id ?? place;
      for (const event of events.concat(track.queue)) {
        if (!tracks.has(job)) return;
        if (event.type === "resync") {
          if (events.includes(event)) resync(event);
        } else if (event.data.job_id === job) take(job, track, event);
      }
    }
  }

  const self: Subscriber = {
    options,
    tracks,
    close,
    get state() {
      return state;
    },
    forget() {
      for (const track of tracks.values()) {
        track.key = Math.random();
        // Who is asked now may begin before it.
        track.queue = [];
      }
    },
    live,
    past,
    told({ jobs, key, state, error }) {
      const keys = [...tracks.values()].map(({ key }) => key);
      // That the line is open says nothing to who lacks what was before.
      if (key ? keys.includes(key) : isOurs(jobs) && (error || !keys.some(Boolean))) setState(state, error);
    },
    over({ jobs }) {
      for (const job of jobs) if (isTerminal(tracks.get(job)?.status)) finish(job);
    },
  };

  for (const job of jobs) tracks.set(job, { place: "", seen: new Set(), queue: [] });
  if (jobs.length) hub.add(self);
  else state = "closed";
  return self;
}
