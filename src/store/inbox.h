/* SPDX-License-Identifier: ISC */
/*
 * Calls that were refused: the last of them, for the operator, in a file of
 * their own beside the database, DB-inbox. Layer: store. Blocks on the page
 * cache, and on others that have the file up to busy_ms.
 *
 * It is another SQLite file because anybody can be refused: here nobody's
 * publications wait for the lock, nothing waits for the disk (synchronous =
 * OFF), backups do not carry strangers' texts, and what is worst for it, a
 * power cut in the middle of a write, costs the inbox alone.
 */
#ifndef JOBWIRE_INBOX_H
#define JOBWIRE_INBOX_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "store/db.h"

enum {
	INBOX_BODY_MAX = 64 << 10, /* bytes; a longer body is not kept */
	/* Of a code. What comes faster is a flood. */
	INBOX_CALLS_PER_SECOND = 4,
};

/* Texts are borrowed; NULL where there is nothing. */
struct inbox_call {
	int64_t id; /* of the row; not looked at when one is added */
	int64_t at_ms;
	int status;
	const char *code, *method, *path;
	const char *job_id, *restore_id;
	const char *delivery_id; /* by which Standard Webhooks know it */
	const char *content_type, *peer, *request_id;
	int64_t body_bytes; /* as it came */
	struct span body;   /* redacted; empty: not kept */
};

/*
 * Opens the inbox of a database: to read, or to write, which makes it where it
 * is missing. One that is damaged, or from another version, is made anew by who
 * writes. Returns owned (db_close); the connection is for the functions below
 * and db_last_fault() only. ERR_NOENT (DB_READ):
 * there is none; else as db_open(), with *fault (may be NULL).
 */
CHECK_RESULT enum err inbox_open(const char *db_path, enum db_mode mode,
    int busy_ms, struct db **ret, struct db_fault *fault);

/* As db_begin() and db_end(), which know the database's own tables. */
CHECK_RESULT enum err inbox_begin(struct db *inbox);
CHECK_RESULT enum err inbox_end(struct db *inbox, enum err e);

/*
 * Adds one within the caller's transaction, but when there are twice
 * INBOX_CALLS_PER_SECOND of its code in the last second, as where processes add
 * theirs that know nothing of each other. *ret_kept: was it?
 * Errors as db_begin(), as of all below.
 */
CHECK_RESULT enum err inbox_add(
    struct db *inbox, const struct inbox_call *call, bool *ret_kept);

/*
 * Deletes what is beyond `keep` calls, and what is older than keep_days: within
 * the caller's transaction. The oldest goes, of the code that has most, and
 * among these of the peer that has most: a flood of one kind takes its own
 * place and leaves the others theirs.
 */
CHECK_RESULT enum err inbox_trim(
    struct db *inbox, int64_t keep, int64_t keep_days);

/* Calls on_call for the newest `limit`, newest first; what it gets is valid
 * during the call, and has no body. */
CHECK_RESULT enum err inbox_list(struct db *inbox, int64_t limit,
    void (*on_call)(void *arg, const struct inbox_call *call), void *arg);

/* The same for one, with its body. ERR_NOENT: it is not there. */
CHECK_RESULT enum err inbox_get(struct db *inbox, int64_t id,
    void (*on_call)(void *arg, const struct inbox_call *call), void *arg);

/* Deletes one, or all of them (id 0), in a transaction of its own. ERR_NOENT:
 * it is not there. */
CHECK_RESULT enum err inbox_forget(struct db *inbox, int64_t id);

#endif
