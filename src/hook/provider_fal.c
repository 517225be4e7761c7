/* SPDX-License-Identifier: ISC */
/*
 * fal.ai's call at the end of a queued request. Its answer stands in `payload`;
 * where that could not be written as JSON, it is null and `payload_error` says
 * so. Pure.
 *
 * Source: https://docs.fal.ai/model-endpoints/webhooks
 */
#include "hook/payload.h"

enum err
fal_normalise(const struct request *r, struct span body, size_t inline_output,
    struct provider_event *ret, const char **why)
{
	struct payload m = {0};
	struct span payload_error = {0};
	const struct payload_member wanted[] = {
	    {"request_id", &m.id},
	    {"status", &m.status},
	    {"error", &m.error},
	    {"payload_error", &payload_error},
	    {"payload", &m.output},
	};
	enum err e;

	(void)r;
	payload_find(body, wanted, sizeof(wanted) / sizeof(wanted[0]));
	if (!payload_is_given(m.error))
		m.error = payload_error;
	e = payload_begin(&m, ret, why);
	if (e != OK || ret->row.type == NULL)
		return e;
	/* A request ends once, however often the call is repeated. Without its
	 * id the whole body has to tell. */
	provider_event_identify(ret, buf_span(&ret->external_id));
	provider_event_identify(ret, SPAN_LIT("\n"));
	provider_event_identify(ret, m.status);
	if (ret->external_id.len == 0)
		provider_event_identify(ret, body);
	return payload_end(&m, inline_output, ret);
}
