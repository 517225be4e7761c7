/* SPDX-License-Identifier: ISC */
/* store/checkpoint.c */
#include "store/checkpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/wal.h"
#include "store_site.h"

/* Which generation of the WAL a writer finds after a checkpoint. */
static uint32_t
checkpoint_then_write(struct site *s, int64_t limit_bytes)
{
	assert_int_equal(checkpoint_if_filled(s->db, limit_bytes), OK);
	raw_events(s, "a", "note", 1);
	return wal_generation(s);
}

static void
test_checkpoint_restarts_the_wal(void **state)
{
	struct site *s = *state;
	uint32_t first;
	off_t size;
	int i;

	raw(s, "PRAGMA wal_autocheckpoint = 0");
	for (i = 0; i < 20; i++)
		raw_events(s, "a", "note", 10);
	first = wal_generation(s);
	assert_int_equal(checkpoint_then_write(s, 2 * wal_size(s)), first);
	/* Writers begin at the front again, and the file keeps its size:
	 * that it is large does not make another one due. */
	size = wal_size(s);
	assert_int_equal(checkpoint_then_write(s, size / 2), first + 1);
	assert_int_equal(wal_size(s), size);
	assert_int_equal(checkpoint_then_write(s, size / 2), first + 1);
	for (i = 0; i < 15; i++)
		raw_events(s, "a", "note", 10);
	assert_int_equal(checkpoint_then_write(s, size / 2), first + 2);
	assert_int_equal(checkpoint_then_write(s, 0), first + 3);
}

/* What was larger for once is cut back when the WAL begins anew. */
static void
test_checkpoint_bounds_the_wal(void **state)
{
	struct event_new e = {.job_id = "b", .type = "note"};
	struct site *s = *state;

	assert_int_equal(wal_extend(s->db, DB_WAL_BYTES), OK);
	assert_int_equal(wal_size(s), DB_WAL_BYTES);
	raw(s, "PRAGMA wal_autocheckpoint = 0");
	raw(s, "INSERT INTO job_events (job_id, type, data) VALUES "
	       "('a', 'note', '{\"x\":\"' || hex(zeroblob(5000000)) || '\"}')");
	assert_true(wal_size(s) > DB_WAL_BYTES);
	assert_int_equal(checkpoint_if_filled(s->db, 0), OK);
	append(s->db, &e);
	assert_int_equal(wal_size(s), DB_WAL_BYTES);
	assert_int_equal(checkpoint_if_filled(s->db, 0), OK);
	append(s->db, &e);
	assert_int_equal(wal_size(s), DB_WAL_BYTES);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 3);
}

static void
test_checkpoint_held_up_by_a_reader(void **state)
{
	struct site *s = *state;

	s->db->busy_ms = 5;
	raw_events(s, "a", "note", 1);
	raw(s, "BEGIN; SELECT count(*) FROM jobs");
	assert_int_equal(checkpoint_if_filled(s->db, 0), ERR_BUSY);
	raw(s, "COMMIT");
	assert_int_equal(checkpoint_if_filled(s->db, 0), OK);
}

/* Then SQLite would copy what it can without the lock. */
static void
test_checkpoint_beside_a_writer(void **state)
{
	struct site *s = *state;
	struct stat before, after;

	s->db->busy_ms = 5;
	raw_events(s, "a", "note", 100);
	assert_int_equal(stat(s->path, &before), 0);
	raw(s, "BEGIN IMMEDIATE");
	assert_int_equal(checkpoint_if_filled(s->db, 0), ERR_BUSY);
	assert_int_equal(stat(s->path, &after), 0);
	assert_int_equal(after.st_size, before.st_size);
	raw(s, "COMMIT");
	assert_int_equal(checkpoint_if_filled(s->db, 0), OK);
	assert_int_equal(stat(s->path, &after), 0);
	assert_true(after.st_size > before.st_size);
}

#define SITE_TEST(f)                                                           \
	cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    SITE_TEST(test_checkpoint_restarts_the_wal),
	    SITE_TEST(test_checkpoint_bounds_the_wal),
	    SITE_TEST(test_checkpoint_held_up_by_a_reader),
	    SITE_TEST(test_checkpoint_beside_a_writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
