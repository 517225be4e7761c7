/* SPDX-License-Identifier: ISC */
/*
 * What a key is, and what it stood for. A key is stored as a digest, with the
 * job in it, so that two jobs do not share keys and no client's secret lies in
 * the table. Pure.
 */
#include "hook/idempotency_key.h"

enum { KEY_MAX_BYTES = 255 };

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
	e = crypto_sha256_of(name, 3, ret->text);
	if (e == OK)
		e = crypto_sha256_of(what, 3, ret->request);
	return e == OK || call_refuse_memory(c);
}

const char *
idempotency_key_text(const struct idempotency_key *k)
{
	return *k->text != '\0' ? k->text : NULL;
}
