/* SPDX-License-Identifier: ISC */
/*
 * Replicate's calls: a prediction as it stands, also while it runs. `logs`,
 * `urls`, `input` and `webhook`, our own URL with its signature, are never
 * copied. Pure.
 *
 * Source: https://replicate.com/docs/topics/webhooks/receive-webhook and
 * .../predictions/lifecycle
 */
#include <ctype.h>

#include "hook/members.h"
#include "web/jtext.h"

enum {
	METRICS_MAX = 32, /* real predictions have up to about ten */
	METRIC_NAME_MAX = 64,
};

static bool
is_plain_name(struct span name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!isalnum((unsigned char)name.p[i]) && name.p[i] != '_')
			return false;
	return name.n > 0 && name.n <= METRIC_NAME_MAX;
}

/* The numbers among them, under the names that they have: models add some. */
static void
add_metrics(struct buf *data, struct span metrics)
{
	struct jtext_iter it = {.rest = metrics};
	struct span name, value;

	if (jtext_kind(metrics) != JTEXT_OBJECT)
		return;
	members_add_key(data, SPAN_LIT("metrics"));
	buf_add_char(data, '{');
	for (int i = 0; i < METRICS_MAX && jtext_next(&it, &name, &value); i++)
		if (is_plain_name(name))
			members_add_number(data, name, value);
	buf_add_char(data, '}');
}

enum err
replicate_normalise(const struct request *r, struct span body,
    size_t inline_output, struct hook_event *ret, const char **why)
{
	struct members m = {0};
	struct span metrics = {0};
	const struct member wanted[] = {
	    {"id", &m.id},
	    {"status", &m.status},
	    {"error", &m.error},
	    {"output", &m.output},
	    {"input", &m.input},
	    {"metrics", &metrics},
	};
	enum err e;

	members_find(body, wanted, sizeof(wanted) / sizeof(wanted[0]));
	e = members_begin(&m, ret, why);
	if (e != OK || ret->type == NULL)
		return e;
	add_metrics(&ret->data, metrics);
	members_add_delivery_id(r, body, ret);
	return members_end(&m, inline_output, ret);
}
