/* SPDX-License-Identifier: ISC */
/*
 * The commands about who may read: they make tokens and tickets, take tokens
 * back, and say why one is refused.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "app/auth_settings.h"
#include "auth/claims.h"
#include "auth/jwt.h"
#include "auth/url_signature.h"
#include "auth/ticket.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/opt.h"
#include "command.h"
#include "job/name.h"
#include "store/tokens.h"
#include "text/base64.h"
#include "text/json_text.h"

enum { JTI_BYTES = 16 };

/* What a new token or ticket says, from --sub, --jobs and --ttl. Strings point
 * into the buffers. */
struct wish {
	struct claims claims;
	struct buf jobs, jti;
};

static void
wish_done(struct wish *w)
{
	buf_done(&w->jobs);
	buf_done(&w->jti);
}

/* `a,b` as a JSON array. False: one of them is no job id. */
static bool
add_job_ids(struct buf *out, const char *list)
{
	size_t n;

	buf_add_char(out, '[');
	for (const char *p = list;; p += n + 1) {
		n = strcspn(p, ",");
		if (!job_id_ok((struct span){p, n}))
			return false;
		json_text_add_quoted(out, (struct span){p, n});
		if (p[n] == '\0')
			break;
		buf_add_char(out, ',');
	}
	buf_add_char(out, ']');
	return true;
}

static bool
is_text(const char *text)
{
	struct buf quoted = BUF_INIT, meaning = BUF_INIT;
	bool is;

	json_text_add_quoted(&quoted, span_of(text));
	is = *text != '\0' && buf_ok(&quoted) &&
	     claims_text(buf_span(&quoted), &meaning);
	buf_done(&quoted);
	buf_done(&meaning);
	return is;
}

/* EXIT_DONE, or it has said what is wrong. */
static int
read_wish(const struct command_line *c, const char *what, struct wish *w)
{
	int64_t ttl_ms = INT64_C(3600) * 1000;
	char bytes[JTI_BYTES];

	if (c->sub == NULL || !is_text(c->sub))
		return command_misuse(what, "--sub names who may read");
	if (c->jobs != NULL && !add_job_ids(&w->jobs, c->jobs))
		return command_misuse(what, "--jobs takes job ids: a,b");
	if (c->ttl != NULL &&
	    (opt_parse_duration(c->ttl, &ttl_ms) != OK || ttl_ms < 1000 ||
		ttl_ms / 1000 > CLAIMS_LIFE_MAX_S))
		return command_misuse(
		    what, "--ttl takes a time such as 1h, at most 366d");
	random_bytes(bytes, sizeof(bytes));
	base64_add(&w->jti, (struct span){bytes, sizeof(bytes)}, BASE64_URL);
	if (!buf_ok(&w->jobs) || !buf_ok(&w->jti))
		return command_fail(what, "out of memory");
	w->claims.sub = (char *)(uintptr_t)c->sub;
	w->claims.jti = w->jti.data;
	w->claims.jobs = w->jobs.data;
	w->claims.iat_s = clock_real_ms() / 1000;
	w->claims.exp_s = w->claims.iat_s + ttl_ms / 1000;
	return EXIT_DONE;
}

/* The keys that can sign: --key, else the secret of HS256. */
static enum err
load_keys(const struct command_line *c, struct jws_keys *ret, struct buf *why)
{
	const struct settings *s = c->settings;
	enum jws_alg alg = auth_settings_jwt(s).alg;
	struct jws_keys keys = {0};
	enum err e = OK;

	if (c->key != NULL)
		e = jws_keys_load(c->key, alg, true, &keys, why);
	else if (alg == JWS_HS256)
		e = jws_keys_load(s->jwt_key, alg, true, &keys, why);
	if (e == OK && keys.n == 0) {
		buf_add_str(why, alg == JWS_HS256
				     ? "set jwt_key first"
				     : "name the private key: --key @FILE");
		e = ERR_AUTH;
	}
	if (e == OK)
		*ret = keys;
	return e;
}

enum err
command_make_token(const struct command_line *c, const struct claims *claims,
    struct buf *out, struct buf *why)
{
	const struct jwt_config cfg = auth_settings_jwt(c->settings);
	struct jws_keys keys = {0};
	enum err e = load_keys(c, &keys, why);

	if (e == OK)
		e = jwt_make(&cfg, &keys, claims, out);
	jws_keys_done(&keys);
	return e;
}

static int
mint(const struct command_line *c)
{
	struct buf token = BUF_INIT, why = BUF_INIT;
	struct wish w = {.jobs = BUF_INIT};
	int status = read_wish(c, "token", &w);
	enum err e;

	if (status != EXIT_DONE)
		goto out;
	e = command_make_token(c, &w.claims, &token, &why);
	if (e != OK)
		status =
		    command_fail("token", why.len > 0 ? why.data : err_text(e));
	else if (c->settings->json)
		(void)printf("{\"token\":\"%s\",\"jti\":\"%s\","
			     "\"exp\":%" PRId64 "}\n",
		    token.data, w.claims.jti, w.claims.exp_s);
	else
		(void)puts(token.data);
out:
	wish_done(&w);
	buf_done(&token);
	buf_done(&why);
	return status;
}

