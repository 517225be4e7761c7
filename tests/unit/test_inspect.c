/* SPDX-License-Identifier: ISC */
/* store/inspect.c: counting and checking */
#include "store/inspect.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "store_site.h"

enum { BUDGET_MS = 60000 };

static void
test_empty(void **state)
{
	struct site *s = *state;
	struct inspect_counts n;

	assert_int_equal(inspect_count(s->db, &n), OK);
	for (enum job_state i = JOB_QUEUED; i < JOB_STATES; i++)
		assert_int_equal(n.jobs[i], 0);
	assert_int_equal(n.events + n.unclaimed, 0);
	assert_string_equal(n.oldest, "");
	assert_string_equal(n.newest, "");
}

/* As many jobs in each state as its place in the list, from 1. */
static void
test_counts(void **state)
{
	struct site *s = *state;
	struct inspect_counts n;
	char sql[200];
	int64_t n_events = 0;

	for (enum job_state i = JOB_QUEUED; i < JOB_STATES; i++)
		for (unsigned k = 0; k < i; k++, n_events++) {
			const char *name = job_state_name(i);

			snprintf(sql, sizeof(sql),
			    "INSERT INTO job_events (job_id, type, created_at)"
			    " VALUES ('%s-%u', '%s', '2026-01-%02u')",
			    name, k, name, i);
			raw(s, sql);
		}
	raw(s, "INSERT INTO unclaimed_events (external_id, type, source, "
	       "delivery_key) VALUES ('x', 'completed', 's', 'k')");
	assert_int_equal(inspect_count(s->db, &n), OK);
	for (enum job_state i = JOB_QUEUED; i < JOB_STATES; i++)
		assert_int_equal(n.jobs[i], i);
	assert_int_equal(n.events, n_events);
	assert_int_equal(n.unclaimed, 1);
	assert_string_equal(n.oldest, "2026-01-01");
	assert_string_equal(n.newest, "2026-01-06");
}

static void
add_many(struct site *s)
{
	raw(s, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
	       "WHERE i < 20000) INSERT INTO job_events (job_id, type) "
	       "SELECT 'job-' || i, 'note' FROM n");
}

static void
test_whole(void **state)
{
	struct site *s = *state;
	bool is_whole = false, is_wal = false;

	add_many(s);
	assert_int_equal(inspect_check(s->db, BUDGET_MS, &is_whole), OK);
	assert_true(is_whole);
	assert_int_equal(inspect_is_wal(s->db, &is_wal), OK);
	assert_true(is_wal);
}

/* The alarm may go off before there is anything to interrupt, where threads are
 * slow to start: not when there is more time. */
static void
test_cut_short(void **state)
{
	struct site *s = *state;
	bool is_whole = true;

	add_many(s);
	for (int i = 0; i < 1000 && is_whole; i++)
		assert_int_equal(
		    inspect_check(s->db, 1 + i % 16, &is_whole), OK);
	assert_false(is_whole);
	assert_int_equal(inspect_check(s->db, BUDGET_MS, &is_whole), OK);
	assert_true(is_whole);
}

/* Zeroes in the middle of the file, where the tables are. */
static void
test_damage(void **state)
{
	struct site *s = *state;
	const char zeroes[4096] = {0};
	bool is_whole = false;
	int fd;

	add_many(s);
	raw(s, "PRAGMA wal_checkpoint(TRUNCATE)");
	db_close(&s->db);
	sqlite3_close(s->raw);
	s->raw = NULL;
	fd = open(s->path, O_WRONLY);
	assert_int_equal(
	    pwrite(fd, zeroes, sizeof(zeroes), 4096L * 60), sizeof(zeroes));
	close(fd);
	assert_int_equal(db_open(s->path, DB_READ, BUSY_MS, &s->db, NULL), OK);
	assert_int_equal(
	    inspect_check(s->db, BUDGET_MS, &is_whole), ERR_CORRUPT);
	assert_false(is_whole);
	assert_true(db_last_fault(s->db)->text[0] != '\0');
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		test_empty, site_setup, site_teardown),
	    cmocka_unit_test_setup_teardown(
		test_counts, site_setup, site_teardown),
	    cmocka_unit_test_setup_teardown(
		test_whole, site_setup, site_teardown),
	    cmocka_unit_test_setup_teardown(
		test_cut_short, site_setup, site_teardown),
	    cmocka_unit_test_setup_teardown(
		test_damage, site_setup, site_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
