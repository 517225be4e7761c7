/* SPDX-License-Identifier: ISC */
/* store/events.c */
#include "store/events.h"

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

/* What a reading gave, as "1:a:queued 2:b:completed ". */
struct seen {
	char text[4096];
	size_t len;
	int stop_after; /* rows; 0: never */
};

static bool
on_row(void *arg, const struct event_row *row)
{
	struct seen *seen = arg;

	seen->len += (size_t)snprintf(seen->text + seen->len,
	    sizeof(seen->text) - seen->len, "%lld:%s:%s ", (long long)row->id,
	    row->job_id, row->type);
	return --seen->stop_after != 0;
}

/* --- Appending ------------------------------------------------------------ */

static void
test_append(void **state)
{
	struct event_new e = {
	    .job_id = "a",
	    .type = "completed",
	    .data = SPAN_LIT("{\"n\":1}"),
	    .output = SPAN_LIT("[1e400]"),
	    .restore_id = "r1",
	};
	struct site *s = *state;
	struct job j;

	assert_int_equal(append(s->db, &e), 1);
	e.output = (struct span){0};
	e.restore_id = "r2";
	assert_int_equal(append(s->db, &e), 2);
	assert_int_equal(jobs_get(s->db, "a", &j), OK);
	assert_string_equal(j.output, "[1e400]");
	assert_string_equal(j.restore_id, "r1");
	assert_int_equal(j.state, JOB_COMPLETED);
	job_done(&j);
	assert_string_equal(
	    raw_text(s, "SELECT data FROM job_events"), "{\"n\":1}");
}

static void
test_append_duplicate(void **state)
{
	struct event_new e = {
	    .job_id = "a",
	    .type = "completed",
	    .source = "runpod",
	    .delivery_key = "k1",
	    .restore_id = "r",
	};
	struct site *s = *state;
	bool is_duplicate = false;
	int64_t id = 0;

	append(s->db, &(struct event_new){.job_id = "b", .type = "queued"});
	assert_int_equal(append(s->db, &e), 2);
	e.type = "failed";
	e.job_id = "b";
	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(events_append(s->db, &e, &id, &is_duplicate), OK);
	assert_true(is_duplicate);
	assert_int_equal(id, 2);
	assert_int_equal(db_commit(s->db), OK);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 2);
	assert_string_equal(raw_text(s, "SELECT state || (restore_id IS NULL) "
					"FROM jobs WHERE job_id = 'b'"),
	    "queued1");
	/* The refused row may have used up an id. */
	e.source = "other";
	assert_true(append(s->db, &e) > 2);
	e.source = e.delivery_key = NULL;
	append(s->db, &e);
	append(s->db, &e);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 5);
}

static void
test_append_refused(void **state)
{
	struct event_new bad[] = {
	    {.job_id = "a b", .type = "queued"},
	    {.job_id = "", .type = "queued"},
	    {.job_id = "a", .type = "Queued"},
	    {.job_id = "a", .type = "queued", .data = SPAN_LIT("[]")},
	    {.job_id = "a", .type = "queued", .data = SPAN_LIT("{}\0{}")},
	};
	struct event_new good = {.job_id = "a", .type = "queued"};
	struct site *s = *state;
	bool is_duplicate = true;
	int64_t id = -1;
	size_t i;

	assert_int_equal(db_begin(s->db), OK);
	for (i = 0; i < COUNT(bad); i++)
		assert_int_equal(
		    events_append(s->db, &bad[i], &id, &is_duplicate),
		    ERR_PROTO);
	assert_int_equal(id, -1);
	assert_true(is_duplicate);
	assert_int_equal(db_last_fault(s->db)->code & 0xff, SQLITE_CONSTRAINT);
	assert_string_equal(db_last_fault(s->db)->text,
	    "CHECK constraint failed: data_is_json_object");
	/* The rest of the caller's transaction is not lost. */
	assert_int_equal(events_append(s->db, &good, &id, &is_duplicate), OK);
	assert_int_equal(db_commit(s->db), OK);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 1);
}

