/* SPDX-License-Identifier: ISC */
/* text/percent.c */
#include "text/percent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "assert_span.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void
test_decode(void **state)
{
	const struct {
		struct span in, out;
	} pairs[] = {
	    {SPAN_LIT(""), SPAN_LIT("")},
	    {SPAN_LIT("abc"), SPAN_LIT("abc")},
	    {SPAN_LIT("%41%6a%6A%2f"), SPAN_LIT("Ajj/")},
	    {SPAN_LIT("a+b%2Bc"), SPAN_LIT("a b+c")},
	    {SPAN_LIT("%00%0a%0D%ff"), SPAN_LIT("\0\n\r\xff")},
	    {SPAN_LIT("%"), SPAN_LIT("%")},
	    {SPAN_LIT("%4"), SPAN_LIT("%4")},
	    {SPAN_LIT("%zz%4g%g4"), SPAN_LIT("%zz%4g%g4")},
	    {SPAN_LIT("%%41%25%"), SPAN_LIT("%A%%")},
	    {SPAN_LIT("%2541"), SPAN_LIT("%41")},
	    {SPAN_LIT("% 41%-1%+1"), SPAN_LIT("% 41%-1% 1")},
	    {SPAN_LIT("%C3%A9\xc3\xa9"), SPAN_LIT("\xc3\xa9\xc3\xa9")},
	};
	struct buf out = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < COUNT(pairs); i++) {
		char *copy = malloc(pairs[i].in.n + 1);

		/* Right-aligned: a read past the end is past the block. */
		memcpy(copy + 1, pairs[i].in.p, pairs[i].in.n);
		buf_reset(&out);
		percent_decode(
		    &out, (struct span){copy + 1, pairs[i].in.n}, true);
		assert_span(buf_span(&out), pairs[i].out);
		free(copy);
	}
	buf_reset(&out);
	percent_decode(&out, SPAN_LIT("a+b%20c"), false);
	assert_span(buf_span(&out), SPAN_LIT("a+b c"));
	buf_done(&out);
}

static void
test_encode(void **state)
{
	struct buf out = BUF_INIT, back = BUF_INIT;
	char all[256];

	(void)state;
	percent_encode(&out, SPAN_LIT("azAZ09-._~"));
	assert_span(buf_span(&out), SPAN_LIT("azAZ09-._~"));
	buf_reset(&out);
	percent_encode(&out, SPAN_LIT(" +&=%/?#\0\n\xc3\xa9"));
	assert_span(
	    buf_span(&out), SPAN_LIT("%20%2B%26%3D%25%2F%3F%23%00%0A%C3%A9"));
	buf_reset(&out);
	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (char)i;
	percent_encode(&out, (struct span){all, sizeof(all)});
	percent_decode(&back, buf_span(&out), true);
	assert_span(buf_span(&back), (struct span){all, sizeof(all)});
	buf_done(&out);
	buf_done(&back);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_decode),
	    cmocka_unit_test(test_encode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
