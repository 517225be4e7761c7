/* SPDX-License-Identifier: ISC */
/*
 * Calls that are sent again under an Idempotency-Key. Layer: hook, internal to
 * it. idempotency_key_take() is for a handler's prepare(), the others for its
 * write(): errors as db_begin().
 */
#ifndef JOBWIRE_IDEMPOTENCY_KEY_H
#define JOBWIRE_IDEMPOTENCY_KEY_H

#include "auth/crypto.h"
#include "hook/call.h"
#include "store/idempotency.h"

struct idempotency_key {
	char key[CRYPTO_SHA256_SIZE];	  /* as stored; "": none was sent */
	struct idempotency_record record; /* what the key stands for */
	bool is_repeated;		  /* the call was made before */
};

/* The call's key, if it has one. The job is part of it; `action` and the body
 * are what has to be the same. Refuses a key that is too long. */
bool idempotency_key_take(
    struct call *c, struct span action, struct idempotency_key *ret);

/* Has the key been used? Then k->record says for what. ERR_EXISTS: for
 * something else. */
CHECK_RESULT enum err idempotency_key_find(
    struct idempotency_key *k, struct db *db);

/* The call was made: k->record is kept, if there is a key. */
CHECK_RESULT enum err idempotency_key_add(
    const struct idempotency_key *k, struct db *db);

/* What is said after ERR_EXISTS. */
extern const struct refusal idempotency_key_refusal;

#endif
