/* SPDX-License-Identifier: ISC */
/*
 * What has been given out, kept outside of the database: its epoch, its highest
 * event id and a digest of its newest row, in the bell's file. A database that
 * knows less than that, or something else, is an older one that was put back,
 * and would give ids out a second time: it gets a new epoch, so that clients
 * are told `resync`. Layer: store.
 *
 * The mark is a lower bound. It is written after the commit, so a crash between
 * the two leaves it behind, never ahead; it is overwritten in place within one
 * sector, and has a sum. A copy that is put back *with* its own bell cannot be
 * told from one that was stopped: `jobwire restore` is for that.
 */
#ifndef JOBWIRE_MARK_H
#define JOBWIRE_MARK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "store/db.h"

/*
 * For db_open(): compares the database with its bell. One that was put back by
 * other means gets a new epoch, its runs that have not been submitted become
 * unknown (they may have been, since), and `database_restored` is logged; all
 * under the write lock, so of many that open it one does so. What was never
 * marked is marked. A bell that cannot be opened is no reason for anything,
 * nor is a missing one to who reads only. ERR_BUSY, ERR_IO, ERR_NOMEM; from who
 * writes also ERR_FULL, ERR_READONLY: then nothing has been given out.
 */
CHECK_RESULT enum err mark_check(struct db *db, enum db_mode mode);

/* db_end() of what others wait for: once it is committed, the mark is written,
 * which rings the bell. Errors as db_end() and events_last_id(); a mark that
 * cannot be written is none. */
CHECK_RESULT enum err mark_end(struct db *db, enum err e);

/*
 * For who gives out what others have written: marks it, and looks whether the
 * database has got another epoch since it was opened. *ret_last_id: as
 * events_last_id(). Errors as that.
 */
CHECK_RESULT enum err mark_look(
    struct db *db, int64_t *ret_last_id, bool *ret_has_new_epoch);

/* Makes a new epoch, in the caller's transaction, before whose end
 * mark_replace() is due, or the next who opens takes it for one that was put
 * back. was_restored: runs that were not submitted become unknown, too. Any
 * schema version. */
CHECK_RESULT enum err mark_renew(struct db *db, bool was_restored);

/* Makes the bell beside db_path say what db is, whatever it said: of a database
 * that got a new epoch, or takes that place. ERR_SYS, ERR_FULL, and as
 * events_last_id(). */
CHECK_RESULT enum err mark_replace(struct db *db, const char *db_path);

/* When the last backup was made, of CLOCK_REALTIME; 0: not known. It stands in
 * the bell's file, too, for a row would not tell of the database as it is. */
void mark_note_backup(struct db *db);
int64_t mark_backup_ms(const struct db *db);

#endif
