/* SPDX-License-Identifier: ISC */
/* auth/wire.c. */
#include "auth/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* NULL: refused as no base64. */
static void
assert_base64(const char *text, const char *expected)
{
	unsigned char bytes[16];
	size_t n = 77;
	enum err e = wire_base64(span_of(text), bytes, sizeof(bytes), &n);

	if (e != (expected == NULL ? ERR_PROTO : OK))
		fail_msg("%s: %s", text, err_text(e));
	assert_int_equal(n, expected == NULL ? 77 : strlen(expected));
	if (expected != NULL)
		assert_memory_equal(bytes, expected, n);
}

/* The first are those of RFC 4648 section 10. */
static void
test_base64(void **state)
{
	(void)state;
	assert_base64("", "");
	assert_base64("Zg==", "f");
	assert_base64("Zm8=", "fo");
	assert_base64("Zm9v", "foo");
	assert_base64("Zm9vYg==", "foob");
	assert_base64("Zm9vYmE=", "fooba");
	assert_base64("Zm9vYmFy", "foobar");
	assert_base64("Zg", "f");
	assert_base64("Zm9vYmE", "fooba");
	assert_base64("+/+/", "\xfb\xff\xbf");
	assert_base64("-_-_", "\xfb\xff\xbf");
	assert_base64("Z", NULL);
	assert_base64("=", NULL);
	assert_base64("Zg=", NULL);
	assert_base64("Zm9v=", NULL);
	assert_base64("Z===", NULL);
	assert_base64("====", NULL);
	assert_base64("Zg==Zg==", NULL);
	assert_base64("Zm9v\n", NULL);
	assert_base64("Zm 9", NULL);
	assert_base64("Zm9\x80", NULL);
}

static void
test_base64_limit(void **state)
{
	unsigned char bytes[4] = {0, 0, 0, 9};
	size_t n;

	(void)state;
	assert_int_equal(wire_base64(SPAN_LIT("Zm9v"), bytes, 3, &n), OK);
	assert_int_equal(n, 3);
	assert_int_equal(
	    wire_base64(SPAN_LIT("Zm9vYg"), bytes, 3, &n), ERR_LIMIT);
	assert_int_equal(bytes[3], 9);
	assert_int_equal(wire_base64(SPAN_LIT("Zg"), bytes, 0, &n), ERR_LIMIT);
}

static void
test_hex(void **state)
{
	static const char *const bad[] = {
	    "", "0", "0a1", "0a1b2", "0a1g", "0a1 ", "-a1b", "0x1b"};
	unsigned char bytes[2];

	(void)state;
	assert_int_equal(wire_hex(SPAN_LIT("0aF9"), bytes, 2), OK);
	assert_int_equal(bytes[0], 0x0a);
	assert_int_equal(bytes[1], 0xf9);
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(
		    wire_hex(span_of(bad[i]), bytes, 2), ERR_PROTO);
}

static void
test_time(void **state)
{
	static const char *const bad[] = {"", " 1000", "+1000", "-1000", "1e3",
	    "1000.0", "1000 ", "0x3e8", "1000000000000000000"};
	enum { NOW = 1000 };

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(wire_check_time(bad[i], NOW), ERR_AUTH);
	assert_int_equal(wire_check_time("1000", NOW), OK);
	assert_int_equal(wire_check_time("700", NOW), OK);
	assert_int_equal(wire_check_time("1300", NOW), OK);
	assert_int_equal(wire_check_time("699", NOW), ERR_EXPIRED);
	assert_int_equal(wire_check_time("1301", NOW), ERR_EXPIRED);
	assert_int_equal(wire_check_time("0", NOW), ERR_EXPIRED);
	assert_int_equal(
	    wire_check_time("999999999999999999", NOW), ERR_EXPIRED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_base64),
	    cmocka_unit_test(test_base64_limit),
	    cmocka_unit_test(test_hex),
	    cmocka_unit_test(test_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
