/* SPDX-License-Identifier: ISC */
/*
 * Cuts and trims spans. Callers know what the parts mean. Never
 * blocks.
 */
#include "text/span.h"

#include <string.h>

static bool
is_in(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

/* Takes what is before `at`, and the character there; all of it where `at` is
 * NULL. */
static struct span
cut_before(struct span *rest, const char *at)
{
	struct span taken = *rest;

	if (at == NULL) {
		*rest = (struct span){0};
		return taken;
	}
	taken.n = (size_t)(at - rest->p);
	rest->p = at + 1;
	rest->n -= taken.n + 1;
	return taken;
}

struct span
span_cut(struct span *rest, char mark)
{
	return cut_before(
	    rest, rest->n > 0 ? memchr(rest->p, mark, rest->n) : NULL);
}

struct span
span_cut_any(struct span *rest, const char *set)
{
	size_t n = 0;

	while (n < rest->n && !is_in(rest->p[n], set))
		n++;
	return cut_before(rest, n < rest->n ? rest->p + n : NULL);
}

struct span
span_skip(struct span s, const char *set)
{
	while (s.n > 0 && is_in(*s.p, set)) {
		s.p++;
		s.n--;
	}
	return s;
}

struct span
span_trim(struct span s, const char *set)
{
	s = span_skip(s, set);
	while (s.n > 0 && is_in(s.p[s.n - 1], set))
		s.n--;
	return s;
}

bool
span_cut_prefix(struct span *s, struct span prefix)
{
	if (s->n < prefix.n || !span_eq((struct span){s->p, prefix.n}, prefix))
		return false;
	s->p += prefix.n;
	s->n -= prefix.n;
	return true;
}
