/* SPDX-License-Identifier: ISC */
/*
 * The time of a signature. What it is about, standard_signature.c and
 * fal_signature.c know. Never blocks.
 */
#include "auth/timestamp.h"

#include <stdlib.h>
#include <string.h>

enum err
timestamp_check(const char *text, int64_t now_s)
{
	enum { DIGITS_MAX = 18 }; /* so that no sum overflows */
	const size_t n = strspn(text, "0123456789");
	int64_t time_s;

	if (n == 0 || n > DIGITS_MAX || text[n] != '\0')
		return ERR_AUTH;
	time_s = strtoll(text, NULL, 10);
	return time_s < now_s - TIMESTAMP_TOLERANCE_S ||
		       time_s > now_s + TIMESTAMP_TOLERANCE_S
		   ? ERR_EXPIRED
		   : OK;
}
