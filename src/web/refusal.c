/* SPDX-License-Identifier: ISC */
/*
 * Refusals as answers. Never blocks.
 */
#include "web/refusal.h"

#include <stddef.h>

void
refusal_answer(const struct refusal *why, struct answer *ret)
{
	answer_error(ret, why->status, why->code, why->message);
	if (why->challenge != NULL)
		answer_header(ret, "WWW-Authenticate", why->challenge);
	if (why->retry_after_s > 0)
		buf_addf(&ret->headers, "Retry-After: %lld\r\n",
		    (long long)why->retry_after_s);
}
