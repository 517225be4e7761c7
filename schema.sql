-- SPDX-License-Identifier: ISC
--
-- The jobwire database. This file is the public interface for
-- programs in any language that publish events; it is also compiled into
-- jobwire, which creates the database with it (`jobwire init --db PATH`).
--
-- To publish an event, commit one row:
--
--     INSERT INTO job_events (job_id, type, data)
--     VALUES ('job-123', 'progress', '{"progress":40}');
--
-- That is all. Triggers keep `jobs` and fill `status`; whoever streams the job
-- has the event about a millisecond after the COMMIT.
--
--   job_id  1 to 128 of A-Z a-z 0-9 . _ : ~ -
--   type    queued processing progress completed failed cancelled timed_out,
--           or a name of your own: a-z, then up to 63 of a-z 0-9 _ . -
--           (resync, heartbeat and expiring are jobwire's: not streamed)
--   data    NULL or a JSON object. Members with a meaning: "output" (any JSON,
--           kept with the job), "restore_id" (text), "progress" (0 to 100),
--           "error" (text). Over 1 MiB it is stored but not streamed.
--
-- To publish at most once, name the delivery; a second row does nothing:
--
--     INSERT INTO job_events (job_id, type, data, source, delivery_key)
--     VALUES (?, ?, ?, 'my-worker', ?)
--     ON CONFLICT (source, delivery_key) DO NOTHING;
--
-- To say whose job it is, before its first event (an owner's open streams do
-- not go back for events that came before):
--
--     INSERT INTO jobs (job_id, owner) VALUES ('job-123', 'alice')
--     ON CONFLICT (job_id) DO UPDATE SET owner = excluded.owner;
--
-- What a writer must not do: give an `id`, change a row of job_events, use
-- INSERT OR REPLACE (it deletes without the triggers), lower `synchronous`
-- below FULL (after a power cut, ids that clients have seen would be given to
-- other events), or delete the files PATH-wal and PATH-shm. Set a
-- busy_timeout of some seconds. Leave no read transaction open.
--
-- Works with SQLite 3.37 and later, and from the sqlite3 shell. Times are RFC
-- 3339, UTC, in milliseconds.

-- "jobw": tells jobwire that the file is its own.
PRAGMA application_id = 0x6a6f6277;

-- epoch       made once; a client's id from another database is told apart
-- gone_floor  the highest event id that was deleted together with its job
-- bell        the file PATH-bell says what has been given out, so that an older
--             copy that is put back is noticed, and gets another epoch
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO meta (key, value) VALUES
    ('epoch', lower(hex(randomblob(4)))),
    ('gone_floor', '0');

-- One row per job: what its events add up to. Kept by the triggers below.
--
-- `floor` is the highest id of an event that was deleted from the job, except
-- `progress`, which later progress supersedes: a client that saw nothing after
-- a lower id has missed something. `output` and `error` are JSON texts and
-- stand last, because SQLite walks through all of a large value to reach a
-- column behind it. `error` is what a failed job's provider said in full: the
-- event holds the message only, for the rest names files and hosts.
--
-- A name is made of certain characters: nothing is left when they are taken
-- off (GLOB would stop at a NUL byte, and costs more). CASE and OR, not
-- IN (...): for a list SQLite builds a table, at each event.
CREATE TABLE jobs (
    job_id      TEXT PRIMARY KEY NOT NULL CONSTRAINT job_id_format CHECK (
                    length(job_id) BETWEEN 1 AND 128
                    AND ltrim(job_id, '0123456789abcdefghijklmnopqrstuvwxyz'
                        || 'ABCDEFGHIJKLMNOPQRSTUVWXYZ-_.:~') = ''),
    owner       TEXT,
    external_id TEXT,
    restore_id  TEXT,
    state       TEXT NOT NULL DEFAULT 'queued' CONSTRAINT job_state CHECK (
                    CASE state WHEN 'queued' THEN 1 WHEN 'processing' THEN 1
                        WHEN 'completed' THEN 1 WHEN 'failed' THEN 1
                        WHEN 'cancelled' THEN 1 WHEN 'timed_out' THEN 1
                        ELSE 0 END),
    floor       INTEGER NOT NULL DEFAULT 0,
    created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    output      TEXT,
    error       TEXT
) STRICT;

CREATE INDEX jobs_owner ON jobs (owner) WHERE owner IS NOT NULL;
CREATE INDEX jobs_external_id ON jobs (external_id)
    WHERE external_id IS NOT NULL;
-- Not with the time: then each event would write into the index.
CREATE INDEX jobs_state ON jobs (state);
-- For retention, which repeats the condition as it stands here.
CREATE INDEX jobs_ended ON jobs (updated_at)
    WHERE state = 'completed' OR state = 'failed' OR state = 'cancelled'
        OR state = 'timed_out';

-- The history and the queue. AUTOINCREMENT: an id is never given out twice,
-- also when the newest rows are deleted; id order is commit order.
--
-- `status` is the state of the job after the event; the triggers set it where
-- it is not what it mostly is. The size limit on `data` keeps a row below what
-- readers can load at all (64 MiB).
CREATE TABLE job_events (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id       TEXT NOT NULL CONSTRAINT job_id_format CHECK (
                     length(job_id) BETWEEN 1 AND 128
                     AND ltrim(job_id, '0123456789abcdefghijklmnopqrstuvwxyz'
                         || 'ABCDEFGHIJKLMNOPQRSTUVWXYZ-_.:~') = ''),
    type         TEXT NOT NULL CONSTRAINT event_type_format CHECK (
                     length(type) <= 64
                     AND type GLOB '[a-z]*'
                     AND ltrim(type, 'abcdefghijklmnopqrstuvwxyz'
                         || '_0123456789.-') = ''),
    data         TEXT CONSTRAINT data_is_json_object CHECK (
                     data IS NULL
                     OR CASE WHEN json_valid(data)
                        THEN json_type(data) = 'object'
                             AND instr(data, char(0)) = 0
                             AND length(CAST(data AS BLOB)) <= 33554432
                        ELSE 0 END),
    created_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    source       TEXT,
    delivery_key TEXT,
    status       TEXT NOT NULL DEFAULT 'processing',
    UNIQUE (source, delivery_key)
) STRICT;

CREATE INDEX job_events_job ON job_events (job_id, id);

-- The state a job takes from an event: a lifecycle type is the state itself
-- (only then excluded.state equals the type); `progress` proves that a waiting
-- job runs, and says nothing about one that has ended; any other type leaves
-- it, and a new job starts as queued.
--
-- The output must keep its text: as an SQL value 12345678901234567890 would
-- become 1.23456789012346e+19 and 1e400 infinity. Asked for two paths,
-- json_extract() answers the JSON text of an array of both and copies numbers
-- as they are written. The second path, an array element of an object, is
-- never there, so the answer is `[OUTPUT,null]`: the text from character 2 on,
-- without the 7 characters around it.
CREATE TRIGGER job_events_inserted AFTER INSERT ON job_events
WHEN NOT CASE NEW.type
    WHEN 'queued' THEN 0
    WHEN 'completed' THEN 0
    WHEN 'failed' THEN 0
    WHEN 'cancelled' THEN 0
    WHEN 'timed_out' THEN 0
    ELSE NEW.status = 'processing' AND EXISTS (SELECT 1 FROM jobs
        WHERE job_id = NEW.job_id AND state = 'processing')
    END
BEGIN
    INSERT INTO jobs (job_id, state, restore_id, output)
    VALUES (
        NEW.job_id,
        CASE NEW.type
            WHEN 'processing' THEN 'processing'
            WHEN 'progress' THEN 'processing'
            WHEN 'completed' THEN 'completed'
            WHEN 'failed' THEN 'failed'
            WHEN 'cancelled' THEN 'cancelled'
            WHEN 'timed_out' THEN 'timed_out'
            ELSE 'queued'
        END,
        CASE json_type(NEW.data, '$.restore_id') WHEN 'text'
            THEN json_extract(NEW.data, '$.restore_id') END,
        CASE WHEN json_type(NEW.data, '$.output') IS NOT NULL
            THEN substr(json_extract(NEW.data, '$.output', '$[0]'), 2,
                length(json_extract(NEW.data, '$.output', '$[0]')) - 7) END
    )
    ON CONFLICT (job_id) DO UPDATE SET
        state = CASE
            WHEN excluded.state = NEW.type THEN NEW.type
            WHEN NEW.type = 'progress' AND state = 'queued' THEN 'processing'
            ELSE state
        END,
        restore_id = coalesce(restore_id, excluded.restore_id),
        output = coalesce(excluded.output, output),
        updated_at = excluded.updated_at;
    UPDATE job_events
    SET status = (SELECT state FROM jobs WHERE job_id = NEW.job_id)
    WHERE id = NEW.id;
END;

-- Most events leave a running job running: then neither `state`, which has an
-- index, nor `status` is written. SQLite promises no order of triggers; after
-- the one above this one writes what is there already.
CREATE TRIGGER job_events_continued AFTER INSERT ON job_events
WHEN CASE NEW.type
    WHEN 'queued' THEN 0
    WHEN 'completed' THEN 0
    WHEN 'failed' THEN 0
    WHEN 'cancelled' THEN 0
    WHEN 'timed_out' THEN 0
    ELSE NEW.status = 'processing' AND EXISTS (SELECT 1 FROM jobs
        WHERE job_id = NEW.job_id AND state = 'processing')
    END
BEGIN
    UPDATE jobs SET
        restore_id = coalesce(restore_id,
            CASE json_type(NEW.data, '$.restore_id') WHEN 'text'
                THEN json_extract(NEW.data, '$.restore_id') END),
        output = coalesce(
            CASE WHEN json_type(NEW.data, '$.output') IS NOT NULL
                THEN substr(json_extract(NEW.data, '$.output', '$[0]'), 2,
                    length(json_extract(NEW.data, '$.output', '$[0]')) - 7) END,
            output),
        updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
    WHERE job_id = NEW.job_id;
END;

CREATE TRIGGER job_events_deleted AFTER DELETE ON job_events
WHEN OLD.type <> 'progress'
BEGIN
    UPDATE jobs SET floor = OLD.id
    WHERE job_id = OLD.job_id AND floor < OLD.id;
END;

-- DELETE FROM jobs removes a whole job. Its events go after it, not before:
-- then the trigger above finds no row whose floor it would have to raise.
CREATE TRIGGER jobs_deleted AFTER DELETE ON jobs
BEGIN
    UPDATE meta
    SET value = max(CAST(value AS INTEGER), OLD.floor, coalesce(
        (SELECT max(id) FROM job_events WHERE job_id = OLD.job_id), 0))
    WHERE key = 'gone_floor';
    DELETE FROM job_events WHERE job_id = OLD.job_id;
END;

-- Events that came for an `external_id` before anybody said whose it is. A job
-- that gets this external id takes them over: they are deleted here, which the
-- last of these triggers turns into events of the job.
CREATE TABLE unclaimed_events (
    id           INTEGER PRIMARY KEY,
    external_id  TEXT NOT NULL,
    type         TEXT NOT NULL,
    data         TEXT,
    created_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    source       TEXT NOT NULL,
    delivery_key TEXT NOT NULL,
    restore_id   TEXT,
    output       TEXT,
    error        TEXT,
    UNIQUE (source, delivery_key)
) STRICT;

CREATE INDEX unclaimed_events_external_id ON unclaimed_events (external_id);
CREATE INDEX unclaimed_events_created_at ON unclaimed_events (created_at);

CREATE TRIGGER jobs_registered AFTER INSERT ON jobs
WHEN NEW.external_id IS NOT NULL
BEGIN
    DELETE FROM unclaimed_events WHERE external_id = NEW.external_id;
END;

CREATE TRIGGER jobs_identified AFTER UPDATE OF external_id ON jobs
WHEN NEW.external_id IS NOT NULL AND NEW.external_id IS NOT OLD.external_id
BEGIN
    DELETE FROM unclaimed_events WHERE external_id = NEW.external_id;
END;

-- What waited is treated as if it came now: a late report does not reopen a
-- job (the table is in docs/protocol.md, "What a webhook does"), it is dropped.
-- What retention deletes belongs to no job, so nothing comes of it.
CREATE TRIGGER unclaimed_events_claimed AFTER DELETE ON unclaimed_events
WHEN CASE (SELECT state FROM jobs
        WHERE external_id = OLD.external_id ORDER BY rowid DESC LIMIT 1)
    WHEN 'processing' THEN OLD.type <> 'queued'
    WHEN 'completed' THEN OLD.type IN ('completed', 'progress')
    WHEN 'cancelled' THEN OLD.type IN ('completed', 'cancelled', 'progress')
    ELSE 1 END
BEGIN
    INSERT INTO job_events (job_id, type, data, source, delivery_key)
    SELECT job_id, OLD.type, OLD.data, OLD.source, OLD.delivery_key FROM jobs
    WHERE external_id = OLD.external_id ORDER BY rowid DESC LIMIT 1
    ON CONFLICT (source, delivery_key) DO NOTHING;
    UPDATE jobs SET output = coalesce(OLD.output, output),
        error = coalesce(OLD.error, error),
        restore_id = coalesce(restore_id, OLD.restore_id)
    WHERE rowid = (SELECT rowid FROM jobs
        WHERE external_id = OLD.external_id ORDER BY rowid DESC LIMIT 1);
END;

-- What a publisher's Idempotency-Key (its digest) stood for: the digest of the
-- request, and the ids it was given, which follow one another.
CREATE TABLE idempotency_keys (
    key        TEXT PRIMARY KEY NOT NULL,
    request    TEXT NOT NULL,
    first_id   INTEGER NOT NULL,
    n_events   INTEGER NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);

-- Who may read. Of tokens and tickets only SHA-256 digests (64 hex digits) are
-- kept, so that a copy of the database lets nobody in.

-- What `jobwire token revoke` took back: the token with that `jti`, or every
-- token of that `sub` issued up to the second `revoked_at`. Times here are
-- seconds since 1970, as in tokens.
CREATE TABLE revoked (
    kind       TEXT NOT NULL CHECK (kind IN ('jti', 'sub')),
    digest     TEXT NOT NULL CHECK (length(digest) = 64),
    revoked_at INTEGER NOT NULL,
    PRIMARY KEY (kind, digest)
) STRICT, WITHOUT ROWID;

CREATE INDEX revoked_at ON revoked (revoked_at);

-- Tickets that nobody has used yet. `claims` is what the ticket stands for, as
-- JSON: sub, exp, iat, jti and jobs of its token, and job_ids, the jobs that it
-- was asked for.
CREATE TABLE tickets (
    digest     TEXT PRIMARY KEY NOT NULL CHECK (length(digest) = 64),
    claims     TEXT NOT NULL CHECK (json_valid(claims)),
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX tickets_expires_at ON tickets (expires_at);

-- How many unused tickets a subject has.
CREATE INDEX tickets_subject
    ON tickets (json_extract(claims, '$.sub'), expires_at);

-- Versions 1 to 5 were before the first release.
PRAGMA user_version = 6;

-- Version 7: runs, the submissions of jobs to the service that does them
-- (docs/protocol.md, "Runs"). `jobwire-webhook` adds them, `jobwire-runner`
-- carries them out.

-- The restore id of the event's own run, where the job has another one now;
-- NULL: that of the job, '': none. Writers need not give it.
ALTER TABLE job_events ADD COLUMN restore_id TEXT;

-- action      as the settings name it; NULL: the site has submitted it itself
-- input       a JSON object; policy: one, or NULL. Gone when the run has ended
-- state       waiting, to be sent; submitting, it leaves now; unknown, it was
--             sent, and nobody knows whether it arrived; submitted; ended
-- attempts    how often it was sent, or tried to
-- next_at     when there is something to do
-- deadline    when it ends by itself: as failed, or once submitted as timed_out
-- cancel_wanted  1: by somebody; 2: the provider has been told
-- error       why it ended, where that is not `completed`: a code; of a run that
--             waits, `submission_unknown`: an earlier attempt may have arrived
CREATE TABLE runs (
    run_id        INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id        TEXT NOT NULL,
    action        TEXT,
    endpoint      TEXT NOT NULL,
    restore_id    TEXT,
    input         TEXT,
    policy        TEXT,
    state         TEXT NOT NULL DEFAULT 'waiting' CONSTRAINT run_state CHECK (
                      CASE state WHEN 'waiting' THEN 1 WHEN 'submitting' THEN 1
                          WHEN 'unknown' THEN 1 WHEN 'submitted' THEN 1
                          WHEN 'ended' THEN 1 ELSE 0 END),
    external_id   TEXT,
    attempts      INTEGER NOT NULL DEFAULT 0,
    next_at       TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    cancel_wanted INTEGER NOT NULL DEFAULT 0,
    deadline      TEXT,
    created_at    TEXT NOT NULL
                      DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    submitted_at  TEXT,
    ended_at      TEXT,
    error         TEXT
) STRICT;

CREATE INDEX runs_job ON runs (job_id, run_id);
-- A job has one at a time.
CREATE UNIQUE INDEX runs_open ON runs (job_id) WHERE state <> 'ended';
CREATE INDEX runs_due ON runs (next_at) WHERE state <> 'ended';

-- Whoever says that a job has ended ends its run, but for a late report of an
-- earlier one: that has a name of another run, and none of this one's. (CASE
-- with the same conditions costs each event half as much again: the registers
-- of a trigger are set up before its WHEN is looked at.)
CREATE TRIGGER job_events_ended AFTER INSERT ON job_events
WHEN CASE NEW.type WHEN 'completed' THEN 1 WHEN 'failed' THEN 1
    WHEN 'cancelled' THEN 1 WHEN 'timed_out' THEN 1 ELSE 0 END
BEGIN
    UPDATE runs SET state = 'ended', next_at = NULL, input = NULL,
        policy = NULL, ended_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'),
        error = CASE WHEN NEW.type <> 'completed' THEN
            coalesce(json_extract(NEW.data, '$.code'), NEW.type) END
    WHERE job_id = NEW.job_id AND state <> 'ended' AND coalesce(
        nullif(restore_id = coalesce(NEW.restore_id,
            json_extract(NEW.data, '$.restore_id')), 0),
        external_id = json_extract(NEW.data, '$.external_id'),
        restore_id = coalesce(NEW.restore_id,
            json_extract(NEW.data, '$.restore_id')),
        1);
END;

-- A job whose external id is told was submitted.
CREATE TRIGGER runs_identified AFTER UPDATE OF external_id ON jobs
WHEN NEW.external_id IS NOT NULL AND NEW.external_id IS NOT OLD.external_id
BEGIN
    UPDATE runs SET state = 'submitted', external_id = NEW.external_id,
        submitted_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'),
        next_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), deadline = NULL
    WHERE job_id = NEW.job_id AND (state = 'submitting' OR state = 'unknown'
        OR (state = 'waiting' AND error = 'submission_unknown'));
