/* SPDX-License-Identifier: ISC */
/*
 * Copies the WAL into the database beside a writer that goes on committing, on
 * a thread of its own. Layer: store.
 *
 * A checkpoint that restarts the WAL copies under the write lock, some ms for a
 * full one. So first this thread copies what there is (SQLite calls it to
 * backfill), and the restart finds only what was committed meanwhile.
 *
 * It is a PASSIVE checkpoint, which before SQLite 3.51.3 must not race with a
 * reset of the WAL (https://sqlite.org/wal.html, section 11). A second
 * connection reads meanwhile, and so there is none: no writer resets a WAL that
 * has a reader; and where the reader needs none of it, because all is copied,
 * the checkpoint cannot get the lock that the reader has and copies nothing.
 */
#ifndef JOBWIRE_BACKFILL_H
#define JOBWIRE_BACKFILL_H

#include <stdint.h>

#include "base/err.h"
#include "store/db.h"

struct backfill;

/* Starts the thread; the database is opened when it is asked for the first
 * time. The path is borrowed for its life. Call with signals blocked. Returns
 * owned (backfill_stop). ERR_SYS, ERR_NOMEM. */
CHECK_RESULT enum err backfill_start(
    const char *db_path, struct backfill **ret);

/*
 * To be called after each commit on that connection, by one thread only. When
 * the WAL is filled to two thirds of limit_bytes it is copied, beside the
 * commits that follow; when that has ended the WAL is restarted. At limit_bytes
 * the end is waited for. Blocks on the disk. A reader, or another program, that
 * keeps the WAL from being restarted costs little: the next call tries it
 * again. The janitor, which meets the same, tells why it fails.
 */
void backfill_checkpoint(
    struct backfill *b, struct db *db, int64_t limit_bytes);

/* Lets a copy that is under way end, and closes the database until the next
 * one. Accepts NULL. */
void backfill_release(struct backfill *b);

/* Lets a copy that is under way end. Accepts NULL. */
void backfill_stop(struct backfill **b);

#endif
