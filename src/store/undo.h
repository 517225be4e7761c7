/* SPDX-License-Identifier: ISC */
/*
 * What takes changes of the replicated tables back: while this connection
 * writes, each changed row leaves in log_undo the statement that restores it,
 * but for new events, which are labelled with their entry. Layer: store, for
 * replica.c alone.
 */
#ifndef JOBWIRE_UNDO_H
#define JOBWIRE_UNDO_H

#include <stdint.h>

#include "base/err.h"
#include "store/db.h"
#include "store/replica.h"

/* From now on, for as long as the connection lives. Of runs that node_id has
 * taken nothing is ever undone: a run that was submitted stays so. Errors as
 * db_begin(). */
CHECK_RESULT enum err undo_start(struct db *db, const char *node_id);

/* Runs what stands in log_undo behind that id, newest first, and removes it,
 * and the events of the entry, which is the last one that was applied. Within
 * the caller's transaction; no trigger of the schema fires. */
CHECK_RESULT enum err undo_run(
    struct db *db, const struct log_entry *entry, int64_t after_id);

#endif
