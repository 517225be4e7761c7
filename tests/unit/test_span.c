/* SPDX-License-Identifier: ISC */
/* text/span.c */
#include "text/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "assert_span.h"

static void
test_cut(void **state)
{
	struct span rest = SPAN_LIT("a;;b\0c;");

	(void)state;
	assert_span(span_cut(&rest, ';'), SPAN_LIT("a"));
	assert_span(span_cut(&rest, ';'), SPAN_LIT(""));
	assert_span(span_cut(&rest, ';'), SPAN_LIT("b\0c"));
	assert_int_equal(rest.n, 0);
	rest = SPAN_LIT("last");
	assert_span(span_cut(&rest, ';'), SPAN_LIT("last"));
	assert_span(span_cut(&rest, ';'), SPAN_LIT(""));
	assert_int_equal(rest.n, 0);
	rest = (struct span){0};
	assert_span(span_cut(&rest, ';'), SPAN_LIT(""));
	assert_int_equal(rest.n, 0);
}

static void
test_cut_any(void **state)
{
	struct span rest = SPAN_LIT("a,\nb\0c\nd");

	(void)state;
	assert_span(span_cut_any(&rest, ",\n"), SPAN_LIT("a"));
	assert_span(span_cut_any(&rest, ",\n"), SPAN_LIT(""));
	assert_span(span_cut_any(&rest, ",\n"), SPAN_LIT("b\0c"));
	assert_span(span_cut_any(&rest, ",\n"), SPAN_LIT("d"));
	assert_int_equal(rest.n, 0);
	assert_span(span_cut_any(&rest, ",\n"), SPAN_LIT(""));
}

static void
test_trim(void **state)
{
	(void)state;
	assert_span(span_trim(SPAN_LIT(" \ta b\t "), " \t"), SPAN_LIT("a b"));
	assert_span(span_trim(SPAN_LIT("\na "), " "), SPAN_LIT("\na"));
	assert_span(span_trim(SPAN_LIT(" \t "), " \t"), SPAN_LIT(""));
	assert_span(span_trim(SPAN_LIT(" \0 "), " "), SPAN_LIT("\0"));
	assert_span(span_trim((struct span){0}, " "), SPAN_LIT(""));
	assert_span(span_skip(SPAN_LIT("  a "), " "), SPAN_LIT("a "));
}

static void
test_cut_prefix(void **state)
{
	struct span s = SPAN_LIT("raw:x");

	(void)state;
	assert_false(span_cut_prefix(&s, SPAN_LIT("raw:xy")));
	assert_false(span_cut_prefix(&s, SPAN_LIT("RAW:")));
	assert_span(s, SPAN_LIT("raw:x"));
	assert_true(span_cut_prefix(&s, SPAN_LIT("raw:")));
	assert_span(s, SPAN_LIT("x"));
	assert_true(span_cut_prefix(&s, SPAN_LIT("")));
	assert_true(span_cut_prefix(&s, SPAN_LIT("x")));
	assert_int_equal(s.n, 0);
	assert_false(span_cut_prefix(&s, SPAN_LIT("x")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cut),
	    cmocka_unit_test(test_cut_any),
	    cmocka_unit_test(test_trim),
	    cmocka_unit_test(test_cut_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
