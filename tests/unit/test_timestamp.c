/* SPDX-License-Identifier: ISC */
/* auth/timestamp.c. */
#include "auth/timestamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void
test_time(void **state)
{
	static const char *const bad[] = {"", " 1000", "+1000", "-1000", "1e3",
	    "1000.0", "1000 ", "0x3e8", "1000000000000000000"};
	enum { NOW = 1000 };

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(timestamp_check(bad[i], NOW), ERR_AUTH);
	assert_int_equal(timestamp_check("1000", NOW), OK);
	assert_int_equal(timestamp_check("700", NOW), OK);
	assert_int_equal(timestamp_check("1300", NOW), OK);
	assert_int_equal(timestamp_check("699", NOW), ERR_EXPIRED);
	assert_int_equal(timestamp_check("1301", NOW), ERR_EXPIRED);
	assert_int_equal(timestamp_check("0", NOW), ERR_EXPIRED);
	assert_int_equal(
	    timestamp_check("999999999999999999", NOW), ERR_EXPIRED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
