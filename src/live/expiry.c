/* SPDX-License-Identifier: ISC */
/*
 * The times of a right to read. stream.c and poll.c do what follows from them.
 * Blocks as far as reading the database does.
 */
#include "live/expiry.h"

#include <stdlib.h>

#include "base/clock.h"

enum err
expiry_new(const struct session *session, struct expiry **ret)
{
	struct expiry *x;
	int64_t left_ms;

	*ret = NULL;
	if (session == NULL)
		return OK;
	x = malloc(sizeof(*x));
	if (x == NULL)
		return ERR_NOMEM;
	left_ms = session->exp_s * 1000 - clock_real_ms();
	x->session = *session;
	x->end_us = clock_mono_us() + left_ms * 1000;
	x->warn_us = x->end_us - (int64_t)EXPIRY_WARNING_S * 1000000;
	*ret = x;
	return OK;
}

int64_t
expiry_due_us(const struct expiry *x)
{
	if (x == NULL)
		return INT64_MAX;
	return x->warn_us < x->end_us ? x->warn_us : x->end_us;
}

enum err
expiry_check(
    const struct expiry *x, struct db *db, int64_t now_us, bool asks_db)
{
	enum err e = OK;

	if (x != NULL && now_us >= x->end_us)
		return ERR_EXPIRED;
	if (x != NULL && asks_db)
		e = session_check(&x->session, db, clock_real_ms() / 1000);
	return e == ERR_EXPIRED || e == ERR_AUTH ? e : OK;
}

void
expiry_add_warning(struct buf *out, const struct expiry *x)
{
	int64_t left_us = x->end_us - clock_mono_us();

	buf_addf(out, "event: expiring\ndata: {\"expires_in\":%lld}\n\n",
	    (long long)(left_us > 0 ? (left_us + 999999) / 1000000 : 0));
}
