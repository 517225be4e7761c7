/* SPDX-License-Identifier: ISC */
/*
 * Reads Accept. Of the weights only q=0, which refuses, counts: handlers
 * choose which of two forms a client gets. Quoted strings are not known;
 * in an odd one a client can hide a comma from itself only. Never blocks.
 */
#include "web/accept.h"

#include <stdbool.h>
#include <string.h>

#include "text/span.h"

/* Takes the next item off the list, without the white space around it. */
static struct span
cut_item(struct span *rest, char mark)
{
	return span_trim(span_cut(rest, mark), " \t");
}

static enum accept
match(struct span range, const char *type)
{
	size_t n = strlen(type), group = strcspn(type, "/") + 1;

	if (range.n == n && strncasecmp(range.p, type, n) == 0)
		return ACCEPT_NAMED;
	if (range.n == group + 1 && range.p[group] == '*' &&
	    strncasecmp(range.p, type, group) == 0)
		return ACCEPT_GROUP;
	return span_eq_str(range, "*/*") ? ACCEPT_ANY : ACCEPT_NOT;
}

/* Is one of the parameters a weight of zero: q=0 up to q=0.000? */
static bool
is_refused(struct span parameters)
{
	while (parameters.n > 0) {
		struct span p = cut_item(&parameters, ';');
		size_t i = 2;

		if (p.n < 3 || strncasecmp(p.p, "q=0", 3) != 0)
			continue;
		while (i < p.n && (p.p[i] == '0' || p.p[i] == '.'))
			i++;
		return i == p.n;
	}
	return false;
}

enum accept
accept_find(const char *field, const char *type)
{
	struct span rest = span_of(field);
	enum accept best = rest.n == 0 ? ACCEPT_ANY : ACCEPT_NOT;
	bool is_taken = true;

	while (rest.n > 0) {
		struct span item = cut_item(&rest, ',');
		enum accept how = match(cut_item(&item, ';'), type);

		if (how <= best)
			continue;
		best = how;
		is_taken = !is_refused(item);
	}
	return is_taken ? best : ACCEPT_NOT;
}
