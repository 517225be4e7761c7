/* SPDX-License-Identifier: ISC */
/*
 * A leaky bucket, kept as the time when it is empty (GCRA, ITU-T I.371). Pure.
 */
#include "runner/rate.h"

enum { BURST_US = 200000 }; /* of the rate, that may come at once */

/* What may come at once, or what a late timer lost would be lost: one call at
 * least. */
static int64_t
burst_us(const struct rate *r)
{
	return r->interval_us > BURST_US ? r->interval_us : BURST_US;
}

int64_t
rate_room(const struct rate *r, int64_t now_us)
{
	int64_t from_us = r->free_at_us > now_us ? r->free_at_us : now_us;

	return (now_us + burst_us(r) - from_us) / r->interval_us;
}

int64_t
rate_next_us(const struct rate *r)
{
	return r->free_at_us + r->interval_us - burst_us(r);
}

void
rate_take(struct rate *r, int64_t now_us)
{
	if (r->free_at_us < now_us)
		r->free_at_us = now_us;
	r->free_at_us += r->interval_us;
}
