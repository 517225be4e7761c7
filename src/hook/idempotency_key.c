/* SPDX-License-Identifier: ISC */
/*
 * What a key is, and what it stood for. A key is stored as a digest, with the
 * job in it, so that two jobs do not share keys and no client's secret lies in
 * the table. Finding and adding block on the disk.
 */
#include "hook/idempotency_key.h"

#include <string.h>

enum { KEY_MAX_BYTES = 255 };

const struct refusal idempotency_key_refusal = {422, "idempotency_key_reused",
    "This Idempotency-Key stood for another request.", NULL, 0};

bool
idempotency_key_take(
    struct call *c, struct span action, struct idempotency_key *ret)
{
	const struct span key =
	    span_of(request_header(c->request, "idempotency-key"));
	const struct span name[] = {buf_span(&c->job_id), SPAN_LIT("\n"), key};
	/* JSON does not begin with a letter and a line break. */
	const struct span what[] = {
	    action, span_of(action.n > 0 ? "\n" : ""), c->request->body};
	enum err e;

	if (key.n == 0)
		return true;
	if (key.n > KEY_MAX_BYTES)
		return call_refuse(c, 400, "bad_idempotency_key",
		    "An Idempotency-Key has at most 255 bytes.");
	e = crypto_sha256_of(name, 3, ret->key);
	if (e == OK)
		e = crypto_sha256_of(what, 3, ret->record.request);
	return e == OK || call_refuse_memory(c);
}

enum err
idempotency_key_find(struct idempotency_key *k, struct db *db)
{
	struct idempotency_record found;
	enum err e;

	k->is_repeated = false;
	if (*k->key == '\0')
		return OK;
	e = idempotency_find(db, k->key, &found);
	if (e != OK)
		return e == ERR_NOENT ? OK : e;
	if (strcmp(found.request, k->record.request) != 0)
		return ERR_EXISTS;
	k->record = found;
	k->is_repeated = true;
	return OK;
}

enum err
idempotency_key_add(const struct idempotency_key *k, struct db *db)
{
	return *k->key == '\0' ? OK : idempotency_add(db, k->key, &k->record);
}
