/* SPDX-License-Identifier: ISC */
/*
 * Finds samples by their whole name. Pure.
 */
#include "exposition.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void
exposition_done(struct exposition *e)
{
	buf_done(&e->text);
}

double
exposition_value(const struct exposition *e, const char *name)
{
	const char *text = buf_span(&e->text).p, *at = text;
	size_t n = strlen(name);

	while ((at = strstr(at, name)) != NULL) {
		if ((at == text || at[-1] == '\n') && at[n] == ' ')
			return strtod(at + n, NULL);
		at += n;
	}
	return (double)NAN;
}

bool
exposition_has(const struct exposition *e, const char *name)
{
	return !isnan(exposition_value(e, name));
}

double
exposition_rate(const struct exposition *before, const struct exposition *now,
    const char *name)
{
	double grown =
	    exposition_value(now, name) - exposition_value(before, name);
	double seconds = (double)(now->at_us - before->at_us) / 1e6;

	return grown >= 0 && seconds > 0 ? grown / seconds : (double)NAN;
}
