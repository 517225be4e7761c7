/* SPDX-License-Identifier: ISC */
/*
 * src/store without memory. Whatever allocation fails, SQLite's own among them:
 * a call succeeds, or says ERR_NOMEM and has changed nothing; no statement and
 * no transaction is left open; and the same call works as soon as there is
 * memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "store/checkpoint.h"
#include "store/idempotency.h"
#include "store/inspect.h"
#include "store/janitor.h"
#include "store/jobs.h"
#include "store/runs.h"
#include "store/tokens.h"
#include "store/unclaimed.h"
#include "store_site.h"

#define DIGEST                                                                 \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define CLAIMS "{\"sub\":\"somebody-with-a-name\",\"exp\":1800000000}"
#define TICKET                                                                 \
	"DELETE FROM tickets; INSERT INTO tickets (digest, claims, "           \
	"expires_at) VALUES ('" DIGEST "', '" CLAIMS "', 1800000000)"

/* Any change that a call can make shows in one of these. */
#define FINGERPRINT                                                            \
	"SELECT (SELECT count(*) || '/' || total(id) FROM job_events) || "     \
	"'/' || (SELECT count(*) || '/' || total(floor) || '/' || "            \
	"count(output) || '/' || count(external_id) || '/' || "                \
	"count(restore_id) FROM jobs) || '/' || (SELECT count(*) FROM "        \
	"unclaimed_events) || '/' || (SELECT count(*) FROM "                   \
	"idempotency_keys) || '/' || (SELECT count(*) FROM tickets) || '/' "   \
	"|| (SELECT count(*) FROM revoked)"

enum { NOW_S = 1764000000, EVENTS = 6 };

/* Two jobs of one owner whose events alternate, a third one's unclaimed. */
static void
fill(struct site *s)
{
	raw(s, "PRAGMA synchronous = OFF"); /* thousands of commits follow */
	raw(s, "INSERT INTO jobs (job_id, owner, external_id, restore_id) "
	       "VALUES ('a', 'o', 'external-name-of-a', 'r'), "
	       "('b', 'o', NULL, NULL)");
	for (int i = 0; i < EVENTS / 2; i++)
		raw(s, "INSERT INTO job_events (job_id, type, data) VALUES "
		       "('a', 'progress', '{\"progress\":1}'), "
		       "('b', 'note', '{\"text\":\"of some length\"}')");
	raw(s, "INSERT INTO unclaimed_events (external_id, type, data, source, "
	       "delivery_key) VALUES ('waits', 'completed', '{\"output\":1}', "
	       "'s', 'k')");
	raw(s, "INSERT INTO idempotency_keys (key, request, first_id, "
	       "n_events) VALUES ('" DIGEST "', '" DIGEST "', 7, 2)");
}

/* --- Reading -------------------------------------------------------------- */

static int64_t ids[EVENTS];
static size_t n_ids;

static bool
on_row(void *arg, const struct event_row *row)
{
	(void)arg;
	assert_string_equal(row->owner, "o");
	assert_string_equal(row->job_id, row->id % 2 ? "a" : "b");
	assert_true(row->data.n > 10);
	assert_true(n_ids < EVENTS);
	ids[n_ids++] = row->id;
	return true;
}

/* What was read before the memory ended is a beginning without gaps. */
static enum err
check_rows(enum err e, int64_t step)
{
	for (size_t i = 0; i < n_ids; i++)
		assert_int_equal(ids[i], 1 + (int64_t)i * step);
	if (e == OK)
		assert_int_equal(n_ids, EVENTS / step);
	n_ids = 0;
	return e;
}

static enum err
read_all(struct site *s)
{
	return check_rows(events_read_all(s->db, 0, 100, on_row, NULL), 1);
}

static enum err
read_job(struct site *s)
{
	static const char *const jobs[] = {"a"};

	return check_rows(
	    events_read_jobs(s->db, jobs, 1, 0, 100, on_row, NULL), 2);
}

static enum err
read_jobs(struct site *s)
{
	static const char *const jobs[] = {"b", "none", "a"};

	return check_rows(
	    events_read_jobs(s->db, jobs, 3, 0, 100, on_row, NULL), 1);
}

static enum err
read_owner(struct site *s)
{
	return check_rows(
	    events_read_owner(s->db, "o", 0, 100, on_row, NULL), 1);
}

