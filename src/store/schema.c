/* SPDX-License-Identifier: ISC */
/*
 * The versions of the schema and the steps from one to the next. The schema
 * itself is schema.sql, compiled in. Blocks on the disk and on other writers;
 * runs while a connection is opened.
 */
#include "store/schema.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "schema_sql.h"
#include "store/backup.h"
#include "store/stmt.h"

enum { APPLICATION_ID = 0x6a6f6277 /* "jobw" */ };

/* The first step makes a new database, of version SCHEMA_FIRST; each later one
 * leads to the next version. Each sets user_version, too. */
enum {
	SCHEMA_FIRST = 6, /* what came before was never released */
	SCHEMA_STEPS = sizeof(schema_steps) / sizeof(schema_steps[0]),
	SCHEMA_VERSION = SCHEMA_FIRST + SCHEMA_STEPS - 1,
};

/* *ret_version: where the schema stands; 0 for an empty database. */
static enum err
read_version(struct db *db, int64_t *ret_version)
{
	int64_t application, version, n_objects;
	sqlite3_stmt *st = stmt_open(db, STMT_IDENTITY);
	enum err e = stmt_row(db, st);

	if (e != OK)
		goto out;
	application = sqlite3_column_int64(st, 0);
	version = sqlite3_column_int64(st, 1);
	n_objects = sqlite3_column_int64(st, 2);
	if (application != APPLICATION_ID &&
	    (application != 0 || version != 0 || n_objects != 0))
		e = stmt_refuse(db, ERR_CORRUPT,
		    "%.100s is the database of another program; "
		    "give jobwire a path of its own",
		    db->path);
	else
		*ret_version = version;
out:
	stmt_close(st);
	return e;
}

/* 0 is an empty database. */
static bool
is_unreleased(int64_t version)
{
	return version != 0 && version < SCHEMA_FIRST;
}

static bool
is_unusable(int64_t version)
{
	return version > SCHEMA_VERSION || is_unreleased(version);
}

static enum err
wrong_version(struct db *db, int64_t version)
{
	const char *remedy = "run: jobwire init";

	if (version == 0)
		return stmt_refuse(db, ERR_VERSION,
		    "%.70s is empty, as is a copy of a database in use without "
		    "its -wal: copy with jobwire backup; to begin anew run: "
		    "jobwire init",
		    db->path);
	if (version > SCHEMA_VERSION)
		remedy = "upgrade jobwire";
	else if (is_unreleased(version))
		remedy = "it was made before the first release: "
			 "move it away and run: jobwire init";
	return stmt_refuse(db, ERR_VERSION,
	    "%.60s: schema version %" PRId64
	    " is %s than this program's %d; %s",
	    db->path, version, version > SCHEMA_VERSION ? "newer" : "older",
	    SCHEMA_VERSION, remedy);
}

static enum err
try_wal(struct db *db)
{
	sqlite3_stmt *st = stmt_open(db, STMT_JOURNAL_WAL);
	const char *mode;
	enum err e = stmt_row_text(db, st, &mode);

	if (e == OK && (mode == NULL || strcmp(mode, "wal") != 0))
		e = stmt_refuse(db, ERR_IO,
		    "%.100s cannot use a write-ahead log; "
		    "move it to a local file system",
		    db->path);
	stmt_close(st);
	return e;
}

/* While another connection switches, too, SQLite says busy without asking the
 * busy handler: whoever waits there may be who is waited for. */
static enum err
enable_wal(struct db *db)
{
	const struct timespec pause = {0, 1000000};
	int64_t end_us = clock_mono_us() + (int64_t)db->busy_ms * 1000;
	enum err e;

	while ((e = try_wal(db)) == ERR_BUSY && clock_mono_us() < end_us)
		nanosleep(&pause, NULL);
	return e;
}

/* *ret_from: what it was when we had the lock. */
static enum err
migrate(struct db *db, int64_t *ret_from)
{
	int64_t version = 0, step;
	enum err e;
	int rc;

	if ((e = stmt_do(db, STMT_BEGIN_WRITE)) != OK)
		return e;
	/* Another process may have done it while we waited for the lock. */
	e = read_version(db, &version);
	if (e == OK && is_unusable(version))
		e = wrong_version(db, version);
	step = version == 0 ? 0 : version - SCHEMA_FIRST + 1;
	for (; e == OK && step < SCHEMA_STEPS; step++) {
		rc = sqlite3_exec(db->h, schema_steps[step], NULL, NULL, NULL);
		if (rc != SQLITE_OK)
			e = stmt_failed(db, rc);
	}
	if (e == OK)
		e = stmt_do(db, STMT_COMMIT);
	if (e != OK)
		stmt_rollback(db);
	*ret_from = version;
	return e;
}

/* By then another process may have done it, or may be at it. */
static enum err
await_copy(struct db *db, int64_t *ret_version)
{
	const struct timespec pause = {0, 20000000};
	int64_t end_us = clock_mono_us() + (int64_t)db->busy_ms * 1000;
	struct db_fault fault = db->fault;
	enum err e = OK;

	while (e == OK && *ret_version < SCHEMA_VERSION &&
	       clock_mono_us() < end_us) {
		nanosleep(&pause, NULL);
		e = read_version(db, ret_version);
	}
	if (e != OK || *ret_version >= SCHEMA_VERSION)
		return e;
	db->fault = fault;
	return ERR_BUSY;
}

/* There are no steps back, but there is the database as it was. */
static enum err
step_up(struct db *db, int64_t version)
{
	struct buf copy = BUF_INIT;
	char suffix[32], reason[sizeof(db->fault.text)];
	enum err e;

	(void)snprintf(suffix, sizeof(suffix), "-schema-%" PRId64, version);
	e = backup_beside(db, suffix, &copy);
	if (e == ERR_BUSY)
		e = await_copy(db, &version);
	if (e != OK) {
		memcpy(reason, db->fault.text, sizeof(reason));
		e = stmt_refuse(db, e,
		    "before the step to schema %d a copy is made: %.100s%s",
		    SCHEMA_VERSION, reason,
		    e == ERR_FULL ? "; free as much as the database takes"
				  : "");
	}
	if (e == OK && version < SCHEMA_VERSION)
		e = migrate(db, &version);
	if (e == OK && version < SCHEMA_VERSION)
		log_warn("schema_raised", "path", db->path, "from",
		    LOG_INT(version), "to", LOG_INT(SCHEMA_VERSION), "copy",
		    copy.data, "to_return",
		    "stop all programs, jobwire restore the copy, then install "
		    "the older version");
	buf_done(&copy);
	return e;
}

enum err
schema_check(struct db *db, enum db_mode mode)
{
	int64_t version = 0;
	enum err e;

	if ((e = read_version(db, &version)) != OK)
		return e;
	if (is_unusable(version) || (version == 0 && mode != DB_CREATE))
		return wrong_version(db, version);
	if (mode == DB_AS_IS)
		return OK;
	if (mode == DB_READ)
		return version < SCHEMA_VERSION ? wrong_version(db, version)
						: OK;
	if ((e = enable_wal(db)) != OK || version == SCHEMA_VERSION)
		return e;
	return version == 0 ? migrate(db, &version) : step_up(db, version);
}
