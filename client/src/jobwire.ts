// SPDX-License-Identifier: ISC
// The public face: types, and subscribe(). Everything that a page can rely on
// is in this file (and in useJobEvents.ts); the others may change.

import { hubFor } from "./hub.js";
import { createSubscriber } from "./subscriber.js";

export type JobStatus = "queued" | "processing" | "completed" | "failed" | "cancelled" | "timed_out";

/**
 * Why a run that jobwire started has failed, besides what the service itself reports:
 * - `provider_refused`: the service did not take it; `error` has its words
 * - `provider_unreachable`: it could not be reached for too long
 * - `submission_unknown`: it may have been taken, and nothing was heard of it since
 * - `result_expired`, `result_lost`: it ran, and the service has no result
 */
export type FailureCode =
  | "provider_refused"
  | "provider_unreachable"
  | "submission_unknown"
  | "result_expired"
  | "result_lost";

/** What an event says. `status` is the job's state after it; other members are the publisher's. */
export interface JobData {
  job_id: string;
  restore_id?: string;
  status: JobStatus;
  /** 0 to 100 */
  progress?: number;
  error?: string;
  /** Of `failed`. */
  code?: FailureCode | (string & {});
  output?: unknown;
  /** The output is too long for an event: get it from the job. */
  output_omitted?: boolean;
  [member: string]: unknown;
}

export interface JobEvent {
  /** Opaque; the same event always has the same, but in a cluster whose Redis lost what it had acknowledged. */
  id: string;
  /** A JobStatus, `progress`, `cancelling`, or one of the `types` asked for. */
  type: string;
  jobId: string;
  data: JobData;
}

/**
 * - `connecting`: no stream yet, or the browser is about to reconnect by itself
 * - `open`: events arrive as they happen
 * - `polling`: something on the way holds streams back; events arrive by long polling
 * - `waiting`: the server is away or refuses; the next attempt follows by itself
 * - `closed`: nothing more will come, because every job ended or close() was called
 */
export type ConnectionState = "connecting" | "open" | "polling" | "waiting" | "closed";

/** Why the state is `waiting`. `status` is HTTP's and `code` the server's, where there was an answer. */
export interface ConnectionError {
  message: string;
  status?: number;
  code?: string;
}

/** `future`: the server went back to an older database; `behind`: the new node of a cluster lags; otherwise events were lost in between. */
export type ResyncReason = "behind" | "epoch" | "expired" | "future" | "unknown";

/** Where and how to connect. Of subscriptions to the same `url`, the newest decides for all. */
export interface ConnectionOptions {
  /** The server's prefix; default `/api/v1` of the page's own origin. */
  url?: string | undefined;
  /** Gives a new ticket for these jobs; called for each request, because a ticket opens one only. */
  ticket?: ((jobIds: string[]) => Promise<string> | string) | undefined;
  /** Send cookies to another origin. */
  withCredentials?: boolean | undefined;
  /**
   * Use one connection together with the browser's other tabs of this origin (default true). A text
   * shares only with tabs that give the same: the user's name, where several may be signed in.
   */
  share?: boolean | string | undefined;
  /** The server's `heartbeat` in milliseconds, if it is not 15000: silence beyond it is a fault. */
  heartbeat?: number | undefined;
  /** Event types of your own; only these and jobwire's are delivered. */
  types?: string[] | undefined;
}

type Handler = (event: JobEvent) => void;

export interface SubscribeOptions extends ConnectionOptions {
  /** Every event, before the callback of its type. */
  onEvent?: Handler | undefined;
  onQueued?: Handler | undefined;
  onProcessing?: Handler | undefined;
  onProgress?: Handler | undefined;
  /** Somebody wants its end; the job may still complete. */
  onCancelling?: Handler | undefined;
  onCompleted?: Handler | undefined;
  onFailed?: Handler | undefined;
  onCancelled?: Handler | undefined;
  onTimedOut?: Handler | undefined;
  onState?: ((state: ConnectionState, error?: ConnectionError) => void) | undefined;
  /** Events may be missing before this; what the server still has, and was not delivered, follows. */
  onResync?: ((reason: ResyncReason) => void) | undefined;
}

export interface Subscription {
  /** No callback is called after this. */
  close(): void;
  readonly state: ConnectionState;
}

/**
 * Calls back with every event of the jobs: those that were, then those that come, each once and in
 * order. Ends by itself when every job has ended. Throws TypeError for what cannot be a job id.
 */
export function subscribe(jobIds: string | readonly string[], options: SubscribeOptions = {}): Subscription {
  const ids = new Set([jobIds].flat());
  for (const id of ids)
    if (typeof id !== "string" || !/^[\w.:~-]{1,128}$/.test(id)) throw new TypeError(`not a job id: ${id}`);
  return createSubscriber([...ids], options, hubFor(options));
}
