/* SPDX-License-Identifier: ISC */
/* schema.sql, as a foreign program sees it */
#include "store/db.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "store/events.h"
#include "store/jobs.h"
#include "store_site.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- The schema, as a foreign program sees it ----------------------------- */

static void
test_bare_insert_is_complete(void **state)
{
	static const char times[] =
	    "SELECT count(*) FROM jobs AS j, job_events AS e WHERE "
	    "j.updated_at GLOB '20[0-9][0-9]-[01][0-9]-[0-3][0-9]T"
	    "[0-2][0-9]:[0-5][0-9]:[0-5][0-9].[0-9][0-9][0-9]Z' AND "
	    "e.created_at GLOB '20*T*.[0-9][0-9][0-9]Z'";
	struct site *s = *state;

	raw(s, "INSERT INTO job_events (job_id, type, data) VALUES ('j:1~x', "
	       "'completed', '{\"restore_id\":\"456\",\"output\":[1, 2]}')");
	assert_string_equal(
	    raw_text(s, "SELECT state || ' ' || restore_id || ' ' || "
			"output || ' ' || floor FROM jobs "
			"WHERE job_id = 'j:1~x'"),
	    "completed 456 [1,2] 0");
	assert_string_equal(
	    raw_text(s, "SELECT id || status FROM job_events"), "1completed");
	assert_int_equal(raw_int(s, times), 1);
}

static void
test_output_text_is_kept(void **state)
{
	static const struct {
		const char *data, *output;
	} rows[] = {
	    {"{\"output\":12345678901234567890123}", "12345678901234567890123"},
	    {"{\"output\":1e400}", "1e400"},
	    {"{\"output\":[1.10,-0,1E+2,9007199254740993]}",
		"[1.10,-0,1E+2,9007199254740993]"},
	    {"{\"output\":{\"a\":{\"b\":[]}}}", "{\"a\":{\"b\":[]}}"},
	    {"{\"output\":\"q\\\"u,]o\\u00e9\"}", "\"q\\\"u,]o\\u00e9\""},
	    {"{\"output\":\"\xc3\xa9\xf0\x9f\x98\x80\"}",
		"\"\xc3\xa9\xf0\x9f\x98\x80\""},
	    {"{\"output\":\"\xff\xe2\"}", "\"\xff\xe2\""},
	    {"{\"output\":\"\"}", "\"\""},
	    {"{\"output\":true}", "true"},
	    {"{\"output\":null}", "null"},
	    {"{\"other\":{\"output\":1}}", ""},
	    {"{}", ""},
	};
	struct event_new e = {.type = "completed"};
	struct site *s = *state;
	char job_id[8], sql[64];
	size_t i;

	for (i = 0; i < COUNT(rows); i++) {
		snprintf(job_id, sizeof(job_id), "j%u", (unsigned)i);
		e.job_id = job_id;
		e.data = span_of(rows[i].data);
		append(s->db, &e);
		snprintf(sql, sizeof(sql),
		    "SELECT output FROM jobs WHERE job_id = '%s'", job_id);
		assert_string_equal(raw_text(s, sql), rows[i].output);
	}
}

static void
test_output_stays_until_replaced(void **state)
{
	struct site *s = *state;

	raw(s, "INSERT INTO job_events (job_id, type, data) VALUES "
	       "('a', 'completed', '{\"output\":1,\"restore_id\":7}'), "
	       "('a', 'note', NULL), ('a', 'note', '{\"restore_id\":\"r\"}'), "
	       "('a', 'note', '{\"restore_id\":\"s\"}')");
	assert_string_equal(
	    raw_text(s, "SELECT output || restore_id FROM jobs"), "1r");
	raw(s, "INSERT INTO job_events (job_id, type, data) VALUES "
	       "('a', 'note', '{\"output\":null}')");
	assert_string_equal(raw_text(s, "SELECT output FROM jobs"), "null");
}