static void
test_append_large(void **state)
{
	enum { LARGE = 32 << 20 };
	struct event_new e = {.job_id = "a", .type = "completed"};
	char *text = malloc(LARGE + 1);
	struct site *s = *state;
	bool is_duplicate;
	int64_t id;

	assert_non_null(text);
	memset(text, 'x', LARGE + 1);
	memcpy(text, "{\"output\":\"", 11);
	memcpy(text + LARGE - 2, "\"}", 3);
	e.data = e.output = (struct span){text, LARGE};
	append(s->db, &e);
	assert_int_equal(raw_int(s, "SELECT length(output) FROM jobs"), LARGE);
	memcpy(text + LARGE - 2, "x\"}", 3);
	e.data.n++;
	assert_int_equal(
	    events_append(s->db, &e, &id, &is_duplicate), ERR_PROTO);
	free(text);
}

static void
test_rollback_and_full(void **state)
{
	struct event_new e = {.job_id = "a", .type = "queued"};
	struct site *s = *state;
	bool is_duplicate;
	int64_t id = 0;
	enum err err = OK;

	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(events_append(s->db, &e, &id, &is_duplicate), OK);
	db_rollback(s->db);
	db_rollback(s->db);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 0);

	sqlite3_exec(s->db->h, "PRAGMA max_page_count = 1", NULL, NULL, NULL);
	assert_int_equal(db_begin(s->db), OK);
	while (err == OK)
		err = events_append(s->db, &e, &id, &is_duplicate);
	assert_int_equal(err, ERR_FULL);
	db_rollback(s->db);
	assert_int_equal(db_last_fault(s->db)->code, SQLITE_FULL);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 0);
}

/* --- Reading -------------------------------------------------------------- */

static void
test_read_all(void **state)
{
	struct seen seen = {0};
	struct site *s = *state;

	raw(s, "INSERT INTO job_events (job_id, type) VALUES "
	       "('a', 'queued'), ('b', 'queued'), ('a', 'completed')");
	assert_int_equal(events_read_all(s->db, 0, 10, on_row, &seen), OK);
	assert_string_equal(seen.text, "1:a:queued 2:b:queued 3:a:completed ");
	seen = (struct seen){0};
	assert_int_equal(events_read_all(s->db, 1, 1, on_row, &seen), OK);
	assert_string_equal(seen.text, "2:b:queued ");
	seen = (struct seen){.stop_after = 2};
	assert_int_equal(events_read_all(s->db, 0, 10, on_row, &seen), OK);
	assert_string_equal(seen.text, "1:a:queued 2:b:queued ");
	seen = (struct seen){0};
	assert_int_equal(events_read_all(s->db, 3, 10, on_row, &seen), OK);
	assert_int_equal(events_read_all(s->db, 0, 0, on_row, &seen), OK);
	assert_string_equal(seen.text, "");
}

static bool
check_row(void *arg, const struct event_row *row)
{
	++*(int *)arg;
	assert_string_equal(row->job_id, "a");
	assert_string_equal(row->status, "processing");
	assert_true(strlen(row->created_at) == 24);
	if (row->id == 1) {
		assert_null(row->restore_id);
		assert_int_equal(row->data.n, 0);
		assert_null(row->owner);
	} else {
		assert_string_equal(row->restore_id, "r");
		assert_string_equal(row->owner, "alice");
	}
	return false;
}

static void
test_read_row(void **state)
{
	struct site *s = *state;
	int n = 0;

	raw_events(s, "a", "progress", 1);
	assert_int_equal(events_read_all(s->db, 0, 9, check_row, &n), OK);
	raw(s, "UPDATE jobs SET owner = 'alice', restore_id = 'r'");
	raw_events(s, "a", "custom", 1);
	assert_int_equal(events_read_all(s->db, 1, 9, check_row, &n), OK);
	assert_int_equal(n, 2);
}

