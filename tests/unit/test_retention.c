/* SPDX-License-Identifier: ISC */
/* store/retention.c */
#include "store/retention.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/jobs.h"
#include "store_site.h"

static const char long_ago[] =
    "UPDATE jobs SET updated_at = '2020-01-01T00:00:00.000Z'";

static const struct retention usual = {
    .days = 7, .progress = 10, .events = 1000};

/* To the end. */
static void
prune_on(
    struct site *s, const struct retention *keep, struct retention_done *done)
{
	uint64_t before;
	bool has_more = true;

	while (has_more) {
		before = done->events + done->jobs;
		assert_int_equal(
		    retention_step(s->db, keep, done, &has_more), OK);
		assert_true(
		    done->events + done->jobs - before <= 2 * STMT_BATCH_ROWS);
	}
}

/* The same from the first event; returns what it did. */
static struct retention_done
prune(struct site *s, const struct retention *keep)
{
	struct retention_done done = {0};

	prune_on(s, keep, &done);
	return done;
}

static int64_t
floor_of(struct site *s, const char *job_id)
{
	struct job_bounds bounds;

	assert_int_equal(jobs_bounds(s->db, job_id, &bounds), OK);
	assert_true(bounds.is_known);
	return bounds.floor;
}

static void
test_progress_is_trimmed_without_loss(void **state)
{
	struct site *s = *state;
	struct retention keep = usual;
	struct retention_done done;

	raw_events(s, "a", "queued", 1);
	raw_events(s, "a", "progress", 1300);
	raw_events(s, "b", "progress", 10);
	raw_events(s, "a", "completed", 1);
	done = prune(s, &keep);
	assert_int_equal(done.events, 1290);
	assert_int_equal(done.jobs, 0);
	assert_string_equal(
	    raw_text(s,
		"SELECT group_concat(id) FROM (SELECT id FROM job_events "
		"WHERE job_id = 'a' ORDER BY id)"),
	    "1,1292,1293,1294,1295,1296,1297,1298,1299,1300,1301,1312");
	assert_int_equal(floor_of(s, "a"), 0);
	assert_int_equal(
	    raw_int(s, "SELECT count(*) FROM job_events WHERE job_id = 'b'"),
	    10);
}

static void
test_other_events_are_trimmed_with_a_floor(void **state)
{
	struct site *s = *state;
	struct retention keep = usual;

	keep.events = 3;
	raw_events(s, "a", "note", 1000);
	raw_events(s, "b", "queued", 1);
	raw_events(s, "a", "progress", 2);
	raw_events(s, "a", "completed", 1);
	assert_int_equal(prune(s, &keep).events, 998);
	assert_int_equal(floor_of(s, "a"), 998);
	assert_int_equal(floor_of(s, "b"), 0);
	assert_string_equal(
	    raw_text(s, "SELECT group_concat(id) FROM "
			"(SELECT id FROM job_events ORDER BY id)"),
	    "999,1000,1001,1002,1003,1004");
}

/* Each event is looked at once, so a look without events costs nothing. */
static void
test_idle_prune_writes_nothing(void **state)
{
	struct site *s = *state;
	struct retention keep = usual;
	struct retention_done done = {0};
	long long version;

	raw_events(s, "a", "progress", 5);
	prune_on(s, &keep, &done);
	assert_int_equal(done.events, 0);
	assert_int_equal(done.seen_id, 5);
	version = raw_int(s, "PRAGMA data_version");
	keep.progress = 1;
	prune_on(s, &keep, &done);
	assert_int_equal(done.events, 0);
	assert_int_equal(raw_int(s, "PRAGMA data_version"), version);
	raw_events(s, "a", "progress", 1);
	prune_on(s, &keep, &done);
	assert_int_equal(done.events, 5);
	assert_int_equal(raw_int(s, "SELECT id FROM job_events"), 6);
}

static void
test_nothing_is_kept_of_a_kind(void **state)
{
	struct site *s = *state;
	struct retention keep = usual;

	keep.progress = 0;
	raw_events(s, "a", "progress", 7);
	raw_events(s, "a", "completed", 1);
	assert_int_equal(prune(s, &keep).events, 7);
}