static void
test_state_machine(void **state)
{
	static const struct {
		const char *types[4]; /* in this order */
		const char *expected; /* status after each */
	} rows[] = {
	    {{"queued"}, "queued"},
	    {{"progress"}, "processing"},
	    {{"custom"}, "queued"},
	    {{"queued", "progress", "custom", "completed"},
		"queued,processing,processing,completed"},
	    {{"custom", "progress", "failed"}, "queued,processing,failed"},
	    {{"completed", "progress", "custom"},
		"completed,completed,completed"},
	    {{"failed", "queued", "progress", "timed_out"},
		"failed,queued,processing,timed_out"},
	    {{"cancelled", "processing"}, "cancelled,processing"},
	};
	struct site *s = *state;
	size_t i, k;
	char sql[256];

	for (i = 0; i < COUNT(rows); i++) {
		raw(s, "DELETE FROM jobs");
		for (k = 0; k < 4 && rows[i].types[k] != NULL; k++)
			raw_events(s, "a", rows[i].types[k], 1);
		assert_string_equal(
		    raw_text(s, "SELECT group_concat(status) FROM job_events"),
		    rows[i].expected);
		snprintf(sql, sizeof(sql),
		    "SELECT '%s' GLOB ('*' || state) FROM jobs",
		    rows[i].expected);
		assert_int_equal(raw_int(s, sql), 1);
	}
}

/* The conflict clause of the outer statement reaches into triggers. */
static void
test_outer_conflict_clause(void **state)
{
	struct site *s = *state;

	raw(s, "INSERT INTO job_events (job_id, type) VALUES ('a', 'queued');"
	       "INSERT OR IGNORE INTO job_events (job_id, type, source, "
	       "delivery_key) VALUES ('a', 'completed', 's', 'k');"
	       "INSERT OR IGNORE INTO job_events (job_id, type, source, "
	       "delivery_key) VALUES ('a', 'failed', 's', 'k');");
	assert_string_equal(raw_text(s, "SELECT state FROM jobs"), "completed");
	raw(s, "INSERT OR REPLACE INTO job_events (job_id, type) "
	       "VALUES ('a', 'failed')");
	assert_string_equal(raw_text(s, "SELECT state FROM jobs"), "failed");
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 3);
}

static void
test_invalid_rows_are_refused(void **state)
{
	static const char *const values[] = {
	    "'', 'queued', NULL",
	    "NULL, 'queued', NULL",
	    "'a b', 'queued', NULL",
	    "'a/b', 'queued', NULL",
	    "'\xc3\xa9', 'queued', NULL",
	    "substr(hex(zeroblob(65)), 2), 'queued', NULL",
	    "'a' || char(0) || '/', 'queued', NULL",
	    "CAST(x'6100' AS TEXT), 'queued', NULL",
	    "x'61', 'queued', NULL",
	    "'a', '', NULL",
	    "'a', NULL, NULL",
	    "'a', 'Queued', NULL",
	    "'a', '1x', NULL",
	    "'a', '_x', NULL",
	    "'a', 'a b', NULL",
	    "'a', 'a' || char(10), NULL",
	    "'a', 'a' || char(0), NULL",
	    "'a', 'a' || hex(zeroblob(32)), NULL",
	    "'a', 'queued', ''",
	    "'a', 'queued', 'null'",
	    "'a', 'queued', '[]'",
	    "'a', 'queued', '1'",
	    "'a', 'queued', '{'",
	    "'a', 'queued', '{a:1}'",
	    "'a', 'queued', '{} {}'",
	    "'a', 'queued', '{}' || char(0) || 'x'",
	    "'a', 'queued', x'7b7d'",
	};
	struct site *s = *state;
	char sql[256];
	size_t i;
	int rc;

	for (i = 0; i < COUNT(values); i++) {
		snprintf(sql, sizeof(sql),
		    "INSERT INTO job_events (job_id, type, data) VALUES (%s)",
		    values[i]);
		rc = sqlite3_exec(s->raw, sql, NULL, NULL, NULL);
		if (rc != SQLITE_CONSTRAINT)
			fail_msg("%s: %d", values[i], rc);
	}
	assert_int_equal(raw_int(s, "SELECT count(*) FROM jobs"), 0);
	raw(s, "INSERT INTO job_events (job_id, type, data) VALUES "
	       "(hex(zeroblob(64)), 'a' || hex(zeroblob(31)), "
	       "' { } '), ('A-Z.a_z:0~9', 'x_y.z-0', NULL)");
}

