/* SPDX-License-Identifier: ISC */
/*
 * Copies what is in the WAL to the database. Layer: store.
 *
 * All jobwire connections have autocheckpoint off and do not checkpoint on
 * close: SQLite before 3.51.3 can lose a WAL reset that races with a PASSIVE
 * checkpoint (https://sqlite.org/wal.html, section 11), and only
 * PASSIVE reads the WAL header without the write lock. The janitor, and a
 * writer of many events itself, checkpoint with RESTART, which takes the lock
 * first; backfill.h does what a PASSIVE one does, where nothing races with it.
 * The WAL's file is not truncated: see wal.h.
 */
#ifndef JOBWIRE_CHECKPOINT_H
#define JOBWIRE_CHECKPOINT_H

#include <stdint.h>

#include "base/err.h"
#include "store/db.h"

enum { CHECKPOINT_NEVER = -1 }; /* in the place of a limit */

/* Checkpoints now (RESTART) when the WAL is filled beyond limit_bytes (0: when
 * there is anything in it), on a DB_WRITE connection outside a transaction.
 * Blocks on the disk. ERR_BUSY is harmless: at once where another program is at
 * it, else after the connection's deadline. */
CHECK_RESULT enum err checkpoint_if_filled(struct db *db, int64_t limit_bytes);

#endif
