/* SPDX-License-Identifier: ISC */
/*
 * The table unclaimed_events. How an event of it gets to its job is in
 * schema.sql; those that nobody claims are removed by retention.c. Blocks on
 * the disk.
 */
#include "store/unclaimed.h"

#include "store/stmt.h"

enum err
unclaimed_keep(struct db *db, const char *external_id,
    const struct event_new *e, bool *ret_duplicate)
{
	sqlite3_stmt *st = stmt_open(db, STMT_KEEP_UNCLAIMED);
	enum err err;

	stmt_bind_text(db, st, 1, external_id);
	stmt_bind_text(db, st, 2, e->type);
	stmt_bind_span(db, st, 3, e->data);
	stmt_bind_text(db, st, 4, e->source);
	stmt_bind_text(db, st, 5, e->delivery_key);
	stmt_bind_span(db, st, 6, e->output);
	stmt_bind_span(db, st, 7, e->error);
	stmt_bind_text(db, st, 8, e->restore_id);
	err = stmt_run(db, st);
	if (err == OK)
		*ret_duplicate = sqlite3_changes(db->h) == 0;
	return err;
}

/* All rows of a statement. *ret_n: how many. */
static enum err
read_rows(struct db *db, sqlite3_stmt *st,
    void (*on_event)(void *arg, const struct unclaimed_event *e), void *arg,
    size_t *ret_n)
{
	bool has_row = false;
	enum err err;

	*ret_n = 0;
	while ((err = stmt_step(db, st, &has_row)) == OK && has_row) {
		struct unclaimed_event e = {.id = sqlite3_column_int64(st, 0)};
		const char **texts[] = {&e.external_id, &e.type, &e.data,
		    &e.created_at, &e.source, &e.restore_id};

		for (int i = 0; err == OK && i < 6; i++)
			err = stmt_column_text(db, st, i + 1, texts[i]);
		if (err != OK)
			break;
		on_event(arg, &e);
		++*ret_n;
	}
	stmt_close(st);
	return err;
}

enum err
unclaimed_list(struct db *db, int64_t limit,
    void (*on_event)(void *arg, const struct unclaimed_event *e), void *arg)
{
	sqlite3_stmt *st = stmt_open(db, STMT_UNCLAIMED);
	size_t n;

	stmt_bind_int(db, st, 1, limit);
	return read_rows(db, st, on_event, arg, &n);
}

enum err
unclaimed_get(struct db *db, int64_t id,
    void (*on_event)(void *arg, const struct unclaimed_event *e), void *arg)
{
	sqlite3_stmt *st = stmt_open(db, STMT_UNCLAIMED_ONE);
	size_t n;
	enum err e;

	stmt_bind_int(db, st, 1, id);
	e = read_rows(db, st, on_event, arg, &n);
	return e == OK && n == 0 ? ERR_NOENT : e;
}

enum err
unclaimed_forget(struct db *db, int64_t id)
{
	sqlite3_stmt *st = stmt_open(db, STMT_FORGET_UNCLAIMED);
	enum err e;

	stmt_bind_int(db, st, 1, id);
	e = stmt_run(db, st);
	return e == OK && sqlite3_changes(db->h) == 0 ? ERR_NOENT : e;
}

enum err
unclaimed_count(struct db *db, const char *external_id, int64_t *ret)
{
	sqlite3_stmt *st = stmt_open(db, STMT_COUNT_UNCLAIMED);

	stmt_bind_text(db, st, 1, external_id);
	return stmt_run_int(db, st, 0, ret);
}