static enum err
look_at_jobs(struct site *s)
{
	enum job_state state = JOB_NO_STATE;
	struct job_bounds bounds = {0};
	int64_t gone = -1, floor = -1, last = 0;
	bool owns = false;
	enum err e;

	if ((e = jobs_state(s->db, "a", &state)) != OK ||
	    (e = jobs_bounds(s->db, "a", &bounds)) != OK ||
	    (e = jobs_gone_floor(s->db, &gone)) != OK ||
	    (e = jobs_owner_floor(s->db, "o", &floor)) != OK ||
	    (e = jobs_owns(s->db, "a", "o", &owns)) != OK ||
	    (e = events_last_id(s->db, &last)) != OK)
		return e;
	assert_int_equal(state, JOB_PROCESSING);
	assert_true(bounds.is_known && bounds.last_id == EVENTS - 1);
	assert_true(gone == 0 && floor == 0 && owns && last == EVENTS);
	return OK;
}

static enum err
find_external(struct site *s)
{
	struct buf found = BUF_INIT;
	enum err e = jobs_find_external(s->db, "external-name-of-a", &found);

	if (e == OK)
		assert_string_equal(found.data, "a");
	buf_done(&found);
	return e;
}

static enum err
get_job(struct site *s)
{
	struct job j = {0};
	enum err e = jobs_get(s->db, "a", &j);

	if (e == OK) {
		assert_string_equal(j.external_id, "external-name-of-a");
		assert_string_equal(j.progress, "1");
		assert_null(j.output);
	} else {
		assert_null(j.job_id);
	}
	job_done(&j);
	return e;
}

static void
on_job(void *arg, const struct job *j)
{
	assert_string_equal(j->owner, "o");
	++*(size_t *)arg;
}

static enum err
list_jobs(struct site *s)
{
	size_t n = 0;
	enum err e = jobs_list(s->db, JOB_NO_STATE, 10, on_job, &n);

	assert_true(e != OK || n == 2);
	return e;
}

static enum err
find_key(struct site *s)
{
	struct idempotency_record k = {0};
	enum err e = idempotency_find(s->db, DIGEST, &k);

	if (e == OK) {
		assert_string_equal(k.request, DIGEST);
		assert_true(k.first_id == 7 && k.n_events == 2);
	}
	return e;
}

static enum err
count(struct site *s)
{
	struct inspect_counts n;
	bool is_wal = false;
	enum err e = inspect_count(s->db, &n);

	if (e == OK)
		e = inspect_is_wal(s->db, &is_wal);
	if (e == OK) {
		assert_true(n.events == EVENTS && n.unclaimed == 1 && is_wal);
		assert_int_equal(strlen(n.oldest), 24);
	}
	return e;
}

/* SQLite takes for damaged what it cannot read without memory. */
static enum err
check_whole(struct site *s)
{
	bool is_whole = false;
	enum err e = inspect_check(s->db, 60000, &is_whole);

	assert_true(e != OK || is_whole);
	return e == ERR_CORRUPT ? ERR_NOMEM : e;
}

/* Not to know whether there is something new must read as yes. */
static enum err
changed(struct site *s)
{
	s->db->has_version = false; /* as after a failure */
	assert_true(db_changed(s->db));
	return OK;
}

/* --- Writing -------------------------------------------------------------- */

static enum err
append_event(struct site *s)
{
	const struct event_new event = {.job_id = "a",
	    .type = "completed",
	    .data = SPAN_LIT("{\"text\":\"of some length\"}"),
	    .source = "s",
	    .delivery_key = "k2",
	    .output = SPAN_LIT("{\"some\":\"output\"}"),
	    .error = SPAN_LIT("\"some error\""),
	    .restore_id = "r"};
	bool is_duplicate = true;
	int64_t id = 0, again = 0;
	enum err e = events_append(s->db, &event, &id, &is_duplicate);

	if (e != OK)
		return e;
	assert_false(is_duplicate);
	e = events_append(s->db, &event, &again, &is_duplicate);
	if (e == OK)
		assert_true(is_duplicate && again == id && id > EVENTS);
	return e;
}

static enum err
register_job(struct site *s)
{
	static const struct job_new job = {"c", "o", "waits", "r"};
	bool is_new = false;
	enum err e = jobs_register(s->db, &job, &is_new);

	assert_true(e != OK || is_new);
	return e;
}

static enum err
keep_unclaimed(struct site *s)
{
	const struct event_new event = {.type = "completed",
	    .data = SPAN_LIT("{\"text\":\"of some length\"}"),
	    .source = "s",
	    .delivery_key = "k2"};
	bool is_duplicate = true;
	enum err e = unclaimed_keep(s->db, "later", &event, &is_duplicate);

	assert_true(e != OK || !is_duplicate);
	return e;
}

static enum err
add_key(struct site *s)
{
	static const struct idempotency_record key = {DIGEST, 1, 2};

	return idempotency_add(s->db, "another key", &key);
}

