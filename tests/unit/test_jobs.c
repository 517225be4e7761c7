/* SPDX-License-Identifier: ISC */
/* store/jobs.c */
#include "store/jobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store_site.h"

static void
test_bounds(void **state)
{
	struct job_bounds bounds;
	struct site *s = *state;

	assert_int_equal(jobs_bounds(s->db, "a", &bounds), OK);
	assert_false(bounds.is_known);
	assert_int_equal(bounds.last_id, 0);
	raw(s, "INSERT INTO jobs (job_id, owner) VALUES ('a', 'alice')");
	assert_int_equal(jobs_bounds(s->db, "a", &bounds), OK);
	assert_true(bounds.is_known);
	assert_false(bounds.is_terminal);
	raw_events(s, "b", "queued", 1);
	raw_events(s, "a", "timed_out", 1);
	assert_int_equal(jobs_bounds(s->db, "a", &bounds), OK);
	assert_true(bounds.is_terminal);
	assert_int_equal(bounds.last_id, 2);
	raw_events(s, "a", "processing", 1);
	assert_int_equal(jobs_bounds(s->db, "a", &bounds), OK);
	assert_false(bounds.is_terminal);
}

static void
test_get(void **state)
{
	struct site *s = *state;
	struct job j;

	assert_int_equal(jobs_get(s->db, "a", &j), ERR_NOENT);
	raw(s, "INSERT INTO jobs (job_id, owner) VALUES ('a', 'alice')");
	assert_int_equal(jobs_get(s->db, "a", &j), OK);
	assert_int_equal(j.state, JOB_QUEUED);
	assert_null(j.progress);
	assert_null(j.output);
	assert_int_equal(j.last_event_id, 0);
	job_done(&j);
	raw(s, "INSERT INTO job_events (job_id, type, data) VALUES "
	       "('a', 'progress', '{\"progress\":10}'), "
	       "('a', 'progress', '{\"progress\": 40.50}'), "
	       "('a', 'completed', '{\"progress\":1,\"output\":{\"x\":2}}')");
	assert_int_equal(jobs_get(s->db, "a", &j), OK);
	assert_string_equal(j.job_id, "a");
	assert_string_equal(j.owner, "alice");
	assert_null(j.external_id);
	assert_int_equal(j.state, JOB_COMPLETED);
	assert_string_equal(j.progress, "40.50");
	assert_string_equal(j.output, "{\"x\":2}");
	assert_int_equal(j.last_event_id, 3);
	assert_int_equal(strlen(j.created_at), 24);
	assert_true(strcmp(j.created_at, j.updated_at) <= 0);
	job_done(&j);
	job_done(&j);
}

static void
on_job(void *arg, const struct job *j)
{
	assert_null(j->output);
	buf_addf(arg, "%s:%s:%lld ", j->job_id, job_state_name(j->state),
	    (long long)j->last_event_id);
}

static void
assert_listed(
    struct site *s, enum job_state state, int limit, const char *expected)
{
	struct buf seen = BUF_INIT;

	assert_int_equal(jobs_list(s->db, state, limit, on_job, &seen), OK);
	assert_string_equal(seen.len > 0 ? seen.data : "", expected);
	buf_done(&seen);
}

static void
test_list(void **state)
{
	struct site *s = *state;

	raw(s, "INSERT INTO job_events (job_id, type, data) VALUES "
	       "('a', 'queued', NULL), ('b', 'failed', '{\"output\":1}'), "
	       "('c', 'queued', NULL);"
	       "UPDATE jobs SET updated_at = '2020-01-0' || (job_id = 'a')");
	assert_listed(s, JOB_NO_STATE, 1, "a:queued:1 ");
	assert_listed(s, JOB_QUEUED, 9, "a:queued:1 c:queued:3 ");
	assert_listed(s, JOB_COMPLETED, 9, "");
}

