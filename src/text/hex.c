/* SPDX-License-Identifier: ISC */
/*
 * Reads and writes hexadecimal digits. Does not know of 0x or of white space.
 * Never blocks.
 */
#include "text/hex.h"

static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int
hex_value(const char *p, size_t n)
{
	int value = 0;

	for (size_t i = 0; i < n; i++) {
		int d = digit(p[i]);

		if (d < 0)
			return -1;
		value = value * 16 + d;
	}
	return value;
}

enum err
hex_read(struct span text, unsigned char *ret, size_t n)
{
	if (text.n != 2 * n)
		return ERR_PROTO;
	for (size_t i = 0; i < n; i++) {
		int byte = hex_value(text.p + 2 * i, 2);

		if (byte < 0)
			return ERR_PROTO;
		ret[i] = (unsigned char)byte;
	}
	return OK;
}

void
hex_write(char *ret, const unsigned char *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		ret[2 * i] = digits[bytes[i] >> 4];
		ret[2 * i + 1] = digits[bytes[i] & 0xf];
	}
	ret[2 * n] = '\0';
}
