/* SPDX-License-Identifier: ISC */
/*
 * One hardened connection to the jobwire database. Layer: store.
 *
 * A connection belongs to one thread and must not live across fork(). Calls
 * block on the disk, and on other writers up to the connection's deadline.
 * Statements are always reset before a call returns, so no read transaction
 * is ever open while the program waits (an open one freezes data_version and
 * pins the WAL).
 */
#ifndef JOBWIRE_DB_H
#define JOBWIRE_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct db;

enum db_mode {
	DB_READ, /* query_only; needs write access to -shm all the same (WAL) */
	DB_WRITE,
	DB_APPLY,  /* the same, with the clock of entry_clock.h */
	DB_CREATE, /* makes the file where it is missing, and the schema in an
		      empty one: whoever made it may have died before that */
	DB_AS_IS,  /* to write, and leaves all as it is that the others bring up
		      to date: any version since the first release, any age */
};

/* What went wrong, copied at the failing call. */
struct db_fault {
	int code;	/* SQLite's extended result code */
	int sys_errno;	/* sqlite3_system_errno() */
	char text[200]; /* one line; no data of any row */
};

enum {
	DB_EPOCH_SIZE = 9,
	DB_NODE_MAX = 32, /* bytes of the name of a cluster's node */
	/* Of the WAL's file. Made by the janitor; what a large transaction or
	 * a long reader adds is cut off when the WAL begins at its front again.
	 * A nearly full disk has no room for more. */
	DB_WAL_BYTES = 8 << 20,
};

/*
 * Opens path. Sets: WAL, synchronous=FULL, foreign keys off, cell_size_check,
 * DEFENSIVE, mmap_size 0, a WAL of DB_WAL_BYTES, no autocheckpoint and no
 * checkpoint on close (see checkpoint.h), a busy handler that waits 0.5-1.5 ms
 * at a time, jittered, up to busy_ms in all.
 * Then checks application_id and user_version and, with DB_WRITE or
 * DB_CREATE, migrates an older schema under BEGIN IMMEDIATE, after a copy of it
 * was made (schema.h). What is empty is taken with DB_CREATE alone: mostly it
 * is a copy that lacks its WAL. One that was put back gets a new epoch: mark.h.
 * Returns owned (db_close). ERR_NOENT: no such file (DB_CREATE: no such
 * folder); ERR_CORRUPT: damaged, not a database, or another program's;
 * ERR_VERSION: newer than we know, or made before the first release (DB_READ:
 * or older; not DB_CREATE: or empty); ERR_READONLY; ERR_BUSY; ERR_FULL; ERR_IO;
 * ERR_NOMEM. *fault (may be NULL) gets a text that names the path and the
 * remedy.
 */
CHECK_RESULT enum err db_open(const char *path, enum db_mode mode, int busy_ms,
    struct db **ret, struct db_fault *fault);

/* May databases on a network file system be opened for writing? Not before this
 * is called: ERR_READONLY, for they get damaged. Call it before there are
 * threads. */
void db_allow_remote(bool is_allowed);

/* The name of the network file system that the database is on, or would be; a
 * static text, NULL: a local one. */
const char *db_is_remote(const char *path);

/* Sets synchronous=NORMAL: this connection's commits do not wait for the disk
 * any more, and a power cut may undo them. For rows that are of no use after
 * one. ERR_IO, ERR_NOMEM. */
CHECK_RESULT enum err db_sync_normal(struct db *db);
/* Sets synchronous=FULL again, as it is at first. The next commit makes those
 * before it durable, too. */
CHECK_RESULT enum err db_sync_full(struct db *db);

/* Makes all connections of this process together keep about so many bytes of
 * pages; each keeps up to 2 MiB otherwise. Call once, before db_open(). */
void db_limit_memory(int64_t bytes);

/* From now on this connection waits up to busy_ms for locks. */
void db_set_busy(struct db *db, int busy_ms);

/* Accepts NULL and half-opened ones. */
void db_close(struct db **db);

/*
 * Is a connection that had this error to be closed, because a new one may not
 * have it? So it is also with ERR_READONLY: SQLite opens what cannot be opened
 * for writing for reading, also where it lacked a descriptor for a moment, and
 * keeps that for as long as the file is open (unixOpen() of its unix VFS, and
 * unixOpenSharedMemory(); of -shm for all connections of a process).
 */
bool db_is_spoiled_by(enum err e);

/* The last failure on this connection; code 0 when there was none. */
const struct db_fault *db_last_fault(const struct db *db);

/* 8 hex digits made when the database was created, and anew when it was put
 * back (mark.h), or joined or left a cluster; as the last db_begin(),
 * mark_look() or db_refresh() found it, and valid until the next. */
const char *db_epoch(const struct db *db);

/* The name of this node of a cluster, likewise; "": it is a single one. */
const char *db_node_id(const struct db *db);
bool db_is_clustered(const struct db *db);

/* Looks for both again, if another connection has written; for who only reads.
 * Errors as events_read_all(). */
CHECK_RESULT enum err db_refresh(struct db *db);

const char *db_path(const struct db *db);

/*
 * Has another connection changed the database since the last call? (PRAGMA
 * data_version.) True the first time, and after any error: "not known" must
 * read as "look", or a wake is missed.
 */
bool db_changed(struct db *db);

/* Is the file under our path not the one we opened (renamed away, replaced,
 * deleted)? Compares device and inode, and asks SQLITE_FCNTL_HAS_MOVED. */
bool db_has_moved(struct db *db);

/*
 * BEGIN IMMEDIATE / COMMIT / ROLLBACK. db_commit() answers OK only when the
 * transaction is on the disk (synchronous=FULL) and the file is still under
 * its path: ERR_GONE when it is not, after the commit. After any error the
 * transaction is rolled back.
 *
 * ERR_BUSY: others held a lock for longer than busy_ms; ERR_FULL;
 * ERR_READONLY; ERR_CORRUPT: damaged, or the schema was altered; ERR_IO;
 * ERR_NOMEM.
 */
CHECK_RESULT enum err db_begin(struct db *db);
/* A snapshot for several readings; ended by db_rollback(). Never across a
 * wait. */
CHECK_RESULT enum err db_begin_read(struct db *db);
CHECK_RESULT enum err db_commit(struct db *db);
/* The connection's fault stays that of what led here. */
void db_rollback(struct db *db);
/* Commits when e is OK; else rolls back and answers e. e is what came of the
 * transaction, or of its db_begin(). */
CHECK_RESULT enum err db_end(struct db *db, enum err e);

/*
 * A part of a transaction that can fail alone. db_part_end() keeps what it has
 * written when e is OK, and answers OK; else it undoes that and answers e.
 * *ret_goes_on, then: the transaction goes on, for the database refused the
 * part (ERR_PROTO, ERR_LIMIT) and nothing else is wrong.
 */
CHECK_RESULT enum err db_part_begin(struct db *db);
CHECK_RESULT enum err db_part_end(struct db *db, enum err e, bool *ret_goes_on);

/* Has the transaction written rows since the mark was taken, or was it ended
 * since, as a trigger may? If neither, what failed since has left nothing. */
int64_t db_mark(const struct db *db);
bool db_has_written(const struct db *db, int64_t mark);

/* Writes one row that means nothing, within the caller's transaction: can the
 * database be written? Errors as db_begin(); ERR_FULL also while its disk has
 * less than 1 MiB. */
CHECK_RESULT enum err db_probe(struct db *db);

#endif
