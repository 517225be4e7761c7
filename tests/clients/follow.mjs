// SPDX-License-Identifier: ISC
// What every client of the matrix is made of, in Node.js and in a page. A client is
// a function (url, job, tell) that follows the job's stream, hands each event on as
// { type, data, id } exactly as its library gave it, and returns how to stop it.

// Also those that no test publishes: nothing may come as one of them.
const TYPES = ["message", "step", "completed", "resync", "heartbeat", "expiring"];

/** A class with the interface of EventSource. */
export const eventSource = (Source, options) => (url, job, tell) => {
  const source = new Source(url, options);
  for (const type of TYPES)
    source.addEventListener(type, ({ data, lastEventId }) => tell({ type, data, id: lastEventId }));
  source.addEventListener("error", () => {}); // some throw it where nobody listens
  return () => source.close();
};

/**
 * A reader of one response, which the page calls again and again until 204.
 * `read` yields the events of a body.
 */
export const loop = (read) => (url, job, tell) => {
  const controller = new AbortController();
  const { signal } = controller;
  (async () => {
    for (let id = ""; ; ) {
      const answer = await fetch(url, { signal, headers: id ? { "Last-Event-ID": id } : {} });
      if (answer.status === 204) return;
      for await (const event of read(answer.body.pipeThrough(new TextDecoderStream()))) {
        id = event.id || id;
        tell(event);
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  })().catch((error) => signal.aborted || tell({ type: "error", data: String(error) }));
  return () => controller.abort();
};

/**
 * The simplest reader there is: every empty line hands over what came before it.
 * `cut` makes lines of text: [lines, rest]. A line has `max` characters at most.
 */
const reader = (cut, max = Infinity) =>
  async function* (texts) {
    let rest = "";
    let event = {};
    for await (const text of texts) {
      const [lines, left] = cut(rest + text);
      rest = left;
      if (Math.max(rest.length, ...lines.map((line) => line.length)) > max) throw new Error("line too long");
      for (const line of lines) {
        const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
        if (!line) {
          yield { type: event.event ?? "message", data: event.data?.join("\n") ?? "", id: event.id };
          event = {};
        } else if (name === "data") (event.data ??= []).push(value);
        else event[name] = value;
      }
    }
  };

const byLf = (text) => {
  const lines = text.split("\n");
  return [lines, lines.pop()];
};
const likePython = (text) => {
  const lines = text.split(/\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/);
  return [lines, lines.pop()];
};

/** Go's bufio.Scanner as it is without Buffer(): lines of 64 KiB. */
export const goScanner = loop(reader(byLf, 64 * 1024 - 1));
/** aiohttp's `async for line in response.content`: lines of twice its limit of 64 KiB. */
export const aiohttpLines = loop(reader(byLf, 128 * 1024));
/** Python's str.splitlines(), as in requests' iter_lines() and older httpx-sse. */
export const pythonLines = loop(reader(likePython));
