/* SPDX-License-Identifier: ISC */
/*
 * Calls that are sent again under an Idempotency-Key: what of them is kept
 * (intent/intent.h). Layer: hook, internal to it. For a handler's prepare().
 */
#ifndef JOBWIRE_IDEMPOTENCY_KEY_H
#define JOBWIRE_IDEMPOTENCY_KEY_H

#include "auth/crypto.h"
#include "hook/call.h"

struct idempotency_key {
	char text[CRYPTO_SHA256_SIZE];	  /* as stored; "": none was sent */
	char request[CRYPTO_SHA256_SIZE]; /* what it stands for */
};

/* The call's key, if it has one. The job is part of it; `action` and the body
 * are what has to be the same. Refuses a key that is too long. */
bool idempotency_key_take(
    struct call *c, struct span action, struct idempotency_key *ret);

/* NULL: there is none. */
const char *idempotency_key_text(const struct idempotency_key *k);

#endif
