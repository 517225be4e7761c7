/* SPDX-License-Identifier: ISC */
/*
 * Deliveries that belong to no job yet. Layer: store. Blocks on the disk.
 */
#ifndef JOBWIRE_UNCLAIMED_H
#define JOBWIRE_UNCLAIMED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "store/db.h"
#include "store/events.h"

/* Keeps an event (its job_id is not looked at) for the job that will be
 * registered with that external id, within the caller's transaction; source and
 * delivery_key must be given. The same delivery again changes nothing. Errors
 * as db_begin(). */
CHECK_RESULT enum err unclaimed_keep(struct db *db, const char *external_id,
    const struct event_new *e, bool *ret_duplicate);

/* A row, as its operator sees it. Valid during the call; NULL where unset. */
struct unclaimed_event {
	int64_t id;
	const char *external_id, *type, *data, *created_at, *source,
	    *restore_id;
};

/* Calls on_event for the newest `limit`, newest first. Errors as
 * events_read_all(). */
CHECK_RESULT enum err unclaimed_list(struct db *db, int64_t limit,
    void (*on_event)(void *arg, const struct unclaimed_event *e), void *arg);

/* The same for one. ERR_NOENT: it is not there. */
CHECK_RESULT enum err unclaimed_get(struct db *db, int64_t id,
    void (*on_event)(void *arg, const struct unclaimed_event *e), void *arg);

/* Deletes one, within the caller's transaction. ERR_NOENT: it is not there;
 * else as db_begin(). */
CHECK_RESULT enum err unclaimed_forget(struct db *db, int64_t id);

/* How many are kept for it. Errors as events_read_all(). */
CHECK_RESULT enum err unclaimed_count(
    struct db *db, const char *external_id, int64_t *ret);

#endif
