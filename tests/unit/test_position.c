/* SPDX-License-Identifier: ISC */
/* Unit tests of relay/position. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include "relay/position.h"

static void
expect(const char *text, int64_t id, const char *tag)
{
	struct log_position at;
	struct buf b = BUF_INIT;

	assert_int_equal(position_read(span_of(text), &at), OK);
	assert_true(at.id == id);
	assert_string_equal(at.tag, tag);
	position_add(&b, &at);
	assert_true(buf_ok(&b));
	assert_string_equal(b.data, text);
	buf_done(&b);
}

static void
test_there_and_back(void **state)
{
	(void)state;
	expect("0-0/", 0, "");
	expect("1-0/0123abcd", INT64_C(1) << 40, "0123abcd");
	expect("1-1/x", (INT64_C(1) << 40) + 128, "x");
	/* The last entry of an epoch, and the last epoch: below 2^63. */
	expect("1-8589934591/t", (INT64_C(2) << 40) - 128, "t");
	expect("8388607-8589934591/t", INT64_MAX - 127, "t");
}

static void
test_without_a_tag(void **state)
{
	struct log_position at;

	(void)state;
	assert_int_equal(position_read(SPAN_LIT("3-17"), &at), OK);
	assert_true(at.id == (INT64_C(3) << 40) + 17 * 128);
	assert_string_equal(at.tag, "");
}

static void
test_what_is_none(void **state)
{
	static const char *const wrong[] = {"", "-", "1", "1-", "-1", "1-x",
	    "x-1", "1-1-1", "1-1 ", "1-1/123456789", "1-1/a\nb", "8388608-0",
	    "1-8589934592", "1700000000000-0", "9999999999999999999999-0"};
	struct log_position at = {.id = 5};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(
		    position_read(span_of(wrong[i]), &at), ERR_PROTO);
	assert_int_equal(at.id, 5);
}

static void
test_distance(void **state)
{
	struct log_position a, b, c;

	(void)state;
	assert_int_equal(position_read(SPAN_LIT("3-4/t"), &a), OK);
	assert_int_equal(position_read(SPAN_LIT("3-17/t"), &b), OK);
	assert_int_equal(position_read(SPAN_LIT("4-17/t"), &c), OK);
	assert_int_equal(position_distance(&a, &b), 13);
	assert_int_equal(position_distance(&b, &b), 0);
	assert_int_equal(position_distance(&b, &c), -1);
	assert_int_equal(position_epoch(&c), 4);
	assert_true(position_eq(&b, &b));
	assert_false(position_eq(&b, &c));
	c = b;
	c.tag[0] = 'u';
	assert_false(position_eq(&b, &c));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_there_and_back),
	    cmocka_unit_test(test_without_a_tag),
	    cmocka_unit_test(test_what_is_none),
	    cmocka_unit_test(test_distance),
	};

	return cmocka_run_group_tests_name("position", tests, NULL, NULL);
}
