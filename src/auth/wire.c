/* SPDX-License-Identifier: ISC */
/*
 * Decoders for what stands in key files and header fields. Decides nothing
 * about who may do what; standard.c and fal.c do. Never blocks.
 */
#include "auth/wire.h"

#include <stdlib.h>
#include <string.h>

#include "web/query.h"

/* The six bits that a character stands for, or -1. */
static int
sextet(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	return c == '/' || c == '_' ? 63 : -1;
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
wire_base64(struct span text, unsigned char *ret, size_t max, size_t *ret_n)
{
	unsigned bits = 0;
	size_t n = 0;

	text = trim_padding(text);
	if (text.n % 4 == 1)
		return ERR_PROTO;
	for (size_t i = 0; i < text.n; i++) {
		int value = sextet(text.p[i]);

		if (value < 0)
			return ERR_PROTO;
		bits = bits << 6 | (unsigned)value;
		if (i % 4 == 0)
			continue;
		if (n == max)
			return ERR_LIMIT;
		ret[n++] = (unsigned char)(bits >> (6 - 2 * (i % 4)));
	}
	*ret_n = n;
	return OK;
}

enum err
wire_hex(struct span text, unsigned char *ret, size_t n)
{
	if (text.n != 2 * n)
		return ERR_PROTO;
	for (size_t i = 0; i < n; i++) {
		int high = query_hex_digit(text.p[2 * i]);
		int low = query_hex_digit(text.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return ERR_PROTO;
		ret[i] = (unsigned char)(high << 4 | low);
	}
	return OK;
}

enum err
wire_check_time(const char *text, int64_t now_s)
{
	enum { DIGITS_MAX = 18 }; /* so that no sum overflows */
	const size_t n = strspn(text, "0123456789");
	int64_t time_s;

	if (n == 0 || n > DIGITS_MAX || text[n] != '\0')
		return ERR_AUTH;
	time_s = strtoll(text, NULL, 10);
	return time_s < now_s - WIRE_TOLERANCE_S ||
		       time_s > now_s + WIRE_TOLERANCE_S
		   ? ERR_EXPIRED
		   : OK;
}
