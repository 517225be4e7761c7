/* SPDX-License-Identifier: ISC */
/*
 * Revocations and tickets as rows. Blocks on the disk, and where it writes on
 * other writers.
 */
#include "store/tokens.h"

#include <stddef.h>

#include "store/stmt.h"

enum err
tokens_revoke(
    struct db *db, const char *kind, const char *digest, int64_t now_s)
{
	sqlite3_stmt *st = stmt_open(db, STMT_REVOKE);

	stmt_bind_text(db, st, 1, kind);
	stmt_bind_text(db, st, 2, digest);
	stmt_bind_int(db, st, 3, now_s);
	return stmt_run(db, st);
}

enum err
tokens_is_revoked(
    struct db *db, const char *jti, const char *sub, int64_t iat_s, bool *ret)
{
	sqlite3_stmt *st = stmt_open(db, STMT_IS_REVOKED);

	stmt_bind_text(db, st, 1, jti);
	stmt_bind_text(db, st, 2, sub);
	stmt_bind_int(db, st, 3, iat_s);
	return stmt_run_bool(db, st, ret);
}

enum err
tokens_add_ticket(
    struct db *db, const struct ticket_new *t, int64_t now_s, int64_t max)
{
	sqlite3_stmt *st = stmt_open(db, STMT_ADD_TICKET);
	int64_t is_added = 0;
	enum err e;

	stmt_bind_text(db, st, 1, t->digest);
	stmt_bind_span(db, st, 2, t->claims);
	stmt_bind_int(db, st, 3, t->expires_at);
	stmt_bind_text(db, st, 4, t->sub);
	stmt_bind_int(db, st, 5, now_s);
	stmt_bind_int(db, st, 6, max);
	e = stmt_run_int(db, st, 0, &is_added);
	e = stmt_judge_json(db, e, t->claims);
	return e == OK && is_added == 0 ? ERR_LIMIT : e;
}

static enum err
ticket_claims(struct db *db, unsigned id, const char *digest, int64_t now_s,
    struct buf *claims)
{
	sqlite3_stmt *st = stmt_open(db, id);
	const char *text;
	enum err e;

	stmt_bind_text(db, st, 1, digest);
	stmt_bind_int(db, st, 2, now_s);
	e = stmt_row_text(db, st, &text);
	if (e == OK) {
		buf_add_span(claims, span_of(text));
		e = buf_ok(claims) ? stmt_run(db, st) : ERR_NOMEM;
	}
	stmt_close(st);
	return e;
}

enum err
tokens_peek_ticket(
    struct db *db, const char *digest, int64_t now_s, struct buf *ret_claims)
{
	return ticket_claims(db, STMT_PEEK_TICKET, digest, now_s, ret_claims);
}

enum err
tokens_take_ticket(
    struct db *db, const char *digest, int64_t now_s, struct buf *ret_claims)
{
	struct buf claims = BUF_INIT;
	enum err e;

	/* A look without the write lock: what is made up must not hold up
	 * writers. */
	e = tokens_peek_ticket(db, digest, now_s, &claims);
	if (e == OK)
		e = db_begin(db);
	if (e != OK)
		goto out;
	buf_reset(&claims);
	e = ticket_claims(db, STMT_TAKE_TICKET, digest, now_s, &claims);
	/* Before the commit: a ticket that is used up must be of use. */
	buf_reserve(ret_claims, claims.len);
	if (e == OK && !buf_ok(ret_claims))
		e = ERR_NOMEM;
	e = db_end(db, e);
	if (e == OK)
		buf_add_span(ret_claims, buf_span(&claims));
out:
	buf_done(&claims);
	return e;
}

static enum err
delete_before(struct db *db, unsigned id, int64_t before_s)
{
	sqlite3_stmt *st = stmt_open(db, id);

	stmt_bind_int(db, st, 1, before_s);
	return stmt_run(db, st);
}

enum err
tokens_prune(struct db *db, int64_t now_s)
{
	sqlite3_stmt *st = stmt_open(db, STMT_OLD_TOKENS);
	bool has_old = false;
	enum err e;

	stmt_bind_int(db, st, 1, now_s);
	stmt_bind_int(db, st, 2, now_s - TOKENS_REVOKED_KEEP_S);
	if ((e = stmt_run_bool(db, st, &has_old)) != OK || !has_old)
		return e;
	if ((e = db_begin(db)) != OK)
		return e;
	e = delete_before(db, STMT_DROP_TICKETS, now_s);
	if (e == OK)
		e = delete_before(
		    db, STMT_DROP_REVOKED, now_s - TOKENS_REVOKED_KEEP_S);
	return db_end(db, e);
}
