/* SPDX-License-Identifier: ISC */
/*
 * The inbox's file: its schema, how it is opened, and its rows. What comes into
 * it, and how fast, is decided in hook/call_inbox.c. SQL is in stmt.c, but for
 * the schema.
 */
#include "store/inbox.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "io/beside.h"
#include "store/stmt.h"

#define SUFFIX "-inbox"

enum {
	SCHEMA_VERSION = 1,
	DAY_MS = 86400000,
};

/* A journal that is a file and is deleted: a program that is killed leaves the
 * inbox whole, and nothing stays beside it. */
static const char pragmas[] = "PRAGMA journal_mode = DELETE;"
			      "PRAGMA synchronous = OFF;"
			      "PRAGMA cell_size_check = ON;"
			      "PRAGMA trusted_schema = OFF;"
			      "PRAGMA temp_store = MEMORY;"
			      "PRAGMA secure_delete = ON;"
			      "PRAGMA mmap_size = 0;";

static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE IF NOT EXISTS calls ("
    "id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, "
    "status INTEGER NOT NULL, code TEXT NOT NULL, method TEXT NOT NULL, "
    "path TEXT NOT NULL, job_id TEXT, restore_id TEXT, delivery_id TEXT, "
    "content_type TEXT, peer TEXT NOT NULL, request_id TEXT, "
    "body_bytes INTEGER NOT NULL, body TEXT) STRICT;"
    "CREATE INDEX IF NOT EXISTS calls_code ON calls (code, at_ms);"
    "PRAGMA user_version = 1;"
    "COMMIT;";

static enum err
check_schema(struct db *inbox, enum db_mode mode)
{
	int64_t version = 0;
	enum err e = stmt_run_int(
	    inbox, stmt_open(inbox, STMT_INBOX_VERSION), 0, &version);

	if (e != OK || version == SCHEMA_VERSION)
		return e;
	if (mode == DB_READ)
		return version == 0 ? ERR_NOENT
				    : stmt_refuse(inbox, ERR_VERSION,
					  "the inbox is of another version");
	if (version != 0)
		return ERR_CORRUPT;
	return sqlite3_exec(inbox->h, schema, NULL, NULL, NULL) == SQLITE_OK
		   ? OK
		   : stmt_failed(inbox, sqlite3_extended_errcode(inbox->h));
}

/* Not through a symbolic link, as all that stands beside the database. */
static enum err
open_file(struct db *inbox, enum db_mode mode, int busy_ms)
{
	struct stat file;
	int rc;

	if (lstat(inbox->path, &file) != 0)
		return ERR_NOENT;
	if (!S_ISREG(file.st_mode))
		return stmt_refuse(
		    inbox, ERR_READONLY, "%.100s is no file", inbox->path);
	inbox->dev = file.st_dev;
	inbox->ino = file.st_ino;
	rc = sqlite3_open_v2(inbox->path, &inbox->h,
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
		SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_NOFOLLOW,
	    NULL);
	if (rc == SQLITE_OK) {
		sqlite3_extended_result_codes(inbox->h, 1);
		sqlite3_busy_timeout(inbox->h, busy_ms);
		sqlite3_limit(inbox->h, SQLITE_LIMIT_ATTACHED, 0);
		rc = sqlite3_db_config(
		    inbox->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	}
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(inbox->h, pragmas, NULL, NULL, NULL);
	return rc == SQLITE_OK ? check_schema(inbox, mode)
			       : stmt_failed(inbox, rc);
}

/* The file that SQLite opens then; with the owner that the database has. */
static enum err
make_file(const char *db_path)
{
	int fd = beside_open(db_path, SUFFIX, O_WRONLY | O_CREAT);

	if (fd == -1)
		return errno == ENOSPC || errno == EDQUOT ? ERR_FULL
							  : ERR_READONLY;
	(void)close(fd); /* nobody here has it open, so no lock is lost */
	return OK;
}

static enum err
try_open(const char *db_path, enum db_mode mode, int busy_ms, struct db **ret,
    struct db_fault *fault)
{
	struct db *inbox = db_new();
	struct buf path = BUF_INIT;
	enum err e = ERR_NOMEM;

	beside_add(&path, db_path, SUFFIX);
	if (inbox == NULL || (inbox->path = buf_take(&path)) == NULL)
		goto out;
	e = mode == DB_READ ? OK : make_file(db_path);
	if (e == OK)
		e = open_file(inbox, mode, busy_ms);
	if (e == OK)
		e = stmt_prepare(inbox, STMT_ROLLBACK);
	if (e == OK) {
		*ret = inbox;
		inbox = NULL;
	}
out:
	if (fault != NULL && inbox != NULL)
		*fault = inbox->fault;
	buf_done(&path);
	db_close(&inbox);
	return e;
}

enum err
inbox_open(const char *db_path, enum db_mode mode, int busy_ms, struct db **ret,
    struct db_fault *fault)
{
	enum err e = try_open(db_path, mode, busy_ms, ret, fault);
	struct buf path = BUF_INIT;

	if (e != ERR_CORRUPT || mode == DB_READ)
		return e;
	beside_add(&path, db_path, SUFFIX);
	if (buf_ok(&path) && unlink(path.data) == 0)
		e = try_open(db_path, mode, busy_ms, ret, fault);
	buf_done(&path);
	return e;
}

enum err
inbox_begin(struct db *inbox)
{
	return stmt_do(inbox, STMT_BEGIN_WRITE);
}

enum err
inbox_end(struct db *inbox, enum err e)
{
	if (e == OK)
		e = stmt_do(inbox, STMT_COMMIT);
	if (e != OK)
		stmt_rollback(inbox);
	return e;
}

enum err
inbox_add(struct db *inbox, const struct inbox_call *c, bool *ret_kept)
{
	sqlite3_stmt *st = stmt_open(inbox, STMT_INBOX_ADD);
	enum err e;

	stmt_bind_int(inbox, st, 1, c->at_ms);
	stmt_bind_int(inbox, st, 2, c->status);
	stmt_bind_text(inbox, st, 3, c->code);
	stmt_bind_text(inbox, st, 4, c->method);
	stmt_bind_text(inbox, st, 5, c->path);
	stmt_bind_text(inbox, st, 6, c->job_id);
	stmt_bind_text(inbox, st, 7, c->restore_id);
	stmt_bind_text(inbox, st, 8, c->delivery_id);
	stmt_bind_text(inbox, st, 9, c->content_type);
	stmt_bind_text(inbox, st, 10, c->peer);
	stmt_bind_text(inbox, st, 11, c->request_id);
	stmt_bind_int(inbox, st, 12, c->body_bytes);
	stmt_bind_span(inbox, st, 13, c->body);
	/* A daemon has seen to it; what it writes now may be of two seconds. */
	stmt_bind_int(inbox, st, 14, 2 * INBOX_CALLS_PER_SECOND);
	e = stmt_run(inbox, st);
	if (e == OK)
		*ret_kept = sqlite3_changes(inbox->h) > 0;
	return e;
}

enum err
inbox_trim(struct db *inbox, int64_t keep, int64_t keep_days)
{
	sqlite3_stmt *st = stmt_open(inbox, STMT_INBOX_AGED);
	int64_t n = 0;
	enum err e;

	stmt_bind_int(inbox, st, 1, clock_real_ms() - keep_days * DAY_MS);
	e = stmt_run(inbox, st);
	if (e == OK)
		e = stmt_run_int(
		    inbox, stmt_open(inbox, STMT_INBOX_COUNT), 0, &n);
	for (; e == OK && n > keep; n--)
		e = stmt_do(inbox, STMT_INBOX_TRIM);
	return e;
}

static enum err
read_text(struct db *inbox, sqlite3_stmt *st, struct inbox_call *c)
{
	const char **texts[] = {&c->code, &c->method, &c->path, &c->job_id,
	    &c->restore_id, &c->delivery_id, &c->content_type, &c->peer,
	    &c->request_id};
	const char *body = NULL;
	enum err e = OK;

	for (size_t i = 0; e == OK && i < sizeof(texts) / sizeof(*texts); i++)
		e = stmt_column_text(inbox, st, 3 + (int)i, texts[i]);
	if (e == OK)
		e = stmt_column_text(inbox, st, 13, &body);
	c->body = span_of(body);
	return e;
}

/* All rows of a statement. *ret_n: how many. */
static enum err
read_rows(struct db *inbox, sqlite3_stmt *st,
    void (*on_call)(void *arg, const struct inbox_call *call), void *arg,
    size_t *ret_n)
{
	bool has_row = false;
	enum err e;

	*ret_n = 0;
	while ((e = stmt_step(inbox, st, &has_row)) == OK && has_row) {
		struct inbox_call c = {
		    .id = sqlite3_column_int64(st, 0),
		    .at_ms = sqlite3_column_int64(st, 1),
		    .status = sqlite3_column_int(st, 2),
		    .body_bytes = sqlite3_column_int64(st, 12),
		};

		if ((e = read_text(inbox, st, &c)) != OK)
			break;
		on_call(arg, &c);
		++*ret_n;
	}
	stmt_close(st);
	return e;
}

enum err
inbox_list(struct db *inbox, int64_t limit,
    void (*on_call)(void *arg, const struct inbox_call *call), void *arg)
{
	sqlite3_stmt *st = stmt_open(inbox, STMT_INBOX_LIST);
	size_t n;

	stmt_bind_int(inbox, st, 1, limit);
	return read_rows(inbox, st, on_call, arg, &n);
}

enum err
inbox_get(struct db *inbox, int64_t id,
    void (*on_call)(void *arg, const struct inbox_call *call), void *arg)
{
	sqlite3_stmt *st = stmt_open(inbox, STMT_INBOX_GET);
	size_t n;
	enum err e;

	stmt_bind_int(inbox, st, 1, id);
	e = read_rows(inbox, st, on_call, arg, &n);
	return e == OK && n == 0 ? ERR_NOENT : e;
}

enum err
inbox_forget(struct db *inbox, int64_t id)
{
	sqlite3_stmt *st = stmt_open(inbox, STMT_INBOX_FORGET);
	enum err e;

	stmt_bind_int(inbox, st, 1, id);
	e = stmt_run(inbox, st);
	return e == OK && id != 0 && sqlite3_changes(inbox->h) == 0 ? ERR_NOENT
								    : e;
}
