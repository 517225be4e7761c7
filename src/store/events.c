/* SPDX-License-Identifier: ISC */
/*
 * Appends events, and reads them forward. What an event means for its job is
 * done by the triggers of schema.sql; what becomes of a row on the wire is
 * decided by the callers. Blocks on the disk.
 */
#include "store/events.h"

#include <string.h>

#include "store/stmt.h"

/* The rows of one statement, at its next row. */
struct cursor {
	sqlite3_stmt *st;
	int64_t id; /* the row's; INT64_MAX: no more */
};

static enum err
cursor_step(struct db *db, struct cursor *c)
{
	bool has_row = false;
	enum err e = stmt_step(db, c->st, &has_row);

	if (e == OK)
		c->id = has_row ? sqlite3_column_int64(c->st, 0) : INT64_MAX;
	return e;
}

static enum err
cursor_start(struct db *db, struct cursor *c, unsigned id, const char *name,
    int64_t after, int limit)
{
	c->st = stmt_open(db, id);
	stmt_bind_int(db, c->st, 1, after);
	stmt_bind_int(db, c->st, 2, limit);
	if (name != NULL)
		stmt_bind_text(db, c->st, 3, name);
	return cursor_step(db, c);
}

/* A foreign writer can store a NUL: in an owner, or with the checks switched
 * off. A name must not be read as the part before it: then it is nobody's. */
static const char *
whole_name(sqlite3_stmt *st, int i, const char *name)
{
	return strlen(name) == (size_t)sqlite3_column_bytes(st, i) ? name : "";
}

/* An entry of the log has room for so many events, and the first has an id that
 * they divide (docs/cluster.md). */
enum { EVENTS_PER_ENTRY = 128 };

/* The entry's number at its origin, and which of its events it is. */
static int64_t
event_seq(int64_t id, int64_t origin_seq)
{
	return origin_seq * EVENTS_PER_ENTRY + id % EVENTS_PER_ENTRY;
}

static enum err
emit(struct db *db, const struct cursor *c, event_row_fn *on_row, void *arg,
    bool *ret_go_on)
{
	struct event_row row = {
	    .id = c->id,
	    .floor = sqlite3_column_int64(c->st, 8),
	    .seq = event_seq(c->id, sqlite3_column_int64(c->st, 10)),
	};
	const char **const texts[] = {&row.job_id, &row.type, &row.data.p,
	    &row.status, &row.restore_id, &row.owner, &row.created_at};
	enum err e = OK;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if ((e = stmt_column_text(db, c->st, 1 + (int)i, texts[i])) !=
		    OK)
			return e;
	/* The schema has these as NOT NULL. */
	if (row.job_id == NULL || row.type == NULL || row.status == NULL ||
	    row.created_at == NULL)
		return stmt_failed(db, SQLITE_CORRUPT);
	row.job_id = whole_name(c->st, 1, row.job_id);
	row.type = whole_name(c->st, 2, row.type);
	if (row.owner != NULL)
		row.owner = whole_name(c->st, 6, row.owner);
	row.data.n = (size_t)sqlite3_column_bytes(c->st, 3);
	e = stmt_column_text(db, c->st, 9, &row.origin);
	if (e != OK)
		return e;
	if (row.restore_id != NULL && *row.restore_id == '\0')
		row.restore_id = NULL;
	*ret_go_on = on_row(arg, &row);
	return OK;
}

/* The cursor of the lowest id; NULL when no cursor has a row. */
static const struct cursor *
lowest(const struct cursor *cursors, size_t n)
{
	const struct cursor *c, *found = NULL;

	for (c = cursors; c < cursors + n; c++)
		if (c->id != INT64_MAX && (found == NULL || c->id < found->id))
			found = c;
	return found;
}

/* Merges n started cursors by id. A job that is named twice counts once. */
static enum err
merge(struct db *db, struct cursor *cursors, size_t n, int limit,
    event_row_fn *on_row, void *arg)
{
	const struct cursor *next;
	bool go_on = true;
	enum err e = OK;
	int64_t id;
	size_t i;

	while (limit-- > 0 && go_on && (next = lowest(cursors, n)) != NULL) {
		id = next->id;
		e = emit(db, next, on_row, arg, &go_on);
		for (i = 0; e == OK && i < n; i++)
			if (cursors[i].id == id)
				e = cursor_step(db, &cursors[i]);
		if (e != OK)
			break;
	}
	return e;
}

static enum err
read_one(struct db *db, unsigned id, const char *name, int64_t after, int limit,
    event_row_fn *on_row, void *arg)
{
	struct cursor c = {0};
	enum err e = cursor_start(db, &c, id, name, after, limit);

	if (e == OK)
		e = merge(db, &c, 1, limit, on_row, arg);
	stmt_close(c.st);
	return e;
}

