/* SPDX-License-Identifier: ISC */
/*
 * Temporary triggers, of this connection alone, write the statements; the
 * columns are those that the tables have. It costs some 8 us an event, a small
 * part of what SQLite's session extension does, and keeps the rowids of jobs.
 * New events leave none: they are known by their entry. Blocks on the disk.
 */
#include "store/undo.h"

#include <string.h>

#include "base/buf.h"
#include "store/stmt.h"

/* Statements hold rows whose quoted text may be twice as long. */
enum { CHANGE_MAX = 256 << 20 };

/* The key is rowid where the table has one: as other rows point to it. */
static const struct undo_table {
	const char *name;
	const char *key, *key2; /* key2: NULL, it has one column */
	const char *columns;	/* watched for changes; NULL: all */
	const char *when;	/* of rows that count; NULL: all */
	bool is_labelled;	/* what an entry inserts is labelled with it */
} tables[] = {
    {"jobs", "rowid", NULL, NULL, NULL, false},
    {"job_events", "id", NULL,
	"job_id, type, data, created_at, source, delivery_key, status, "
	"restore_id",
	NULL, true},
    {"unclaimed_events", "id", NULL, NULL, NULL, false},
    {"idempotency_keys", "key", NULL, NULL, NULL, false},
    {"revoked", "kind", "digest", NULL, NULL, false},
    {"tickets", "digest", NULL, NULL, NULL, false},
    {"runs", "run_id", NULL, NULL, NULL, false},
    {"meta", "key", NULL, NULL, "gone_floor", false},
};

enum { N_TABLES = sizeof(tables) / sizeof(tables[0]) };

static enum err
exec(struct db *db, const struct buf *sql)
{
	int rc;

	if (!buf_ok(sql))
		return ERR_NOMEM;
	rc = sqlite3_exec(db->h, sql->data, NULL, NULL, NULL);
	return rc == SQLITE_OK ? OK : stmt_failed(db, rc);
}

/* Appends SQL that makes ` WHERE KEY=...`; `row` is OLD or NEW. */
static void
add_where(struct buf *sql, const struct undo_table *t, const char *row,
    const char *node_id)
{
	buf_addf(sql, "||' WHERE %s='||quote(%s.%s)", t->key, row, t->key);
	if (t->key2 != NULL)
		buf_addf(
		    sql, "||' AND %s='||quote(%s.%s)", t->key2, row, t->key2);
	if (strcmp(t->name, "runs") == 0)
		buf_addf(sql, "||' AND origin IS NOT ''%s'''", node_id);
}

static void
add_head(struct buf *sql, const struct undo_table *t, const char *event,
    const char *row)
{
	bool is_update = strcmp(event, "UPDATE") == 0;

	buf_reset(sql);
	buf_addf(sql, "CREATE TEMP TRIGGER undo_%s_%s AFTER %s%s%s ON %s",
	    t->name, event, event,
	    is_update && t->columns != NULL ? " OF " : "",
	    is_update && t->columns != NULL ? t->columns : "", t->name);
	if (t->when != NULL)
		buf_addf(sql, " WHEN %s.%s = '%s'", row, t->key, t->when);
	buf_add_str(sql, " BEGIN INSERT INTO log_undo (change) VALUES (");
}

static enum err
watch_inserts(struct db *db, const struct undo_table *t, const char *node_id,
    struct buf *sql)
{
	add_head(sql, t, "INSERT", "NEW");
	buf_addf(sql, "'DELETE FROM %s'", t->name);
	add_where(sql, t, "NEW", node_id);
	buf_add_str(sql, "); END");
	return exec(db, sql);
}

/* The columns of a table, each as `format` (with %1$s for its name) has it. */
static enum err
add_columns(struct db *db, const char *table, struct buf *sql,
    void (*add)(struct buf *sql, const char *column))
{
	struct buf query = BUF_INIT;
	sqlite3_stmt *st = NULL;
	int rc;

	buf_addf(&query, "SELECT name FROM pragma_table_info('%s')", table);
	if (!buf_ok(&query))
		return ERR_NOMEM;
	rc = sqlite3_prepare_v2(db->h, query.data, -1, &st, NULL);
	while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		add(sql, (const char *)sqlite3_column_text(st, 0));
		rc = SQLITE_OK;
	}
	sqlite3_finalize(st);
	buf_done(&query);
	return rc == SQLITE_DONE ? OK : stmt_failed(db, rc);
}

static void
add_place(struct buf *sql, const char *column)
{
	(void)column;
	buf_add_str(sql, "%s");
}

/* NULL, which is nothing there, where it has not changed. */
static void
add_change(struct buf *sql, const char *column)
{
	buf_addf(sql,
	    ",CASE WHEN OLD.%s IS NOT NEW.%s THEN ',%s='||quote(OLD.%s) END",
	    column, column, column, column);
}

static void
add_name(struct buf *sql, const char *column)
{
	buf_addf(sql, ",%s", column);
}

