/* SPDX-License-Identifier: ISC */
/*
 * text/json_value.c on any bytes: it takes exactly the objects that
 * json_text_check() takes, and both read the same strings out of them.
 */
#undef NDEBUG
#include "text/json_value.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "text/json_text.h"
#include "text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The value of the last member of a name counts, and only such are compared
 * whose names mean themselves. */
static void
compare(struct span object, struct json_object *o)
{
	struct json_text_iter it = {.rest = object};
	struct span key, value, last, text;

	while (json_text_next(&it, &key, &value)) {
		struct buf name = BUF_INIT, meaning = BUF_INIT;
		struct json_object *got;

		buf_add_span(&name, key);
		buf_reserve(&name, 1);
		if (!utf8_is_valid(value) ||
		    memchr(name.data, '\\', name.len) ||
		    !json_text_get(object, name.data, &last) ||
		    last.p != value.p) {
			buf_done(&name);
			continue;
		}
		assert(json_object_object_get_ex(o, name.data, &got));
		assert((json_text_kind(value) == JSON_TEXT_STRING) ==
		       json_value_string(got, &text));
		if (json_text_kind(value) == JSON_TEXT_STRING) {
			json_text_add_string_value(&meaning, value);
			assert(span_eq(buf_span(&meaning), text));
		}
		buf_done(&name);
		buf_done(&meaning);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = {(const char *)data, size}, value;
	struct json_object *o = NULL;
	size_t n = 0;
	enum err checked = json_text_check(text, &value);
	enum err e = json_value_object(text, &o, &n);

	assert(e != ERR_NOMEM);
	if (checked != OK)
		assert(e == checked);
	else if (json_text_kind(value) != JSON_TEXT_OBJECT)
		assert(e == ERR_PROTO);
	if (e == OK) {
		assert((size_t)json_object_object_length(o) <= n);
		compare(value, o);
	}
	json_object_put(o);
	o = NULL;
	if (json_value_lenient(text, &o) == OK)
		assert(json_object_is_type(o, json_type_object));
	json_object_put(o);
	return 0;
}
