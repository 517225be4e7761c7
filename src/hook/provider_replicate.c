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

#include "hook/payload.h"
#include "text/json_text.h"

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
	struct json_text_iter it = {.rest = metrics};
	struct span name, value;

	if (json_text_kind(metrics) != JSON_TEXT_OBJECT)
		return;
	payload_add_key(data, SPAN_LIT("metrics"));
	buf_add_char(data, '{');
	for (int i = 0; i < METRICS_MAX && json_text_next(&it, &name, &value);
	     i++)
		if (is_plain_name(name))
			payload_add_number(data, name, value);
	buf_add_char(data, '}');
}

/* What has ended is told by its end, so that a webhook and an answer of
 * /predictions/ID are the same report; what runs, by the delivery. */
static void
add_identity(const struct request *r, struct span body, const struct payload *m,
    struct span completed_at, struct provider_event *e)
{
	if (!payload_is_given(completed_at)) {
		payload_add_delivery_id(r, body, e);
		return;
	}
	provider_event_identify(e, buf_span(&e->external_id));
	provider_event_identify(e, m->status);
	provider_event_identify(e, completed_at);
}

enum err
replicate_normalise(const struct request *r, struct span body,
    size_t inline_output, struct provider_event *ret, const char **why)
{
	struct payload m = {0};
	struct span metrics = {0}, completed_at = {0};
	const struct payload_member wanted[] = {
	    {"id", &m.id},
	    {"status", &m.status},
	    {"error", &m.error},
	    {"output", &m.output},
	    {"input", &m.input},
	    {"metrics", &metrics},
	    {"completed_at", &completed_at},
	};
	enum err e;

	payload_find(body, wanted, sizeof(wanted) / sizeof(wanted[0]));
	e = payload_begin(&m, ret, why);
	if (e != OK || ret->row.type == NULL)
		return e;
	add_metrics(&ret->data, metrics);
	add_identity(r, body, &m, completed_at, ret);
	return payload_end(&m, inline_output, ret);
}
