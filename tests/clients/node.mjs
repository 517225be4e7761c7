// SPDX-License-Identifier: ISC
// The clients of the matrix that run beside the test: name, version, client. Of one
// that cannot be had here there is `why` instead.

import { execFileSync, spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { aiohttpLines, eventSource, goScanner, loop, pythonLines } from "./follow.mjs";

/** `make` gets the module, and gives the client. */
async function library(name, make, folder = name) {
  const manifest = await readFile(new URL(`node_modules/${folder}/package.json`, import.meta.url), "utf8");
  const { version } = JSON.parse(manifest);
  try {
    return { name, version, client: make(await import(folder)) };
  } catch (error) {
    return { name, version, why: `not with Node.js ${process.versions.node}: ${error.message}` };
  }
}

/** Debian's golang-go and golang-github-donovanhide-eventsource-dev, where they are installed. */
function goLibrary(program) {
  const name = "donovanhide/eventsource";
  const env = { ...process.env, GO111MODULE: "off", GOPATH: "/usr/share/gocode", GOFLAGS: "" };
  try {
    const source = fileURLToPath(new URL("donovanhide.go", import.meta.url));
    execFileSync("go", ["build", "-o", program, source], { env, stdio: "pipe" });
  } catch {
    return { name, why: "no golang-go, or no golang-github-donovanhide-eventsource-dev" };
  }
  const client = (url, job, tell) => {
    const child = spawn(program, [url], { stdio: ["ignore", "pipe", "inherit"] });
    createInterface({ input: child.stdout }).on("line", (line) => tell(JSON.parse(line)));
    return () => child.kill();
  };
  return { name, version: "2021-08-30", client, isStoppedAtTheEnd: true };
}

const parser = ({ createParser }) =>
  loop(async function* (texts) {
    const events = [];
    const { feed } = createParser({ onEvent: ({ event, ...rest }) => events.push({ type: event ?? "message", ...rest }) });
    for await (const text of texts) {
      feed(text);
      yield* events.splice(0);
    }
  });

const client = ({ createEventSource }) => (url, job, tell) => {
  const onMessage = ({ event, data, id }) => tell({ type: event ?? "message", data, id });
  const source = createEventSource({ url, onMessage });
  return () => source.close();
};

/** `program` is where to build what must be built. */
export const findClients = async (program) => [
  await library("eventsource", ({ default: Source }) => eventSource(Source), "eventsource2"),
  await library("eventsource", ({ EventSource }) => eventSource(EventSource), "eventsource3"),
  await library("eventsource", ({ EventSource }) => eventSource(EventSource), "eventsource4"),
  await library("eventsource", ({ EventSource }) => eventSource(EventSource)),
  await library("eventsource-client", client),
  await library("eventsource-parser", parser),
  await library("launchdarkly-eventsource", (module) =>
    eventSource(module.EventSource ?? module.default, { initialRetryDelayMillis: 100 })),
  await library("undici", ({ EventSource }) => eventSource(EventSource)),
  goLibrary(program),
  { name: "rule of Go's bufio.Scanner", client: goScanner },
  { name: "rule of aiohttp's lines", client: aiohttpLines },
  { name: "rule of Python's splitlines", client: pythonLines },
];
