// SPDX-License-Identifier: ISC

/** An object, or the text of a JSON object, which is passed on as it is. */
export type JsonObject = object | string;

/** Each is needed by some calls only. Keys and secrets are written as in the settings file, `@FILE` included. */
export interface ConnectOptions {
  /** The API's URL, where the target is the database. */
  url?: string | undefined;
  /** A publish key. */
  key?: string | undefined;
  /** For webhookUrl(); the first of several signs. */
  webhookSecret?: string | undefined;
  /** A secret of HS256, for token() and ticket(). */
  jwtKey?: string | undefined;
  /** What tokens say, where the settings have it. */
  jwtIssuer?: string | undefined;
  jwtAudience?: string | undefined;
  /** Seconds for a call in all, with what is sent again; default 10. */
  timeout?: number | undefined;
}

export interface Registered {
  job_id: string;
  /** Null where the API's URL is not known. */
  events_url: string | null;
  /** Null where there is no secret, too. */
  webhook_url: string | null;
}

export interface Started {
  job_id: string;
  restore_id: string;
  run_id: number;
  status: string;
  events_url: string;
}

/**
 * Nothing was done, or nobody knows. `code` is one of docs/protocol.md, whichever way the call went;
 * `http_STATUS` where the answer is not jobwire's; `unreachable`; `not_configured` where connect() was
 * given too little.
 */
export class JobwireError extends Error {
  readonly code: string;
  /** HTTP's, where there was an answer. */
  readonly status: number | undefined;
  /** Seconds, where the server named them. */
  readonly retryAfter: number | undefined;
}

/**
 * `target` is the path of the database (Node.js 22.13 and later), or the URL of the HTTP API with its
 * prefix (`https://HOST/api/v1`). Opens nothing yet.
 */
export function connect(target: string, options?: ConnectOptions): Jobwire;

/** What connect() makes. */
export class Jobwire {
  private constructor();
  /**
   * Publishes an event; it is on the disk when this gives its id. With the same `idempotencyKey` a job's
   * event is stored once, and its id given again (in a cluster null: it is on its way).
   */
  publish(
    job: string,
    type: string,
    data?: JsonObject | null,
    options?: { idempotencyKey?: string | undefined },
  ): Promise<string | null>;
  /** Registers a job before it starts, without an id under a random one. `endpoint` needs the API. */
  register(
    job?: string | null,
    options?: {
      owner?: string | undefined;
      externalId?: string | undefined;
      restoreId?: string | undefined;
      provider?: string | undefined;
      endpoint?: string | undefined;
    },
  ): Promise<Registered>;
  /**
   * Lets jobwire start an action of `runpod_actions`, always over the API: with the publish key, or with
   * a user's token where `start_auth` is `owner`.
   */
  start(
    job: string,
    action: string,
    input: JsonObject,
    options?: {
      restoreId?: string | undefined;
      policy?: JsonObject | undefined;
      idempotencyKey?: string | undefined;
      token?: string | undefined;
    },
  ): Promise<Started>;
  /**
   * The URL that a service reports to, signed as `jobwire url` does; good for 24 hours, or until
   * `expiresAt` (seconds since 1970). Without a job for calls that name it in their body.
   */
  webhookUrl(
    job?: string,
    options?: { restoreId?: string | undefined; provider?: string | undefined; expiresAt?: number | undefined },
  ): string;
  /**
   * A JSON Web Token (HS256) for `events_auth = jwt` or `ticket`: `sub` reads its own jobs and those in
   * `jobs`, for an hour or until `expiresAt`.
   */
  token(
    sub: string,
    jobs?: string[],
    options?: { expiresAt?: number | undefined; issuedAt?: number | undefined; jti?: string | undefined },
  ): string;
  /**
   * A ticket for `events_auth = ticket`: opens one request, within 30 seconds, as a token of this `sub`
   * and these `jobs` would; with `jobIds` for none but these. Over the API it needs `jwtKey`.
   */
  ticket(
    sub: string,
    jobs?: string[],
    options?: { jobIds?: string[] | undefined; expiresAt?: number | undefined },
  ): Promise<string>;
  /** Closes the database. The object may be used again. */
  close(): void;
}
