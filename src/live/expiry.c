/* SPDX-License-Identifier: ISC */
/*
 * The times of a right to read. What happens then is stream.c's business.
 * Never blocks.
 */
#include "live/expiry.h"

#include <stdlib.h>

#include "base/clock.h"

struct expiry *
expiry_new(const struct session *session)
{
	struct expiry *l = malloc(sizeof(*l));
	int64_t left_ms = session->exp_s * 1000 - clock_real_ms();

	if (l == NULL)
		return NULL;
	l->session = *session;
	l->end_us = clock_mono_us() + left_ms * 1000;
	l->warn_us = l->end_us - (int64_t)EXPIRY_WARNING_S * 1000000;
	return l;
}

int64_t
expiry_due_us(const struct expiry *l)
{
	return l->warn_us < l->end_us ? l->warn_us : l->end_us;
}

void
expiry_add_warning(struct buf *out, const struct expiry *l)
{
	int64_t left_us = l->end_us - clock_mono_us();

	buf_addf(out, "event: expiring\ndata: {\"expires_in\":%lld}\n\n",
	    (long long)(left_us > 0 ? (left_us + 999999) / 1000000 : 0));
}
