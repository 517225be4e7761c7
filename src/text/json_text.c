/* SPDX-License-Identifier: ISC */
/*
 * A JSON scanner: one strict pass that checks, and lenient walks over what was
 * checked. It converts nothing, so it decides nothing about numbers, duplicate
 * keys or the meaning of members; its callers do. Everything works on spans and
 * never reads outside them, also where the text was not checked. Each function
 * is linear in its input; the recursion is bounded by JSON_TEXT_DEPTH_MAX.
 * Never blocks.
 */
#include "text/json_text.h"

#include <stdint.h>
#include <string.h>

#include "text/hex.h"
#include "text/span.h"
#include "text/utf8.h"

/* The letter after a backslash, and what it stands for at the same index. */
static const char escape_letters[] = "\"\\/bfnrt";
static const char escape_meanings[] = "\"\\/\b\f\n\r\t";
enum { ESCAPE_COUNT = sizeof(escape_letters) - 1 };

/* '\0' at the end, which no rule of the grammar accepts either. */
static char
peek(struct span s)
{
	return s.n > 0 ? *s.p : '\0';
}

/* Takes n bytes off the front (there are that many) and returns them. */
static struct span
cut(struct span *s, size_t n)
{
	struct span taken = {s->p, n};

	if (n > 0)
		s->p += n;
	s->n -= n;
	return taken;
}

static bool
accept_char(struct span *s, char c)
{
	if (s->n == 0 || *s->p != c)
		return false;
	cut(s, 1);
	return true;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void
skip_space(struct span *s)
{
	while (is_space(peek(*s)))
		cut(s, 1);
}

static bool
is_surrogate(uint32_t code, uint32_t first)
{
	return code >= first && code < first + 0x400;
}

/* Bytes up to the first that a string may not hold as it is. */
static size_t
plain_run(struct span s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] != '"' && s.p[n] != '\\' &&
	       (unsigned char)s.p[n] >= 0x20)
		n++;
	return n;
}

/* --- The strict pass ------------------------------------------------------ */

static bool
check_escape(struct span *s)
{
	if (!accept_char(s, '\\') || s->n == 0)
		return false;
	if (accept_char(s, 'u')) {
		if (s->n < 4 || hex_value(s->p, 4) < 0)
			return false;
		cut(s, 4);
		return true;
	}
	if (memchr(escape_letters, *s->p, ESCAPE_COUNT) == NULL)
		return false;
	cut(s, 1);
	return true;
}

static bool
check_string(struct span *s)
{
	if (!accept_char(s, '"'))
		return false;
	for (;;) {
		cut(s, plain_run(*s));
		if (accept_char(s, '"'))
			return true;
		if (!check_escape(s))
			return false;
	}
}

static bool
check_digits(struct span *s)
{
	const size_t before = s->n;

	while (peek(*s) >= '0' && peek(*s) <= '9')
		cut(s, 1);
	return s->n < before;
}

static bool
check_number(struct span *s)
{
	accept_char(s, '-');
	if (!accept_char(s, '0') && !check_digits(s))
		return false;
	if (accept_char(s, '.') && !check_digits(s))
		return false;
	if (!accept_char(s, 'e') && !accept_char(s, 'E'))
		return true;
	if (!accept_char(s, '+'))
		accept_char(s, '-');
	return check_digits(s);
}

static bool
check_word(struct span *s, struct span word)
{
	return span_cut_prefix(s, word);
}

static enum err check_value(struct span *s, int depth);

static enum err
check_members(struct span *s, bool is_object, int depth)
{
	do {
		enum err e;

		skip_space(s);
		if (is_object) {
			if (!check_string(s))
				return ERR_PROTO;
			skip_space(s);
			if (!accept_char(s, ':'))
				return ERR_PROTO;
			skip_space(s);
		}
		e = check_value(s, depth);
		if (e != OK)
			return e;
		skip_space(s);
	} while (accept_char(s, ','));
	return OK;
}

static enum err
check_container(struct span *s, int depth)
{
	const bool is_object = *s->p == '{';
	const char close = is_object ? '}' : ']';
	enum err e;

	if (depth == JSON_TEXT_DEPTH_MAX)
		return ERR_LIMIT;
	cut(s, 1);
	skip_space(s);
	if (accept_char(s, close))
		return OK;
	e = check_members(s, is_object, depth + 1);
	if (e != OK)
		return e;
	return accept_char(s, close) ? OK : ERR_PROTO;
}

/* depth: how many containers are open around the value. */
static enum err
check_value(struct span *s, int depth)
{
	bool is_good;

	switch (peek(*s)) {
	case '{':
	case '[':
		return check_container(s, depth);
	case '"':
		is_good = check_string(s);
		break;
	case 't':
		is_good = check_word(s, SPAN_LIT("true"));
		break;
	case 'f':
		is_good = check_word(s, SPAN_LIT("false"));
		break;
	case 'n':
		is_good = check_word(s, SPAN_LIT("null"));
		break;
	default:
		is_good = check_number(s);
		break;
	}
	return is_good ? OK : ERR_PROTO;
}

