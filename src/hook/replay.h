/* SPDX-License-Identifier: ISC */
/*
 * Takes a webhook that was refused as if it came again, by the same code.
 * Layer: hook; for `jobwire inbox replay`.
 */
#ifndef JOBWIRE_REPLAY_H
#define JOBWIRE_REPLAY_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "store/db.h"
#include "store/inbox.h"

/*
 * Whoever asks vouches for the sender: no signature is looked at, for none is
 * kept. job_id stands for the one that the call named; NULL: that one. Writes
 * in a transaction of its own; who calls rings the bell. *ret_status and
 * *ret_body (appended) are the answer that the sender would have got.
 * ERR_NOENT: no body was kept; ERR_NOMEM. Trouble with the database is an
 * answer, too. Blocks on the disk and on other writers.
 */
CHECK_RESULT enum err replay_call(struct db *db, size_t inline_output,
    const struct inbox_call *call, const char *job_id, int *ret_status,
    struct buf *ret_body);

#endif
