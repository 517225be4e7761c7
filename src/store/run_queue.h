/* SPDX-License-Identifier: ISC */
/*
 * The table runs as the runner works it off. Layer: store. What writes does so
 * within the caller's transaction. Errors as db_begin(), unless a function says
 * more.
 */
#ifndef JOBWIRE_RUN_QUEUE_H
#define JOBWIRE_RUN_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "store/db.h"
#include "store/run.h"

/* Calls on_run for open runs that are due at now_ms, the longest first.
 * The row is valid during the call. */
CHECK_RESULT enum err run_queue_due(struct db *db, int64_t now_ms, int limit,
    void (*on_run)(void *arg, const struct run *r), void *arg);

/* When the next one after now_ms is due; 0: none is. */
CHECK_RESULT enum err run_queue_next(
    struct db *db, int64_t now_ms, int64_t *ret);

/* Is any due after horizon_ms? Nobody waits so long, so the clock was set
 * back. */
CHECK_RESULT enum err run_queue_is_far(
    struct db *db, int64_t horizon_ms, bool *ret);

/* Makes all those due at now_ms. */
CHECK_RESULT enum err run_queue_pull(
    struct db *db, int64_t now_ms, int64_t horizon_ms);

/* Appends input and policy (empty: none). ERR_NOENT: it has ended. */
CHECK_RESULT enum err run_queue_input(
    struct db *db, int64_t run_id, struct buf *input, struct buf *policy);

/* One call more. The words are those of schema.sql. */
CHECK_RESULT enum err run_queue_count_call(
    struct db *db, const char *call, const char *outcome);

#endif
