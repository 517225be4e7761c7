/* SPDX-License-Identifier: ISC */
/*
 * Reads decimal digits. Units, limits and signs are up to the callers. Never
 * blocks.
 */
#include "text/decimal.h"

enum err
decimal_cut(struct span *s, int64_t *ret)
{
	int64_t value = 0;
	size_t n;

	for (n = 0; n < s->n && s->p[n] >= '0' && s->p[n] <= '9'; n++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, s->p[n] - '0', &value))
			return ERR_PROTO;
	if (n == 0)
		return ERR_PROTO;
	s->p += n;
	s->n -= n;
	*ret = value;
	return OK;
}

enum err
decimal_read(struct span text, int64_t *ret)
{
	int64_t value;
	enum err e = decimal_cut(&text, &value);

	if (e == OK && text.n > 0)
		e = ERR_PROTO;
	if (e == OK)
		*ret = value;
	return e;
}