enum err
events_read_all(
    struct db *db, int64_t after, int limit, event_row_fn *on_row, void *arg)
{
	return read_one(db, STMT_READ_ALL, NULL, after, limit, on_row, arg);
}

enum err
events_read_owner(struct db *db, const char *owner, int64_t after, int limit,
    event_row_fn *on_row, void *arg)
{
	return read_one(db, STMT_READ_OWNER, owner, after, limit, on_row, arg);
}

enum err
events_read_jobs(struct db *db, const char *const *job_ids, size_t n,
    int64_t after, int limit, event_row_fn *on_row, void *arg)
{
	struct cursor cursors[JOB_IDS_MAX] = {0};
	bool is_nested = sqlite3_get_autocommit(db->h) == 0;
	enum err e = OK;
	size_t i;

	if (n > JOB_IDS_MAX)
		return ERR_LIMIT;
	/* One snapshot for all statements, or a commit between two of them
	 * would put an id behind the reader that it has not seen. */
	if (!is_nested)
		e = stmt_do(db, STMT_BEGIN_READ);
	for (i = 0; e == OK && i < n; i++)
		e = cursor_start(db, &cursors[i], STMT_READ_JOB + (unsigned)i,
		    job_ids[i], after, limit);
	if (e == OK)
		e = merge(db, cursors, n, limit, on_row, arg);
	for (i = 0; i < n; i++)
		stmt_close(cursors[i].st);
	if (!is_nested)
		db_rollback(db);
	return e;
}

enum err
events_last_id(struct db *db, int64_t *ret)
{
	return stmt_run_int(db, stmt_open(db, STMT_LAST_ID), 0, ret);
}

enum err
events_before_last(struct db *db, const char *job_id, int n, int64_t *ret)
{
	sqlite3_stmt *st = stmt_open(db, STMT_NTH_LAST);

	stmt_bind_text(db, st, 1, job_id);
	stmt_bind_int(db, st, 2, n);
	return stmt_run_int(db, st, 0, ret);
}

static enum err
insert(struct db *db, const struct event_new *e)
{
	bool is_entry = e->created_at != NULL || db->entry_seq > 0;
	sqlite3_stmt *st =
	    stmt_open(db, is_entry ? STMT_APPEND_ENTRY : STMT_APPEND);

	if (is_entry)
		stmt_bind_text(db, st, 7, e->created_at);
	if (db->entry_seq > 0) {
		stmt_bind_text(db, st, 8, db->entry_origin);
		stmt_bind_int(db, st, 9, db->entry_seq);
	}
	stmt_bind_text(db, st, 1, e->job_id);
	stmt_bind_text(db, st, 2, e->type);
	stmt_bind_span(db, st, 3, e->data);
	/* A program may have put an empty text there. */
	stmt_bind_exact(db, st, 4, e->source);
	stmt_bind_exact(db, st, 5, e->delivery_key);
	stmt_bind_exact(db, st, 6, e->restore_id);
	return stmt_judge_json(db, stmt_run(db, st), e->data);
}

enum err
events_find(struct db *db, const char *source, const char *delivery_key,
    int64_t *ret_id)
{
	sqlite3_stmt *st = stmt_open(db, STMT_DELIVERED);
	enum err e;
	int64_t id = 0;

	stmt_bind_text(db, st, 1, source);
	stmt_bind_text(db, st, 2, delivery_key);
	e = stmt_run_int(db, st, 0, &id);
	if (e == OK && id == 0)
		e = ERR_NOENT;
	if (e == OK)
		*ret_id = id;
	return e;
}

static enum err
amend_job(struct db *db, const struct event_new *e)
{
	sqlite3_stmt *st;

	if (e->output.n == 0 && e->error.n == 0 && e->restore_id == NULL)
		return OK;
	st = stmt_open(db, STMT_AMEND_JOB);
	stmt_bind_text(db, st, 1, e->job_id);
	stmt_bind_span(db, st, 2, e->output);
	stmt_bind_text(db, st, 3, e->restore_id);
	stmt_bind_span(db, st, 4, e->error);
	return stmt_run(db, st);
}

enum err
events_append(struct db *db, const struct event_new *e, int64_t *ret_id,
    bool *ret_duplicate)
{
	bool is_duplicate;
	int64_t id = 0;
	enum err err;

	if ((err = insert(db, e)) != OK)
		return err;
	is_duplicate = sqlite3_changes(db->h) == 0;
	if (is_duplicate) {
		err = events_find(db, e->source, e->delivery_key, &id);
		/* A trigger of others has passed the row over. */
		if (err == ERR_NOENT)
			err = ERR_PROTO;
	} else {
		id = sqlite3_last_insert_rowid(db->h);
		err = amend_job(db, e);
	}
	if (err != OK)
		return err;
	*ret_id = id;
	*ret_duplicate = is_duplicate;
	return OK;
}