/* Takes what is well off *text. */
static enum err
check_text(struct span *text, struct span *ret_value)
{
	struct span value;
	enum err e;

	skip_space(text);
	value = *text;
	e = check_value(text, 0);
	if (e != OK)
		return e;
	value.n -= text->n;
	skip_space(text);
	if (text->n > 0)
		return ERR_PROTO;
	if (ret_value != NULL)
		*ret_value = value;
	return OK;
}

enum err
json_text_check(struct span text, struct span *ret_value)
{
	return check_text(&text, ret_value);
}

size_t
json_text_fault_at(struct span text)
{
	const size_t n = text.n;

	(void)!check_text(&text, NULL);
	return n - text.n;
}

enum json_text_kind
json_text_kind(struct span value)
{
	switch (peek(value)) {
	case '{':
		return JSON_TEXT_OBJECT;
	case '[':
		return JSON_TEXT_ARRAY;
	case '"':
		return JSON_TEXT_STRING;
	case 't':
		return JSON_TEXT_TRUE;
	case 'f':
		return JSON_TEXT_FALSE;
	case 'n':
		return JSON_TEXT_NULL;
	default:
		return JSON_TEXT_NUMBER;
	}
}

/* --- The walks ------------------------------------------------------------ */

/* A string with its quotes; s begins with one. */
static struct span
cut_string(struct span *s)
{
	size_t n = 1;

	while (n < s->n && s->p[n] != '"')
		n += s->p[n] == '\\' ? 2 : 1;
	return cut(s, n < s->n ? n + 1 : s->n);
}

static struct span
string_body(struct span string)
{
	accept_char(&string, '"');
	if (string.n > 0 && string.p[string.n - 1] == '"')
		string.n--;
	return string;
}

/* Number or word; empty where something else stands. */
static struct span
cut_scalar(struct span *s)
{
	size_t n = 0;

	while (n < s->n && !is_space(s->p[n]) && s->p[n] != '\0' &&
	       strchr("\",:[]{}", s->p[n]) == NULL)
		n++;
	return cut(s, n);
}

size_t
json_text_fit(struct span text, size_t max)
{
	struct span rest = text;
	size_t n = 0;

	while (rest.n > 0) {
		if (*rest.p == '"')
			cut_string(&rest);
		else if (cut_scalar(&rest).n == 0)
			cut(&rest, 1);
		if (n > 0 && text.n - rest.n > max)
			break;
		n = text.n - rest.n;
	}
	return n;
}

/* One value; empty where none begins. */
static struct span
cut_value(struct span *s)
{
	struct span rest = *s;
	size_t depth = 0;

	while (rest.n > 0) {
		char c = *rest.p;

		if (c == '"') {
			cut_string(&rest);
		} else if (c == '{' || c == '[') {
			cut(&rest, 1);
			depth++;
		} else if (depth == 0) {
			cut_scalar(&rest);
		} else {
			cut(&rest, 1);
			if (c == '}' || c == ']')
				depth--;
		}
		if (depth == 0)
			break;
	}
	return cut(s, s->n - rest.n);
}

bool
json_text_next(
    struct json_text_iter *it, struct span *ret_key, struct span *ret_value)
{
	struct span key = {0}, value;

	if (!it->is_started) {
		if (!accept_char(&it->rest, '{') &&
		    !accept_char(&it->rest, '['))
			return false;
		it->is_started = true;
	}
	skip_space(&it->rest);
	accept_char(&it->rest, ',');
	skip_space(&it->rest);
	value = cut_value(&it->rest);
	skip_space(&it->rest);
	if (accept_char(&it->rest, ':')) {
		key = string_body(value);
		skip_space(&it->rest);
		value = cut_value(&it->rest);
	}
	if (value.n == 0)
		return false;
	*ret_key = key;
	*ret_value = value;
	return true;
}

bool
json_text_get(struct span object, const char *name, struct span *ret_value)
{
	struct json_text_iter it = {.rest = object};
	struct span key, value;
	bool is_found = false;

	while (json_text_next(&it, &key, &value)) {
		if (!json_text_key_is(key, name))
			continue;
		*ret_value = value;
		is_found = true;
	}
	return is_found;
}

/* --- Escapes -------------------------------------------------------------- */

/* Takes one escape (s begins with its backslash) and returns its UTF-16 unit;
 * U+FFFD for what json_text_check() would refuse. */
static uint32_t
cut_escape(struct span *s)
{
	const bool is_hex = s->n > 1 && s->p[1] == 'u';
	const size_t size = is_hex ? 6 : 2;
	struct span escape = cut(s, s->n < size ? s->n : size);
	const char *at;
	int unit;

	if (escape.n < size)
		return 0xfffd;
	if (is_hex) {
		unit = hex_value(escape.p + 2, 4);
		return unit < 0 ? 0xfffd : (uint32_t)unit;
	}
	at = memchr(escape_letters, escape.p[1], ESCAPE_COUNT);
	if (at == NULL)
		return 0xfffd;
	return (unsigned char)escape_meanings[at - escape_letters];
}

