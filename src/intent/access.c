/* SPDX-License-Identifier: ISC */
/*
 * Who may read: tickets and revocations. And jobs that are taken away. Blocks
 * on the disk.
 */
#include "intent/intent.h"
#include "store/tokens.h"

enum err
intent_apply_ticket(
    struct db *db, const void *intent, struct intent_result *ret)
{
	const struct intent_ticket *t = intent;
	const struct ticket_new ticket = {
	    .digest = t->digest,
	    .sub = t->sub,
	    .claims = t->claims,
	    .expires_at = t->expires_at,
	};
	enum err e;

	if (t->digest == NULL || t->claims.n == 0)
		return ERR_PROTO;
	e = tokens_add_ticket(db, &ticket, t->now_s, t->max);
	return e == ERR_LIMIT ? intent_refuse(ret, INTENT_TOO_MANY) : e;
}

enum err
intent_apply_revocation(
    struct db *db, const void *intent, struct intent_result *ret)
{
	const struct intent_revocation *r = intent;

	(void)ret;
	if (r->kind == NULL || r->digest == NULL)
		return ERR_PROTO;
	return tokens_revoke(db, r->kind, r->digest, r->revoked_at);
}

enum err
intent_apply_deletion(
    struct db *db, const void *intent, struct intent_result *ret)
{
	const struct intent_deletion *d = intent;
	enum err e;

	if (d->job_id == NULL)
		return ERR_PROTO;
	e = jobs_count_events(db, d->job_id, &ret->n_events);
	if (e == OK)
		e = jobs_delete(db, d->job_id);
	return e == ERR_NOENT ? intent_refuse(ret, INTENT_NO_JOB) : e;
}