END;

CREATE TRIGGER runs_deleted AFTER DELETE ON jobs
BEGIN
    DELETE FROM runs WHERE job_id = OLD.job_id;
END;

-- How often the provider was called, for the metrics: counted with what came
-- of it, so that no call is forgotten or counted twice.
CREATE TABLE provider_calls (
    call    TEXT NOT NULL, -- submit, status, cancel
    outcome TEXT NOT NULL, -- ok, refused, unreachable, unknown
    n       INTEGER NOT NULL,
    PRIMARY KEY (call, outcome)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 7;

-- Version 8: several nodes (docs/cluster.md). A single node uses nothing of it.

-- What this node has taken and the log has not brought back yet, and what has
-- come of it: how a call is carried to all nodes (src/intent/intent.h). In a
-- cluster triggers, which `jobwire cluster join` makes, put here what a program
-- inserts into job_events or jobs, and what it deletes from jobs.
CREATE TABLE outbox (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       TEXT NOT NULL,
    payload    TEXT NOT NULL -- a JSON object; what all nodes can load
                   CONSTRAINT payload_size CHECK (
                       length(CAST(payload AS BLOB)) <= 66060288),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    result     TEXT           -- a JSON object; NULL: it is not applied yet
) STRICT;

-- The node that took it, and the number it had in that node's outbox; NULL:
-- from before the join.
ALTER TABLE job_events ADD COLUMN origin TEXT;
ALTER TABLE job_events ADD COLUMN origin_seq INTEGER;

-- taken_by  the node that carries it out in the place of its origin
ALTER TABLE runs ADD COLUMN origin TEXT;
ALTER TABLE runs ADD COLUMN origin_seq INTEGER;
ALTER TABLE runs ADD COLUMN taken_by TEXT;

CREATE INDEX runs_origin ON runs (origin, origin_seq)
    WHERE origin IS NOT NULL;

-- What this node has applied of the log: an entry is known by the id that its
-- first event gets, and by the tag of the log's epoch. `origin_before` is what
-- the number of its origin was before it, `undo_after` what log_undo held. The
-- first row is the oldest that the node can go back to.
CREATE TABLE log_entries (
    position      INTEGER PRIMARY KEY,
    tag           TEXT NOT NULL,
    origin        TEXT,
    origin_seq    INTEGER,
    origin_before INTEGER,
    applied_at    INTEGER NOT NULL, -- ms since 1970
    undo_after    INTEGER NOT NULL
) STRICT;

-- Statements that take the entries back, the newest first.
CREATE TABLE log_undo (
    id     INTEGER PRIMARY KEY,
    change TEXT NOT NULL
) STRICT;

-- The last number of each node's outbox that was applied.
CREATE TABLE log_marks (
    origin TEXT PRIMARY KEY NOT NULL,
    seq    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- As in version 7; but that a cluster's run was submitted its own node says, in
-- the log, for the others do not know whether it was sent.
DROP TRIGGER runs_identified;
CREATE TRIGGER runs_identified AFTER UPDATE OF external_id ON jobs
WHEN NEW.external_id IS NOT NULL AND NEW.external_id IS NOT OLD.external_id
BEGIN
    UPDATE runs SET state = 'submitted', external_id = NEW.external_id,
        submitted_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'),
        next_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), deadline = NULL
    WHERE job_id = NEW.job_id AND (state = 'submitting' OR state = 'unknown'
        OR (state = 'waiting' AND error = 'submission_unknown'))
        AND origin IS NULL;
END;

PRAGMA user_version = 8;
