/* SPDX-License-Identifier: ISC */
/*
 * base64url, strictly: libcrypto's decoder takes padding, line breaks and
 * several spellings of the same bytes, and a token must have one. Never blocks.
 */
#include "auth/b64url.h"

#include <stdint.h>
#include <string.h>

static const char digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
enum { DIGIT_COUNT = sizeof(digits) - 1 };

void
b64url_add(struct buf *out, struct span bytes)
{
	uint32_t bits = 0;
	int n_bits = 0;

	for (size_t i = 0; i < bytes.n; i++) {
		bits = (bits << 8 | (unsigned char)bytes.p[i]) & 0xffff;
		for (n_bits += 8; n_bits >= 6; n_bits -= 6)
			buf_add_char(out, digits[bits >> (n_bits - 6) & 63]);
	}
	if (n_bits > 0)
		buf_add_char(out, digits[bits << (6 - n_bits) & 63]);
}

enum err
b64url_read(struct span text, struct buf *out)
{
	uint32_t bits = 0;
	int n_bits = 0;

	if (text.n % 4 == 1)
		return ERR_PROTO;
	for (size_t i = 0; i < text.n; i++) {
		const char *at = memchr(digits, text.p[i], DIGIT_COUNT);

		if (at == NULL)
			return ERR_PROTO;
		bits = (bits << 6 | (uint32_t)(at - digits)) & 0xffff;
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			buf_add_char(out, (char)(bits >> n_bits & 0xff));
		}
	}
	if ((bits & ((1U << n_bits) - 1)) != 0)
		return ERR_PROTO;
	return buf_ok(out) ? OK : ERR_NOMEM;
}
