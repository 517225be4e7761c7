/* SPDX-License-Identifier: ISC */
/*
 * The keys under which publishers repeat a request. Layer: store. All within
 * the caller's transaction; errors as db_begin(). Blocks on the disk.
 */
#ifndef JOBWIRE_IDEMPOTENCY_H
#define JOBWIRE_IDEMPOTENCY_H

#include <stdint.h>

#include "base/err.h"
#include "store/db.h"

/* What was done under a key. */
struct idempotency_record {
	char request[65]; /* digest of the request */
	int64_t first_id; /* of its events, which follow one another */
	int64_t n_events;
};

/* ERR_NOENT: the key is new. */
CHECK_RESULT enum err idempotency_find(
    struct db *db, const char *key, struct idempotency_record *ret);
/* ERR_PROTO: the key is there. */
CHECK_RESULT enum err idempotency_add(
    struct db *db, const char *key, const struct idempotency_record *r);

#endif
