/* SPDX-License-Identifier: ISC */
/*
 * Whole copies of the database, and the way back. Layer: store.
 *
 * A copy is one file in rollback mode: it has no -wal, opens on read-only media
 * and stays so until it is written to. It is made under another name
 * (DEST.part) and gets its own when it is on the disk and checked, so a kill, a
 * power cut or a full disk leaves the whole copy or none; what such an end
 * leaves of the other name the next copy removes.
 *
 * All block on the disk for as long as it takes, and give up, with
 * ERR_EXPIRED, once SIGINT, SIGTERM or SIGHUP is pending: block these before.
 */
#ifndef JOBWIRE_BACKUP_H
#define JOBWIRE_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "store/db.h"

/* What a copy is. */
struct backup {
	char epoch[DB_EPOCH_SIZE];
	int64_t last_id; /* as events_last_id() */
	int64_t bytes;
};

/*
 * Copies db as it is now to dest, which must not exist: whatever was committed
 * before is in it. Writers go on meanwhile; the WAL grows by what they write.
 * The copy is readable to this user alone. Notes the time (mark.h).
 * ERR_EXISTS: dest is there, or would be taken for a part of the database;
 * ERR_FULL; ERR_CORRUPT: the copy is damaged, as the database is; ERR_BUSY:
 * another copy is being written there; ERR_SYS; ERR_EXPIRED; else as db_open().
 * Whatever it is, the fault of db has a text that says it all.
 */
CHECK_RESULT enum err backup_make(
    struct db *db, const char *dest, struct backup *ret);

/* The same to the database's own path with `suffix` behind it, in place of what
 * is there, with the database's owner and mode. *ret_path: appended to. */
CHECK_RESULT enum err backup_beside(
    struct db *db, const char *suffix, struct buf *ret_path);

struct restore {
	const char *src; /* any released version; stays as it is */
	const char *db_path;
	/* Else the copy gets a new epoch, and its runs that were not submitted
	 * become unknown. */
	bool keeps_epoch;
	/* Changes the copy, in a transaction, before it takes its place. NULL:
	 * nothing. Errors end it all, and are passed on. */
	enum err (*change)(void *arg, struct db *copy);
	void *arg;
};

/*
 * Puts a checked copy of r->src in the place of the database, as one rename:
 * with its owner and mode, where there is one, without its -wal, and with its
 * bell set to what the copy knows. Nobody may have the database open
 * (io/holders.h); who opens it meanwhile finds the file moved. Until the rename
 * nothing has changed. ERR_EXISTS: src is the database itself. ERR_CORRUPT,
 * ERR_VERSION, ERR_NOENT: what src is; else as backup_make(). *fault has a text
 * in any case.
 */
CHECK_RESULT enum err backup_restore(
    const struct restore *r, struct backup *ret, struct db_fault *fault);

#endif
