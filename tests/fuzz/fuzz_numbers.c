/* SPDX-License-Identifier: ISC */
/*
 * Numbers and times as text, in any bytes: text/decimal.c, auth/timestamp.c,
 * and base/clock.c, whose one form comes out as it went in.
 */
#undef NDEBUG
#include "text/decimal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "auth/timestamp.h"
#include "base/clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOW_S = 1764000000 };

static void
try_decimal(struct span text)
{
	struct span rest = text, digits;
	struct buf again = BUF_INIT;
	int64_t whole, front;

	if (decimal_cut(&rest, &front) != OK) {
		assert(rest.p == text.p && rest.n == text.n);
		assert(decimal_read(text, &whole) != OK);
		return;
	}
	assert(front >= 0 && rest.n < text.n);
	digits = (struct span){text.p, text.n - rest.n};
	while (digits.n > 1 && digits.p[0] == '0')
		digits = (struct span){digits.p + 1, digits.n - 1};
	buf_addf(&again, "%" PRId64, front);
	assert(span_eq(buf_span(&again), digits));
	assert((decimal_read(text, &whole) == OK) == (rest.n == 0));
	buf_done(&again);
}

static void
try_times(const char *text)
{
	char again[CLOCK_RFC3339_SIZE];
	enum err e = timestamp_check(text, NOW_S);
	int64_t real_ms;

	assert(e == OK || e == ERR_AUTH || e == ERR_EXPIRED);
	/* An earlier time is written as the beginning of 1970. */
	if (clock_parse_rfc3339(text, &real_ms) && real_ms >= 0) {
		clock_rfc3339(real_ms, again);
		assert(strcmp(again, text) == 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span bytes = {(const char *)data, size};
	char *text = span_dup(bytes);

	assert(text != NULL);
	try_decimal(bytes);
	try_times(text);
	free(text);
	return 0;
}