static void
test_read_jobs(void **state)
{
	static const char *const ids[] = {"c", "a", "nobody", "a"};
	struct seen seen = {0};
	struct site *s = *state;

	raw(s, "INSERT INTO job_events (job_id, type) VALUES ('a', 'queued'), "
	       "('b', 'queued'), ('c', 'queued'), ('a', 'x'), ('c', 'x'), "
	       "('c', 'failed'), ('a', 'failed')");
	assert_int_equal(
	    events_read_jobs(s->db, ids, 1, 3, 9, on_row, &seen), OK);
	assert_string_equal(seen.text, "5:c:x 6:c:failed ");
	seen = (struct seen){0};
	assert_int_equal(
	    events_read_jobs(s->db, ids, 3, 0, 99, on_row, &seen), OK);
	assert_string_equal(seen.text,
	    "1:a:queued 3:c:queued 4:a:x 5:c:x 6:c:failed 7:a:failed ");
	seen = (struct seen){0};
	assert_int_equal(
	    events_read_jobs(s->db, ids, 2, 1, 3, on_row, &seen), OK);
	assert_string_equal(seen.text, "3:c:queued 4:a:x 5:c:x ");
	seen = (struct seen){.stop_after = 1};
	assert_int_equal(
	    events_read_jobs(s->db, ids, 2, 1, 3, on_row, &seen), OK);
	assert_string_equal(seen.text, "3:c:queued ");
	seen = (struct seen){0};
	assert_int_equal(
	    events_read_jobs(s->db, ids, 4, 3, 9, on_row, &seen), OK);
	assert_string_equal(seen.text, "4:a:x 5:c:x 6:c:failed 7:a:failed ");
	assert_int_equal(
	    events_read_jobs(s->db, ids, 0, 0, 9, on_row, &seen), OK);
}

static void
test_read_many_jobs(void **state)
{
	char names[JOB_IDS_MAX][8];
	const char *ids[JOB_IDS_MAX + 1] = {0};
	struct site *s = *state;
	struct seen seen = {0};
	int i;

	for (i = 0; i < JOB_IDS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "j%d", 63 - i);
		ids[i] = names[i];
		raw_events(s, names[i], "queued", 1);
	}
	for (i = 0; i < 2; i++) {
		seen = (struct seen){0};
		assert_int_equal(events_read_jobs(s->db, ids, JOB_IDS_MAX, 60,
				     9, on_row, &seen),
		    OK);
		assert_string_equal(seen.text,
		    "61:j3:queued 62:j2:queued 63:j1:queued 64:j0:queued ");
	}
	assert_int_equal(
	    events_read_jobs(s->db, ids, JOB_IDS_MAX + 1, 0, 9, on_row, &seen),
	    ERR_LIMIT);
}

/* Reading inside the caller's transaction leaves it open. */
static void
test_read_jobs_in_a_transaction(void **state)
{
	struct event_new e = {.job_id = "a", .type = "queued"};
	const char *ids[] = {"a", "b"};
	struct site *s = *state;
	struct seen seen = {0};
	bool is_duplicate;
	int64_t id;

	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(events_append(s->db, &e, &id, &is_duplicate), OK);
	assert_int_equal(
	    events_read_jobs(s->db, ids, 2, 0, 9, on_row, &seen), OK);
	assert_string_equal(seen.text, "1:a:queued ");
	assert_int_equal(db_commit(s->db), OK);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 1);
}

#define SITE_TEST(f)                                                           \
	cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    SITE_TEST(test_append),
	    SITE_TEST(test_append_duplicate),
	    SITE_TEST(test_append_refused),
	    SITE_TEST(test_append_large),
	    SITE_TEST(test_rollback_and_full),
	    SITE_TEST(test_read_all),
	    SITE_TEST(test_read_row),
	    SITE_TEST(test_read_jobs),
	    SITE_TEST(test_read_many_jobs),
	    SITE_TEST(test_read_jobs_in_a_transaction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