static bool
keep_data(void *arg, const struct event_row *row)
{
	buf_reset(arg);
	buf_add_span(arg, row->data);
	return true;
}

static void
test_data_is_read_as_bytes(void **state)
{
	struct buf data = BUF_INIT;
	struct site *s = *state;

	raw(s, "INSERT INTO job_events (job_id, type, data) "
	       "VALUES ('a', 'x', CAST(x'7b2261223a22ffc0227d' AS TEXT))");
	assert_int_equal(events_read_all(s->db, 0, 9, keep_data, &data), OK);
	assert_true(span_eq_str(buf_span(&data), "{\"a\":\"\xff\xc0\"}"));
	/* As a program could that switches the checks off. */
	raw(s, "PRAGMA ignore_check_constraints = ON;"
	       "UPDATE job_events SET data = CAST(x'7b00ff7d' AS TEXT)");
	assert_int_equal(events_read_all(s->db, 0, 9, keep_data, &data), OK);
	assert_true(span_eq(buf_span(&data), ((struct span){"{\0\xff}", 4})));
	buf_done(&data);
}

static void
test_floors_by_foreign_delete(void **state)
{
	struct job_bounds bounds;
	struct site *s = *state;
	int64_t gone;

	raw(s, "INSERT INTO job_events (job_id, type) VALUES ('a', 'queued'), "
	       "('a', 'progress'), ('a', 'progress'), ('a', 'completed'), "
	       "('b', 'queued'), ('c', 'progress')");
	raw(s, "DELETE FROM job_events WHERE id = 2");
	assert_int_equal(jobs_bounds(s->db, "a", &bounds), OK);
	assert_int_equal(bounds.floor, 0);
	raw(s, "DELETE FROM job_events WHERE id = 4");
	raw(s, "DELETE FROM job_events WHERE id = 1");
	assert_int_equal(jobs_bounds(s->db, "a", &bounds), OK);
	assert_int_equal(bounds.floor, 4);
	assert_int_equal(bounds.last_id, 3);
	assert_int_equal(jobs_bounds(s->db, "b", &bounds), OK);
	assert_int_equal(bounds.floor, 0);

	assert_int_equal(jobs_gone_floor(s->db, &gone), OK);
	assert_int_equal(gone, 0);
	raw(s, "DELETE FROM jobs WHERE job_id = 'b'");
	assert_int_equal(jobs_gone_floor(s->db, &gone), OK);
	assert_int_equal(gone, 5);
	raw(s, "DELETE FROM jobs WHERE job_id = 'a'");
	assert_int_equal(jobs_gone_floor(s->db, &gone), OK);
	assert_int_equal(gone, 5);
	raw(s, "DELETE FROM job_events; DELETE FROM jobs");
	assert_int_equal(jobs_gone_floor(s->db, &gone), OK);
	assert_int_equal(gone, 5);
	assert_int_equal(jobs_bounds(s->db, "a", &bounds), OK);
	assert_false(bounds.is_known);
}

static void
test_ids_are_never_reused(void **state)
{
	struct event_new e = {.job_id = "a", .type = "queued"};
	struct site *s = *state;
	int64_t last;

	assert_int_equal(events_last_id(s->db, &last), OK);
	assert_int_equal(last, 0);
	append(s->db, &e);
	assert_int_equal(append(s->db, &e), 2);
	raw(s, "DELETE FROM jobs");
	assert_int_equal(events_last_id(s->db, &last), OK);
	assert_int_equal(last, 2);
	assert_int_equal(append(s->db, &e), 3);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 1);
}

