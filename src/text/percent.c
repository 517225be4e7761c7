/* SPDX-License-Identifier: ISC */
/*
 * Percent-encoding, both ways. Decodes to bytes: what is wanted as UTF-8 or as
 * an id is checked by whoever uses it. Never blocks.
 */
#include "text/percent.h"

#include "text/hex.h"

/* The byte that %XX at p stands for, or -1. */
static int
escaped_byte(const char *p, size_t n)
{
	return n >= 3 && *p == '%' ? hex_value(p + 1, 2) : -1;
}

void
percent_decode(struct buf *out, struct span in, bool plus)
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
percent_encode(struct buf *out, struct span in)
{
	for (size_t i = 0; i < in.n; i++) {
		if (is_unreserved(in.p[i]))
			buf_add_char(out, in.p[i]);
		else
			buf_addf(out, "%%%02X", (unsigned char)in.p[i]);
	}
}
