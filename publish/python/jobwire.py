# SPDX-License-Identifier: ISC
"""Publish events of jobs with jobwire, from Python 3.9 and later.

    import jobwire

    jw = jobwire.connect("/var/lib/jobwire/jobwire.db")
    jw = jobwire.connect("https://jobs.example/api/v1", key=PUBLISH_KEY)
    jw.publish("job-1", "progress", {"progress": 40})

One file that needs the standard library only: install it, or copy it. The
same calls are there for PHP and Node. An object may be used by several threads
and by processes forked later. Every call blocks: on the disk, or on the server
for `timeout` seconds at most.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import os
import re
import secrets
import sqlite3
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

__all__ = ["Jobwire", "JobwireError", "connect"]
__version__ = "0.2.0"

_JOB_ID = re.compile(r"[0-9A-Za-z._:~-]{1,128}")
_OF_JOBWIRE = ("resync", "heartbeat", "expiring")  # a row of these is not streamed
_DATA_MAX = 1 << 20  # more is stored, but not streamed
_DAY, _HOUR, _TICKET_LIFE = 86400, 3600, 30
_SQLITE_MIN = (3, 37)
_APPLICATION_ID = 0x6A6F6277
_PAUSES = (0.2, 1.0, 3.0)  # before a call is sent again
_CODES = {  # of the table's checks, as the server calls them
    "job_id_format": "bad_job_id",
    "event_type_format": "bad_type",
    "data_is_json_object": "bad_payload",
}


class JobwireError(Exception):
    """Nothing was done, or nobody knows. `code` is one of docs/protocol.md,
    whichever way the call went; `http_STATUS` where the answer is not
    jobwire's; `unreachable`; `not_configured` where connect() was given too
    little. `status` is HTTP's, and `retry_after` seconds, where there are any.
    """

    def __init__(self, code, message, status=None, retry_after=None):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.status = status
        self.retry_after = retry_after


def connect(target, **options):
    """A Jobwire object. `target` is the path of the database, or the URL of
    the HTTP API with its prefix (`https://HOST/api/v1`). Opens nothing yet.

    Options, each needed by some calls only; keys and secrets are written as in
    the settings file, `@FILE` included:

    url             the API's URL, where `target` is the database
    key             a publish key
    webhook_secret  for webhook_url(); the first of several signs
    jwt_key         a secret of HS256, for token() and ticket()
    jwt_issuer, jwt_audience  what tokens say, where the settings have them
    timeout         seconds for a call in all, with what is sent again (10)
    """
    return Jobwire(target, **options)


class Jobwire:
    """What connect() makes."""

    def __init__(self, target, *, url=None, key=None, webhook_secret=None,
                 jwt_key=None, jwt_issuer=None, jwt_audience=None, timeout=10.0):
        is_url = re.match(r"https?://", str(target))
        self._db = None if is_url else _Database(os.fspath(target), timeout)
        self._url = str(target if is_url else url or "").rstrip("/")
        self._key = _first_key(key)
        self._webhook_secret = _first_key(webhook_secret)
        self._kid, self._jwt_key = _jwt_key(jwt_key)
        self._names = {"iss": jwt_issuer, "aud": jwt_audience}
        self._timeout = timeout

    def publish(self, job, type, data=None, *, idempotency_key=None):
        """Publishes an event; it is on the disk when this returns its id.
        `data`: a dict, or the text of a JSON object, which is passed on as it
        is. With the same `idempotency_key` a job's event is stored once, and
        its id returned again (in a cluster None: it is on its way)."""
        _check_job(job)
        if type in _OF_JOBWIRE:
            raise JobwireError("bad_type", f"{type} is jobwire's own")
        text = None if data is None else _object_text(data)
        if self._db:
            return self._db.publish(job, type, text, idempotency_key)
        body = '{"type":%s,"data":%s}' % (_json(type), text or "null")
        answer = self._post(f"/jobs/{job}/events", body, self._bearer(),
                            idempotency_key or uuid.uuid4().hex)
        return answer["event_ids"][0] if answer.get("event_ids") else None

    def register(self, job=None, *, owner=None, external_id=None,
                 restore_id=None, provider="runpod-completion", endpoint=None):
        """Registers a job before it starts, without an id under a random one.
        Returns `job_id`, `events_url` and `webhook_url`; the URLs are None
        where the API's URL, or the secret, is not known. `endpoint` needs the
        API."""
        job = secrets.token_hex(16) if job is None else _check_job(job)
        if self._db and not endpoint:
            self._db.register(job, owner, external_id, restore_id)
            signed = self._url and self._webhook_secret
            return {
                "job_id": job,
                "events_url": self._url and f"{self._url}/events/{_quote(job)}" or None,
                "webhook_url": signed and self.webhook_url(
                    job, restore_id=restore_id or "", provider=provider) or None,
            }
        body = {"job_id": job, "owner": owner, "external_id": external_id,
                "restore_id": restore_id, "provider": provider, "endpoint": endpoint}
        return self._post("/jobs", _json(body), self._bearer())

    def start(self, job, action, input, *, restore_id=None, policy=None,
              idempotency_key=None, token=None):
        """Lets jobwire start an action of `runpod_actions`, always over the
        API: with the publish key, or with a user's token where `start_auth` is
        `owner`. `input` and `policy` as the data of publish(). Returns
        `job_id`, `run_id`, `restore_id`, `status` and `events_url`."""
        body = '{"input":%s,"restore_id":%s,"policy":%s}' % (
            _object_text(input, None), _json(restore_id),
            "null" if policy is None else _object_text(policy, None))
        return self._post(f"/jobs/{_check_job(job)}/{_quote(action)}", body,
                          token or self._bearer(), idempotency_key or uuid.uuid4().hex)

    def webhook_url(self, job="", *, restore_id="", provider="runpod-completion",
                    expires_at=None):
        """The URL that a service reports to, signed as `jobwire url` does; good
        for 24 hours, or until `expires_at` (seconds since 1970). Without a job
        for calls that name it in their body. Asks nobody."""
        self._need(webhook_secret=self._webhook_secret, url=self._url)
        exp = int(time.time() + _DAY if expires_at is None else expires_at)
        if job:
            _check_job(job)
        if not re.fullmatch(r"[a-z0-9-]+", provider):
            raise JobwireError("bad_payload", "not the name of a provider")
        text = f"jobwire-webhook-v1\n{provider}\n{job}\n{restore_id}\n{exp}"
        query = [("job_id", job), ("restore_id", restore_id), ("exp", str(exp)),
                 ("sig", _b64url(_hmac(self._webhook_secret, text)))]
        return f"{self._url}/webhooks/{provider}?" + "&".join(
            f"{name}={_quote(value)}" for name, value in query if value)

    def token(self, sub, jobs=None, *, expires_at=None, issued_at=None, jti=None):
        """A JSON Web Token (HS256) for `events_auth = jwt` or `ticket`: `sub`
        reads its own jobs and those in `jobs`, for an hour or until
        `expires_at`. Asks nobody."""
        self._need(jwt_key=self._jwt_key)
        names = {name: value for name, value in self._names.items() if value}
        kid = {"kid": self._kid} if self._kid else {}
        message = ".".join(_b64url(_json(part).encode()) for part in (
            {"alg": "HS256", "typ": "JWT", **kid},
            {**_claims(sub, jobs, expires_at, issued_at, jti), **names}))
        return f"{message}.{_b64url(_hmac(self._jwt_key, message))}"

    def ticket(self, sub, jobs=None, *, job_ids=None, expires_at=None):
        """A ticket for `events_auth = ticket`: opens one request, within 30
        seconds, as a token of this `sub` and these `jobs` would; with `job_ids`
        for none but these. Over the API it needs `jwt_key`."""
        if self._db:
            claims = _claims(sub, jobs, expires_at)
            if job_ids is not None:
                claims["job_ids"] = [_check_job(job) for job in job_ids]
            return self._db.ticket(claims)
        body = {} if job_ids is None else {"job_ids": list(job_ids)}
        token = self.token(sub, jobs, expires_at=expires_at)
        return self._post("/tickets", _json(body), token)["ticket"]

    def close(self):
        """Closes the database. The object may be used again."""
        if self._db:
            self._db.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @staticmethod
    def _need(**options):
        for name, value in options.items():
            if not value:
                raise JobwireError("not_configured", f"connect() got no {name}")

    def _bearer(self):
        self._need(url=self._url, key=self._key)
        return self._key.decode()

    def _post(self, path, body, bearer, idempotency_key=None):
        """One call, sent again while the server is away: that is always safe."""
        self._need(url=self._url)
        headers = {"Content-Type": "application/json",
                   "Authorization": f"Bearer {bearer}"}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        request = urllib.request.Request(
            self._url + path, body.encode(), headers, method="POST")
        end = time.monotonic() + self._timeout
        for pause in (*_PAUSES, None):
            try:
                return _send(request, max(0.1, end - time.monotonic()))
            except JobwireError as error:
                is_away = error.status is None or error.status >= 500
                if not is_away or pause is None or time.monotonic() + pause >= end:
                    raise
            time.sleep(pause)


# --- the database -------------------------------------------------------------


class _Database:
    """A connection that is opened when it is needed: first, in a child after a
    fork, and when another file has taken the path."""

    def __init__(self, path, timeout):
        self._path, self._timeout = path, timeout
        self._lock = threading.Lock()
        self._connection = self._of = None
        self._inherited = []  # a child must not close what its parent has open

    def publish(self, job, type, data, key):
        delivery = ("publish", f"{job} {key}") if key is not None else (None, None)
        row = self._run(
            "INSERT INTO job_events (job_id, type, data, source, delivery_key)"
            " VALUES (?, ?, ?, ?, ?) ON CONFLICT (source, delivery_key) DO NOTHING"
            " RETURNING (SELECT value FROM meta WHERE key = 'epoch') || '-' || id",
            (job, type, data, *delivery))
        if row is None and key is not None:
            row = self._run(
                "SELECT (SELECT value FROM meta WHERE key = 'epoch') || '-' || id"
                " FROM job_events WHERE source = ? AND delivery_key = ?", delivery)
        return row and row[0]

    def register(self, job, owner, external_id, restore_id):
        self._run(
            "INSERT INTO jobs (job_id, owner, external_id, restore_id)"
            " VALUES (?, ?, ?, ?) ON CONFLICT (job_id) DO UPDATE SET"
            " owner = coalesce(owner, excluded.owner),"
            " external_id = coalesce(excluded.external_id, external_id),"
            " restore_id = coalesce(excluded.restore_id, restore_id)"
            " WHERE owner = excluded.owner OR owner IS NULL OR excluded.owner IS NULL",
            (job, owner, external_id, restore_id))
        row = self._run("SELECT owner FROM jobs WHERE job_id = ?", (job,))
        if row and owner and row[0] != owner:
            raise JobwireError("job_owned", "the job belongs to another owner", 409)

    def ticket(self, claims):
        ticket = _b64url(secrets.token_bytes(24))
        expires_at = min(int(time.time()) + _TICKET_LIFE, claims["exp"])
        self._run(
            "INSERT INTO tickets (digest, claims, expires_at) VALUES (?, ?, ?)",
            (hashlib.sha256(ticket.encode()).hexdigest(), _json(claims), expires_at))
        return ticket

    def close(self):
        with self._lock:
            if self._connection and self._of[0] == os.getpid():
                self._connection.close()
                self._connection = None

    def _run(self, statement, values):
        """One transaction; the first row, or None."""
        try:
            with self._lock:
                rows = self._open().execute(statement, values).fetchall()
        except sqlite3.IntegrityError as error:
            code = _CODES.get(str(error).rpartition(" ")[2], "bad_payload")
            raise JobwireError(code, str(error)) from None
        except sqlite3.Error as error:
            code = "database_busy" if "locked" in str(error) else "database_error"
            raise JobwireError(code, str(error)) from error
        return rows[0] if rows else None

    def _open(self):
        try:
            file = os.stat(self._path)
        except OSError as error:
            raise JobwireError("database_missing", str(error)) from None
        of = (os.getpid(), file.st_dev, file.st_ino)
        if self._connection is None or self._of != of:
            if self._connection and self._of[0] != of[0]:
                self._inherited.append(self._connection)
            self._connection, self._of = self._connect(), of
        return self._connection

    def _connect(self):
        if sqlite3.sqlite_version_info < _SQLITE_MIN:
            raise JobwireError("not_configured", "SQLite 3.37 or later is needed")
        path = urllib.parse.quote(os.path.abspath(self._path))
        connection = sqlite3.connect(
            f"file:{path}?mode=rw", uri=True, timeout=self._timeout,
            isolation_level=None, check_same_thread=False)
        if connection.execute("PRAGMA application_id").fetchone() != (_APPLICATION_ID,):
            connection.close()
            raise JobwireError("database_error", "this is no database of jobwire's")
        connection.execute("PRAGMA synchronous = FULL")
        return connection


# --- HTTP ---------------------------------------------------------------------


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The key is for the server that was named, and a POST stays one."""

    def redirect_request(self, *_):
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def _send(request, timeout):
    """The answer's JSON, or the error that it is."""
    try:
        with _opener.open(request, timeout=timeout) as response:
            return json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            said = _error_of(error.read())
        retry = error.headers.get("Retry-After", "")
        raise JobwireError(
            said.get("code", f"http_{error.code}"), said.get("message", error.reason),
            error.code, int(retry) if retry.isdigit() else None) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise JobwireError("unreachable", str(error)) from error


