/* SPDX-License-Identifier: ISC */
/*
 * How a statement's rows become runs. Layer: store, private to it.
 */
#ifndef JOBWIRE_RUN_LOAD_H
#define JOBWIRE_RUN_LOAD_H

#include "store/run.h"
#include "store/stmt.h"

/* Column i as a time; 0 where it is none. ERR_NOMEM. */
CHECK_RESULT enum err run_load_time(
    struct db *db, sqlite3_stmt *st, int i, int64_t *ret);

/* The present row of one that selects RUN_ROWS(), owned (run_done). ERR_NOMEM;
 * then *ret is left alone. */
CHECK_RESULT enum err run_load(
    struct db *db, sqlite3_stmt *st, struct run *ret);

/* The only row of one that is bound, and closes it; ERR_NOENT. */
CHECK_RESULT enum err run_take(
    struct db *db, sqlite3_stmt *st, struct run *ret);

/* Calls on_run for each row of one whose first parameter is a limit and whose
 * second, where it has one, a text. The row is valid during the call. */
CHECK_RESULT enum err run_each(struct db *db, unsigned id, int limit,
    const char *text, void (*on_run)(void *arg, const struct run *r),
    void *arg);

/* The same with a third, the node whose they are. */
CHECK_RESULT enum err run_each_of(struct db *db, unsigned id, int limit,
    const char *text, const char *node_id,
    void (*on_run)(void *arg, const struct run *r), void *arg);

#endif
