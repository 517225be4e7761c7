// SPDX-License-Identifier: ISC
// Starts and cancels what a job does. Apart from jobwire.js: most pages only
// follow jobs, which somebody else has started.

import type { ConnectionError } from "./jobwire.js";

export interface RunOptions {
  /** The server's prefix; default `/api/v1` of the page's own origin. */
  url?: string | undefined;
  /** Gives the user's token, where it is not in a cookie. */
  token?: (() => Promise<string> | string) | undefined;
  /** Send cookies to another origin. */
  withCredentials?: boolean | undefined;
  /** Gives the call up. What the server has taken by then, it does. */
  signal?: AbortSignal | undefined;
}

export interface StartOptions extends RunOptions {
  /** Comes back in every event of this run; default: the job's own, or one that the server makes. */
  restoreId?: string | undefined;
  /** The service's own, such as `{ ttl, executionTimeout }`; passed on as it is. */
  policy?: object | undefined;
  /** The same call with the same key is done once: for a call that is repeated because its answer was lost. */
  idempotencyKey?: string | undefined;
}

/** Not done: `status` is HTTP's, `code` the server's, or `unreachable` or `aborted`, where nobody knows. */
export interface RunRefusal extends ConnectionError {
  ok: false;
  code: string;
  /** The server asks for so many milliseconds before the next attempt. */
  retryAfter?: number;
}

export interface Started {
  ok: true;
  job_id: string;
  run_id: number;
  restore_id: string;
  status: string;
  /** Where the job's events are. */
  events_url: string;
}

export interface Cancelling {
  ok: true;
  job_id: string;
  run_id: number;
  /** `cancelled` when nothing was under way yet; else an event says how it ends, and it may still complete. */
  status: "cancelling" | "cancelled";
}

async function post<Answer>(path: string, body: unknown, options: StartOptions): Promise<Answer | RunRefusal> {
  const { url = "/api/v1", token, withCredentials, signal, idempotencyKey } = options;
  try {
    const bearer = await token?.();
    const response = await fetch(url.replace(/\/$/, "") + path, {
      method: "POST",
      // No form of another page's can send this type.
      headers: {
        "Content-Type": "application/json",
        ...(bearer && { Authorization: `Bearer ${bearer}` }),
        ...(idempotencyKey && { "Idempotency-Key": idempotencyKey }),
      },
      body: JSON.stringify(body),
      credentials: withCredentials ? "include" : undefined,
      signal,
    });
    const { ok, status } = response;
    // Of an answer that breaks off nobody knows what it was.
    const answer = await response.json().catch((error) => {
      if (error instanceof SyntaxError) return null;
      throw error;
    });
    if (ok && answer) return { ...answer, ok };
    const seconds = Number(response.headers.get("Retry-After"));
    return {
      message: `HTTP ${status}`,
      code: `http_${status}`,
      ...answer?.error,
      ok: false,
      status,
      ...(seconds && { retryAfter: seconds * 1000 }),
    };
  } catch (error) {
    return { ok: false, code: signal?.aborted ? "aborted" : "unreachable", message: String(error) };
  }
}

function pathOf(jobId: string, action: string): string {
  if (!/^[\w.:~-]{1,128}$/.test(jobId)) throw new TypeError(`not a job id: ${jobId}`);
  return `/jobs/${jobId}/${encodeURIComponent(action)}`;
}

/**
 * Starts an action of the server's `runpod_actions` for the job. Does not wait for its end: subscribe to
 * the job for that. Never rejects because of the server or the network; throws TypeError for what cannot
 * be a job id.
 */
export function start(
  jobId: string,
  action: string,
  input: object,
  options: StartOptions = {},
): Promise<Started | RunRefusal> {
  const { restoreId: restore_id, policy } = options;
  return post(pathOf(jobId, action), { input, restore_id, policy }, options);
}

/** Asks for the end of what the job does; errors as start(). */
export function cancel(jobId: string, options: RunOptions = {}): Promise<Cancelling | RunRefusal> {
  return post(pathOf(jobId, "cancel"), {}, options);
}
