/* SPDX-License-Identifier: ISC */
/*
 * text/json_text.c on any bytes: nothing reads outside them; what was checked
 * comes out as one valid line that stays as it is, also when it is cut into
 * several; what was quoted is valid and means the same.
 */
#undef NDEBUG
#include "text/json_text.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
walk(struct span value, int depth)
{
	struct json_text_iter it = {.rest = value};
	struct span key, item;

	while (json_text_next(&it, &key, &item)) {
		assert(item.n > 0 && item.p > value.p);
		assert(item.p + item.n <= value.p + value.n);
		(void)json_text_key_is(key, "job_id");
		if (depth < JSON_TEXT_DEPTH_MAX)
			walk(item, depth + 1);
	}
}

static void
assert_clean(const struct buf *text)
{
	struct buf again = BUF_INIT;

	assert(buf_ok(text));
	utf8_add(&again, buf_span(text));
	assert(span_eq(buf_span(&again), buf_span(text)));
	buf_done(&again);
}

/* Cuts a line wherever that may be, and puts it together again. */
static void
try_cuts(struct span line)
{
	struct buf cut = BUF_INIT, again = BUF_INIT;
	struct span rest = line;

	while (rest.n > 0) {
		size_t n = json_text_fit(rest, 7);

		assert(n > 0 && n <= rest.n);
		buf_add(&cut, rest.p, n);
		buf_add_char(&cut, '\n');
		rest.p += n;
		rest.n -= n;
	}
	assert(json_text_check(buf_span(&cut), NULL) == OK);
	json_text_add_line(&again, buf_span(&cut));
	assert(span_eq(buf_span(&again), line));
	buf_done(&cut);
	buf_done(&again);
}

static void
try_line(struct span value)
{
	struct buf line = BUF_INIT, again = BUF_INIT;
	struct span same;

	json_text_add_line(&line, value);
	assert_clean(&line);
	assert(json_text_check(buf_span(&line), &same) == OK);
	assert(same.n == line.len &&
	       json_text_kind(same) == json_text_kind(value));
	for (size_t i = 0; i < line.len; i++)
		assert((unsigned char)line.data[i] >= 0x20);
	json_text_add_line(&again, same);
	assert(span_eq(buf_span(&again), same));
	try_cuts(same);
	buf_done(&line);
	buf_done(&again);
}

static void
try_quoted(struct span bytes)
{
	struct buf quoted = BUF_INIT, meaning = BUF_INIT, clean = BUF_INIT;

	json_text_add_quoted(&quoted, bytes);
	assert_clean(&quoted);
	assert(json_text_check(buf_span(&quoted), NULL) == OK);
	json_text_add_string_value(&meaning, buf_span(&quoted));
	utf8_add(&clean, bytes);
	assert(span_eq(buf_span(&meaning), buf_span(&clean)));
	buf_done(&quoted);
	buf_done(&meaning);
	buf_done(&clean);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span text = {(const char *)data, size};
	struct buf out = BUF_INIT;
	struct span value;

	if (json_text_check(text, &value) == OK)
		try_line(value);
	walk(text, 0);
	(void)json_text_get(text, "a", &value);
	json_text_add_line(&out, text);
	assert(json_text_fit(text, 3) <= text.n);
	buf_reset(&out);
	json_text_add_finite(&out, text);
	if (json_text_check(text, NULL) == OK)
		assert(span_eq(buf_span(&out), text));
	buf_reset(&out);
	buf_reset(&out);
	json_text_add_string_value(&out, text);
	assert_clean(&out);
	buf_done(&out);
	try_quoted(text);
	return 0;
}
