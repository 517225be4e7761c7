/* SPDX-License-Identifier: ISC */
/*
 * Maintenance of the database: retention and checkpoints. Layer: store.
 *
 * Every long-lived program starts one; the one that holds the lock file
 * `<db>-janitor` (flock) works, the others wait for it. It has a thread and a
 * connection of its own, so a checkpoint's fsync never stands in the way of a
 * stream or of an answer (except that writers wait for its write lock). So it
 * also counts for the metrics, and leaves the numbers in a sheet (io/sheet.h).
 */
#ifndef JOBWIRE_JANITOR_H
#define JOBWIRE_JANITOR_H

#include <stdint.h>

#include "base/err.h"
#include "store/db.h"
#include "store/retention.h"

struct janitor;

struct janitor_config {
	const char *db_path; /* borrowed for the call only */
	struct retention keep;
	int64_t wal_limit_bytes; /* checkpoint when the WAL is filled so far */
	int64_t wal_bytes;	 /* the file is made so large; 0: left */
	int64_t interval_ms;	 /* how often it looks */
	retention_post_fn *post; /* in a cluster; NULL: nothing is deleted */
	/* Runs on the janitor's thread; NULL fault: all is well again. */
	void (*on_fault)(void *arg, const struct db_fault *fault);
	void *arg;
};

/* Returns owned (janitor_stop). Call after signals are blocked and after any
 * fork(). ERR_SYS, ERR_NOMEM. */
CHECK_RESULT enum err janitor_start(
    const struct janitor_config *cfg, struct janitor **ret);
/* Ends the thread and waits for it (at most one small batch). */
void janitor_stop(struct janitor **j);

/*
 * For a process that lives too short for a janitor: one look at the WAL and one
 * small batch of retention, on the calling thread, if nobody else holds the
 * lock. interval_ms is not used. Retention begins at a random event, so that
 * many such processes together see all of them. Blocks on the disk, and on
 * others for half a second at most each time. What goes wrong is told to
 * on_fault.
 */
void janitor_step(const struct janitor_config *cfg);

#endif
