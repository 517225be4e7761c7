// SPDX-License-Identifier: ISC
// The React hook: a subscription for as long as a component shows a job. The
// build puts "use client" in front of it, which Next.js looks for.

import { useEffect, useInsertionEffect, useRef, useState } from "react";

import {
  type ConnectionError,
  type ConnectionState,
  type JobEvent,
  type JobStatus,
  type SubscribeOptions,
  subscribe,
} from "./jobwire.js";

export interface JobEvents {
  /** Null until the first event. */
  status: JobStatus | null;
  /** The last one reported, 0 to 100. */
  progress: number | null;
  lastEvent: JobEvent | null;
  /** `closed` also while there is no job. */
  connection: ConnectionState;
  /** Why the connection is `waiting`. */
  error: ConnectionError | null;
}

/** What is shown, and of which job. */
type Shown = JobEvents & { of?: string };
const NOTHING: Shown = { status: null, progress: null, lastEvent: null, connection: "closed", error: null };

/**
 * Follows the job and calls back, always the callbacks of the latest rendering. Null for the id
 * disconnects. Connects anew when the id, `url`, `share` or `withCredentials` change.
 */
export function useJobEvents(jobId: string | null | undefined, options: SubscribeOptions = {}): JobEvents {
  const { url, share, withCredentials } = options;
  const latest = useRef(options);
  const [shown, show] = useState(NOTHING);

  // Before any other effect, and before the page can hear of an event: no callback is out of date.
  useInsertionEffect(() => {
    latest.current = options;
  });

  useEffect(() => {
    if (!jobId) return;
    const update = (change: Partial<JobEvents>) =>
      show((old) => ({ ...(old.of === jobId ? old : NOTHING), of: jobId, ...change }));
    const ours: SubscribeOptions = {
      onEvent(event) {
        const { status, progress } = event.data;
        update({ status, lastEvent: event, ...(progress !== undefined && { progress }) });
        latest.current.onEvent?.(event);
      },
      onState(connection, error) {
        update({ connection, error: error ?? null });
        latest.current.onState?.(connection, error);
      },
    };
    // Read when they are called, the other callbacks and the ticket are those of the latest rendering.
    const current = new Proxy(ours, {
      get: (_, name: keyof SubscribeOptions) => ours[name] ?? latest.current[name],
    });
    update({ ...NOTHING, connection: "connecting" });
    try {
      const { close } = subscribe(jobId, current);
      return () => {
        close();
        show(NOTHING); // not to be seen when the same id comes back
      };
    } catch (error) {
      update({ connection: "closed", error: { message: (error as Error).message } });
    }
  }, [jobId, url, share, withCredentials]);

  if (shown.of !== jobId) return NOTHING;
  const { of, ...events } = shown;
  return events;
}
