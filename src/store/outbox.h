/* SPDX-License-Identifier: ISC */
/*
 * The table outbox: what this node of a cluster has taken, in the order in
 * which it goes into the log, and what came of it there. Layer: store. Knows
 * nothing of what a payload says (intent/intent.h does). All within the
 * caller's transaction, where nothing else is said; errors as db_begin().
 * Blocks on the disk.
 */
#ifndef JOBWIRE_OUTBOX_H
#define JOBWIRE_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "store/db.h"

/* Valid during the callback only. */
struct outbox_row {
	int64_t seq;
	const char *kind;
	struct span payload;
	const char *created_at; /* RFC 3339: the time it is applied at, too */
	bool is_answered;
};

/* An answered row is kept so long at least: whoever wrote it may be waiting. */
enum { OUTBOX_KEEP_S = 60 };

/* ERR_LIMIT: the payload is larger than a row may be. */
CHECK_RESULT enum err outbox_add(
    struct db *db, const char *kind, struct span payload, int64_t *ret_seq);

/* Calls on_row for the rows behind after_seq, as they follow one another. Must
 * not use the connection there; false ends the reading. Needs no
 * transaction. */
CHECK_RESULT enum err outbox_read(struct db *db, int64_t after_seq, int limit,
    bool (*on_row)(void *arg, const struct outbox_row *row), void *arg);

/* What came of it. A row that is not there any more is no error: after a cut
 * back an entry is applied again. */
CHECK_RESULT enum err outbox_answer(
    struct db *db, int64_t seq, struct span result);

/* Appends it to *ret. ERR_AGAIN: not yet; ERR_NOENT: there is no such row.
 * Needs no transaction. */
CHECK_RESULT enum err outbox_result(
    struct db *db, int64_t seq, struct buf *ret);

/* Deletes what every node has applied: the answered rows up to that one, but
 * for those of the last OUTBOX_KEEP_S. */
CHECK_RESULT enum err outbox_forget(struct db *db, int64_t up_to);

#endif
