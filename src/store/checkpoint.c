/* SPDX-License-Identifier: ISC */
/*
 * Checkpoints. When they are due is up to janitor.c, and to a writer of many
 * events. Blocks on the disk and on other writers.
 */
#include "store/checkpoint.h"

#include "store/stmt.h"
#include "store/wal.h"

enum err
checkpoint_if_filled(struct db *db, int64_t limit_bytes)
{
	enum err e;
	int rc;

	if (limit_bytes == CHECKPOINT_NEVER || !wal_is_filled(db, limit_bytes))
		return OK;
	/* Where others hold the lock, SQLite would do a PASSIVE one. */
	if ((e = db_begin(db)) != OK)
		return e;
	db_rollback(db);
	rc = sqlite3_wal_checkpoint_v2(
	    db->h, "main", SQLITE_CHECKPOINT_RESTART, NULL, NULL);
	return rc == SQLITE_OK ? OK : stmt_failed(db, rc);
}