/* Those of before the first release are refused and left as they are. */
static void
test_unreleased_versions(void **state)
{
	static const enum db_mode modes[] = {DB_READ, DB_WRITE, DB_CREATE};
	static const int versions[] = {-1, 1, 5};
	struct db_fault fault;
	struct site *s = *state;
	char sql[64];
	size_t i, k;

	for (i = 0; i < COUNT(versions); i++) {
		snprintf(
		    sql, sizeof(sql), "PRAGMA user_version = %d", versions[i]);
		raw(s, sql);
		for (k = 0; k < COUNT(modes); k++) {
			struct db *db = NULL;

			assert_int_equal(
			    db_open(s->path, modes[k], BUSY_MS, &db, &fault),
			    ERR_VERSION);
			assert_non_null(strstr(fault.text, s->path));
			assert_non_null(strstr(fault.text,
			    "before the first release: move it away and run: "
			    "jobwire init"));
		}
		assert_int_equal(
		    raw_int(s, "PRAGMA user_version"), versions[i]);
	}
}

/* Asked at each look of the janitor, so not by a walk through all ended
 * jobs. */
static void
test_old_job_comes_from_the_index(void **state)
{
	struct buf sql = BUF_INIT;
	struct site *s = *state;
	sqlite3_stmt *st = stmt_open(s->db, STMT_OLD_JOB);

	assert_non_null(st);
	buf_addf(&sql, "EXPLAIN QUERY PLAN %s", sqlite3_sql(st));
	assert_int_equal(
	    sqlite3_prepare_v2(s->raw, sql.data, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	assert_non_null(strstr((const char *)sqlite3_column_text(st, 3),
	    "SEARCH jobs USING INDEX jobs_ended (updated_at<?)"));
	assert_int_equal(sqlite3_step(st), SQLITE_DONE);
	sqlite3_finalize(st);
	buf_done(&sql);
}

/* What came early becomes the job's, in order, once. */
static void
test_unclaimed_events(void **state)
{
	struct site *s = *state;

	raw(s, "INSERT INTO unclaimed_events (external_id, type, source, "
	       "delivery_key, output, error) VALUES "
	       "('x', 'processing', 'runpod', '1', NULL, NULL), "
	       "('y', 'failed', 'runpod', '2', NULL, NULL), "
	       "('x', 'failed', 'runpod', '3', '[1.10]', '\"e\"')");
	raw(s, "INSERT INTO jobs (job_id, external_id) VALUES ('j', 'x')");
	assert_string_equal(
	    raw_text(s, "SELECT group_concat(id || job_id || type || status) "
			"FROM job_events"),
	    "1jprocessingprocessing,2jfailedfailed");
	assert_string_equal(
	    raw_text(s, "SELECT state || output || error FROM jobs"),
	    "failed[1.10]\"e\"");
	assert_int_equal(
	    raw_int(s, "SELECT count(*) FROM unclaimed_events"), 1);

	/* A job that was there before gets its external id. */
	raw(s, "INSERT INTO job_events (job_id, type) VALUES ('k', 'queued')");
	raw(s, "UPDATE jobs SET external_id = 'y' WHERE job_id = 'k'");
	assert_string_equal(
	    raw_text(s, "SELECT state FROM jobs WHERE job_id = 'k'"), "failed");
	assert_int_equal(
	    raw_int(s, "SELECT count(*) FROM unclaimed_events"), 0);

	/* What is nobody's leaves nothing. */
	raw(s, "INSERT INTO unclaimed_events (external_id, type, source, "
	       "delivery_key) VALUES ('z', 'failed', 'runpod', '9')");
	raw(s, "DELETE FROM unclaimed_events");
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 4);
}

#define SITE_TEST(f)                                                           \
	cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    SITE_TEST(test_bare_insert_is_complete),
	    SITE_TEST(test_output_text_is_kept),
	    SITE_TEST(test_output_stays_until_replaced),
	    SITE_TEST(test_state_machine),
	    SITE_TEST(test_outer_conflict_clause),
	    SITE_TEST(test_invalid_rows_are_refused),
	    SITE_TEST(test_data_is_read_as_bytes),
	    SITE_TEST(test_floors_by_foreign_delete),
	    SITE_TEST(test_ids_are_never_reused),
	    SITE_TEST(test_unreleased_versions),
	    SITE_TEST(test_old_job_comes_from_the_index),
	    SITE_TEST(test_unclaimed_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
