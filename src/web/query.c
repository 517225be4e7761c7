/* SPDX-License-Identifier: ISC */
/*
 * Query strings. Says nothing about which names exist or how long a value may
 * be, and decodes to bytes: what is wanted as UTF-8 or as an id is checked by
 * whoever uses it. Never blocks.
 */
#include "web/query.h"

#include "text/span.h"

/* The next pair that is not empty, still encoded. */
static bool
cut_pair(struct span *rest, struct span *ret_name, struct span *ret_value)
{
	while (rest->n > 0) {
		struct span pair = span_cut(rest, '&');

		if (pair.n == 0)
			continue;
		*ret_name = span_cut(&pair, '=');
		*ret_value = pair;
		return true;
	}
	return false;
}

bool
query_next(struct span *rest, struct buf *name, struct buf *value)
{
	struct span raw_name, raw_value;

	buf_reset(name);
	buf_reset(value);
	if (!cut_pair(rest, &raw_name, &raw_value))
		return false;
	query_decode(name, raw_name, true);
	query_decode(value, raw_value, true);
	return buf_ok(name) && buf_ok(value);
}

bool
query_get(struct span query, const char *name, struct buf *ret)
{
	struct span raw_name, raw_value;

	/* Names are decoded into *ret too: one place that can run out of memory,
	 * and the caller sees it. */
	buf_reset(ret);
	while (cut_pair(&query, &raw_name, &raw_value)) {
		bool is_it;

		query_decode(ret, raw_name, true);
		if (!buf_ok(ret))
			return false;
		is_it = span_eq_str(buf_span(ret), name);
		buf_reset(ret);
		if (is_it) {
			query_decode(ret, raw_value, true);
			return buf_ok(ret);
		}
	}
	return false;
}

int
query_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The byte that %XX at p stands for, or -1. */
static int
escaped_byte(const char *p, size_t n)
{
	int high, low;

	if (n < 3 || *p != '%')
		return -1;
	high = query_hex_digit(p[1]);
	low = query_hex_digit(p[2]);
	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

void
query_decode(struct buf *out, struct span in, bool plus)
{
	for (size_t i = 0; i < in.n; i++) {
		int byte = escaped_byte(in.p + i, in.n - i);

		if (byte >= 0) {
			buf_add_char(out, (char)byte);
			i += 2;
		} else if (plus && in.p[i] == '+') {
			buf_add_char(out, ' ');
		} else {
			buf_add_char(out, in.p[i]);
		}
	}
}

static bool
is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
	       c == '~';
}

void
query_encode(struct buf *out, struct span in)
{
	for (size_t i = 0; i < in.n; i++) {
		if (is_unreserved(in.p[i]))
			buf_add_char(out, in.p[i]);
		else
			buf_addf(out, "%%%02X", (unsigned char)in.p[i]);
	}
}
