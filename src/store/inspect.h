/* SPDX-License-Identifier: ISC */
/*
 * What an administrator asks of a database: how much is in it, is it whole.
 * Layer: store; called by the command line. Everything blocks on the disk.
 */
#ifndef JOBWIRE_INSPECT_H
#define JOBWIRE_INSPECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "job/state.h"
#include "store/db.h"
#include "store/retention.h"

enum { INSPECT_TIME_SIZE = 32 };

struct inspect_counts {
	int64_t jobs[JOB_STATES]; /* how many are in each state */
	int64_t events, unclaimed;
	/* When the first and the last event were written; "" without any. */
	char oldest[INSPECT_TIME_SIZE], newest[INSPECT_TIME_SIZE];
};

/* Errors as events_read_all(). */
CHECK_RESULT enum err inspect_count(struct db *db, struct inspect_counts *ret);

/* The events and jobs that retention_step() would remove by now. Removes
 * nothing. Errors as events_read_all(). */
CHECK_RESULT enum err inspect_prunable(
    struct db *db, const struct retention *keep, struct retention_done *ret);

/*
 * PRAGMA quick_check, for budget_ms at most; it keeps checkpoints waiting while
 * it runs. *ret_whole: it reached the end. ERR_CORRUPT: the fault of the
 * connection says what is damaged, or what SQLite had no memory for: it calls
 * that damaged, too; ERR_SYS, ERR_NOMEM: it could not begin; else
 * as events_read_all().
 */
CHECK_RESULT enum err inspect_check(
    struct db *db, int64_t budget_ms, bool *ret_whole);

/* Is it in WAL mode? Changes nothing. */
CHECK_RESULT enum err inspect_is_wal(struct db *db, bool *ret);

/* SQLite's version, and whether it has the WAL-reset bug, by which a checkpoint
 * that races with another can lose commits (https://sqlite.org/wal.html,
 * section 11; repaired in 3.44.6, 3.50.7 and 3.51.3). */
const char *inspect_sqlite(bool *ret_has_wal_reset_bug);

#endif
