/* SPDX-License-Identifier: ISC */
/*
 * How long events and jobs are kept. Layer: store; called by the janitor and by
 * `jobwire prune`. Blocks on the disk and on other writers.
 */
#ifndef JOBWIRE_RETENTION_H
#define JOBWIRE_RETENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "store/db.h"

/* What is kept. */
struct retention {
	int64_t days;	  /* a finished job, after its last change */
	int64_t progress; /* how many of a job's newest progress events */
	int64_t events;	  /* how many of its newest other events */
};

/* Begins as zeros. */
struct retention_done {
	uint64_t events, jobs; /* removed so far */
	int64_t seen_id; /* events up to this one have been looked at, in this
			    database */
};

/* One small batch on an open DB_WRITE connection, a transaction of its own,
 * also of keys, unclaimed events and tokens that are past use. Adds to *done.
 * *ret_more: call again. Errors as db_begin() and db_commit(). */
CHECK_RESULT enum err retention_step(struct db *db,
    const struct retention *keep, struct retention_done *done, bool *ret_more);

/* Finished jobs that last changed before this moment are not kept. */
void retention_cutoff(int64_t keep_days, char ret[CLOCK_RFC3339_SIZE]);

#endif
