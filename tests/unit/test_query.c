/* SPDX-License-Identifier: ISC */
/* web/query.c */
#include "web/query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "assert_span.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void
test_next(void **state)
{
	const struct {
		struct span name, value;
	} expected[] = {
	    {SPAN_LIT("a"), SPAN_LIT("1")},
	    {SPAN_LIT("b c"), SPAN_LIT("2 =3")},
	    {SPAN_LIT("d"), SPAN_LIT("")},
	    {SPAN_LIT("e"), SPAN_LIT("")},
	    {SPAN_LIT(""), SPAN_LIT("f")},
	    {SPAN_LIT(""), SPAN_LIT("")},
	    {SPAN_LIT("a"), SPAN_LIT("&;?")},
	    {SPAN_LIT(""), SPAN_LIT("=")},
	};
	struct span rest = SPAN_LIT("&&a=1&b+c=2+=3&d=&e&&=f&=&%61=%26;?&==&");
	struct buf name = BUF_INIT, value = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < COUNT(expected); i++) {
		assert_true(query_next(&rest, &name, &value));
		assert_span(buf_span(&name), expected[i].name);
		assert_span(buf_span(&value), expected[i].value);
	}
	assert_false(query_next(&rest, &name, &value));
	assert_true(buf_ok(&name) && name.len == 0 && value.len == 0);
	rest = (struct span){NULL, 0};
	assert_false(query_next(&rest, &name, &value));
	buf_done(&name);
	buf_done(&value);
}

static void
test_get(void **state)
{
	const struct span query =
	    SPAN_LIT("job_id=a&job%5fid=b&sig=x%3D&empty=&bare&sigx=y");
	struct buf value = BUF_INIT;

	(void)state;
	assert_true(query_get(query, "job_id", &value));
	assert_span(buf_span(&value), SPAN_LIT("a"));
	assert_true(query_get(SPAN_LIT("job%5Fid=b"), "job_id", &value));
	assert_span(buf_span(&value), SPAN_LIT("b"));
	assert_true(query_get(query, "sig", &value));
	assert_span(buf_span(&value), SPAN_LIT("x="));
	assert_true(query_get(query, "empty", &value));
	assert_true(query_get(query, "bare", &value));
	assert_span(buf_span(&value), SPAN_LIT(""));
	assert_false(query_get(query, "SIG", &value));
	assert_false(query_get(query, "si", &value));
	assert_false(query_get(SPAN_LIT("sig%00=1"), "sig", &value));
	assert_false(query_get((struct span){NULL, 0}, "sig", &value));
	assert_true(buf_ok(&value) && value.len == 0);
	buf_done(&value);
}

/* Out of memory is never taken for "no such parameter". */
static void
test_no_memory(void **state)
{
	const struct span query = SPAN_LIT("job_id=a&sig=x");
	bool is_more = true;

	(void)state;
	for (unsigned n = 1; is_more; n++) {
		struct buf name = BUF_INIT, value = BUF_INIT, got = BUF_INIT;
		struct span rest = query;
		bool is_found, is_next;

		alloc_fail_start(n);
		is_found = query_get(query, "sig", &got);
		is_next = query_next(&rest, &name, &value);
		is_more = alloc_fail_stop();
		assert_true(is_found != got.failed);
		assert_true(is_next != (name.failed || value.failed));
		buf_done(&name);
		buf_done(&value);
		buf_done(&got);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_next),
	    cmocka_unit_test(test_get),
	    cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
