/* SPDX-License-Identifier: ISC */
/*
 * All SQL that jobwire runs, in one table. The schema is schema.sql, and what a
 * cluster adds to it stands in cluster.c.
 */
#include "store/stmt.h"

/* A member of an event's data with its text as written: see schema.sql. */
#define RAW_MEMBER(data, path)                                                 \
	"CASE WHEN json_type(" data ", '" path "') IS NOT NULL "               \
	"THEN substr(json_extract(" data ", '" path "', '$[0]'), 2, "          \
	"length(json_extract(" data ", '" path "', '$[0]')) - 7) END"

/* What jobs_load() reads, up to the output. */
#define JOB_COLUMNS                                                            \
	"j.job_id, j.owner, j.external_id, j.restore_id, j.state, "            \
	"(SELECT " RAW_MEMBER("data",                                          \
	    "$.progress") " FROM job_events "                                  \
			  "WHERE job_id = j.job_id AND type = 'progress' "     \
			  "ORDER BY id DESC LIMIT 1), "                        \
			  "j.created_at, j.updated_at, "                       \
			  "(SELECT max(id) FROM job_events "                   \
			  "WHERE job_id = j.job_id)"

/* What the event says that brought the job to its end, else its provider. */
#define JOB_ERROR                                                              \
	"CASE WHEN j.state IN ('failed', 'cancelled', 'timed_out') THEN "      \
	"coalesce((SELECT " RAW_MEMBER(                                        \
	    "data", "$.error") " FROM job_events "                             \
			       "WHERE job_id = j.job_id AND type = j.state "   \
			       "ORDER BY id DESC LIMIT 1), j.error) END"

/* The first rows are found first, so that only theirs are looked at whole. */
#define JOBS_BY_TIME(where, order)                                             \
	"SELECT " JOB_COLUMNS ", NULL, " JOB_ERROR                             \
	" FROM jobs AS j WHERE j.rowid IN (SELECT rowid FROM jobs " where      \
	"ORDER BY updated_at" order " LIMIT ?1) ORDER BY j.updated_at" order

/* What events.c reads. */
#define EVENT_COLUMNS                                                          \
	"e.id, e.job_id, e.type, e.data, e.status, "                           \
	"coalesce(e.restore_id, j.restore_id), j.owner, "                      \
	"e.created_at, j.floor, e.origin, e.origin_seq "
#define READ_EVENTS(where)                                                     \
	"SELECT " EVENT_COLUMNS "FROM job_events AS e "                        \
	"LEFT JOIN jobs AS j ON j.job_id = e.job_id "                          \
	"WHERE " where "e.id > ?1 ORDER BY e.id LIMIT ?2"

/* Has the job t more than n events, or of those? By the index alone where that
 * is enough. */
#define MORE_THAN(n, of)                                                       \
	"(SELECT 1 FROM job_events AS e WHERE e.job_id = t.job_id " of         \
	"LIMIT 1 OFFSET " n ") IS NOT NULL "

/* What inbox.c reads, up to the body. */
#define INBOX_COLUMNS                                                          \
	"id, at_ms, status, code, method, path, job_id, restore_id, "          \
	"delivery_id, content_type, peer, request_id, body_bytes"

/* What unclaimed.c reads. */
#define UNCLAIMED_COLUMNS                                                      \
	"id, external_id, type, data, created_at, source, restore_id"

/* What run_load() reads. */
#define RUN_ROWS(rest)                                                         \
	"SELECT run_id, job_id, action, endpoint, restore_id, external_id, "   \
	"error, state, attempts, cancel_wanted, next_at, deadline, "           \
	"created_at, submitted_at, ended_at, origin, taken_by, origin_seq "    \
	"FROM runs " rest

/* Those that this node, the parameter of that number, carries out. */
#define OURS(node)                                                             \
	"state <> 'ended' AND (origin IS NULL "                                \
	"OR coalesce(taken_by, origin) = " node ") "

/* What inspect_count() and gauges_add() read; each state is a range of an
 * index. */
#define IN_STATE(state)                                                        \
	"(SELECT count(*) FROM jobs WHERE state = '" state "'), "
#define IN_STATES                                                              \
	IN_STATE("queued")                                                     \
	IN_STATE("processing")                                                 \
	IN_STATE("completed")                                                  \
	IN_STATE("failed")                                                     \
	IN_STATE("cancelled")                                                  \
	IN_STATE("timed_out")
#define TIME_OF_EVENT(end)                                                     \
	"(SELECT created_at FROM job_events ORDER BY id " end " LIMIT 1)"
