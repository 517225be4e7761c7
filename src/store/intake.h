/* SPDX-License-Identifier: ISC */
/*
 * What inbound calls leave beside events: deliveries that belong to no job yet,
 * and the keys under which publishers repeat themselves. Layer: store. All
 * within the caller's transaction; errors as db_begin().
 */
#ifndef JOBWIRE_INTAKE_H
#define JOBWIRE_INTAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "store/db.h"
#include "store/events.h"

/* Keeps an event (its job_id is not looked at) for the job that will be
 * registered with that external id; source and delivery_key must be given. The
 * same delivery again changes nothing. */
CHECK_RESULT enum err intake_keep_unclaimed(struct db *db,
    const char *external_id, const struct event_new *e, bool *ret_duplicate);

/* What an idempotency key stands for. */
struct intake_key {
	char request[65]; /* digest of the request */
	int64_t first_id; /* of its events, which follow one another */
	int64_t n_events;
};

/* ERR_NOENT: the key is new. */
CHECK_RESULT enum err intake_find_key(
    struct db *db, const char *key, struct intake_key *ret);
CHECK_RESULT enum err intake_add_key(
    struct db *db, const char *key, const struct intake_key *k);

#endif
