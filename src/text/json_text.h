/* SPDX-License-Identifier: ISC */
/*
 * JSON as text: checks RFC 8259 grammar and walks members without converting
 * anything. Layer: text, pure (no descriptors, no clock, no globals, no
 * allocation but in *out).
 *
 * json-c keeps numbers as int64 or double; results of jobs hold 19-digit
 * seeds and 1e400, and their text must reach the page unchanged. So what is
 * passed on is passed as the text it came as, found by these functions; what
 * we use the values of is read by json_value.h.
 */
#ifndef JOBWIRE_JSON_TEXT_H
#define JOBWIRE_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/* Nesting; RFC 8259 section 9 lets us choose. */
enum { JSON_TEXT_DEPTH_MAX = 32 };

/*
 * Checks that text is exactly one JSON value with white space around it (RFC
 * 8259; no control character in strings; bytes >= 0x80 are not looked at, see
 * json_text_add_line). ERR_PROTO; ERR_LIMIT when deeper than
 * JSON_TEXT_DEPTH_MAX. *ret_value, when not NULL, is the value without the
 * space around it.
 */
CHECK_RESULT enum err json_text_check(struct span text, struct span *ret_value);

/* How many bytes of a text that json_text_check() refuses are well so far: at
 * the next one it is wrong, or too deep; all of them where it ends early. */
size_t json_text_fault_at(struct span text);

/* The kind of a checked value, by its first byte. */
enum json_text_kind {
	JSON_TEXT_OBJECT,
	JSON_TEXT_ARRAY,
	JSON_TEXT_STRING,
	JSON_TEXT_NUMBER,
	JSON_TEXT_TRUE,
	JSON_TEXT_FALSE,
	JSON_TEXT_NULL,
};
enum json_text_kind json_text_kind(struct span value);

/*
 * Walks the members of a checked object, or the items of a checked array
 * (their key is empty). Start with a zeroed iterator whose `rest` is the
 * value. The key is raw: between its quotes, escapes not undone.
 */
struct json_text_iter {
	struct span rest;
	bool is_started;
};
bool json_text_next(
    struct json_text_iter *it, struct span *ret_key, struct span *ret_value);

/* The last member of that name (plain ASCII) in a checked object, as every
 * JSON.parse takes the last of duplicates; a key written with escapes is
 * compared by its meaning. False when there is none. */
bool json_text_get(
    struct span object, const char *name, struct span *ret_value);

/* Does the raw key mean `name` (plain ASCII)? */
bool json_text_key_is(struct span raw_key, const char *name);

/* Appends the meaning of a checked string value (with its quotes) as UTF-8:
 * escapes undone, lone surrogates and invalid UTF-8 as U+FFFD. */
void json_text_add_string_value(struct buf *out, struct span value);

/*
 * Appends a checked value on one line and as valid UTF-8: white space between
 * tokens dropped, invalid UTF-8 and lone surrogates (raw, or escaped as
 * \ud800) replaced by U+FFFD, U+0085, U+2028 and U+2029 in strings escaped (not
 * all readers of lines know only CR and LF), all else byte for byte.
 */
void json_text_add_line(struct buf *out, struct span value);

/* The size of the front part of a checked text that is as many whole tokens as
 * fit in max bytes; the first one counts also where it alone does not fit. */
size_t json_text_fit(struct span text, size_t max);

/*
 * Appends any text, checked or not, with null in the place of NaN, Infinity and
 * -Infinity between its tokens, all else byte for byte. Python's json module
 * and numpy write these, RFC 8259 has none of them.
 */
void json_text_add_finite(struct buf *out, struct span text);

/* Appends any bytes as a JSON string with its quotes; invalid UTF-8 becomes
 * U+FFFD; U+0085, U+2028 and U+2029 are escaped; DEL passes. */
void json_text_add_quoted(struct buf *out, struct span bytes);

#endif
