// SPDX-License-Identifier: ISC
// Publish events of jobs with jobwire, from Node.js 18 and later.
//
//     import { connect } from "jobwire-publish";
//
//     const jw = connect("https://jobs.example/api/v1", { key: PUBLISH_KEY });
//     const jw = connect("/var/lib/jobwire/jobwire.db"); // Node.js 22.13 and later
//     await jw.publish("job-1", "progress", { progress: 40 });
//
// One file that needs no package: install it, or copy it. The same calls are
// there for Python and PHP. Types and options are in jobwire.d.ts.

import { createHash, createHmac, randomBytes } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export const VERSION = "0.2.0";

const OF_JOBWIRE = ["resync", "heartbeat", "expiring"]; // a row of these is not streamed
const DATA_MAX = 1 << 20; // more is stored, but not streamed
const PAUSES = [200, 1000, 3000]; // before a call is sent again, ms
const CODES = new Map([ // of the table's checks, as the server calls them
  ["job_id_format", "bad_job_id"],
  ["event_type_format", "bad_type"],
  ["data_is_json_object", "bad_payload"],
]);

export class JobwireError extends Error {
  constructor(code, message, status, retryAfter) {
    super(`${code}: ${message}`);
    this.name = "JobwireError";
    this.code = code;
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export function connect(target, options = {}) {
  return new Jobwire(target, options);
}

export class Jobwire {
  #db;
  #url;
  #key;
  #webhookSecret;
  #jwt;
  #names;
  #timeout;

  constructor(target, { url, key, webhookSecret, jwtKey, jwtIssuer, jwtAudience, timeout = 10 } = {}) {
    const isUrl = /^https?:\/\//.test(target);
    this.#db = isUrl ? null : new Database(target, timeout);
    this.#url = (isUrl ? target : (url ?? "")).replace(/\/+$/, "");
    this.#key = firstKey(key);
    this.#webhookSecret = firstKey(webhookSecret);
    this.#jwt = jwtKeyOf(jwtKey);
    this.#names = { ...(jwtIssuer && { iss: jwtIssuer }), ...(jwtAudience && { aud: jwtAudience }) };
    this.#timeout = timeout;
  }

  async publish(job, type, data = null, { idempotencyKey } = {}) {
    checkJob(job);
    if (OF_JOBWIRE.includes(type)) throw new JobwireError("bad_type", `${type} is jobwire's own`);
    const text = data === null ? null : objectText(data, DATA_MAX);
    if (this.#db) return this.#db.publish(job, type, text, idempotencyKey);
    const body = `{"type":${json(type)},"data":${text ?? "null"}}`;
    const answer = await this.#post(`/jobs/${job}/events`, body, this.#bearer(), idempotencyKey ?? randomId());
    return answer.event_ids?.[0] ?? null;
  }

  async register(job, { owner, externalId, restoreId, provider = "runpod-completion", endpoint } = {}) {
    job = job == null ? randomId() : checkJob(job);
    if (this.#db && !endpoint) {
      await this.#db.register(job, owner, externalId, restoreId);
      const signs = this.#url && this.#webhookSecret;
      return {
        job_id: job,
        events_url: this.#url ? `${this.#url}/events/${quote(job)}` : null,
        webhook_url: signs ? this.webhookUrl(job, { restoreId: restoreId ?? "", provider }) : null,
      };
    }
    const body = { job_id: job, owner, external_id: externalId, restore_id: restoreId, provider, endpoint };
    return this.#post("/jobs", json(body), this.#bearer());
  }

  async start(job, action, input, { restoreId = null, policy = null, idempotencyKey, token } = {}) {
    const body =
      `{"input":${objectText(input)},"restore_id":${json(restoreId)},` +
      `"policy":${policy === null ? "null" : objectText(policy)}}`;
    const path = `/jobs/${checkJob(job)}/${quote(action)}`;
    return this.#post(path, body, token ?? this.#bearer(), idempotencyKey ?? randomId());
  }

  webhookUrl(job = "", { restoreId = "", provider = "runpod-completion", expiresAt } = {}) {
    need({ url: this.#url, webhookSecret: this.#webhookSecret });
    if (job) checkJob(job);
    if (!/^[a-z0-9-]+$/.test(provider)) throw new JobwireError("bad_payload", "not the name of a provider");
    const exp = Math.trunc(expiresAt ?? Date.now() / 1000 + 86400);
    const text = `jobwire-webhook-v1\n${provider}\n${job}\n${restoreId}\n${exp}`;
    const query = Object.entries({ job_id: job, restore_id: restoreId, exp: `${exp}`, sig: hmac(this.#webhookSecret, text) })
      .filter(([, value]) => value)
      .map(([name, value]) => `${name}=${quote(value)}`);
    return `${this.#url}/webhooks/${provider}?${query.join("&")}`;
  }

  token(sub, jobs, { expiresAt, issuedAt, jti } = {}) {
    need({ jwtKey: this.#jwt });
    const { name, secret } = this.#jwt;
    const header = { alg: "HS256", typ: "JWT", ...(name && { kid: name }) };
    const payload = { ...claims(sub, jobs, expiresAt, issuedAt, jti), ...this.#names };
    const message = [header, payload].map((part) => Buffer.from(json(part)).toString("base64url")).join(".");
    return `${message}.${hmac(secret, message)}`;
  }

  async ticket(sub, jobs, { jobIds, expiresAt } = {}) {
    const limit = jobIds ? { job_ids: jobIds.map(checkJob) } : {};
    if (this.#db) return this.#db.ticket({ ...claims(sub, jobs, expiresAt), ...limit });
    const { ticket } = await this.#post("/tickets", json(limit), this.token(sub, jobs, { expiresAt }));
    return ticket;
  }

  close() {
    this.#db?.close();
  }

  #bearer() {
    need({ url: this.#url, key: this.#key });
    return this.#key.toString();
  }

  /** One call, sent again while the server is away: that is always safe. */
  async #post(path, body, bearer, idempotencyKey) {
    need({ url: this.#url });
    const headers = {
      "Content-Type": "application/json",
      Authorization: `Bearer ${bearer}`,
      ...(idempotencyKey && { "Idempotency-Key": idempotencyKey }),
    };
    const end = Date.now() + this.#timeout * 1000;
    for (const pause of [...PAUSES, null]) {
      try {
        return await send(this.#url + path, headers, body, Math.max(100, end - Date.now()));
      } catch (error) {
        const isAway = error.status === undefined || error.status >= 500;
        if (!isAway || pause === null || Date.now() + pause >= end) throw error;
      }
      await sleep(pause);
    }
  }
}

// --- the database --------------------------------------------------------------

/** A connection that is opened when it is needed: first, and when another file has taken the path. */
class Database {
  #path;
  #timeout;
  #connection = null;
  #of = "";

  constructor(path, timeout) {
    this.#path = path;
    this.#timeout = timeout;
  }

  async publish(job, type, data, key) {
    const delivery = key == null ? [null, null] : ["publish", `${job} ${key}`];
    let row = await this.#run(
      `INSERT INTO job_events (job_id, type, data, source, delivery_key)
       VALUES (?, ?, ?, ?, ?) ON CONFLICT (source, delivery_key) DO NOTHING
       RETURNING (SELECT value FROM meta WHERE key = 'epoch') || '-' || id AS id`,
      [job, type, data, ...delivery],
    );
    if (!row && key != null)
      row = await this.#run(
        `SELECT (SELECT value FROM meta WHERE key = 'epoch') || '-' || id AS id
         FROM job_events WHERE source = ? AND delivery_key = ?`,
        delivery,
      );
    return row?.id ?? null;
  }

  async register(job, owner = null, externalId = null, restoreId = null) {
    await this.#run(
      `INSERT INTO jobs (job_id, owner, external_id, restore_id)
       VALUES (?, ?, ?, ?) ON CONFLICT (job_id) DO UPDATE SET
       owner = coalesce(owner, excluded.owner),
       external_id = coalesce(excluded.external_id, external_id),
       restore_id = coalesce(excluded.restore_id, restore_id)
       WHERE owner = excluded.owner OR owner IS NULL OR excluded.owner IS NULL`,
      [job, owner, externalId, restoreId],
    );
    const row = await this.#run("SELECT owner FROM jobs WHERE job_id = ?", [job]);
    if (row && owner && row.owner !== owner)
      throw new JobwireError("job_owned", "the job belongs to another owner", 409);
  }

  async ticket(what) {
    const ticket = randomBytes(24).toString("base64url");
    await this.#run("INSERT INTO tickets (digest, claims, expires_at) VALUES (?, ?, ?)", [
      createHash("sha256").update(ticket).digest("hex"),
      json(what),
      Math.min(Math.trunc(Date.now() / 1000) + 30, what.exp),
    ]);
    return ticket;
  }

  close() {
    this.#connection?.close();
    this.#connection = null;
  }

  /** One transaction; its first row. SQLite would block all of Node while another program writes. */
  async #run(statement, values) {
    const end = Date.now() + this.#timeout * 1000;
    for (;;) {
      try {
        return (await this.#open()).prepare(statement).all(...values)[0];
      } catch (error) {
        if (error instanceof JobwireError) throw error;
        const kind = error.errcode & 0xff; // https://sqlite.org/rescode.html
        if (kind === 19)
          throw new JobwireError(CODES.get(error.message.split(" ").at(-1)) ?? "bad_payload", error.message);
        if (kind !== 5 && kind !== 6) throw new JobwireError("database_error", error.message);
        if (Date.now() > end) throw new JobwireError("database_busy", error.message);
      }
      await sleep(10);
    }
  }

  async #open() {
    let file;
    try {
      file = statSync(this.#path);
    } catch (error) {
      throw new JobwireError("database_missing", error.message);
    }
    const of = `${file.dev} ${file.ino}`;
    if (this.#connection && this.#of === of) return this.#connection;
    const { DatabaseSync } = await import("node:sqlite").catch(() => {
      throw new JobwireError("not_configured", "a database needs Node.js 22.13 or later; use the HTTP API");
    });
    const connection = new DatabaseSync(this.#path);
    if (connection.prepare("PRAGMA application_id").get().application_id !== 0x6a6f6277) {
      connection.close();
      throw new JobwireError("database_error", "this is no database of jobwire's");
    }
    connection.exec("PRAGMA synchronous = FULL; PRAGMA busy_timeout = 0");
    this.close();
    this.#connection = connection;
    this.#of = of;
    return connection;
  }
}

// --- HTTP ----------------------------------------------------------------------

/** The answer's JSON, or the error that it is. Follows no redirect: the key is for the server named. */
async function send(url, headers, body, timeout) {
  let response, answer;
  try {
    const signal = AbortSignal.timeout(timeout);
    response = await fetch(url, { method: "POST", headers, body, signal, redirect: "manual" });
    answer = await response.json().catch((error) => {
      if (response.ok || !(error instanceof SyntaxError)) throw error;
    });
  } catch (error) {
    throw new JobwireError("unreachable", error.cause?.message ?? error.message);
  }
  if (response.ok) return answer;
  const { code = `http_${response.status}`, message = `HTTP ${response.status}` } = answer?.error ?? {};
  const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  throw new JobwireError(code, message, response.status, Number.isNaN(seconds) ? undefined : seconds);
}

// --- text ----------------------------------------------------------------------

/** As jobwire writes it: no character that some readers end a line at. */
function json(value) {
  return JSON.stringify(value).replace(/[\x85\u2028\u2029]/g, (at) => `\\u${at.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** The text of a JSON object, from an object or from its text. */
function objectText(value, most = Infinity) {
  let text, parsed;
  try {
    text = typeof value === "string" ? value : json(value);
    parsed = JSON.parse(text);
  } catch {
    // said below
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    throw new JobwireError("bad_payload", "this is no JSON object");
  if (Buffer.byteLength(text) > most) throw new JobwireError("data_too_large", "data of an event are 1 MiB at most");
  return text;
}

function checkJob(job) {
  if (typeof job !== "string" || !/^[0-9A-Za-z._:~-]{1,128}$/.test(job))
    throw new JobwireError("bad_job_id", "a job id is 1 to 128 of A-Z a-z 0-9 . _ : ~ -");
  return job;
}

/** What a token or a ticket says. */
function claims(sub, jobs, expiresAt, issuedAt = Date.now() / 1000, jti = randomBytes(16).toString("base64url")) {
  const length = Buffer.byteLength(sub);
  if (length < 1 || length > 256 || /[\x00-\x1f\x7f\ufffd]/.test(sub))
    throw new JobwireError("bad_payload", "sub is 1 to 256 bytes without controls");
  const iat = Math.trunc(issuedAt);
  return { sub, exp: Math.trunc(expiresAt ?? iat + 3600), iat, jti, ...(jobs && { jobs: jobs.map(checkJob) }) };
}

/** The first of a list as the settings have it, which may be in `@FILE`. */
function firstKey(value) {
  if (!value) return null;
  const content = value.startsWith("@") ? read(value.slice(1)) : value;
  const [first = ""] = content.split(/[,\n]/).map((part) => part.replace(/^[ \t\r]+|[ \t\r]+$/g, "")).filter(Boolean);
  return longEnough(first, 16);
}

/** Its name and the secret: from the text, `@FILE`, or `NAME=@FILE`. */
function jwtKeyOf(value) {
  if (!value) return null;
  const named = /^([^=@,\s]+)=@([^,]+)/.exec(value);
  const content = named ? read(named[2]) : value.startsWith("@") ? read(value.slice(1)) : value;
  return { name: named?.[1], secret: longEnough(content.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, ""), 32) };
}

function read(path) {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new JobwireError("not_configured", error.message);
  }
}

function longEnough(key, least) {
  if (Buffer.byteLength(key) < least) throw new JobwireError("not_configured", `a key has ${least} bytes or more`);
  return key;
}

function need(options) {
  for (const [name, value] of Object.entries(options))
    if (!value) throw new JobwireError("not_configured", `connect() got no ${name}`);
}

function hmac(key, text) {
  return createHmac("sha256", key).update(text).digest("base64url");
}

function randomId() {
  return randomBytes(16).toString("hex");
}

/** encodeURIComponent() leaves five characters that RFC 3986 reserves. */
function quote(text) {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}
