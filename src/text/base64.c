/* SPDX-License-Identifier: ISC */
/*
 * base64, strictly: libcrypto's decoder takes line breaks, too much padding and
 * several spellings of the same bytes, and a token must have one. Never blocks.
 */
#include "text/base64.h"

#include <stdint.h>

static const char padded_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t
base64_write(char *ret, struct span bytes, enum base64_form form)
{
	const char *digits = form == BASE64_URL ? url_digits : padded_digits;
	uint32_t bits = 0;
	int n_bits = 0;
	size_t n = 0;

	for (size_t i = 0; i < bytes.n; i++) {
		bits = bits << 8 | (unsigned char)bytes.p[i];
		for (n_bits += 8; n_bits >= 6; n_bits -= 6)
			ret[n++] = digits[bits >> (n_bits - 6) & 63];
	}
	if (n_bits > 0)
		ret[n++] = digits[bits << (6 - n_bits) & 63];
	while (form == BASE64_PADDED && n % 4 != 0)
		ret[n++] = '=';
	return n;
}

void
base64_add(struct buf *out, struct span bytes, enum base64_form form)
{
	buf_reserve(out, bytes.n / 3 * 4 + 4);
	if (!buf_ok(out))
		return;
	out->len += base64_write(out->data + out->len, bytes, form);
	out->data[out->len] = '\0';
}

/* The six bits that a character stands for, or -1. */
static int
sextet(char c, enum base64_form form)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if ((c == '+' || c == '/') && form != BASE64_URL)
		return c == '+' ? 62 : 63;
	if ((c == '-' || c == '_') && form != BASE64_PADDED)
		return c == '-' ? 62 : 63;
	return -1;
}

/* Without the padding, of which only as much as is missing may be there. */
static struct span
trim_padding(struct span text)
{
	if (text.n % 4 == 0)
		for (int i = 0; i < 2; i++)
			if (text.n > 0 && text.p[text.n - 1] == '=')
				text.n--;
	return text;
}

enum err
base64_read(struct span text, enum base64_form form, unsigned char *ret,
    size_t max, size_t *ret_n)
{
	uint32_t bits = 0;
	size_t n = 0;

	if (form == BASE64_PADDED && text.n % 4 != 0)
		return ERR_PROTO;
	if (form != BASE64_URL)
		text = trim_padding(text);
	if (text.n % 4 == 1)
		return ERR_PROTO;
	for (size_t i = 0; i < text.n; i++) {
		int value = sextet(text.p[i], form);

		if (value < 0)
			return ERR_PROTO;
		bits = bits << 6 | (uint32_t)value;
		if (i % 4 == 0)
			continue;
		if (n == max)
			return ERR_LIMIT;
		ret[n++] = (unsigned char)(bits >> (6 - 2 * (i % 4)));
	}
	/* What is left of the last digit belongs to no byte. */
	if (form != BASE64_ANY && (bits & ((1U << text.n * 6 % 8) - 1)) != 0)
		return ERR_PROTO;
	*ret_n = n;
	return OK;
}

enum err
base64_add_bytes(struct buf *out, struct span text, enum base64_form form)
{
	const size_t max = text.n / 4 * 3 + 2;
	size_t n;
	enum err e;

	buf_reserve(out, max);
	if (!buf_ok(out))
		return ERR_NOMEM;
	e = base64_read(
	    text, form, (unsigned char *)out->data + out->len, max, &n);
	if (e == OK)
		out->len += n;
	out->data[out->len] = '\0';
	return e;
}
