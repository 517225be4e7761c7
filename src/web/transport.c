/* SPDX-License-Identifier: ISC */
/*
 * What both transports do with a request. Never blocks.
 */
#include "web/transport.h"

#include <stddef.h>

void
transport_hand_over(const struct transport_config *cfg, struct exchange *x,
    struct request *request, struct body *body)
{
	request->body_error = body_finish(body, &request->body);
	request->is_body_mapped = body_is_mapped(body);
	x->request = request;
	cfg->stats->requests++;
	cfg->on_request(cfg->arg, x);
}

bool
transport_tell_gone(struct exchange *x)
{
	const struct exchange_told *told = x->told;

	if (told == NULL)
		return false;
	x->told = NULL;
	told->on_gone(x);
	return true;
}
