/* SPDX-License-Identifier: ISC */
/*
 * Whether what this node has applied is what the log says, and the way back
 * where it is not. Layer: relay. Blocks on the disk.
 */
#ifndef JOBWIRE_RELAY_REWIND_H
#define JOBWIRE_RELAY_REWIND_H

#include "base/err.h"
#include "relay/log.h"
#include "store/db.h"
#include "store/replica.h"

/*
 * Finds the last entry that this node has applied and the log of `s` (asked for
 * with its epochs) still has, and takes back all behind it. *at is where the
 * node stands, before and after; *ret_n: how many were taken back. ERR_NOENT:
 * the log has nothing of what can be gone back to. Else as db_begin().
 */
CHECK_RESULT enum err rewind_to_log(struct db *db, const struct log_state *s,
    struct log_position *at, int64_t *ret_n);

#endif