static enum err
add_ticket(struct site *s)
{
	const struct ticket_new ticket = {
	    DIGEST, "somebody-with-a-name", SPAN_LIT(CLAIMS), NOW_S + 30};

	return tokens_add_ticket(s->db, &ticket, NOW_S, 10);
}

static enum err
start_run(struct site *s)
{
	const struct run_new run = {.job_id = "new",
	    .action = "restore",
	    .endpoint = "e",
	    .spare_restore_id = "spare",
	    .input = SPAN_LIT("{\"some\":\"input\"}")};
	struct run_started started;

	return runs_start(s->db, &run, &started);
}

static enum err
report_run(struct site *s)
{
	bool is_late = true;
	enum err e = runs_report(s->db, "a", "external", "r", &is_late);

	assert_true(e != OK || !is_late);
	return e;
}

static enum err
cancel_run(struct site *s)
{
	struct run_cancelled cancelled;

	return runs_cancel(s->db, "a", &cancelled);
}

/* A row that means nothing. */
static enum err
probe(struct site *s)
{
	return db_probe(s->db);
}

/* --- Transactions of their own -------------------------------------------- */

static enum err
commit_event(struct site *s)
{
	enum err e = db_begin(s->db);

	if (e == OK)
		e = append_event(s);
	if (e == OK)
		return db_commit(s->db);
	db_rollback(s->db);
	return e;
}

static enum err
revoke_token(struct site *s)
{
	return tokens_revoke(s->db, "jti", DIGEST, NOW_S);
}

static enum err
is_revoked(struct site *s)
{
	bool is = false;
	enum err e = tokens_is_revoked(s->db, DIGEST, "sub", NOW_S, &is);

	assert_true(e != OK || is);
	return e;
}

static enum err
take_ticket(struct site *s)
{
	struct buf claims = BUF_INIT;
	enum err e = tokens_take_ticket(s->db, DIGEST, NOW_S, &claims);

	if (e == OK)
		assert_string_equal(claims.data, CLAIMS);
	else
		assert_int_equal(claims.len, 0);
	buf_done(&claims);
	return e;
}

static enum err
prune_tokens(struct site *s)
{
	return tokens_prune(s->db, 1900000000);
}

static struct janitor_config janitor = {
    .wal_limit_bytes = 1 << 30, .keep = {30, 1, 1}};

/* Step by step, so that what was done before the memory ended stays. */
static enum err
prune(struct site *s)
{
	struct retention_done done = {0};
	bool has_more = true;
	enum err e = OK;

	while (e == OK && has_more)
		e = retention_step(s->db, &janitor.keep, &done, &has_more);
	return e;
}

static enum err
checkpoint(struct site *s)
{
	return checkpoint_if_filled(s->db, 0);
}

static void
on_fault(void *arg, const struct db_fault *fault)
{
	(void)arg;
	(void)fault;
}

/* It has nobody to tell. */
static enum err
step(struct site *s)
{
	janitor.db_path = s->path;
	janitor.on_fault = on_fault;
	janitor_step(&janitor);
	return OK;
}

static enum err
open_again(struct site *s)
{
	struct db *db = NULL;
	struct db_fault fault;
	enum err e = db_open(s->path, DB_WRITE, BUSY_MS, &db, &fault);

	if (e == OK)
		assert_string_equal(db_epoch(db), db_epoch(s->db));
	else
		assert_null(db);
	db_close(&db);
	return e;
}

/* --- Each call without each allocation ------------------------------------ */

enum kind {
	READS,
	WRITES,	 /* in the caller's transaction */
	COMMITS, /* a transaction of its own: all or nothing */
	GOES_ON, /* several: what was done stays */
	OPENS,	 /* likewise, on a connection of its own */
};

#define RUN                                                                    \
	"INSERT OR IGNORE INTO runs (job_id, action, endpoint, restore_id, "   \
	"attempts, state) VALUES ('a', 'restore', 'e', 'r', 1, 'unknown')"

