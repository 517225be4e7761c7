// SPDX-License-Identifier: ISC
// The clients of the matrix that run in a page. page.follow(name, url, job) begins,
// page.events is what came.

import { fetchEventSource } from "@microsoft/fetch-event-source";
import { EventSourcePolyfill } from "event-source-polyfill";
import { EventSource as ExtendedEventSource } from "extended-eventsource";
import ReconnectingEventSource from "reconnecting-eventsource";

import { subscribe } from "../../build/client/jobwire.js";
import { eventSource } from "./follow.mjs";

class Ended extends Error {}

/** As its documentation does it: what onerror throws again is the end. */
function fetchSource(url, job, tell) {
  const controller = new AbortController();
  fetchEventSource(url, {
    signal: controller.signal,
    async onopen(answer) {
      if (answer.status === 204) throw new Ended();
    },
    onmessage: ({ event, data, id }) => tell({ type: event || "message", data, id }),
    onclose() {
      throw new Error("come back");
    },
    onerror(error) {
      if (error instanceof Ended) throw error;
      return 100;
    },
  }).catch((error) => error instanceof Ended || tell({ type: "error", data: String(error) }));
  return () => controller.abort();
}

const own = (url, job, tell) =>
  subscribe(job, {
    url: "/api/v1",
    types: ["step"],
    onEvent: ({ type, data, id }) => tell({ type, data: JSON.stringify(data), id }),
  }).close;

const clients = {
  EventSource: eventSource(EventSource),
  "@microsoft/fetch-event-source": fetchSource,
  "event-source-polyfill": eventSource(EventSourcePolyfill),
  "extended-eventsource": eventSource(ExtendedEventSource),
  "reconnecting-eventsource": eventSource(ReconnectingEventSource),
  "jobwire.js": own,
};

globalThis.page = {
  events: [],
  follow(name, url, job) {
    page.stop = clients[name](url, job, (event) => page.events.push(event));
  },
};
