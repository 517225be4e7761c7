/* SPDX-License-Identifier: ISC */
/*
 * How a statement of stmt_sql.c is prepared, stepped and put back. Opening the
 * database and transactions are db.c. Blocks on the disk and on other writers.
 */
#include "store/stmt.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text/json_text.h"

static enum err
to_err(int rc)
{
	if (rc == SQLITE_IOERR_NOMEM)
		return ERR_NOMEM;
	if (rc == SQLITE_READONLY_DBMOVED)
		return ERR_GONE;
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PROTOCOL:
		return ERR_BUSY;
	case SQLITE_FULL:
		return ERR_FULL;
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return ERR_READONLY;
	case SQLITE_NOMEM:
		return ERR_NOMEM;
	case SQLITE_CONSTRAINT:
		return ERR_PROTO;
	case SQLITE_TOOBIG:
		return ERR_LIMIT;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_ERROR: /* no such table or column: somebody altered it */
		return ERR_CORRUPT;
	default:
		return ERR_IO;
	}
}

enum err
stmt_failed(struct db *db, int rc)
{
	db->fault.code = rc;
	db->fault.sys_errno = sqlite3_system_errno(db->h);
	snprintf(db->fault.text, sizeof(db->fault.text), "%s",
	    sqlite3_extended_errcode(db->h) == rc ? sqlite3_errmsg(db->h)
						  : sqlite3_errstr(rc));
	return to_err(rc);
}

enum err
stmt_refuse(struct db *db, enum err e, const char *format, ...)
{
	va_list args;

	db->fault = (struct db_fault){0};
	va_start(args, format);
	(void)vsnprintf(db->fault.text, sizeof(db->fault.text), format, args);
	va_end(args);
	return e;
}

enum err
stmt_prepare(struct db *db, unsigned id)
{
	const char *text = stmt_sql[id < STMT_READ_JOB ? id : STMT_READ_JOB];
	int rc = SQLITE_OK;

	if (db->stmts[id] == NULL)
		rc = sqlite3_prepare_v3(db->h, text, -1,
		    SQLITE_PREPARE_PERSISTENT, &db->stmts[id], NULL);
	return rc == SQLITE_OK ? OK : stmt_failed(db, rc);
}

sqlite3_stmt *
stmt_open(struct db *db, unsigned id)
{
	db->failure = stmt_prepare(db, id);
	return db->stmts[id];
}

static void
note_bind(struct db *db, int rc)
{
	if (rc != SQLITE_OK && db->failure == OK)
		db->failure = stmt_failed(db, rc);
}

void
stmt_bind_int(struct db *db, sqlite3_stmt *st, int i, int64_t n)
{
	note_bind(db, sqlite3_bind_int64(st, i, n));
}

void
stmt_bind_text(struct db *db, sqlite3_stmt *st, int i, const char *s)
{
	stmt_bind_span(db, st, i, span_of(s));
}

void
stmt_bind_exact(struct db *db, sqlite3_stmt *st, int i, const char *s)
{
	note_bind(db, sqlite3_bind_text64(
			  st, i, s, span_of(s).n, SQLITE_STATIC, SQLITE_UTF8));
}

void
stmt_bind_value(
    struct db *db, sqlite3_stmt *st, int i, const sqlite3_value *value)
{
	note_bind(db, sqlite3_bind_value(st, i, value));
}

void
stmt_bind_span(struct db *db, sqlite3_stmt *st, int i, struct span s)
{
	note_bind(db, sqlite3_bind_text64(st, i, s.n > 0 ? s.p : NULL, s.n,
			  SQLITE_STATIC, SQLITE_UTF8));
}

enum err
stmt_step(struct db *db, sqlite3_stmt *st, bool *ret_row)
{
	int rc;

	if (db->failure != OK)
		return db->failure;
	rc = sqlite3_step(st);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return stmt_failed(db, rc);
	*ret_row = rc == SQLITE_ROW;
	return OK;
}

enum err
stmt_run(struct db *db, sqlite3_stmt *st)
{
	bool has_row = true;
	enum err e = OK;

	while (e == OK && has_row)
		e = stmt_step(db, st, &has_row);
	stmt_close(st);
	return e;
}

enum err
stmt_judge_json(struct db *db, enum err e, struct span json)
{
	struct span object;

	/* The constraint's name, or what it says. */
	if (e != ERR_PROTO || strstr(db->fault.text, "json") == NULL)
		return e;
	if (json.n > 0 &&
	    (json.n > JOB_DATA_MAX || json_text_check(json, &object) != OK ||
		json_text_kind(object) != JSON_TEXT_OBJECT))
		return e;
	return stmt_failed(db, SQLITE_NOMEM);
}

enum err
stmt_row(struct db *db, sqlite3_stmt *st)
{
	bool has_row = false;
	enum err e = stmt_step(db, st, &has_row);

	return e == OK && !has_row ? ERR_NOENT : e;
}

enum err
stmt_row_text(struct db *db, sqlite3_stmt *st, const char **ret)
{
	enum err e = stmt_row(db, st);

	return e == OK ? stmt_column_text(db, st, 0, ret) : e;
}

enum err
stmt_run_int(struct db *db, sqlite3_stmt *st, int64_t fallback, int64_t *ret)
{
	bool has_row = false;
	enum err e = stmt_step(db, st, &has_row);

	if (e == OK)
		*ret = has_row && sqlite3_column_type(st, 0) != SQLITE_NULL
			   ? sqlite3_column_int64(st, 0)
			   : fallback;
	stmt_close(st);
	return e;
}

enum err
stmt_run_bool(struct db *db, sqlite3_stmt *st, bool *ret)
{
	int64_t n = 0;
	enum err e = stmt_run_int(db, st, 0, &n);

	if (e == OK)
		*ret = n != 0;
	return e;
}

/* For SQLite a NULL may be a NULL, or that it has no memory for the text. */
enum err
stmt_column_text(struct db *db, sqlite3_stmt *st, int i, const char **ret)
{
	const char *text = NULL;

	if (sqlite3_column_type(st, i) != SQLITE_NULL) {
		text = (const char *)sqlite3_column_text(st, i);
		if (text == NULL)
			return stmt_failed(db, SQLITE_NOMEM);
	}
	*ret = text;
	return OK;
}

enum err
stmt_column_dup(struct db *db, sqlite3_stmt *st, int i, char **ret)
{
	const char *text = NULL;
	char *copy = NULL;
	enum err e = stmt_column_text(db, st, i, &text);

	if (e != OK)
		return e;
	if (text != NULL && (copy = strdup(text)) == NULL)
		return stmt_failed(db, SQLITE_NOMEM);
	*ret = copy;
	return OK;
}

enum err
stmt_do(struct db *db, unsigned id)
{
	return stmt_run(db, stmt_open(db, id));
}

/* The fault of what led here is kept: it is what the caller reports. */
void
stmt_rollback(struct db *db)
{
	struct db_fault fault = db->fault;

	if (!sqlite3_get_autocommit(db->h) && stmt_do(db, STMT_ROLLBACK) != OK)
		db->fault = fault;
}

void
stmt_close(sqlite3_stmt *st)
{
	if (st == NULL)
		return;
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
}

void
stmt_done(struct db *db)
{
	size_t i;

	for (i = 0; i < STMT_SLOTS; i++) {
		sqlite3_finalize(db->stmts[i]);
		db->stmts[i] = NULL;
	}
}
