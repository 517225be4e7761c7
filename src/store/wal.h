/* SPDX-License-Identifier: ISC */
/*
 * The WAL as a file: how far it is filled, and room made ahead. Layer: store,
 * private to it.
 *
 * A commit that has to grow its file waits for the file system's own journal,
 * too. So the WAL is written full of zeros once, to DB_WAL_BYTES, and from then
 * on used again from its front. Behind the last frame zeros mean nothing: a
 * reader stops at the first frame without the header's salt.
 */
#ifndef JOBWIRE_WAL_H
#define JOBWIRE_WAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "store/db.h"

/* Is there more than limit_bytes (0: anything) of frames that count? The
 * file's size cannot tell. */
bool wal_is_filled(struct db *db, int64_t limit_bytes);

/* How many bytes those are; 0 without a WAL. Some twenty short readings. */
int64_t wal_filled(struct db *db);

/* Makes the file at least so large, unless that would take more than a quarter
 * of what is free on its disk. For a moment it holds the write lock. ERR_FULL
 * and other failures leave the size as it was; else as db_begin(). */
CHECK_RESULT enum err wal_extend(struct db *db, int64_t bytes);

#endif
