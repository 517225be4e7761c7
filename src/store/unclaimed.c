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
