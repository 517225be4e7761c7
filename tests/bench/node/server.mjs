// SPDX-License-Identifier: ISC
// usage: node server.mjs PORT KEEP
// A server with better-sse as its guide has it: a channel for each job. The
// library keeps no history, so the newest KEEP events of each job are kept here,
// under better-sse's own kind of ids; an unknown id gets all that there is.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { createChannel, createSession } from "better-sse";

const [port, keep] = process.argv.slice(2).map(Number);
const jobs = new Map();

function jobOf(name) {
  if (!jobs.has(name)) jobs.set(name, { channel: createChannel(), events: [] });
  return jobs.get(name);
}

async function follow(request, response, name) {
  const session = await createSession(request, response, { serializer: (text) => text });
  const { channel, events } = jobOf(name);
  const place = events.findIndex((event) => event.id === session.lastId);
  for (const { id, text } of events.slice(place + 1)) session.push(text, "message", id);
  channel.register(session);
}

async function publish(request, response, name) {
  const parts = [];
  for await (const part of request) parts.push(part);
  const text = Buffer.concat(parts).toString();
  const { channel, events } = jobOf(name);
  const id = randomUUID();
  events.push({ id, text });
  if (events.length > keep) events.shift();
  channel.broadcast(text, "message", { eventId: id });
  response.writeHead(200, { "Content-Type": "application/json", "Content-Length": 11 });
  response.end('{"ok":true}');
}

createServer((request, response) => {
  const name = request.url.slice("/sub/".length);
  const answer = request.method === "POST" ? publish : follow;
  answer(request, response, name).catch(() => response.destroy());
}).listen(port, "127.0.0.1", 4096);
