// SPDX-License-Identifier: ISC
// The requests that there are. Each gets a ticket of its own, where there are
// tickets. Repeats nothing: who asks decides what a failure means.

import type { ConnectionError, ConnectionOptions, JobData, JobStatus } from "./jobwire.js";
import { pause } from "./protocol.js";

const enum Max {
  /** What takes so much longer than it was asked to, in milliseconds, is lost. */
  time = 15_000,
  /** A timer that is set to more than 24 days rings at once. */
  retrySeconds = 1e6,
}

export interface Answer {
  events: { id: string; event: string; data: JobData }[];
  last_event_id: string;
  terminal: boolean;
}

export interface Job extends JobData {
  state: JobStatus;
  last_event_id: string;
}

/** What an error answer says; `delay` is its Retry-After in milliseconds. */
export interface Refusal extends ConnectionError {
  delay?: number;
}

/** What to tell of whatever was thrown: a page's ticket() may throw anything, even nothing. */
export function reasonOf(error: unknown): ConnectionError {
  const { message, status, code } = (error ?? {}) as Refusal;
  return { message, status, code };
}

export interface Server {
  /** `wait` seconds for the first event, or not at all. */
  events(jobs: string[], place: string, wait?: number, abort?: AbortController): Promise<Answer>;
  job(job: string): Promise<Job>;
  /** The address of a stream. */
  stream(jobs: string[], place: string): Promise<string>;
}

/** Refusals that are about the jobs asked for. */
export const isRefusal = (status?: number) => [400, 403, 404].includes(status!);

export function createServer(url: string, options: () => ConnectionOptions): Server {
  /** `path` has a query already. */
  async function address(path: string, jobs: string[]) {
    const ticket = await Promise.race([
      options().ticket?.(jobs),
      pause(Max.time).then(() => {
        throw { message: "no ticket" };
      }),
    ]);
    return url + path + (ticket ? "&ticket=" + encodeURIComponent(ticket) : "");
  }

  // Job ids need no escaping.
  const events = (jobs: string[], place: string, how: string) =>
    `/events?${how}&job_id=${jobs.join("&job_id=")}` + (place && "&last_event_id=" + encodeURIComponent(place));

  async function ask(path: string, jobs: string[], wait = 0, abort = new AbortController()) {
    // Of no effect on what has ended by then.
    setTimeout(() => abort.abort(), Max.time + wait * 1000);
    const response = await fetch(await address(path, jobs), {
      signal: abort.signal,
      cache: "no-store",
      credentials: options().withCredentials ? "include" : undefined,
    });
    const { ok, status } = response;
    if (ok) return await response.json();
    const { error } = await response.json().catch(() => ({}));
    const delay = Math.min(+response.headers.get("Retry-After")!, Max.retrySeconds) * 1000;
    throw { message: `HTTP ${status}`, ...error, status, delay };
  }

  return {
    events: (jobs, place, wait = 0, abort) => ask(events(jobs, place, "format=json&wait=" + wait), jobs, wait, abort),
    job: (job) => ask(`/jobs/${job}?`, [job]),
    stream: (jobs, place) => address(events(jobs, place, "heartbeat=event"), jobs),
  };
}
