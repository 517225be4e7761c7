// SPDX-License-Identifier: ISC
// An Express site whose users see their jobs move: docs/migrate.md.
//
//     node with_express.mjs
//
// It publishes over HTTP, which every Node.js can. From 22.13 on, connect() takes the database's path, too,
// and then needs no keys.

import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import express from "express";
import { connect } from "jobwire-publish";

const { JOBWIRE_URL = "http://127.0.0.1/api/v1", PUBLISH_KEY, JWT_KEY, PORT = "8000" } = process.env;
const jw = connect(JOBWIRE_URL, { key: PUBLISH_KEY, jwtKey: JWT_KEY });
const page = fileURLToPath(new URL("page.html", import.meta.url));
const app = express();

// Stands for your express-session: a cookie, and who has it.
const sessions = new Map();
app.use((req, res, next) => {
  req.user = sessions.get(/(?:^|; )sid=([\w-]+)/.exec(req.headers.cookie)?.[1]);
  next();
});
const forUsers = (req, res, next) => (req.user === undefined ? res.sendStatus(401) : next());
const caught = (handler) => (req, res, next) => handler(req, res).catch(next); // Express 4 does not

app.get("/", (req, res) => res.sendFile(page));

// Stands for your log-in: it asks for no password.
app.post("/login", (req, res) => {
  const sid = randomUUID();
  sessions.set(sid, req.query.name);
  res.cookie("sid", sid, { httpOnly: true, sameSite: "lax" }).json({ user: req.query.name });
});

app.post("/start", forUsers, caught(async (req, res) => {
  const { job_id } = await jw.register(undefined, { owner: req.user });
  work(job_id).catch(console.error);
  res.json({ job_id });
}));

// For `events_auth = ticket`: one request of this user's page.
app.post("/ticket", forUsers, caught(async (req, res) => {
  res.json({ ticket: await jw.ticket(req.user) });
}));

// For `events_auth = server`: nginx asks who sent this cookie.
app.get("/whoami", forUsers, (req, res) => res.set("X-User", req.user).sendStatus(204));

// The work itself; it can be any process, such as a worker of BullMQ.
async function work(job) {
  for (const percent of [25, 50, 75]) {
    await sleep(200);
    await jw.publish(job, "progress", { progress: percent });
  }
  await jw.publish(job, "completed", { output: { pages: 3 } });
}

app.listen(Number(PORT), "127.0.0.1");
