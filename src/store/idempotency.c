/* SPDX-License-Identifier: ISC */
/*
 * The table idempotency_keys. Keys past use are removed by retention.c. Blocks
 * on the disk.
 */
#include "store/idempotency.h"

#include <stdio.h>

#include "store/stmt.h"

enum err
idempotency_find(struct db *db, const char *key, struct idempotency_record *ret)
{
	sqlite3_stmt *st = stmt_open(db, STMT_KEY);
	const char *request;
	enum err e;

	stmt_bind_text(db, st, 1, key);
	e = stmt_row_text(db, st, &request);
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
idempotency_add(
    struct db *db, const char *key, const struct idempotency_record *r)
{
	sqlite3_stmt *st = stmt_open(db, STMT_ADD_KEY);

	stmt_bind_text(db, st, 1, key);
	stmt_bind_text(db, st, 2, r->request);
	stmt_bind_int(db, st, 3, r->first_id);
	stmt_bind_int(db, st, 4, r->n_events);
	return stmt_run(db, st);
}
