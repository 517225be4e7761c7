// SPDX-License-Identifier: ISC
// What the tabs say to each other, and what all parts must agree upon.

import type { ConnectionError, ConnectionState, JobData } from "./jobwire.js";

const TERMINAL = ["completed", "failed", "cancelled", "timed_out"];
export const TYPES = ["queued", "processing", "progress", ...TERMINAL, "cancelling"];

export const isTerminal = (status: string | undefined) => TERMINAL.includes(status!);

/** An event as the leader tells it. A place is an id up to which everything is known; "" is the start. */
export interface Live {
  kind: "live";
  /** The jobs whose place this event's id is now. */
  jobs: string[];
  id: string;
  type: string;
  /** A resync has no job_id. */
  data: JobData & { reason?: string };
  /** Not sent by the server: made from the state of a job whose last event is not to be had. */
  isMade?: boolean;
}

export type Message =
  /** There is a new leader: say what you want. */
  | { kind: "hello" }
  /** What the leader answers. A visible tab takes the place of one that is hidden, which is slow; it polls as that one did. */
  | { kind: "here"; isHidden: boolean; isPolling: boolean }
  /** All that a tab wants: jobs, with a place and, where all that is after it is lacking, whose need that is. */
  | { kind: "want"; tab: string; jobs: (readonly [string, string, number?])[]; types: string[] }
  /** To whoever has this need: what was lacking, up to `place`. */
  | { kind: "past"; key: number; events: Live[]; place: string }
  | Live
  /** The state of the line of these jobs or, with a `key`, of what is done about this need. */
  | { kind: "told"; jobs: string[]; key?: number; state: ConnectionState; error?: ConnectionError }
  /** The server says that these jobs have ended. */
  | { kind: "over"; jobs: string[] };

export type Of<Kind> = Message & { kind: Kind };
/** Whoever is told what the leader tells. */
export type Hearing = { [Kind in "live" | "past" | "told" | "over"]: (message: Of<Kind>) => void };

export const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));

/** How long to wait before the next attempt after `tries`, from 0: 1 to 2 s at first, at most 30 s. */
export const backoff = (tries: number) => Math.min(15_000, 1000 * 2 ** tries) * (1 + Math.random());

/** Runs a page's callback; what it throws is the page's, and must not stop us. */
export function call<A extends unknown[]>(callback: ((...args: A) => void) | undefined, ...args: A) {
  try {
    callback?.(...args);
  } catch (error) {
    reportError(error);
  }
}