static int
revoke(const struct command_line *c)
{
	const char *kind = c->jti != NULL ? "jti" : "sub";
	const char *value = c->jti != NULL ? c->jti : c->sub;
	char digest[CRYPTO_SHA256_SIZE];
	struct db *db;
	enum err e;

	/* It takes back all that the token or the subject may do: --jobs would
	 * promise less. */
	if ((c->jti == NULL) == (c->sub == NULL) || !is_text(value) ||
	    c->jobs != NULL || c->ttl != NULL || c->key != NULL)
		return command_misuse("token", "revoke takes --jti or --sub");
	db = command_open(c, DB_WRITE);
	if (db == NULL)
		return EXIT_FAILED;
	e = crypto_sha256(span_of(value), digest);
	if (e == OK)
		e = tokens_revoke(db, kind, digest, clock_real_ms() / 1000);
	if (e == OK)
		(void)puts(
		    c->settings->json ? "{\"revoked\":true}" : "revoked");
	else
		(void)command_fail_db("token", db, e);
	db_close(&db);
	return e == OK ? EXIT_DONE : EXIT_FAILED;
}

/* The token to check, from the command line or standard input, where white
 * space around it is dropped. */
static enum err
read_token(const struct command_line *c, struct buf *ret)
{
	static const char space[] = " \t\r\n";
	struct buf text = BUF_INIT;
	enum err e = OK;

	if (c->n > 1 && strcmp(c->args[1], "-") != 0)
		buf_add_str(&text, c->args[1]);
	else
		e = file_read_fd(fileno(stdin), 2 * JWT_SIZE_MAX, &text);
	if (e == OK && text.len > 0) {
		const char *p = text.data + strspn(text.data, space);

		buf_add_span(ret, (struct span){p, strcspn(p, space)});
	}
	if (e == OK && (!buf_ok(&text) || !buf_ok(ret)))
		e = ERR_NOMEM;
	buf_done(&text);
	return e;
}

static int
say_good(const struct command_line *c, const struct claims *claims)
{
	struct buf text = BUF_INIT;

	buf_add_str(&text, c->settings->json ? "{\"good\":true," : "good: ");
	claims_add(&text, claims);
	buf_add_str(&text, c->settings->json ? "}" : "");
	if (buf_ok(&text))
		(void)puts(text.data);
	buf_done(&text);
	return EXIT_DONE;
}

static int
say_refused(const struct command_line *c, enum token_rule rule)
{
	const struct token_rule_text *r = &token_rule_texts[rule];

	if (c->settings->json)
		(void)printf("{\"good\":false,\"rule\":\"%s\","
			     "\"needs\":\"%s\"}\n",
		    r->name, r->text);
	else
		(void)printf("refused: %s (needs: %s)\n", r->name, r->text);
	return EXIT_FAILED;
}

/* Without the database: what was taken back is not known here. */
static int
check(const struct command_line *c)
{
	const struct jwt_config cfg = auth_settings_jwt(c->settings);
	struct buf token = BUF_INIT, why = BUF_INIT;
	struct claims claims = {0};
	enum token_rule rule = RULE_FORM;
	struct jwt *jwt = NULL;
	int status;
	enum err e = jwt_new(&cfg, &jwt, &why);

	if (e == OK)
		e = read_token(c, &token);
	if (e != OK) {
		status = command_misuse(
		    "token", why.len > 0 ? why.data : err_text(e));
		goto out;
	}
	e = jwt_verify(
	    jwt, buf_span(&token), clock_real_ms() / 1000, &claims, &rule);
	if (e == OK)
		status = say_good(c, &claims);
	else if (e == ERR_AUTH)
		status = say_refused(c, rule);
	else
		status = command_fail("token", err_text(e));
out:
	claims_done(&claims);
	jwt_free(&jwt);
	buf_done(&token);
	buf_done(&why);
	return status;
}

int
command_token(const struct command_line *c)
{
	if (strcmp(c->args[0], "check") == 0)
		return check(c);
	if (c->n > 1)
		return command_misuse("token", "one argument too many");
	if (strcmp(c->args[0], "mint") == 0)
		return mint(c);
	if (strcmp(c->args[0], "revoke") == 0)
		return revoke(c);
	return command_misuse("token", "mint, revoke or check?");
}

int
command_ticket(const struct command_line *c)
{
	struct buf ticket = BUF_INIT;
	struct wish w = {.jobs = BUF_INIT};
	struct db *db = NULL;
	int status = read_wish(c, "ticket", &w);
	enum err e;

	if (status == EXIT_DONE && (db = command_open(c, DB_WRITE)) == NULL)
		status = EXIT_FAILED;
	if (status != EXIT_DONE)
		goto out;
	e = db_begin(db);
	if (e == OK)
		e = ticket_make(db, &w.claims, (struct span){0}, w.claims.iat_s,
		    0, &ticket);
	if (e == OK)
		e = db_commit(db);
	else
		db_rollback(db);
	if (e != OK)
		status = command_fail("ticket", err_text(e));
	else
		(void)printf(c->settings->json
				 ? "{\"ticket\":\"%s\",\"expires_in\":30}\n"
				 : "%s\n",
		    ticket.data);
out:
	db_close(&db);
	wish_done(&w);
	buf_done(&ticket);
	return status;
}
