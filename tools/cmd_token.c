/* SPDX-License-Identifier: ISC */
/*
 * jobwire token: makes tokens for who may read, takes them back, and says why
 * one is refused.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "app/auth_settings.h"
#include "auth/claims.h"
#include "auth/jwt.h"
#include "auth/url_signature.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "command.h"
#include "grant.h"

static struct values {
	struct grant_flags grant; /* first: GRANT_FLAGS */
	char *jti, *key;
} values;

static const struct opt_def flags[] = {
    GRANT_FLAGS,
    {COMMAND_FLAG(struct values, jti), .metavar = "ID",
	.help = "the token to take back"},
    {COMMAND_FLAG(struct values, key), .metavar = "@FILE",
	.help = "private key in PEM that signs tokens"},
    {.name = NULL},
};

static int
mint(const struct command_line *c)
{
	struct buf token = BUF_INIT, why = BUF_INIT;
	struct grant g = {.jti = BUF_INIT};
	int status = grant_init(&values.grant, "token", &g);
	enum err e;

	if (status != EXIT_DONE)
		goto out;
	e = grant_sign(c->settings, values.key, &g.claims, &token, &why);
	if (e != OK)
		status =
		    command_fail("token", why.len > 0 ? why.data : err_text(e));
	else if (c->settings->json)
		(void)printf("{\"token\":\"%s\",\"jti\":\"%s\","
			     "\"exp\":%" PRId64 "}\n",
		    token.data, g.claims.jti, g.claims.exp_s);
	else
		(void)puts(token.data);
out:
	grant_done(&g);
	buf_done(&token);
	buf_done(&why);
	return status;
}

static int
revoke(const struct command_line *c)
{
	const char *kind = values.jti != NULL ? "jti" : "sub";
	const char *value = values.jti != NULL ? values.jti : values.grant.sub;
	char digest[CRYPTO_SHA256_SIZE];
	const struct intent_revocation revocation = {
	    kind, digest, clock_real_ms() / 1000};
	struct intent_result result;
	struct db *db;
	enum err e;

	/* It takes back all that the token or the subject may do: --jobs would
	 * promise less. */
	if ((values.jti == NULL) == (values.grant.sub == NULL) ||
	    !claims_is_text(span_of(value)) || values.grant.jobs != NULL ||
	    values.grant.ttl != 0 || values.key != NULL)
		return command_misuse("token", "revoke takes --jti or --sub");
	db = command_open(c, DB_WRITE);
	if (db == NULL)
		return EXIT_FAILED;
	e = crypto_sha256(span_of(value), digest);
	if (e == OK)
		e = command_write(db, INTENT_REVOCATION, &revocation, &result);
	if (e == OK)
		(void)puts(c->settings->json
			       ? result.seq > 0
				     ? "{\"revoked\":true,\"pending\":true}"
				     : "{\"revoked\":true}"
			   : result.seq > 0 ? "revoked, pending"
					    : "revoked");
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

static int
run(const struct command_line *c)
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

const struct command command_token = {
    .name = "token",
    .arguments = "mint | revoke | check [TOKEN | -]",
    .min = 1,
    .max = 2,
    .run = run,
    .summary = "make a token for who may read, take one back, or check one",
    .more =
	"mint --sub S [--jobs a,b] [--ttl 1h] [--key @FILE]\n"
	"revoke --jti J, or --sub S: all of S so far\n"
	"check says which rule a token breaks, with status 1; without TOKEN\n"
	"it is read from standard input\n",
    .flags = flags,
    .values = &values,
};
