/* SPDX-License-Identifier: ISC */
/*
 * How long events and jobs are kept. Layer: store; called by the janitor and by
 * `jobwire prune`. Blocks on the disk and on other writers.
 */
#ifndef JOBWIRE_RETENTION_H
#define JOBWIRE_RETENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
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

/*
 * What is past its time in a cluster, where it is found by one node and deleted
 * by all (intent/intent.h): these jobs, if they have ended before that time,
 * and of those that have not, all but the newest events; and what goes by its
 * age. Zeroed at first; "" and an empty buffer: nothing.
 */
enum { RETENTION_TIME_SIZE = CLOCK_RFC3339_SIZE + 1 };

struct retention_batch {
	struct buf job_ids; /* owned; separated by commas */
	char before[CLOCK_RFC3339_SIZE];
	char keys_before[RETENTION_TIME_SIZE],
	    unclaimed_before[RETENTION_TIME_SIZE];
};

/* Puts a batch into the log's outbox, within the caller's transaction: what the
 * janitor needs of the layer above. */
typedef enum err retention_post_fn(struct db *db,
    const struct retention_batch *batch, const struct retention *keep);

/* As retention_step(), in a cluster: finds and posts. Does nothing while what
 * was posted before is on its way. */
CHECK_RESULT enum err retention_step_clustered(struct db *db,
    const struct retention *keep, retention_post_fn *post,
    struct retention_done *done, bool *ret_more);

/* Appends to *ret what one step finds. *ret_more: there may be more. Needs no
 * transaction. */
CHECK_RESULT enum err retention_find(struct db *db,
    const struct retention *keep, struct retention_done *done,
    struct retention_batch *ret, bool *ret_more);

/* Deletes of one job, within the caller's transaction. before NULL: the job
 * stays. */
CHECK_RESULT enum err retention_apply(struct db *db, const char *job_id,
    const char *before, const struct retention *keep);

/* Deletes keys, or unclaimed events, that are older; likewise. */
CHECK_RESULT enum err retention_apply_keys(struct db *db, const char *before);
CHECK_RESULT enum err retention_apply_unclaimed(
    struct db *db, const char *before);

/* Finished jobs that last changed before this moment are not kept. */
void retention_cutoff(int64_t keep_days, char ret[CLOCK_RFC3339_SIZE]);

#endif
