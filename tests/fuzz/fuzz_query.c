/* SPDX-License-Identifier: ISC */
/*
 * web/query.c and text/percent.c on any bytes: what was encoded decodes to
 * itself, the walk ends, and query_get() finds each name at its first place.
 */
#undef NDEBUG
#include "web/query.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "text/percent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
try_walk(struct span query)
{
	struct buf name = BUF_INIT, value = BUF_INIT, got = BUF_INIT;
	struct span rest = query;
	size_t before = rest.n;

	/* Only the first pair: it is by definition the first of its name. */
	if (query_next(&rest, &name, &value) &&
	    memchr(buf_span(&name).p, '\0', name.len) == NULL) {
		assert(query_get(query, buf_span(&name).p, &got));
		assert(span_eq(buf_span(&got), buf_span(&value)));
	}
	while (query_next(&rest, &name, &value)) {
		assert(rest.n < before);
		assert(name.len + value.len <= before - rest.n);
		before = rest.n;
	}
	assert(rest.n == 0 && buf_ok(&name) && buf_ok(&value));
	buf_done(&name);
	buf_done(&value);
	buf_done(&got);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span in = {(const char *)data, size};
	struct buf encoded = BUF_INIT, back = BUF_INIT;

	percent_encode(&encoded, in);
	for (size_t i = 0; i < encoded.len; i++)
		assert(strchr("&=+ #?\"<>\r\n", encoded.data[i]) == NULL);
	percent_decode(&back, buf_span(&encoded), true);
	assert(span_eq(buf_span(&back), in));
	buf_reset(&back);
	percent_decode(&back, in, false);
	assert(buf_ok(&back) && back.len <= size);
	try_walk(in);
	buf_done(&encoded);
	buf_done(&back);
	return 0;
}