/* Takes one escape, or two that are a surrogate pair, and returns the code
 * point; a lone surrogate is returned as it is. */
static uint32_t
cut_code(struct span *s)
{
	uint32_t high = cut_escape(s), low;
	struct span after = *s;

	if (!is_surrogate(high, 0xd800) || peek(after) != '\\')
		return high;
	low = cut_escape(&after);
	if (!is_surrogate(low, 0xdc00))
		return high;
	*s = after;
	return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

/* What stands before the next escape of a string's body (not empty). */
static struct span
cut_unescaped(struct span *s)
{
	const char *at = memchr(s->p, '\\', s->n);

	return cut(s, at == NULL ? s->n : (size_t)(at - s->p));
}

bool
json_text_key_is(struct span raw_key, const char *name)
{
	for (; *name != '\0' && raw_key.n > 0; name++) {
		uint32_t unit = *raw_key.p == '\\'
				    ? cut_escape(&raw_key)
				    : (unsigned char)*cut(&raw_key, 1).p;

		if (unit != (unsigned char)*name)
			return false;
	}
	return *name == '\0' && raw_key.n == 0;
}

/* --- The writers ---------------------------------------------------------- */

/* Length of the code point at the front of s if some readers of streams take
 * it for the end of a line (Python's str.splitlines()), else 0: U+0085, U+2028,
 * U+2029. */
static size_t
line_end(struct span s)
{
	if (s.n >= 2 && s.p[0] == '\xc2' && s.p[1] == '\x85')
		return 2;
	if (s.n >= 3 && s.p[0] == '\xe2' && s.p[1] == '\x80' &&
	    (s.p[2] == '\xa8' || s.p[2] == '\xa9'))
		return 3;
	return 0;
}

/* A part of a string in which no escape stands. */
static void
add_plain(struct buf *out, struct span text)
{
	size_t n = 0;

	while (n < text.n) {
		struct span rest = {text.p + n, text.n - n};
		size_t size =
		    (unsigned char)*rest.p < 0x80 ? 0 : line_end(rest);

		if (size == 0) {
			n++;
			continue;
		}
		utf8_add(out, cut(&text, n));
		if (size == 2)
			buf_add_str(out, "\\u0085");
		else
			buf_addf(out, "\\u202%d", rest.p[2] == '\xa8' ? 8 : 9);
		cut(&text, size);
		n = 0;
	}
	utf8_add(out, text);
}

void
json_text_add_string_value(struct buf *out, struct span value)
{
	struct span body = string_body(value);

	while (body.n > 0) {
		utf8_add(out, cut_unescaped(&body));
		if (body.n > 0)
			utf8_add_code(out, cut_code(&body));
	}
}

static void
add_line_escape(struct buf *out, struct span *body)
{
	struct span raw = *body;
	uint32_t code = cut_code(body);

	raw.n -= body->n;
	if (is_surrogate(code, 0xd800) || is_surrogate(code, 0xdc00))
		utf8_add_code(out, 0xfffd);
	else
		buf_add_span(out, raw);
}

static void
add_line_string(struct buf *out, struct span string)
{
	struct span body = string_body(string);

	buf_add_char(out, '"');
	while (body.n > 0) {
		add_plain(out, cut_unescaped(&body));
		if (body.n > 0)
			add_line_escape(out, &body);
	}
	buf_add_char(out, '"');
}

void
json_text_add_line(struct buf *out, struct span value)
{
	while (value.n > 0) {
		size_t n = 0;

		if (*value.p == '"') {
			add_line_string(out, cut_string(&value));
			continue;
		}
		while (
		    n < value.n && value.p[n] != '"' && !is_space(value.p[n]))
			n++;
		buf_add_span(out, cut(&value, n));
		skip_space(&value);
	}
}

void
json_text_add_finite(struct buf *out, struct span text)
{
	while (text.n > 0) {
		struct span token =
		    *text.p == '"' ? cut_string(&text) : cut_scalar(&text);

		if (token.n == 0)
			buf_add_span(out, cut(&text, 1));
		else if (span_eq_str(token, "NaN") ||
			 span_eq_str(token, "Infinity") ||
			 span_eq_str(token, "-Infinity"))
			buf_add_str(out, "null");
		else
			buf_add_span(out, token);
	}
}

void
json_text_add_quoted(struct buf *out, struct span bytes)
{
	buf_add_char(out, '"');
	while (bytes.n > 0) {
		const char *at;
		char c;

		add_plain(out, cut(&bytes, plain_run(bytes)));
		if (bytes.n == 0)
			break;
		c = *cut(&bytes, 1).p;
		at = memchr(escape_meanings, c, ESCAPE_COUNT);
		if (at != NULL)
			buf_addf(
			    out, "\\%c", escape_letters[at - escape_meanings]);
		else
			buf_addf(out, "\\u%04x", (unsigned)c);
	}
	buf_add_char(out, '"');
}
