/* SPDX-License-Identifier: ISC */
/*
 * Unclaimed events and idempotency keys. How an unclaimed event gets to its job
 * is in schema.sql; when they are too old is the janitor's business. Blocks on
 * the disk.
 */
#include "store/intake.h"

#include <stdio.h>

#include "store/stmt.h"

enum err
intake_keep_unclaimed(struct db *db, const char *external_id,
    const struct event_new *e, bool *ret_duplicate)
{
	sqlite3_stmt *st = NULL;
	enum err err = stmt_open(db, STMT_KEEP_UNCLAIMED, &st);

	if (err != OK)
		return err;
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

enum err
intake_find_key(struct db *db, const char *key, struct intake_key *ret)
{
	sqlite3_stmt *st = NULL;
	const char *request;
	bool has_row = false;
	enum err e;

	if ((e = stmt_open(db, STMT_KEY, &st)) != OK)
		return e;
	stmt_bind_text(db, st, 1, key);
	e = stmt_step(db, st, &has_row);
	if (e == OK && !has_row)
		e = ERR_NOENT;
	if (e == OK)
		e = stmt_column_text(db, st, 0, &request);
	if (e == OK) {
		snprintf(ret->request, sizeof(ret->request), "%s",
		    request != NULL ? request : "");
		ret->first_id = sqlite3_column_int64(st, 1);
		ret->n_events = sqlite3_column_int64(st, 2);
	}
	stmt_close(st);
	return e;
}

enum err
intake_add_key(struct db *db, const char *key, const struct intake_key *k)
{
	sqlite3_stmt *st = NULL;
	enum err e = stmt_open(db, STMT_ADD_KEY, &st);

	if (e != OK)
		return e;
	stmt_bind_text(db, st, 1, key);
	stmt_bind_text(db, st, 2, k->request);
	stmt_bind_int(db, st, 3, k->first_id);
	stmt_bind_int(db, st, 4, k->n_events);
	return stmt_run(db, st);
}