static const struct op {
	const char *name;
	enum kind kind;
	enum err (*run)(struct site *s);
	const char *sql; /* before it; NULL: nothing */
} ops[] = {
    {"read all", READS, read_all, NULL},
    {"read a job", READS, read_job, NULL},
    {"read jobs", READS, read_jobs, NULL},
    {"read an owner's", READS, read_owner, NULL},
    {"look at jobs", READS, look_at_jobs, NULL},
    {"find external", READS, find_external, NULL},
    {"get job", READS, get_job, NULL},
    {"list jobs", READS, list_jobs, NULL},
    {"find key", READS, find_key, NULL},
    {"count", READS, count, NULL},
    {"check", READS, check_whole, NULL},
    {"changed", READS, changed, NULL},
    {"append", WRITES, append_event, NULL},
    {"register", WRITES, register_job, NULL},
    {"keep unclaimed", WRITES, keep_unclaimed, NULL},
    {"add key", WRITES, add_key, NULL},
    {"add ticket", WRITES, add_ticket, NULL},
    {"start a run", WRITES, start_run, NULL},
    {"report about a run", WRITES, report_run, RUN},
    {"cancel a run", WRITES, cancel_run, RUN},
    {"probe", WRITES, probe, NULL},
    {"commit", COMMITS, commit_event,
	"DELETE FROM job_events WHERE type = 'completed'"},
    {"revoke", COMMITS, revoke_token, "DELETE FROM revoked"},
    {"is revoked", READS, is_revoked, NULL},
    {"take ticket", COMMITS, take_ticket, TICKET},
    {"prune tokens", COMMITS, prune_tokens, TICKET},
    {"checkpoint", GOES_ON, checkpoint, TICKET},
    {"prune", GOES_ON, prune, NULL},
    {"step", OPENS, step, TICKET},
    {"open", OPENS, open_again, NULL},
};

static enum err
attempt(struct site *s, const struct op *op)
{
	enum err e = OK;

	if (op->kind == WRITES)
		e = db_begin(s->db);
	if (e == OK)
		e = op->run(s);
	if (op->kind == WRITES)
		db_rollback(s->db);
	return e;
}

/* Nothing is prepared but what db_open() did, and there is what the call
 * needs. */
static void
begin_anew(struct site *s, const struct op *op)
{
	stmt_done(s->db);
	assert_int_equal(stmt_prepare(s->db, STMT_ROLLBACK), OK);
	if (op->sql != NULL)
		raw(s, op->sql);
}

/* Of what opens a database, every n would take minutes. */
static unsigned
next_n(unsigned n, bool opens)
{
	return n + 1 + (opens ? n / 32 : 0);
}

/* Anything that stays open pins the WAL, and stands in the way of the next. */
static void
check_closed(struct site *s, const struct op *op, unsigned n)
{
	sqlite3_stmt *st = NULL;
	bool is_open = !sqlite3_get_autocommit(s->db->h);

	while ((st = sqlite3_next_stmt(s->db->h, st)) != NULL)
		is_open = is_open || sqlite3_stmt_busy(st);
	if (is_open)
		fail_msg("%s, allocation %u: it is still open", op->name, n);
}

static void
check_op(struct site *s, const struct op *op)
{
	char before[256];
	bool is_more = true;
	enum err e;

	for (unsigned n = 1; is_more; n = next_n(n, op->kind == OPENS)) {
		begin_anew(s, op);
		snprintf(
		    before, sizeof(before), "%.200s", raw_text(s, FINGERPRINT));
		alloc_fail_start(n);
		e = attempt(s, op);
		is_more = alloc_fail_stop();
		if (e != OK && (e != ERR_NOMEM || !is_more))
			fail_msg("%s, allocation %u: %s: %s", op->name, n,
			    err_text(e), db_last_fault(s->db)->text);
		if (e != OK && op->kind < GOES_ON)
			assert_string_equal(raw_text(s, FINGERPRINT), before);
		check_closed(s, op, n);
		if (op->sql != NULL)
			raw(s, op->sql);
		e = attempt(s, op);
		if (e != OK)
			fail_msg("%s, after allocation %u: %s", op->name, n,
			    err_text(e));
	}
}

static void
test_every_call(void **state)
{
	struct site *s = *state;

	fill(s);
	assert_int_equal(db_sync_normal(s->db), OK);
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		check_op(s, &ops[i]);
}

/* A database that is being made is whole in the end. */
static void
test_create(void **state)
{
	struct site *s = *state;
	char path[sizeof(s->path) + 8];
	struct db *db = NULL;
	bool is_more = true;
	enum err e;

	snprintf(path, sizeof(path), "%s-new", s->path);
	for (unsigned n = 1; is_more; n = next_n(n, true)) {
		(void)unlink(path);
		alloc_fail_start(n);
		e = db_open(path, DB_CREATE, BUSY_MS, &db, NULL);
		is_more = alloc_fail_stop();
		if (e != OK && (e != ERR_NOMEM || !is_more))
			fail_msg("allocation %u: %s", n, err_text(e));
		db_close(&db);
		assert_int_equal(
		    db_open(path, DB_CREATE, BUSY_MS, &db, NULL), OK);
		db_close(&db);
	}
}

#define TEST(name)                                                             \
	cmocka_unit_test_setup_teardown(name, site_setup, site_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_every_call),
	    TEST(test_create),
	};

	return cmocka_run_group_tests(tests, alloc_fail_reach_sqlite, NULL);
}
