/* SPDX-License-Identifier: ISC */
/*
 * Makes and uses up tickets. hook decides who gets one, reader.c what it lets
 * read. Blocks on the disk.
 */
#include "auth/ticket.h"

#include <stdlib.h>
#include <string.h>

#include "auth/crypto.h"
#include "base/clock.h"
#include "store/tokens.h"
#include "text/base64.h"
#include "text/json_value.h"

enum {
	RANDOM_BYTES = 24, /* 192 bits: nobody guesses one */
	TEXT_SIZE = RANDOM_BYTES / 3 * 4,
};

enum err
ticket_make(struct db *db, const struct claims *c, const char *job_ids,
    int64_t now_s, int64_t max, struct buf *ret,
    struct intent_result *ret_written)
{
	char bytes[RANDOM_BYTES], digest[CRYPTO_SHA256_SIZE];
	struct buf text = BUF_INIT, claims = BUF_INIT;
	struct intent_ticket t = {.digest = digest,
	    .sub = c->sub,
	    .expires_at = now_s + TICKET_LIFE_S,
	    .now_s = now_s,
	    .max = max};
	enum err e;

	random_bytes(bytes, sizeof(bytes));
	base64_add(&text, (struct span){bytes, sizeof(bytes)}, BASE64_URL);
	buf_add_char(&claims, '{');
	claims_add(&claims, c);
	if (job_ids != NULL) {
		buf_add_str(&claims, ",\"job_ids\":");
		claims_add_list(&claims, job_ids);
	}
	buf_add_char(&claims, '}');
	e = buf_ok(&text) && buf_ok(&claims)
		? crypto_sha256(buf_span(&text), digest)
		: ERR_NOMEM;
	t.claims = buf_span(&claims);
	if (t.expires_at > c->exp_s)
		t.expires_at = c->exp_s;
	if (e == OK)
		e = intent_write(db, INTENT_TICKET, &t, ret_written);
	if (e == OK) {
		buf_add_span(ret, buf_span(&text));
		e = buf_ok(ret) ? OK : ERR_NOMEM;
	}
	buf_done(&text);
	buf_done(&claims);
	return e;
}

static enum err
read_claims(struct span text, struct claims *ret, char **ret_job_ids)
{
	struct json_object *object = NULL;
	enum token_rule rule;
	struct claims c = {0};
	enum err e = claims_parse(text, &object);

	if (e == OK)
		e = claims_read(object, &c, &rule);
	if (e == OK)
		e = claims_read_list(
		    json_object_object_get(object, "job_ids"), ret_job_ids);
	json_object_put(object);
	if (e == OK)
		*ret = c;
	else
		claims_done(&c);
	return e;
}

static enum err
store_open(struct ticket_store *store)
{
	enum err e;

	if (store->db != NULL && db_has_moved(store->db))
		db_close(&store->db);
	if (store->db != NULL)
		return OK;
	e = db_open(store->db_path, DB_WRITE, 0, &store->db, NULL);
	/* A power cut lasts longer than a ticket. */
	if (e == OK)
		e = db_sync_normal(store->db);
	return e == ERR_NOENT ? ERR_GONE : e;
}

/* Has it the form of those we make? */
static bool
is_ticket(struct span text)
{
	unsigned char bytes[RANDOM_BYTES];
	size_t n;

	return text.n == TEXT_SIZE &&
	       base64_read(text, BASE64_URL, bytes, sizeof(bytes), &n) == OK;
}

enum err
ticket_use(struct ticket_store *store, struct span ticket, bool is_look,
    int64_t now_s, struct claims *ret, char **ret_job_ids)
{
	char digest[CRYPTO_SHA256_SIZE];
	struct buf text = BUF_INIT;
	enum err e;

	if (!is_ticket(ticket))
		return ERR_AUTH;
	e = store_open(store);
	if (e == OK)
		e = crypto_sha256(ticket, digest);
	if (e == OK) {
		e = is_look
			? tokens_peek_ticket(store->db, digest, now_s, &text)
			: tokens_take_ticket(store->db, digest, now_s, &text);
		if (e == ERR_NOENT)
			e = ERR_AUTH;
		else if (db_is_spoiled_by(e))
			db_close(&store->db);
	}
	if (e == OK)
		e = read_claims(buf_span(&text), ret, ret_job_ids);
	buf_done(&text);
	if (e == ERR_FULL) /* of a reader it says that too many wait */
		e = ERR_IO;
	return e == ERR_BUSY ? ERR_AGAIN : e;
}

bool
ticket_is_unknown(struct ticket_store *store, struct span ticket, int64_t now_s)
{
	char digest[CRYPTO_SHA256_SIZE];
	struct buf claims = BUF_INIT;
	enum err e = OK;

	if (!is_ticket(ticket) || store_open(store) != OK)
		return false;
	e = crypto_sha256(ticket, digest);
	if (e == OK)
		e = tokens_peek_ticket(store->db, digest, now_s, &claims);
	buf_done(&claims);
	return e == ERR_NOENT;
}

void
ticket_store_done(struct ticket_store *store)
{
	db_close(&store->db);
}
