/* SPDX-License-Identifier: ISC */
/*
 * Deliveries that belong to no job yet. Layer: store. Blocks on the disk.
 */
#ifndef JOBWIRE_UNCLAIMED_H
#define JOBWIRE_UNCLAIMED_H

#include <stdbool.h>

#include "base/err.h"
#include "store/db.h"
#include "store/events.h"

/* Keeps an event (its job_id is not looked at) for the job that will be
 * registered with that external id, within the caller's transaction; source and
 * delivery_key must be given. The same delivery again changes nothing. Errors
 * as db_begin(). */
CHECK_RESULT enum err unclaimed_keep(struct db *db, const char *external_id,
    const struct event_new *e, bool *ret_duplicate);

#endif
