/* SPDX-License-Identifier: ISC */
/* store/stmt.c: how a failure stays, what a statement answers, and which tables
 * are never read whole. That a failure is heard wherever memory ends is tested
 * by test_store_memory.c. */
#include "store/stmt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store_site.h"

/* One that is prepared by nothing else. */
enum { SOME = STMT_KEY };

static void
test_failure_to_prepare_stays(void **state)
{
	struct site *s = *state;
	sqlite3_stmt *st;
	bool has_row = true;

	raw(s, "DROP TABLE idempotency_keys");
	/* Else it is prepared by the schema that the connection remembers. */
	assert_int_equal(stmt_do(s->db, STMT_IDENTITY), OK);
	st = stmt_open(s->db, SOME);
	assert_null(st);
	stmt_bind_text(s->db, st, 1, "key");
	stmt_bind_int(s->db, st, 9, 1);
	assert_int_equal(stmt_step(s->db, st, &has_row), ERR_CORRUPT);
	assert_true(has_row);
	assert_string_equal(
	    db_last_fault(s->db)->text, "no such table: idempotency_keys");
	assert_int_equal(stmt_step(s->db, st, &has_row), ERR_CORRUPT);
	stmt_close(st);
	/* The next statement knows nothing of it. */
	assert_int_equal(stmt_do(s->db, STMT_IDENTITY), OK);
}

static void
test_failure_to_bind_stays(void **state)
{
	struct site *s = *state;
	sqlite3_stmt *st = stmt_open(s->db, SOME);

	assert_non_null(st);
	stmt_bind_int(s->db, st, 9, 1);
	stmt_bind_text(s->db, st, 1, "key");
	assert_int_equal(stmt_run(s->db, st), ERR_IO);
	assert_int_equal(db_last_fault(s->db)->code, SQLITE_RANGE);
	st = stmt_open(s->db, SOME);
	stmt_bind_text(s->db, st, 1, "key");
	assert_int_equal(stmt_run(s->db, st), OK);
}

static void
test_row_that_is_not_there(void **state)
{
	struct site *s = *state;
	sqlite3_stmt *st = stmt_open(s->db, STMT_META);
	const char *text;
	int64_t n = 0;

	stmt_bind_text(s->db, st, 1, "epoch");
	assert_int_equal(stmt_row_text(s->db, st, &text), OK);
	assert_string_equal(text, db_epoch(s->db));
	stmt_close(st);
	st = stmt_open(s->db, STMT_META);
	stmt_bind_text(s->db, st, 1, "no such key");
	assert_int_equal(stmt_row_text(s->db, st, &text), ERR_NOENT);
	stmt_close(st);
	st = stmt_open(s->db, STMT_META);
	stmt_bind_text(s->db, st, 1, "no such key");
	assert_int_equal(stmt_run_int(s->db, st, -1, &n), OK);
	assert_int_equal(n, -1);
}

static void
test_yes_or_no(void **state)
{
	struct site *s = *state;
	sqlite3_stmt *st;
	bool is_mine = false;

	raw(s, "INSERT INTO jobs (job_id, owner) VALUES ('a', 'alice')");
	st = stmt_open(s->db, STMT_OWNS_JOB);
	stmt_bind_text(s->db, st, 1, "a");
	stmt_bind_text(s->db, st, 2, "alice");
	assert_int_equal(stmt_run_bool(s->db, st, &is_mine), OK);
	assert_true(is_mine);
	st = stmt_open(s->db, STMT_OWNS_JOB);
	stmt_bind_text(s->db, st, 1, "a");
	stmt_bind_text(s->db, st, 2, "bob");
	assert_int_equal(stmt_run_bool(s->db, st, &is_mine), OK);
	assert_false(is_mine);
}

/* Rolling back leaves the reason; and may be done at any time. */
static void
test_rollback_keeps_the_fault(void **state)
{
	struct site *s = *state;

	assert_int_equal(stmt_do(s->db, STMT_BEGIN_WRITE), OK);
	assert_int_equal(
	    stmt_refuse(s->db, ERR_EXISTS, "%s is taken", "it"), ERR_EXISTS);
	stmt_rollback(s->db);
	stmt_rollback(s->db);
	assert_string_equal(db_last_fault(s->db)->text, "it is taken");
	assert_int_equal(db_last_fault(s->db)->code, 0);
	raw(s, "BEGIN IMMEDIATE; ROLLBACK");
}

/* No statement that a stream waits for may read a whole table. */
static void
test_queries_use_indexes(void **state)
{
	static const unsigned ids[] = {STMT_READ_ALL, STMT_READ_JOB,
	    STMT_JOB_BOUNDS, STMT_DELIVERED, STMT_OLD_JOB, STMT_SLICE,
	    STMT_SURPLUS, STMT_JOBS_IN_STATE, STMT_JOB, STMT_ADD_TICKET};
	struct site *s = *state;
	sqlite3_stmt *st, *plan;
	const char *line;
	char *sql;
	size_t i;

	for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		st = stmt_open(s->db, ids[i]);
		assert_non_null(st);
		sql = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", sqlite3_sql(st));
		assert_int_equal(
		    sqlite3_prepare_v2(s->raw, sql, -1, &plan, NULL),
		    SQLITE_OK);
		while (sqlite3_step(plan) == SQLITE_ROW) {
			line = (const char *)sqlite3_column_text(plan, 3);
			if (strncmp(line, "SCAN job", 8) == 0 ||
			    strncmp(line, "SCAN e", 6) == 0 ||
			    strncmp(line, "SCAN k", 6) == 0 ||
			    strncmp(line, "SCAN j", 6) == 0 ||
			    strncmp(line, "SCAN tickets", 12) == 0 ||
			    strstr(line, "AUTOMATIC") != NULL)
				fail_msg("%s: %s", sql, line);
		}
		sqlite3_finalize(plan);
		sqlite3_free(sql);
	}
}

#define SITE_TEST(f)                                                           \
	cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    SITE_TEST(test_failure_to_prepare_stays),
	    SITE_TEST(test_failure_to_bind_stays),
	    SITE_TEST(test_row_that_is_not_there),
	    SITE_TEST(test_yes_or_no),
	    SITE_TEST(test_rollback_keeps_the_fault),
	    SITE_TEST(test_queries_use_indexes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