static void
test_old_finished_jobs_go(void **state)
{
	struct site *s = *state;
	struct retention keep = usual;
	struct retention_done done;
	int64_t gone;

	raw_events(s, "done", "completed", 2);
	raw_events(s, "failed", "failed", 1);
	raw_events(s, "open", "processing", 1);
	raw_events(s, "reopened", "completed", 1);
	raw(s, long_ago);
	raw_events(s, "reopened", "queued", 1);
	raw_events(s, "young", "timed_out", 1);
	done = prune(s, &keep);
	assert_int_equal(done.jobs, 2);
	assert_int_equal(done.events, 3);
	assert_string_equal(
	    raw_text(s, "SELECT group_concat(job_id) FROM "
			"(SELECT job_id FROM jobs ORDER BY job_id)"),
	    "open,reopened,young");
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 4);
	assert_int_equal(jobs_gone_floor(s->db, &gone), OK);
	assert_int_equal(gone, 3);
}

/* Where an event comes each moment, it does not take a step each. */
static void
test_what_is_new_is_one_step(void **state)
{
	struct site *s = *state;
	struct retention_done done = {0};
	bool has_more = true;

	raw_events(s, "a", "note", 3);
	assert_int_equal(retention_step(s->db, &usual, &done, &has_more), OK);
	assert_false(has_more);
	raw_events(s, "b", "note", 1500);
	assert_int_equal(retention_step(s->db, &usual, &done, &has_more), OK);
	assert_true(has_more);
	prune_on(s, &usual, &done);
	raw_events(s, "a", "note", 1);
	assert_int_equal(retention_step(s->db, &usual, &done, &has_more), OK);
	assert_false(has_more);
}

static void
test_a_large_old_job_goes_in_batches(void **state)
{
	struct site *s = *state;
	struct retention keep = usual;
	struct retention_done done = {0};
	bool has_more = false;
	int64_t gone;

	keep.events = 10000;
	raw_events(s, "a", "note", 1100);
	raw(s, "INSERT INTO job_events (job_id, type, data) "
	       "VALUES ('a', 'completed', '{\"output\":1}')");
	raw(s, long_ago);
	assert_int_equal(retention_step(s->db, &keep, &done, &has_more), OK);
	assert_true(has_more);
	assert_int_equal(done.events, STMT_BATCH_ROWS);
	assert_int_equal(done.jobs, 0);
	/* Whoever looks now is told that all of it is lost. */
	assert_int_equal(floor_of(s, "a"), 1101);
	done = prune(s, &keep);
	assert_int_equal(done.events, 601);
	assert_int_equal(done.jobs, 1);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 0);
	assert_int_equal(jobs_gone_floor(s->db, &gone), OK);
	assert_int_equal(gone, 1101);
}

static void
test_many_old_jobs_go_in_batches(void **state)
{
	struct site *s = *state;
	struct retention keep = usual;
	struct retention_done done;

	raw(s, "WITH RECURSIVE k(i) AS "
	       "(SELECT 1 UNION ALL SELECT i + 1 FROM k WHERE i < 700) "
	       "INSERT INTO job_events (job_id, type) "
	       "SELECT 'j' || i, 'completed' FROM k");
	raw(s, long_ago);
	done = prune(s, &keep);
	assert_int_equal(done.jobs, 700);
	assert_int_equal(done.events, 700);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM jobs"), 0);
}

static void
test_prune_while_locked(void **state)
{
	struct site *s = *state;
	struct retention keep = usual;
	struct retention_done done = {0};
	bool has_more;

	s->db->busy_ms = 5;
	keep.progress = 1;
	raw_events(s, "a", "progress", 5);
	raw(s, "BEGIN IMMEDIATE");
	assert_int_equal(
	    retention_step(s->db, &keep, &done, &has_more), ERR_BUSY);
	assert_int_equal(done.events, 0);
	raw(s, "ROLLBACK");
	assert_int_equal(prune(s, &keep).events, 4);
}

#define SITE_TEST(f)                                                           \
	cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    SITE_TEST(test_progress_is_trimmed_without_loss),
	    SITE_TEST(test_other_events_are_trimmed_with_a_floor),
	    SITE_TEST(test_idle_prune_writes_nothing),
	    SITE_TEST(test_nothing_is_kept_of_a_kind),
	    SITE_TEST(test_old_finished_jobs_go),
	    SITE_TEST(test_what_is_new_is_one_step),
	    SITE_TEST(test_a_large_old_job_goes_in_batches),
	    SITE_TEST(test_many_old_jobs_go_in_batches),
	    SITE_TEST(test_prune_while_locked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
