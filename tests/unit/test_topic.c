/* SPDX-License-Identifier: ISC */
/* live/topic.c */
#include "live/topic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MANY = 5000 };

static const char *
name_of(int i)
{
	static char name[16];

	snprintf(name, sizeof(name), "job-%d", i);
	return name;
}

static void
test_many(void **state)
{
	static struct topic *all[MANY];
	struct topics ts;

	(void)state;
	topics_init(&ts);
	assert_null(topics_find(&ts, "job-1"));
	for (int i = 0; i < MANY; i++) {
		all[i] = topics_add(&ts, name_of(i));
		assert_non_null(all[i]);
		assert_string_equal(all[i]->name, name_of(i));
		assert_true(LIST_EMPTY(&all[i]->subs));
	}
	assert_int_equal(ts.count, MANY);
	for (int i = 0; i < MANY; i += 2)
		topics_remove(&ts, all[i]);
	for (int i = 0; i < MANY; i++)
		assert_ptr_equal(
		    topics_find(&ts, name_of(i)), i % 2 == 0 ? NULL : all[i]);
	assert_null(topics_find(&ts, ""));
	for (int i = 1; i < MANY; i += 2)
		topics_remove(&ts, all[i]);
	assert_int_equal(ts.count, 0);
	assert_null(topics_find(&ts, "job-1"));
	topics_done(&ts);
}

/* Or a client could choose names that all share a bucket. */
static void
test_seed(void **state)
{
	struct topics a, b;

	(void)state;
	topics_init(&a);
	topics_init(&b);
	assert_true(a.seed != b.seed);
	topics_done(&a);
	topics_done(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_many),
	    cmocka_unit_test(test_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
