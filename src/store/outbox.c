/* SPDX-License-Identifier: ISC */
/*
 * The table outbox. What fills it besides outbox_add() is triggers of
 * cluster.c. Blocks on the disk.
 */
#include "store/outbox.h"

#include "store/stmt.h"

enum err
outbox_add(
    struct db *db, const char *kind, struct span payload, int64_t *ret_seq)
{
	sqlite3_stmt *st = stmt_open(db, STMT_OUTBOX_ADD);
	enum err e;

	stmt_bind_text(db, st, 1, kind);
	stmt_bind_span(db, st, 2, payload);
	e = stmt_run(db, st);
	if (e == OK)
		*ret_seq = sqlite3_last_insert_rowid(db->h);
	return e;
}

static enum err
emit(struct db *db, sqlite3_stmt *st,
    bool (*on_row)(void *arg, const struct outbox_row *row), void *arg,
    bool *ret_go_on)
{
	struct outbox_row row = {.seq = sqlite3_column_int64(st, 0),
	    .is_answered = sqlite3_column_int(st, 4) != 0};
	enum err e = stmt_column_text(db, st, 1, &row.kind);

	if (e == OK)
		e = stmt_column_text(db, st, 2, &row.payload.p);
	if (e == OK)
		e = stmt_column_text(db, st, 3, &row.created_at);
	if (e != OK)
		return e;
	row.payload.n = (size_t)sqlite3_column_bytes(st, 2);
	*ret_go_on = on_row(arg, &row);
	return OK;
}

enum err
outbox_read(struct db *db, int64_t after_seq, int limit,
    bool (*on_row)(void *arg, const struct outbox_row *row), void *arg)
{
	sqlite3_stmt *st = stmt_open(db, STMT_OUTBOX_READ);
	bool has_row = false, go_on = true;
	enum err e = OK;

	stmt_bind_int(db, st, 1, after_seq);
	stmt_bind_int(db, st, 2, limit);
	while (go_on && (e = stmt_step(db, st, &has_row)) == OK && has_row)
		if ((e = emit(db, st, on_row, arg, &go_on)) != OK)
			break;
	stmt_close(st);
	return e;
}

enum err
outbox_answer(struct db *db, int64_t seq, struct span result)
{
	sqlite3_stmt *st = stmt_open(db, STMT_OUTBOX_ANSWER);

	stmt_bind_int(db, st, 1, seq);
	stmt_bind_span(db, st, 2, result);
	return stmt_run(db, st);
}

enum err
outbox_result(struct db *db, int64_t seq, struct buf *ret)
{
	sqlite3_stmt *st = stmt_open(db, STMT_OUTBOX_RESULT);
	const char *text = NULL;
	enum err e;

	stmt_bind_int(db, st, 1, seq);
	e = stmt_row_text(db, st, &text);
	if (e == OK && text == NULL)
		e = ERR_AGAIN;
	if (e == OK) {
		buf_add_span(ret, span_of(text));
		e = buf_ok(ret) ? OK : ERR_NOMEM;
	}
	stmt_close(st);
	return e;
}

enum err
outbox_forget(struct db *db, int64_t up_to)
{
	sqlite3_stmt *st = stmt_open(db, STMT_OUTBOX_FORGET);

	stmt_bind_int(db, st, 1, up_to);
	stmt_bind_int(db, st, 2, -OUTBOX_KEEP_S);
	return stmt_run(db, st);
}
