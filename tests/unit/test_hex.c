/* SPDX-License-Identifier: ISC */
/* text/hex.c */
#include "text/hex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void
test_read(void **state)
{
	static const char *const bad[] = {
	    "", "0", "0a1", "0a1b2", "0a1g", "0a1 ", "-a1b", "0x1b"};
	unsigned char bytes[2];

	(void)state;
	assert_int_equal(hex_read(SPAN_LIT("0aF9"), bytes, 2), OK);
	assert_int_equal(bytes[0], 0x0a);
	assert_int_equal(bytes[1], 0xf9);
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(
		    hex_read(span_of(bad[i]), bytes, 2), ERR_PROTO);
}

static void
test_value(void **state)
{
	(void)state;
	assert_int_equal(hex_value("0123", 4), 0x123);
	assert_int_equal(hex_value("aFfA9", 5), 0xaffa9);
	assert_int_equal(hex_value("fg", 1), 0xf);
	assert_int_equal(hex_value("fg", 2), -1);
	assert_int_equal(hex_value("G0", 2), -1);
	assert_int_equal(hex_value("/:", 2), -1);
	assert_int_equal(hex_value("@`", 2), -1);
	assert_int_equal(hex_value("\xb0", 1), -1);
	assert_int_equal(hex_value("", 0), 0);
}

static void
test_write(void **state)
{
	char text[] = "---------";

	(void)state;
	hex_write(text, (const unsigned char *)"\x00\x9a\xff", 3);
	assert_memory_equal(text, "009aff\0--", 10);
	hex_write(text, NULL, 0);
	assert_string_equal(text, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_read),
	    cmocka_unit_test(test_value),
	    cmocka_unit_test(test_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
