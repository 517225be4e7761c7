/* SPDX-License-Identifier: ISC */
/*
 * Maintenance of the database: retention and checkpoints. Layer: store.
 *
 * Every long-lived program starts one; the one that holds the lock file
 * `<db>-janitor` (flock) works, the others wait for it. It has a thread and a
 * connection of its own, so a checkpoint's fsync never stands in the way of a
 * stream or of an answer (except that writers wait for its write lock).
 *
 * All jobwire connections have autocheckpoint off and do not checkpoint on
 * close: SQLite before 3.51.3 can lose a WAL reset that races with a PASSIVE
 * checkpoint (https://sqlite.org/wal.html, section 11), and only
 * PASSIVE reads the WAL header without the write lock. The janitor, and a
 * writer of many events itself, checkpoint with RESTART, which takes the lock
 * first. The WAL's file is not truncated: see wal.h.
 */
#ifndef JOBWIRE_JANITOR_H
#define JOBWIRE_JANITOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "store/db.h"

struct janitor;

struct janitor_config {
	const char *db_path; /* borrowed for the call only */
	int64_t keep_days, keep_progress, keep_events;
	int64_t wal_limit_bytes; /* checkpoint when the WAL is filled so far */
	int64_t wal_bytes;	 /* the file is made so large; 0: left */
	int64_t interval_ms;	 /* how often it looks */
	/* Runs on the janitor's thread; NULL fault: all is well again. */
	void (*on_fault)(void *arg, const struct db_fault *fault);
	void *arg;
};

struct janitor_stats {
	uint64_t checkpoints, pruned_events, pruned_jobs;
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
 * others for BUSY_MS at most each time.
 */
void janitor_step(const struct janitor_config *cfg);

/* One small batch of retention on an open DB_WRITE connection, a transaction
 * of its own. *ret_more: call again. Used by `jobwire prune` too. */
CHECK_RESULT enum err janitor_prune(struct db *db,
    const struct janitor_config *cfg, bool *ret_more,
    struct janitor_stats *add_to);

/* Finished jobs that last changed before this moment are not kept. */
void janitor_cutoff(int64_t keep_days, char ret[CLOCK_RFC3339_SIZE]);

/* Checkpoints now (RESTART) when the WAL is filled beyond limit (0: when there
 * is anything in it). ERR_BUSY is harmless: at once where another program is at
 * it, else after the connection's deadline. */
CHECK_RESULT enum err janitor_checkpoint(
    struct db *db, int64_t limit_bytes, struct janitor_stats *add_to);

#endif