static void
add_value(struct buf *sql, const char *column)
{
	buf_addf(sql, "||','||quote(OLD.%s)", column);
}

static enum err
watch_updates(struct db *db, const struct undo_table *t, const char *node_id,
    struct buf *sql)
{
	enum err e;

	/* printf() and not ||, which would copy what there is for each column
	 * anew. */
	add_head(sql, t, "UPDATE", "NEW");
	buf_addf(sql, "printf('UPDATE %s SET %s=%%s", t->name, t->key);
	e = add_columns(db, t->name, sql, add_place);
	buf_addf(sql, "',quote(OLD.%s)", t->key);
	if (e == OK)
		e = add_columns(db, t->name, sql, add_change);
	buf_add_char(sql, ')');
	add_where(sql, t, "NEW", node_id);
	buf_add_str(sql, "); END");
	return e == OK ? exec(db, sql) : e;
}

/* What a program has put in its place since stays. */
static enum err
watch_deletes(struct db *db, const struct undo_table *t, struct buf *sql)
{
	bool is_rowid = strcmp(t->key, "rowid") == 0;
	struct buf columns = BUF_INIT;
	enum err e = add_columns(db, t->name, &columns, add_name);

	add_head(sql, t, "DELETE", "OLD");
	if (e == OK && buf_ok(&columns))
		buf_addf(sql, "'INSERT OR IGNORE INTO %s (%s%s) VALUES ('",
		    t->name, is_rowid ? "rowid" : "",
		    columns.data + (is_rowid ? 0 : 1));
	buf_done(&columns);
	columns = (struct buf)BUF_INIT;
	if (e == OK)
		e = add_columns(db, t->name, &columns, add_value);
	if (e == OK && buf_ok(&columns))
		buf_addf(sql, "%s%s||')'); END",
		    is_rowid ? "||quote(OLD.rowid)" : "",
		    columns.data + (is_rowid ? 0 : sizeof("||','") - 1));
	buf_done(&columns);
	return e == OK ? exec(db, sql) : e;
}

enum err
undo_start(struct db *db, const char *node_id)
{
	struct buf sql = BUF_INIT;
	enum err e = OK;

	sqlite3_limit(db->h, SQLITE_LIMIT_LENGTH, CHANGE_MAX);
	for (size_t i = 0; i < N_TABLES && e == OK; i++) {
		if (!tables[i].is_labelled)
			e = watch_inserts(db, &tables[i], node_id, &sql);
		if (e == OK)
			e = watch_updates(db, &tables[i], node_id, &sql);
		if (e == OK)
			e = watch_deletes(db, &tables[i], &sql);
	}
	buf_done(&sql);
	return e;
}

/* One statement. What is not there any more was local: a ticket that was
 * used. */
static enum err
run_change(struct db *db, const char *change)
{
	int rc = sqlite3_exec(db->h, change, NULL, NULL, NULL);

	return rc == SQLITE_OK ? OK : stmt_failed(db, rc);
}

static enum err
run_changes(struct db *db, int64_t after_id)
{
	sqlite3_stmt *st = stmt_open(db, STMT_UNDO_READ);
	const char *change = NULL;
	bool has_row = false;
	enum err e;

	stmt_bind_int(db, st, 1, after_id);
	while ((e = stmt_step(db, st, &has_row)) == OK && has_row) {
		e = stmt_column_text(db, st, 0, &change);
		if (e == OK)
			e = run_change(db, change);
		if (e != OK)
			break;
	}
	stmt_close(st);
	return e;
}

static enum err
switch_triggers(struct db *db, int is_on)
{
	int rc = sqlite3_db_config(
	    db->h, SQLITE_DBCONFIG_ENABLE_TRIGGER, is_on, NULL);

	return rc == SQLITE_OK ? OK : stmt_failed(db, rc);
}

/* Behind the changes, for temporary triggers are not switched off and log this
 * as well. No entry both deletes events and makes some. */
static enum err
remove_events(struct db *db, const struct log_entry *entry)
{
	sqlite3_stmt *st = stmt_open(db, STMT_UNDO_EVENTS);

	stmt_bind_int(db, st, 1, entry->at.id);
	stmt_bind_text(db, st, 2, entry->origin);
	stmt_bind_int(db, st, 3, entry->origin_seq);
	return stmt_run(db, st);
}

enum err
undo_run(struct db *db, const struct log_entry *entry, int64_t after_id)
{
	enum err e = switch_triggers(db, 0), on;
	sqlite3_stmt *st;

	if (e == OK)
		e = run_changes(db, after_id);
	if (e == OK && entry->origin != NULL)
		e = remove_events(db, entry);
	if (e == OK) {
		st = stmt_open(db, STMT_UNDO_FORGET);
		stmt_bind_int(db, st, 1, after_id);
		e = stmt_run(db, st);
	}
	on = switch_triggers(db, 1);
	return e == OK ? on : e;
}