def _error_of(body):
    try:
        return dict(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return {}


# --- text ---------------------------------------------------------------------


def _json(value):
    """As jobwire writes it: no white space, and no character that some readers
    end a line at."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return re.sub("[\x85\u2028\u2029]", lambda at: f"\\u{ord(at[0]):04x}", text)


def _object_text(value, most=_DATA_MAX):
    """The text of a JSON object, from a dict or from its text."""
    try:
        text = value if isinstance(value, str) else _json(value)
        is_object = isinstance(json.loads(text), dict)
    except (ValueError, TypeError, RecursionError):
        is_object = False
    if not is_object:
        raise JobwireError("bad_payload", "this is no JSON object")
    if most and len(text.encode("utf-8", "replace")) > most:
        raise JobwireError("data_too_large", "data of an event are 1 MiB at most")
    return text


def _check_job(job):
    if not _JOB_ID.fullmatch(job):
        raise JobwireError("bad_job_id", "a job id is 1 to 128 of A-Z a-z 0-9 . _ : ~ -")
    return job


def _claims(sub, jobs, expires_at, issued_at=None, jti=None):
    """What a token or a ticket says."""
    if not 1 <= len(sub.encode()) <= 256 or re.search(r"[\x00-\x1f\x7f\ufffd]", sub):
        raise JobwireError("bad_payload", "sub is 1 to 256 bytes without controls")
    iat = int(time.time() if issued_at is None else issued_at)
    exp = int(iat + _HOUR if expires_at is None else expires_at)
    claims = {"sub": sub, "exp": exp, "iat": iat,
              "jti": jti or _b64url(secrets.token_bytes(16))}
    if jobs is not None:
        claims["jobs"] = [_check_job(job) for job in jobs]
    return claims


def _first_key(value):
    """The first of a list as the settings have it, which may be in `@FILE`."""
    if not value:
        return None
    content = _read(value[1:]) if value.startswith("@") else value.encode()
    keys = [part.strip(b" \t\r") for part in re.split(rb"[,\n]", content)]
    return _long_enough(next(filter(None, keys), b""), 16)


def _jwt_key(value):
    """(its name, the secret): from the text, `@FILE`, or `NAME=@FILE`."""
    if not value:
        return None, None
    named = re.match(r"([^=@,\s]+)=@([^,]+)", value)
    if named:
        content = _read(named[2])
    else:
        content = _read(value[1:]) if value.startswith("@") else value.encode()
    return named and named[1], _long_enough(content.strip(b" \t\r\n"), 32)


def _read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise JobwireError("not_configured", str(error)) from None


def _long_enough(key, least):
    if len(key) < least:
        raise JobwireError("not_configured", f"a key has {least} bytes or more")
    return key


def _hmac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _quote(text):
    return urllib.parse.quote(text, safe="")