static void
test_state_after_an_event(void **state)
{
	struct site *s = *state;
	enum job_state is;

	assert_int_equal(jobs_state(s->db, "a", &is), OK);
	assert_int_equal(is, JOB_NO_STATE);
	raw(s, "INSERT INTO job_events (job_id, type) VALUES "
	       "('a', 'note'), ('a', 'progress'), ('a', 'cancelled')");
	assert_int_equal(jobs_state(s->db, "a", &is), OK);
	assert_int_equal(is, JOB_CANCELLED);
	assert_int_equal(jobs_state_after(s->db, 1, &is), OK);
	assert_int_equal(is, JOB_NO_STATE);
	assert_int_equal(jobs_state_after(s->db, 2, &is), OK);
	assert_int_equal(is, JOB_PROCESSING);
	assert_int_equal(jobs_state_after(s->db, 9, &is), OK);
	assert_int_equal(is, JOB_NO_STATE);
}

static bool
owns(struct site *s, const char *job_id, const char *owner)
{
	bool is_owner;

	assert_int_equal(jobs_owns(s->db, job_id, owner, &is_owner), OK);
	return is_owner;
}

static void
test_register(void **state)
{
	struct job_new job = {.job_id = "a", .external_id = "x"};
	struct site *s = *state;
	struct buf found = BUF_INIT;
	bool is_new = false;

	assert_int_equal(jobs_find_external(s->db, "x", &found), ERR_NOENT);
	assert_int_equal(jobs_register(s->db, &job, &is_new), OK);
	assert_true(is_new);
	assert_false(owns(s, "a", "alice"));
	/* What is given later is added, and what was is kept. */
	job = (struct job_new){.job_id = "a", .owner = "alice"};
	assert_int_equal(jobs_register(s->db, &job, &is_new), OK);
	assert_false(is_new);
	assert_true(owns(s, "a", "alice"));
	assert_int_equal(jobs_find_external(s->db, "x", &found), OK);
	assert_string_equal(found.data, "a");
	job.owner = "bob";
	assert_int_equal(jobs_register(s->db, &job, &is_new), ERR_EXISTS);
	assert_true(owns(s, "a", "alice"));
	/* Of two with one external id it is the newest. */
	job = (struct job_new){.job_id = "b", .external_id = "x"};
	assert_int_equal(jobs_register(s->db, &job, &is_new), OK);
	buf_reset(&found);
	assert_int_equal(jobs_find_external(s->db, "x", &found), OK);
	assert_string_equal(found.data, "b");
	buf_done(&found);
}

/* Whoever asks for it later learns that something is lost. */
static void
test_delete(void **state)
{
	struct site *s = *state;
	int64_t n = -1;

	raw_events(s, "a", "note", 3);
	raw_events(s, "b", "note", 2);
	raw(s, "UPDATE jobs SET owner = 'alice', floor = 2 WHERE job_id = 'a'");
	assert_int_equal(jobs_count_events(s->db, "a", &n), OK);
	assert_int_equal(n, 3);
	assert_int_equal(jobs_owner_floor(s->db, "alice", &n), OK);
	assert_int_equal(n, 2);
	assert_int_equal(jobs_gone_floor(s->db, &n), OK);
	assert_int_equal(n, 0);
	assert_int_equal(jobs_delete(s->db, "a"), OK);
	assert_int_equal(jobs_delete(s->db, "a"), ERR_NOENT);
	assert_int_equal(jobs_count_events(s->db, "a", &n), OK);
	assert_int_equal(n, 0);
	assert_int_equal(jobs_count_events(s->db, "b", &n), OK);
	assert_int_equal(n, 2);
	assert_int_equal(jobs_owner_floor(s->db, "alice", &n), OK);
	assert_int_equal(n, 0);
	assert_int_equal(jobs_gone_floor(s->db, &n), OK);
	assert_int_equal(n, 3);
}

#define SITE_TEST(f)                                                           \
	cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    SITE_TEST(test_bounds),
	    SITE_TEST(test_get),
	    SITE_TEST(test_list),
	    SITE_TEST(test_state_after_an_event),
	    SITE_TEST(test_register),
	    SITE_TEST(test_delete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
