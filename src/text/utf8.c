/* SPDX-License-Identifier: ISC */
/*
 * Makes any bytes valid UTF-8. Does not normalise and knows nothing of JSON or
 * of control characters (json_text.c does). Never blocks.
 */
#include "text/utf8.h"

/* Length of what stands at the front of s (not empty): a whole sequence, or
 * the ill-formed part that one U+FFFD replaces. The first continuation byte
 * has a narrower range after four leads, which is what keeps out overlong
 * forms, surrogates and codes above U+10FFFF. */
static size_t
sequence(struct span s, bool *ret_is_valid)
{
	unsigned char lead = (unsigned char)s.p[0];
	unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
	unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
	size_t i, size;

	*ret_is_valid = lead < 0x80;
	if (lead < 0xc2 || lead > 0xf4)
		return 1;
	size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	for (i = 1; i < size; i++) {
		unsigned char c = i < s.n ? (unsigned char)s.p[i] : 0;

		if (c < low || c > high)
			return i;
		low = 0x80;
		high = 0xbf;
	}
	*ret_is_valid = true;
	return size;
}

void
utf8_add(struct buf *out, struct span bytes)
{
	size_t good = 0; /* bytes at the front not yet copied */

	while (good < bytes.n) {
		struct span rest = {bytes.p + good, bytes.n - good};
		bool is_valid = (unsigned char)*rest.p < 0x80;
		size_t n = is_valid ? 1 : sequence(rest, &is_valid);

		if (is_valid) {
			good += n;
			continue;
		}
		buf_add(out, bytes.p, good);
		utf8_add_code(out, 0xfffd);
		bytes = (struct span){rest.p + n, rest.n - n};
		good = 0;
	}
	buf_add(out, bytes.p, good);
}

bool
utf8_is_valid(struct span bytes)
{
	bool is_valid = true;

	while (bytes.n > 0 && is_valid) {
		size_t n = sequence(bytes, &is_valid);

		bytes = (struct span){bytes.p + n, bytes.n - n};
	}
	return is_valid;
}

void
utf8_add_code(struct buf *out, uint32_t code)
{
	uint32_t lead = 0;  /* the bits that say how many bytes follow */
	unsigned shift = 0; /* the code's bits in those bytes */

	if ((code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff)
		code = 0xfffd;
	if (code >= 0x10000) {
		lead = 0xf0;
		shift = 18;
	} else if (code >= 0x800) {
		lead = 0xe0;
		shift = 12;
	} else if (code >= 0x80) {
		lead = 0xc0;
		shift = 6;
	}
	buf_add_char(out, (char)(lead | code >> shift));
	while (shift > 0) {
		shift -= 6;
		buf_add_char(out, (char)(0x80 | (code >> shift & 0x3f)));
	}
}
