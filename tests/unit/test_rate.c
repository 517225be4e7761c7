/* SPDX-License-Identifier: ISC */
/* runner/rate.c: never more than the rate and its burst, and never less than
 * the rate while somebody takes what there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runner/rate.h"

enum { SECOND_US = 1000000 };

/* Takes all there is at each step, for a minute. */
static int64_t
calls_in_a_minute(int64_t per_second, int64_t step_us)
{
	struct rate r = {.interval_us = SECOND_US / per_second};
	int64_t n = 0;

	for (int64_t now = 0; now < 60 * SECOND_US; now += step_us)
		for (; rate_room(&r, now) > 0; n++) {
			assert_true(rate_next_us(&r) <= now);
			rate_take(&r, now);
		}
	return n;
}

static void
test_average(void **state)
{
	static const int64_t rates[] = {1, 2, 3, 5, 7, 50, 1000};
	int64_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++)
		for (int64_t step = 1000; step <= 10000; step *= 10) {
			n = calls_in_a_minute(rates[i], step);
			assert_in_range(n, 58 * rates[i], 61 * rates[i]);
		}
}

static void
test_burst(void **state)
{
	struct rate r = {.interval_us = 20000}, slow = {.interval_us = 500000};
	int n = 0;

	(void)state;
	for (; rate_room(&r, 0) > 0; n++)
		rate_take(&r, 0);
	assert_int_equal(n, 10);
	assert_int_equal(rate_room(&r, rate_next_us(&r) - 1), 0);
	assert_int_equal(rate_room(&r, rate_next_us(&r)), 1);
	/* After a pause no more than the burst. */
	assert_int_equal(rate_room(&r, 60 * SECOND_US), 10);
	/* One, where the burst would be none. */
	assert_int_equal(rate_room(&slow, 0), 1);
	rate_take(&slow, 0);
	assert_int_equal(rate_room(&slow, 499999), 0);
	assert_int_equal(rate_room(&slow, 500000), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_average),
	    cmocka_unit_test(test_burst),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
