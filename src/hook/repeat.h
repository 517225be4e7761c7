/* SPDX-License-Identifier: ISC */
/*
 * Calls that are sent again under an Idempotency-Key. Layer: hook, internal to
 * it. repeat_take() is for a handler's prepare(), the others for its write():
 * errors as db_begin().
 */
#ifndef JOBWIRE_REPEAT_H
#define JOBWIRE_REPEAT_H

#include "auth/crypto.h"
#include "hook/call.h"
#include "store/idempotency.h"

struct repeat {
	char key[CRYPTO_SHA256_SIZE];	  /* as stored; "": none was sent */
	struct idempotency_record record; /* what the key stands for */
	bool is_repeated;		  /* the call was made before */
};

/* The call's key, if it has one. The job is part of it; `action` and the body
 * are what has to be the same. Refuses a key that is too long. */
bool repeat_take(struct call *c, struct span action, struct repeat *ret);

/* Has the key been used? Then k->record says for what. ERR_EXISTS: for
 * something else. */
CHECK_RESULT enum err repeat_find(struct repeat *k, struct db *db);

/* The call was made: k->record is kept, if there is a key. */
CHECK_RESULT enum err repeat_add(const struct repeat *k, struct db *db);

/* What is said after ERR_EXISTS. */
extern const struct refusal repeat_refusal;

#endif
