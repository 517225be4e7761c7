/* SPDX-License-Identifier: ISC */
/* store/unclaimed.c; what becomes of them is also in test_schema.c */
#include "store/unclaimed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/jobs.h"
#include "store_site.h"

static bool
keep(struct site *s, const char *external_id, const struct event_new *e)
{
	bool is_duplicate;

	assert_int_equal(
	    unclaimed_keep(s->db, external_id, e, &is_duplicate), OK);
	return !is_duplicate;
}

static void
test_an_event_waits_for_its_job(void **state)
{
	const struct event_new event = {
	    .type = "completed",
	    .data = SPAN_LIT("{\"n\":1}"),
	    .source = "runpod",
	    .delivery_key = "1",
	    .output = SPAN_LIT("[1.10]"),
	    .restore_id = "r",
	};
	struct job_new job = {.job_id = "j", .external_id = "x"};
	struct site *s = *state;
	bool is_new;

	assert_true(keep(s, "x", &event));
	assert_int_equal(raw_int(s, "SELECT count(*) FROM job_events"), 0);
	assert_int_equal(jobs_register(s->db, &job, &is_new), OK);
	assert_string_equal(
	    raw_text(s, "SELECT job_id || type || data FROM job_events"),
	    "jcompleted{\"n\":1}");
	assert_string_equal(
	    raw_text(s, "SELECT state || output || restore_id FROM jobs"),
	    "completed[1.10]r");
	assert_int_equal(
	    raw_int(s, "SELECT count(*) FROM unclaimed_events"), 0);
}

static void
test_the_same_delivery_is_kept_once(void **state)
{
	struct event_new event = {
	    .type = "queued", .source = "runpod", .delivery_key = "1"};
	struct site *s = *state;

	assert_true(keep(s, "x", &event));
	event.type = "failed";
	assert_false(keep(s, "x", &event));
	assert_string_equal(
	    raw_text(s, "SELECT group_concat(type) FROM unclaimed_events"),
	    "queued");
	event.source = "fal";
	assert_true(keep(s, "x", &event));
	event.delivery_key = "2";
	assert_true(keep(s, "x", &event));
}

#define SITE_TEST(f)                                                           \
	cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    SITE_TEST(test_an_event_waits_for_its_job),
	    SITE_TEST(test_the_same_delivery_is_kept_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
