/* SPDX-License-Identifier: ISC */
/* Unit tests of base/near. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <string.h>

#include <cmocka.h>

#include "base/near.h"

static void
test_distance(void **state)
{
	static const struct {
		const char *a, *b;
		size_t distance;
	} cases[] = {
	    {"", "", 0},
	    {"", "abc", 3},
	    {"abc", "", 3},
	    {"completed", "completed", 0},
	    {"complete", "completed", 1},   /* one left out */
	    {"completedd", "completed", 1}, /* one too many */
	    {"canceled", "cancelled", 1},
	    {"timed-out", "timed_out", 1}, /* one changed */
	    {"progerss", "progress", 1},   /* two swapped */
	    {"porgress", "progress", 1},
	    {"progres", "progress", 1},
	    {"fialde", "failed", 2},
	    {"fail", "failed", 2},
	    {"kitten", "sitting", 3},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(
		    near_distance(cases[i].a, cases[i].b), cases[i].distance);
		assert_int_equal(
		    near_distance(cases[i].b, cases[i].a), cases[i].distance);
	}
}

static void
test_long_texts(void **state)
{
	char longest[NEAR_TEXT_MAX + 1], longer[NEAR_TEXT_MAX + 2];

	(void)state;
	memset(longest, 'a', sizeof(longest) - 1);
	longest[NEAR_TEXT_MAX] = '\0';
	memset(longer, 'a', sizeof(longer) - 1);
	longer[NEAR_TEXT_MAX + 1] = '\0';
	assert_int_equal(near_distance(longest, longest), 0);
	assert_int_equal(near_distance(longest, "a"), NEAR_TEXT_MAX - 1);
	assert_true(near_distance(longest, longer) > NEAR_TEXT_MAX);
	assert_true(near_distance(longer, longer) > NEAR_TEXT_MAX);
}

static const char *
meant(const char *text)
{
	struct near n = {.text = text};

	near_offer(&n, "jobs");
	near_offer(&n, "publish");
	near_offer(&n, "prune");
	near_offer(&n, "stats");
	return n.best;
}

static void
test_what_was_meant(void **state)
{
	(void)state;
	assert_string_equal(meant("jbos"), "jobs");
	assert_string_equal(meant("pubilsh"), "publish");
	assert_string_equal(meant("status"), "stats");
	assert_string_equal(meant("job"), "jobs");
	assert_null(meant("list"));
	assert_null(meant("dance"));
	assert_null(meant("ls"));
	assert_null(meant(""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_distance),
	    cmocka_unit_test(test_long_texts),
	    cmocka_unit_test(test_what_was_meant),
	};

	return cmocka_run_group_tests_name("near", tests, NULL, NULL);
}
