/* SPDX-License-Identifier: ISC */
/* store/backfill.c */
#include "store/backfill.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "store_site.h"

enum { SOME = 100, WAIT_US = 10000000 };

struct beside {
	struct site *site;
	struct backfill *backfill;
};

static int
set_up(void **state)
{
	struct beside *b = calloc(1, sizeof(*b));
	void *site;

	assert_non_null(b);
	site_setup(&site);
	b->site = site;
	raw(b->site, "PRAGMA wal_autocheckpoint = 0");
	assert_int_equal(backfill_start(b->site->path, &b->backfill), OK);
	*state = b;
	return 0;
}

static int
tear_down(void **state)
{
	struct beside *b = *state;
	void *site = b->site;

	backfill_stop(&b->backfill);
	free(b);
	return site_teardown(&site);
}

/* The generation that the next commit is of. */
static uint32_t
write_one(struct beside *b)
{
	raw_events(b->site, "a", "note", 1);
	return wal_generation(b->site);
}

static off_t
db_size(const struct beside *b)
{
	struct stat file;

	assert_int_equal(stat(b->site->path, &file), 0);
	return file.st_size;
}

static void
pause_briefly(void)
{
	nanosleep(&(struct timespec){0, 1000000}, NULL);
}

/* Nothing is done below two thirds; then the copy comes by itself, and what
 * restarts the WAL is a later call. */
static void
test_copies_beside(void **state)
{
	struct beside *b = *state;
	int64_t limit_us = clock_mono_us() + WAIT_US;
	off_t before = db_size(b);
	uint32_t first;
	int64_t limit;

	raw_events(b->site, "a", "note", SOME);
	first = write_one(b);
	limit = wal_size(b->site) * 5 / 4;
	backfill_checkpoint(b->backfill, b->site->db, 2 * limit);
	assert_int_equal(write_one(b), first);
	backfill_checkpoint(b->backfill, b->site->db, limit);
	while (db_size(b) == before && clock_mono_us() < limit_us)
		pause_briefly();
	assert_true(db_size(b) > before);
	while (write_one(b) == first && clock_mono_us() < limit_us)
		backfill_checkpoint(b->backfill, b->site->db, limit);
	assert_int_equal(wal_generation(b->site), first + 1);
}

static void
test_waits_at_the_limit(void **state)
{
	struct beside *b = *state;
	uint32_t first;

	raw_events(b->site, "a", "note", SOME);
	first = write_one(b);
	for (uint32_t i = 1; i <= 3; i++) {
		backfill_checkpoint(b->backfill, b->site->db, 0);
		assert_int_equal(write_one(b), first + i);
	}
}

static void
test_reader_that_stays(void **state)
{
	struct beside *b = *state;
	uint32_t first = write_one(b);
	sqlite3 *writer = NULL;

	db_set_busy(b->site->db, 0);
	assert_int_equal(sqlite3_open(b->site->path, &writer), SQLITE_OK);
	raw(b->site, "BEGIN; SELECT count(*) FROM jobs");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(sqlite3_exec(writer,
				     "PRAGMA wal_autocheckpoint = 0;"
				     "INSERT INTO job_events (job_id, type) "
				     "VALUES ('b', 'note')",
				     NULL, NULL, NULL),
		    SQLITE_OK);
		backfill_checkpoint(b->backfill, b->site->db, 0);
		assert_int_equal(wal_generation(b->site), first);
	}
	sqlite3_close(writer);
	raw(b->site, "COMMIT");
	backfill_checkpoint(b->backfill, b->site->db, 0);
	assert_int_equal(write_one(b), first + 1);
}

static void
move_away(const struct site *s, const char *suffix)
{
	char from[sizeof(s->path) + 8], to[sizeof(s->path) + 16];

	snprintf(from, sizeof(from), "%s%s", s->path, suffix);
	snprintf(to, sizeof(to), "%s.old%s", s->path, suffix);
	assert_int_equal(rename(from, to), 0);
}

/* The thread has opened the old one. */
static void
test_replaced(void **state)
{
	struct beside *b = *state;
	struct site *s = b->site;
	uint32_t first;

	write_one(b);
	backfill_checkpoint(b->backfill, s->db, 0);
	db_close(&s->db);
	sqlite3_close(s->raw);
	move_away(s, "");
	move_away(s, "-wal");
	move_away(s, "-shm");
	assert_int_equal(
	    db_open(s->path, DB_CREATE, BUSY_MS, &s->db, NULL), OK);
	site_open_raw(s);
	raw(s, "PRAGMA wal_autocheckpoint = 0");
	first = write_one(b);
	backfill_checkpoint(b->backfill, s->db, 0);
	assert_int_equal(write_one(b), first + 1);
}

/* Two that commit, by turns, while the thread copies most of the time. */
static void
test_loses_nothing(void **state)
{
	struct beside *b = *state;
	struct event_new e = {.job_id = "a", .type = "note"};
	const int64_t limit = 96 << 10;
	off_t largest = 0;

	for (int i = 0; i < 3 * SOME; i++) {
		append(b->site->db, &e);
		backfill_checkpoint(b->backfill, b->site->db, limit);
		raw_events(b->site, "b", "note", 1);
		if (wal_size(b->site) > largest)
			largest = wal_size(b->site);
	}
	assert_true(largest < 2 * limit);
	assert_int_equal(
	    raw_int(b->site, "SELECT count(*) FROM job_events"), 6 * SOME);
	assert_string_equal(raw_text(b->site, "PRAGMA integrity_check"), "ok");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_copies_beside),
	    TEST(test_waits_at_the_limit),
	    TEST(test_reader_that_stays),
	    TEST(test_replaced),
	    TEST(test_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
