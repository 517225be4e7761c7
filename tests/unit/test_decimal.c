/* SPDX-License-Identifier: ISC */
/* Unit tests of text/decimal. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include "text/decimal.h"

static void
test_whole_text(void **state)
{
	static const char *const wrong[] = {"", "-1", "+1", " 1", "1 ", "1s",
	    "0x10", "9223372036854775808", "99999999999999999999"};
	int64_t n = 5;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(
		    decimal_read(span_of(wrong[i]), &n), ERR_PROTO);
	assert_int_equal(decimal_read(SPAN_LIT("1\0"), &n), ERR_PROTO);
	assert_int_equal(n, 5);
	assert_int_equal(decimal_read(SPAN_LIT("0012"), &n), OK);
	assert_int_equal(n, 12);
	assert_int_equal(decimal_read(SPAN_LIT("9223372036854775807"), &n), OK);
	assert_true(n == INT64_MAX);
}

static void
test_cut(void **state)
{
	struct span s = SPAN_LIT("30s");
	int64_t n = 5;

	(void)state;
	assert_int_equal(decimal_cut(&s, &n), OK);
	assert_int_equal(n, 30);
	assert_true(span_eq_str(s, "s"));
	assert_int_equal(decimal_cut(&s, &n), ERR_PROTO);
	assert_int_equal(n, 30);
	assert_true(span_eq_str(s, "s"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_whole_text),
	    cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests_name("decimal", tests, NULL, NULL);
}
