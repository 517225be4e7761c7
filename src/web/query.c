/* SPDX-License-Identifier: ISC */
/*
 * Query strings. Says nothing about which names exist or how long a value may
 * be; what is wanted as UTF-8 or as an id is checked by whoever uses it. Never
 * blocks.
 */
#include "web/query.h"

#include "text/percent.h"
#include "text/span.h"

/* The next pair that is not empty, still encoded. */
static bool
cut_pair(struct span *rest, struct span *ret_name, struct span *ret_value)
{
	while (rest->n > 0) {
		struct span pair = span_cut(rest, '&');

		if (pair.n == 0)
			continue;
		*ret_name = span_cut(&pair, '=');
		*ret_value = pair;
		return true;
	}
	return false;
}

bool
query_next(struct span *rest, struct buf *name, struct buf *value)
{
	struct span raw_name, raw_value;

	buf_reset(name);
	buf_reset(value);
	if (!cut_pair(rest, &raw_name, &raw_value))
		return false;
	percent_decode(name, raw_name, true);
	percent_decode(value, raw_value, true);
	return buf_ok(name) && buf_ok(value);
}

bool
query_get(struct span query, const char *name, struct buf *ret)
{
	struct span raw_name, raw_value;

	/* Names are decoded into *ret too: one place that can run out of
	 * memory, and the caller sees it. */
	buf_reset(ret);
	while (cut_pair(&query, &raw_name, &raw_value)) {
		bool is_it;

		percent_decode(ret, raw_name, true);
		if (!buf_ok(ret))
			return false;
		is_it = span_eq_str(buf_span(ret), name);
		buf_reset(ret);
		if (is_it) {
			percent_decode(ret, raw_value, true);
			return buf_ok(ret);
		}
	}
	return false;
}