#define COUNTS                                                                 \
	IN_STATES                                                              \
	"(SELECT count(*) FROM job_events), "                                  \
	"(SELECT count(*) FROM unclaimed_events), " TIME_OF_EVENT(             \
	    "ASC") ", " TIME_OF_EVENT("DESC")
#define SILENT_SINCE(state)                                                    \
	"(SELECT min(updated_at) FROM jobs WHERE state = '" state "'), "

const char *const stmt_sql[] = {
    [STMT_BEGIN_READ] = "BEGIN",
    [STMT_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [STMT_COMMIT] = "COMMIT",
    [STMT_ROLLBACK] = "ROLLBACK",
    [STMT_SAVEPOINT] = "SAVEPOINT part",
    [STMT_UNDO] = "ROLLBACK TO part",
    [STMT_RELEASE] = "RELEASE part",
    /* One statement, so that it cannot see half of another's creation. */
    [STMT_IDENTITY] = "SELECT "
		      "(SELECT application_id FROM pragma_application_id), "
		      "(SELECT user_version FROM pragma_user_version), "
		      "(SELECT count(*) FROM sqlite_master)",
    [STMT_JOURNAL_WAL] = "PRAGMA journal_mode = WAL",
    [STMT_JOURNAL] = "PRAGMA journal_mode",
    [STMT_QUICK_CHECK] = "PRAGMA quick_check(1)",
    [STMT_COUNT] = "SELECT " COUNTS,
    [STMT_GAUGES] = "SELECT " IN_STATES SILENT_SINCE("queued") SILENT_SINCE(
	"processing") "(SELECT count(*) FROM unclaimed_events), "
		      "(SELECT user_version FROM pragma_user_version)",
    /* As retention.c does it: finished jobs by their age, then what is left of
     * events beyond the newest of each kind. */
    [STMT_PRUNABLE] =
	"WITH old AS (SELECT job_id FROM jobs WHERE state IN "
	"('completed', 'failed', 'cancelled', 'timed_out') "
	"AND updated_at < ?1), kinds AS (SELECT job_id, count(*) AS n, "
	"CASE type = 'progress' WHEN 1 THEN ?2 ELSE ?3 END AS keep "
	"FROM job_events GROUP BY job_id, type = 'progress') "
	"SELECT (SELECT count(*) FROM old), coalesce(sum("
	"CASE WHEN o.job_id IS NULL THEN max(n - keep, 0) ELSE n END), 0) "
	"FROM kinds LEFT JOIN old AS o USING (job_id)",
    [STMT_DATA_VERSION] = "PRAGMA main.data_version",
    [STMT_META] = "SELECT value FROM meta WHERE key = ?1",
    [STMT_NAMES] = "SELECT (SELECT value FROM meta WHERE key = 'epoch'), "
		   "(SELECT value FROM meta WHERE key = 'cluster')",
    [STMT_SET_META] = "INSERT INTO meta (key, value) VALUES (?1, ?2) "
		      "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    [STMT_DROP_META] = "DELETE FROM meta WHERE key = ?1",
    /* What was given out up to now, and one row of it to tell it by. */
    [STMT_MARK] =
	"SELECT m.value, "
	"(SELECT seq FROM sqlite_sequence WHERE name = 'job_events'), "
	"(SELECT 1 FROM meta WHERE key = 'bell'), "
	"e.id, e.job_id, e.type, e.created_at, e.delivery_key "
	"FROM meta AS m LEFT JOIN job_events AS e "
	"ON e.id = coalesce(?1, (SELECT max(id) FROM job_events)) "
	"WHERE m.key = 'epoch'",
    [STMT_NEW_EPOCH] = "UPDATE meta SET value = lower(hex(randomblob(4))) "
		       "WHERE key = 'epoch'",
    /* Without a deadline: the runner sets it when it finds them. */
    [STMT_DOUBT_RUNS] =
	"UPDATE runs SET state = 'unknown', next_at = ?1, deadline = NULL "
	"WHERE state = 'waiting' OR state = 'submitting' OR state = 'unknown'",
    [STMT_LAST_ID] = "SELECT seq FROM sqlite_sequence "
		     "WHERE name = 'job_events'",

    [STMT_APPEND] = "INSERT INTO job_events "
		    "(job_id, type, data, source, delivery_key, restore_id) "
		    "VALUES (?1, ?2, ?3, ?4, ?5, ?6) "
		    "ON CONFLICT (source, delivery_key) DO NOTHING",
    [STMT_APPEND_ENTRY] =
	"INSERT INTO job_events (job_id, type, data, source, delivery_key, "
	"restore_id, created_at, origin, origin_seq) "
	"VALUES (?1, ?2, ?3, ?4, ?5, ?6, "
	"coalesce(?7, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')), ?8, ?9) "
	"ON CONFLICT (source, delivery_key) DO NOTHING",
    [STMT_DELIVERED] = "SELECT id FROM job_events "
		       "WHERE source = ?1 AND delivery_key = ?2",
    [STMT_AMEND_JOB] = "UPDATE jobs SET output = coalesce(?2, output), "
		       "restore_id = coalesce(restore_id, ?3), "
		       "error = coalesce(?4, error) "
		       "WHERE job_id = ?1",
    /* Changes no row where another owner has it. */
    [STMT_REGISTER_JOB] =
	"INSERT INTO jobs (job_id, owner, external_id, restore_id) "
	"VALUES (?1, ?2, ?3, ?4) ON CONFLICT (job_id) DO UPDATE SET "
	"owner = coalesce(owner, excluded.owner), "
	"external_id = coalesce(excluded.external_id, external_id), "
	"restore_id = coalesce(excluded.restore_id, restore_id) "
	"WHERE owner = excluded.owner OR owner IS NULL "
	"OR excluded.owner IS NULL",
    [STMT_JOB_STATE] = "SELECT state FROM jobs WHERE job_id = ?1",
    /* `queued` is also what a job begins with, so then an event must have
     * said it. It is mostly the first one. */
    [STMT_STATE_AFTER] =
	"SELECT e.status FROM job_events AS e WHERE e.id = ?1 "
	"AND (e.status <> 'queued' OR EXISTS (SELECT 1 FROM job_events AS q "
	"WHERE q.job_id = e.job_id AND q.id <= ?1 AND q.type = 'queued'))",
    [STMT_JOB_NAMED] = "SELECT job_id FROM jobs WHERE external_id = ?1 "
		       "ORDER BY rowid DESC LIMIT 1",
    [STMT_KEEP_UNCLAIMED] =
	"INSERT INTO unclaimed_events "
	"(external_id, type, data, source, delivery_key, output, error, "
	"restore_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) "
	"ON CONFLICT (source, delivery_key) DO NOTHING",
    [STMT_COUNT_UNCLAIMED] = "SELECT count(*) FROM unclaimed_events "
			     "WHERE external_id = ?1",
    [STMT_KEY] = "SELECT request, first_id, n_events FROM idempotency_keys "
		 "WHERE key = ?1",
    [STMT_ADD_KEY] = "INSERT INTO idempotency_keys "
		     "(key, request, first_id, n_events) "
		     "VALUES (?1, ?2, ?3, ?4)",
    [STMT_OLD_KEY] = "SELECT 1 FROM idempotency_keys "
		     "WHERE created_at < ?1 LIMIT 1",
    [STMT_DELETE_KEYS] =
	"DELETE FROM idempotency_keys WHERE key IN (SELECT key FROM "
	"idempotency_keys WHERE created_at < ?1 LIMIT ?2)",
    [STMT_OLD_UNCLAIMED] = "SELECT 1 FROM unclaimed_events "
			   "WHERE created_at < ?1 LIMIT 1",
    [STMT_DELETE_UNCLAIMED] =
	"DELETE FROM unclaimed_events WHERE id IN (SELECT id FROM "
	"unclaimed_events WHERE created_at < ?1 LIMIT ?2)",
    [STMT_UNCLAIMED] = "SELECT " UNCLAIMED_COLUMNS " FROM unclaimed_events "
		       "ORDER BY id DESC LIMIT ?1",
    [STMT_UNCLAIMED_ONE] =
	"SELECT " UNCLAIMED_COLUMNS " FROM unclaimed_events WHERE id = ?1",
    [STMT_FORGET_UNCLAIMED] = "DELETE FROM unclaimed_events WHERE id = ?1",
    [STMT_PROBE] = "INSERT INTO meta (key, value) VALUES ('probed_at', "
		   "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')) ON CONFLICT (key) "
		   "DO UPDATE SET value = excluded.value",

    [STMT_OWNS_JOB] = "SELECT count(*) FROM jobs "
		      "WHERE job_id = ?1 AND owner = ?2",
    [STMT_OWNER_FLOOR] = "SELECT max(floor) FROM jobs WHERE owner = ?1",
    [STMT_JOB_BOUNDS] = "SELECT state, floor, "
			"(SELECT max(id) FROM job_events WHERE job_id = ?1), "
			"(SELECT min(id) FROM job_events WHERE job_id = ?1) "
			"FROM jobs WHERE job_id = ?1",
    [STMT_JOB] = "SELECT " JOB_COLUMNS ", j.output, NULL FROM jobs AS j "
		 "WHERE j.job_id = ?1",
    [STMT_JOB_WHOLE] = "SELECT " JOB_COLUMNS ", j.output, " JOB_ERROR
		       " FROM jobs AS j WHERE j.job_id = ?1",
    [STMT_JOB_EVENTS] = "SELECT count(*) FROM job_events WHERE job_id = ?1",
    [STMT_NTH_LAST] = "SELECT min(id) - 1 FROM (SELECT id FROM job_events "
		      "WHERE job_id = ?1 ORDER BY id DESC LIMIT ?2)",
    [STMT_REMOVE_JOB] = "DELETE FROM jobs WHERE job_id = ?1",
    [STMT_JOBS] = JOBS_BY_TIME("", " DESC"),
    [STMT_JOBS_IN_STATE] = JOBS_BY_TIME("WHERE state = ?2 ", " DESC"),
    [STMT_JOBS_SILENT] =
	JOBS_BY_TIME("WHERE state = 'queued' OR state = 'processing' ", ""),

    /* The condition of the index as it stands there, or it cannot be used. By
     * itself SQLite would walk through all ended jobs in jobs_state. */
    [STMT_OLD_JOB] = "SELECT rowid FROM jobs INDEXED BY jobs_ended "
		     "WHERE (state = 'completed' OR state = 'failed' "
		     "OR state = 'cancelled' OR state = 'timed_out') "
		     "AND updated_at < ?1 LIMIT 1",
    /* The floor first; and without its output the row is cheap to write. */
    [STMT_OLD_JOBS] =
	"SELECT job_id FROM jobs INDEXED BY jobs_ended WHERE "
	"(state = 'completed' OR state = 'failed' OR state = 'cancelled' "
	"OR state = 'timed_out') "
	"AND updated_at < ?1 ORDER BY updated_at LIMIT ?2",
    [STMT_REMOVE_OLD_JOB] =
	"DELETE FROM jobs WHERE job_id = ?1 AND updated_at < ?2 AND "
	"(state = 'completed' OR state = 'failed' OR state = 'cancelled' "
	"OR state = 'timed_out') ",
    [STMT_FULL_JOBS] =
	"SELECT t.job_id FROM (SELECT job_id, max(type = 'progress') AS p, "
	"max(type <> 'progress') AS o FROM job_events "
	"WHERE id > ?1 AND id <= ?2 GROUP BY job_id) AS t WHERE "
	"CASE WHEN t.p AND " MORE_THAN("?3", "") "THEN " MORE_THAN("?3",
	    "AND e.type = 'progress' ") "END OR "
					"CASE WHEN t.o AND " MORE_THAN(
					    "?4", "") "THEN " MORE_THAN("?4",
					    "AND e.type <> 'progress' ") "END",
    [STMT_TRIM_JOB] =
	"DELETE FROM job_events WHERE job_id = ?1 AND (type = 'progress') = ?2 "
	"AND id <= (SELECT id FROM job_events WHERE job_id = ?1 "
	"AND (type = 'progress') = ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3)",
    [STMT_AGED_KEY] = "SELECT max(created_at) || '+' FROM (SELECT created_at "
		      "FROM idempotency_keys WHERE created_at < ?1 "
		      "ORDER BY created_at LIMIT ?2)",
    [STMT_AGED_UNCLAIMED] =
	"SELECT max(created_at) || '+' FROM (SELECT created_at "
	"FROM unclaimed_events WHERE created_at < ?1 "
	"ORDER BY created_at LIMIT ?2)",
    [STMT_OUTBOX_HAS] = "SELECT EXISTS (SELECT 1 FROM outbox WHERE kind = ?1 "
			"AND result IS NULL)",
    [STMT_STRIP_JOB] = "UPDATE jobs SET output = NULL, floor = max(floor, "
		       "coalesce((SELECT max(e.id) FROM job_events AS e "
		       "WHERE e.job_id = jobs.job_id), 0)) WHERE rowid = ?1",
    [STMT_DELETE_EVENTS] = "DELETE FROM job_events WHERE id IN "
			   "(SELECT id FROM job_events WHERE job_id = "
			   "(SELECT job_id FROM jobs WHERE rowid = ?1) "
			   "ORDER BY id LIMIT ?2)",
    [STMT_DELETE_JOB] = "DELETE FROM jobs WHERE rowid = ?1",

    [STMT_SLICE] = "SELECT max(id), count(*) FROM (SELECT id FROM job_events "
		   "WHERE id > ?1 ORDER BY id LIMIT ?2)",
    /* Of each job with events in the slice: what is older than the newest ?4
     * of its kind. The newest of them come first, see retention.c. */
    [STMT_SURPLUS] =
	"SELECT id FROM (SELECT e.id FROM "
	"(SELECT DISTINCT job_id FROM job_events WHERE id > ?1 AND id <= ?2 "
	"AND (type = 'progress') = ?3) AS t "
	"CROSS JOIN job_events AS e ON e.job_id = t.job_id "
	"AND (e.type = 'progress') = ?3 "
	"AND e.id <= (SELECT k.id FROM job_events AS k "
	"WHERE k.job_id = t.job_id AND (k.type = 'progress') = ?3 "
	"ORDER BY k.id DESC LIMIT 1 OFFSET ?4) LIMIT ?5) ORDER BY id DESC",
    [STMT_DELETE_EVENT] = "DELETE FROM job_events WHERE id = ?1",

    /* Revoking again moves the time on. */
    [STMT_REVOKE] = "INSERT INTO revoked (kind, digest, revoked_at) "
		    "VALUES (?1, ?2, ?3) ON CONFLICT (kind, digest) "
		    "DO UPDATE SET revoked_at = excluded.revoked_at",
    [STMT_IS_REVOKED] =
	"SELECT EXISTS (SELECT 1 FROM revoked "
	"WHERE kind = 'jti' AND digest = ?1) OR "
	"EXISTS (SELECT 1 FROM revoked "
	"WHERE kind = 'sub' AND digest = ?2 AND revoked_at >= ?3)",
    [STMT_ADD_TICKET] =
	"INSERT INTO tickets (digest, claims, expires_at) SELECT ?1, ?2, ?3 "
	"WHERE ?6 = 0 OR ?6 > (SELECT count(*) FROM tickets "
	"WHERE json_extract(claims, '$.sub') = ?4 AND expires_at > ?5) "
	"RETURNING 1",
    [STMT_PEEK_TICKET] = "SELECT claims FROM tickets "
			 "WHERE digest = ?1 AND expires_at > ?2",
    [STMT_TAKE_TICKET] = "DELETE FROM tickets "
			 "WHERE digest = ?1 AND expires_at > ?2 "
			 "RETURNING claims",
    [STMT_OLD_TOKENS] =
	"SELECT EXISTS (SELECT 1 FROM tickets WHERE expires_at <= ?1) OR "
	"EXISTS (SELECT 1 FROM revoked WHERE revoked_at <= ?2)",
    [STMT_DROP_TICKETS] = "DELETE FROM tickets WHERE expires_at <= ?1",
    [STMT_DROP_REVOKED] = "DELETE FROM revoked WHERE revoked_at <= ?1",

    /* Only from now on has the job another one. What came before it had any is
     * of its first run. */
    [STMT_KEEP_RESTORE_ID] =
	"UPDATE job_events SET restore_id = coalesce((SELECT restore_id "
	"FROM jobs WHERE job_id = ?1), '') "
	"WHERE job_id = ?1 AND restore_id IS NULL AND EXISTS (SELECT 1 "
	"FROM jobs WHERE job_id = ?1 AND restore_id IS NOT ?2 "
	"AND (restore_id IS NOT NULL OR EXISTS (SELECT 1 FROM runs "
	"WHERE job_id = ?1 AND run_id <> ?3)))",
    [STMT_RESTART_JOB] = "UPDATE jobs SET restore_id = ?2, output = NULL, "
			 "error = NULL WHERE job_id = ?1",
    [STMT_IDENTIFY_JOB] = "UPDATE jobs SET external_id = ?2 "
			  "WHERE job_id = ?1 AND external_id IS NOT ?2",
    [STMT_ADD_RUN] = "INSERT INTO runs "
		     "(job_id, action, endpoint, restore_id, input, policy) "
		     "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [STMT_ADD_SUBMITTED_RUN] =
	"INSERT INTO runs (job_id, endpoint, restore_id, external_id, state, "
	"submitted_at) VALUES (?1, ?2, ?3, ?4, 'submitted', "
	"strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))",
    [STMT_END_RUN] =
	"UPDATE runs SET state = 'ended', next_at = NULL, input = NULL, "
	"policy = NULL, ended_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), "
	"error = ?2 WHERE run_id = ?1 AND state <> 'ended'",
    [STMT_SAVE_RUN] =
	"UPDATE runs SET state = ?2, external_id = ?3, error = ?4, "
	"attempts = ?5, cancel_wanted = ?6, next_at = ?7, deadline = ?8, "
	"submitted_at = ?9 WHERE run_id = ?1",
    [STMT_OPEN_RUN] = RUN_ROWS("WHERE job_id = ?1 AND state <> 'ended'"),
    [STMT_LAST_RUN] =
	RUN_ROWS("WHERE job_id = ?1 ORDER BY run_id DESC LIMIT 1"),
    [STMT_RUN] = RUN_ROWS("WHERE run_id = ?1"),
    [STMT_RUNS] = RUN_ROWS("ORDER BY run_id DESC LIMIT ?1"),
    [STMT_RUNS_IN_STATE] =
	RUN_ROWS("WHERE state = ?2 ORDER BY run_id DESC LIMIT ?1"),
    [STMT_RUN_OF_ORIGIN] = RUN_ROWS("WHERE origin = ?1 AND origin_seq = ?2"),
    [STMT_MOVE_RUN] = "UPDATE runs SET run_id = (SELECT seq + 1 "
		      "FROM sqlite_sequence WHERE name = 'runs') "
		      "WHERE origin = ?1 AND origin_seq = ?2",
    [STMT_REST_RUN] = "UPDATE runs SET next_at = NULL WHERE run_id = ?1",
    [STMT_TAKE_RUN] = "UPDATE runs SET taken_by = ?2 WHERE run_id = ?1",
    [STMT_ADOPT_RUNS] = "UPDATE runs SET origin = NULL, origin_seq = NULL, "
			"taken_by = NULL WHERE coalesce(taken_by, origin) = ?1",
    [STMT_RUNS_DUE] = RUN_ROWS("WHERE " OURS("?3") "AND next_at <= ?2 "
						   "ORDER BY next_at "
						   "LIMIT ?1"),
    [STMT_NEXT_RUN] =
	"SELECT next_at FROM runs WHERE " OURS("?2") "AND next_at > ?1 "
						     "ORDER BY next_at LIMIT 1",
    [STMT_FAR_RUN] =
	"SELECT 1 FROM runs WHERE " OURS("?2") "AND next_at > ?1 LIMIT 1",
    [STMT_PULL_RUNS] =
	"UPDATE runs SET next_at = ?1 WHERE " OURS("?3") "AND next_at > ?2",
    [STMT_RUN_INPUT] = "SELECT input, policy FROM runs "
		       "WHERE run_id = ?1 AND state <> 'ended'",
    [STMT_COUNT_RUNS] = "SELECT state, count(*), min(created_at) FROM runs "
			"WHERE state <> 'ended' GROUP BY state",
    [STMT_COUNT_CALL] = "INSERT INTO provider_calls (call, outcome, n) "
			"VALUES (?1, ?2, 1) ON CONFLICT (call, outcome) "
			"DO UPDATE SET n = n + 1",
    [STMT_CALLS] = "SELECT call, outcome, n FROM provider_calls",
    [STMT_WAS_RUN] = "SELECT EXISTS (SELECT 1 FROM runs WHERE job_id = ?1 "
		     "AND external_id = ?2 AND state = 'ended')",
    [STMT_ENDED_AS] =
	"SELECT EXISTS (SELECT 1 FROM jobs AS j JOIN job_events AS e "
	"ON e.job_id = j.job_id AND e.type = j.state WHERE j.job_id = ?1 "
	"AND j.state IN ('completed', 'failed', 'cancelled', 'timed_out') "
	"AND json_extract(e.data, '$.external_id') = ?2)",

    [STMT_OUTBOX_ADD] = "INSERT INTO outbox (kind, payload) VALUES (?1, ?2)",
    [STMT_OUTBOX_READ] = "SELECT seq, kind, payload, created_at, "
			 "result IS NOT NULL FROM outbox "
			 "WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    [STMT_OUTBOX_ANSWER] = "UPDATE outbox SET result = ?2 WHERE seq = ?1",
    [STMT_OUTBOX_RESULT] = "SELECT result FROM outbox WHERE seq = ?1",
    [STMT_OUTBOX_FORGET] =
	"DELETE FROM outbox WHERE seq <= ?1 AND result IS NOT NULL "
	"AND created_at <= strftime('%Y-%m-%dT%H:%M:%fZ', 'now', "
	"?2 || ' seconds')",
    [STMT_OUTBOX_OPEN] =
	"SELECT EXISTS (SELECT 1 FROM outbox WHERE result IS NULL)",
    [STMT_LOG_ORIGIN] =
	"INSERT INTO log_entries (position, tag, applied_at, undo_after) "
	"SELECT 0, '', 0, 0 WHERE NOT EXISTS (SELECT 1 FROM log_entries)",
    /* Its rows have no key, and come with a table's first row. */
    [STMT_START_SEQUENCES] =
	"WITH tables (name) AS (VALUES ('job_events'), ('runs'), ('outbox')) "
	"INSERT INTO sqlite_sequence (name, seq) SELECT name, 0 FROM tables "
	"WHERE name NOT IN (SELECT name FROM sqlite_sequence)",
    [STMT_SET_SEQUENCES] = "UPDATE sqlite_sequence SET seq = ?1 "
			   "WHERE name = 'job_events' OR name = 'runs'",
    [STMT_LOG_ADD] =
	"INSERT INTO log_entries (position, tag, origin, origin_seq, "
	"origin_before, applied_at, undo_after) VALUES (?1, ?2, ?3, ?4, "
	"(SELECT seq FROM log_marks WHERE origin = ?3), ?5, "
	"(SELECT coalesce(max(id), 0) FROM log_undo))",
    [STMT_LOG_BEFORE] = "SELECT position, tag FROM log_entries "
			"WHERE position < ?1 ORDER BY position DESC LIMIT 1",
    [STMT_LOG_FIRST] = "SELECT position, tag FROM log_entries "
		       "ORDER BY position LIMIT 1",
    [STMT_LOG_FIND] = "SELECT position, tag FROM log_entries "
		      "WHERE position <= ?1 AND position >= ?2 AND tag = ?3 "
		      "ORDER BY position DESC LIMIT 1",
    [STMT_LOG_LAST_WHOLE] =
	"SELECT position, origin, undo_after, coalesce(origin_before, 0), "
	"origin_seq FROM log_entries ORDER BY position DESC LIMIT 1",
    [STMT_LOG_DROP] = "DELETE FROM log_entries WHERE position = ?1",
    [STMT_LOG_PRUNABLE] =
	"SELECT coalesce(max(position), 0), count(*), "
	"coalesce(max(CASE WHEN origin = ?4 THEN origin_seq END), 0) "
	"FROM (SELECT * FROM log_entries ORDER BY position LIMIT ?3) "
	"WHERE position <= ?1 AND applied_at < ?2",
    [STMT_LOG_PRUNE] = "DELETE FROM log_entries WHERE position < ?1",
    [STMT_UNDO_PRUNE] =
	"DELETE FROM log_undo WHERE id <= coalesce((SELECT undo_after "
	"FROM log_entries WHERE position > ?1 ORDER BY position LIMIT 1), "
	"9223372036854775807)",
    [STMT_UNDO_EVENTS] = "DELETE FROM job_events WHERE id >= ?1 "
			 "AND origin = ?2 AND origin_seq = ?3",
    [STMT_UNDO_READ] = "SELECT change FROM log_undo WHERE id > ?1 "
		       "ORDER BY id DESC",
    [STMT_UNDO_FORGET] = "DELETE FROM log_undo WHERE id > ?1",
    [STMT_MARKS] =
	"SELECT origin, coalesce((SELECT coalesce(e.origin_before, 0) "
	"FROM log_entries e WHERE e.position > ?1 AND e.origin = m.origin "
	"ORDER BY e.position LIMIT 1), seq) FROM log_marks m",
    [STMT_LOG_OWN_IDS] = "SELECT max("
			 "coalesce((SELECT max(id) FROM job_events "
			 "WHERE id > ?1 AND origin IS NULL), 0), "
			 "coalesce((SELECT max(run_id) FROM runs "
			 "WHERE run_id > ?1 AND origin IS NULL), 0))",
    [STMT_SET_MARK] = "INSERT INTO log_marks (origin, seq) VALUES (?1, ?2) "
		      "ON CONFLICT (origin) DO UPDATE SET seq = excluded.seq",
    [STMT_LABEL_EVENTS] = "UPDATE job_events SET origin = ?2, origin_seq = ?3 "
			  "WHERE id >= ?1 AND origin IS NULL",
    [STMT_LABEL_RUNS] = "UPDATE runs SET origin = ?2, origin_seq = ?3 "
			"WHERE run_id >= ?1 AND origin IS NULL",
    [STMT_OUTBOX_RAISE] = "UPDATE outbox SET seq = -(seq + CASE ?1 "
			  "WHEN 0 THEN 0 ELSE max(?1, (SELECT seq FROM "
			  "sqlite_sequence WHERE name = 'outbox')) END) "
			  "WHERE result IS NULL",
    [STMT_OUTBOX_TURN] = "UPDATE outbox SET seq = -seq WHERE seq < 0",
    [STMT_OUTBOX_SEQUENCE] =
	"UPDATE sqlite_sequence SET seq = max(seq, ?1, "
	"coalesce((SELECT max(seq) FROM outbox), 0)) WHERE name = 'outbox'",
    [STMT_OUTBOX_STATE] =
	"SELECT coalesce((SELECT seq FROM sqlite_sequence "
	"WHERE name = 'outbox'), 0), max(0, "
	"coalesce((SELECT max(seq) FROM outbox), 0) - "
	"coalesce((SELECT seq FROM log_marks WHERE origin = ?1), 0))",
    /* Of rows that are in the log and were applied: whose answer nobody waits
     * for any more. */
    [STMT_OUTBOX_CLOSE] =
	"UPDATE outbox SET result = '{}' WHERE seq <= ?1 AND result IS NULL",
    [STMT_OUTBOX_CLOSE_APPLIED] =
	"UPDATE outbox SET result = '{}' WHERE result IS NULL AND seq <= "
	"(SELECT seq FROM log_marks WHERE origin = ?1)",

    [STMT_INBOX_VERSION] = "PRAGMA user_version",
    [STMT_INBOX_ADD] =
	"INSERT INTO calls (at_ms, status, code, method, path, job_id, "
	"restore_id, delivery_id, content_type, peer, request_id, body_bytes, "
	"body) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13 "
	"WHERE (SELECT count(*) FROM calls WHERE code = ?3 "
	"AND at_ms > ?1 - 1000) < ?14",
    [STMT_INBOX_AGED] = "DELETE FROM calls WHERE at_ms < ?1",
    [STMT_INBOX_COUNT] = "SELECT count(*) FROM calls",
    [STMT_INBOX_TRIM] =
	"DELETE FROM calls WHERE id = (SELECT min(id) FROM calls WHERE "
	"(code, peer) = (SELECT code, peer FROM calls WHERE code = "
	"(SELECT code FROM calls GROUP BY code ORDER BY count(*) DESC LIMIT 1) "
	"GROUP BY peer ORDER BY count(*) DESC LIMIT 1))",
    [STMT_INBOX_LIST] = "SELECT " INBOX_COLUMNS ", NULL FROM calls "
			"ORDER BY id DESC LIMIT ?1",
    [STMT_INBOX_GET] = "SELECT " INBOX_COLUMNS ", body FROM calls "
		       "WHERE id = ?1",
    [STMT_INBOX_FORGET] = "DELETE FROM calls WHERE id = ?1 OR ?1 = 0",

    /* Of one database into another one, column by column: clone.c. */
    [STMT_OUTBOX_CLEAR] = "DELETE FROM outbox",
    [STMT_OUTBOX_DROP_ANSWERED] = "DELETE FROM outbox WHERE result IS NOT NULL",
    [STMT_OUTBOX_ALL] = "SELECT seq, kind, payload, created_at, result "
			"FROM outbox",
    [STMT_OUTBOX_PUT] = "INSERT INTO outbox (seq, kind, payload, created_at, "
			"result) VALUES (?1, ?2, ?3, ?4, ?5)",
    [STMT_OUTBOX_LAST] = "SELECT seq FROM sqlite_sequence "
			 "WHERE name = 'outbox'",
    [STMT_OUTBOX_SET_LAST] = "UPDATE sqlite_sequence SET seq = ?1 "
			     "WHERE name = 'outbox'",
    [STMT_RELAY_OWNER] = "SELECT key, value FROM meta WHERE key = 'relay'",
    [STMT_OWN_RUNS] =
	"SELECT state, external_id, attempts, next_at, cancel_wanted, "
	"deadline, submitted_at, ended_at, error, input, policy, origin, "
	"origin_seq FROM runs WHERE origin IS NOT NULL "
	"AND coalesce(taken_by, origin) = ?1",
    [STMT_SET_OWN_RUN] =
	"UPDATE runs SET state = ?1, external_id = ?2, attempts = ?3, "
	"next_at = ?4, cancel_wanted = ?5, deadline = ?6, submitted_at = ?7, "
	"ended_at = ?8, error = ?9, input = ?10, policy = ?11 "
	"WHERE origin = ?12 AND origin_seq = ?13 AND state <> 'ended'",
    [STMT_DOUBT_OWN_RUNS] =
	"UPDATE runs SET state = 'unknown', deadline = NULL, "
	"next_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') "
	"WHERE (state = 'waiting' OR state = 'submitting' "
	"OR state = 'unknown') AND coalesce(taken_by, origin) = ?1",

    [STMT_READ_ALL] = READ_EVENTS(""),
    /* The owner's jobs first, then a seek into each: the cost is that of the
     * owner's jobs, however long the table is. */
    [STMT_READ_OWNER] =
	"SELECT " EVENT_COLUMNS "FROM jobs AS j CROSS JOIN job_events AS e "
	"WHERE j.owner = ?3 AND e.job_id = j.job_id AND e.id > ?1 "
	"ORDER BY e.id LIMIT ?2",
    [STMT_READ_JOB] = READ_EVENTS("e.job_id = ?3 AND "),
};
