/* SPDX-License-Identifier: ISC */
/*
 * What makes a token good: form, header, signature, claims, in this order, so
 * that next to nothing is done with what nobody signed. jws.c checks
 * signatures, reader.c says who may read what. Blocks only in jwt_new(), on key
 * files.
 */
#include "auth/jwt.h"

#include <stdlib.h>
#include <string.h>

#include "text/base64.h"
#include "text/json_text.h"
#include "text/json_value.h"

struct jwt {
	struct jwt_config cfg;
	struct jws_keys keys;
};

static const char *const alg_names[] = {
    [JWS_HS256] = "HS256",
    [JWS_RS256] = "RS256",
    [JWS_ES256] = "ES256",
};

static enum err
load(const struct jwt_config *cfg, struct jws_keys *ret, struct buf *message)
{
	struct jws_keys keys = {0};
	struct buf why = BUF_INIT;
	enum err e = jws_keys_load(cfg->key, cfg->alg, false, &keys, &why);

	if (e == OK && keys.n == 0) {
		buf_add_str(&why, "there is none");
		e = ERR_AUTH;
	}
	if (e == OK)
		*ret = keys;
	else
		buf_addf(message, "jwt_key: %s",
		    why.len > 0 ? why.data : err_text(e));
	buf_done(&why);
	return e;
}

enum err
jwt_new(const struct jwt_config *config, struct jwt **ret, struct buf *message)
{
	struct jwt *jwt = calloc(1, sizeof(*jwt));
	enum err e;

	if (jwt == NULL)
		return ERR_NOMEM;
	jwt->cfg = *config;
	e = load(config, &jwt->keys, message);
	if (e == OK)
		*ret = jwt;
	else
		free(jwt);
	return e;
}

void
jwt_free(struct jwt **jwt)
{
	if (*jwt == NULL)
		return;
	jws_keys_done(&(*jwt)->keys);
	free(*jwt);
	*jwt = NULL;
}

/* --- Checking ------------------------------------------------------------- */

/* Header, payload and signature of a token, decoded. */
struct parts {
	struct span message; /* what is signed; borrowed */
	struct buf header, payload, signature;
};

static void
parts_done(struct parts *p)
{
	buf_done(&p->header);
	buf_done(&p->payload);
	buf_done(&p->signature);
}

/* Exactly two dots; the payload is decoded later, when it is known to be
 * signed. */
static enum err
split(struct span token, struct parts *p, struct span *ret_payload)
{
	const char *end = token.p + token.n, *dot, *last;
	enum err e;

	if (token.n == 0 || token.n > JWT_SIZE_MAX)
		return ERR_AUTH;
	dot = memchr(token.p, '.', token.n);
	last = memrchr(token.p, '.', token.n);
	if (dot == last)
		return ERR_AUTH;
	p->message = (struct span){token.p, (size_t)(last - token.p)};
	*ret_payload = (struct span){dot + 1, (size_t)(last - dot - 1)};
	e = base64_add_bytes(&p->header,
	    (struct span){token.p, (size_t)(dot - token.p)}, BASE64_URL);
	if (e == OK)
		e = base64_add_bytes(&p->signature,
		    (struct span){last + 1, (size_t)(end - last - 1)},
		    BASE64_URL);
	return e == ERR_PROTO ? ERR_AUTH : e;
}

/* The algorithm must be ours; what must be understood (crit) is not. The kid
 * picks among our keys; keys and addresses in a header are passed over. */
static enum err
find_key(const struct jwt *jwt, struct json_object *header,
    const struct jws_key **ret_key, enum token_rule *ret_rule)
{
	struct json_object *value;
	struct span kid = {0};

	value = json_object_object_get(header, "alg");
	if (!claims_is(value, alg_names[jwt->cfg.alg]))
		return token_rule_break(RULE_ALG, ret_rule);
	if (json_object_object_get_ex(header, "crit", NULL))
		return token_rule_break(RULE_CRIT, ret_rule);
	if (json_object_object_get_ex(header, "kid", &value) &&
	    !(json_value_string(value, &kid) && claims_is_text(kid)))
		return token_rule_break(RULE_KID, ret_rule);
	*ret_key = jws_keys_find(&jwt->keys, kid);
	return *ret_key != NULL ? OK : token_rule_break(RULE_KID, ret_rule);
}

static enum err
read_header(const struct jwt *jwt, struct span text,
    const struct jws_key **ret_key, enum token_rule *ret_rule)
{
	struct json_object *header = NULL;
	enum err e = claims_parse(text, &header);

	if (e == ERR_AUTH)
		return token_rule_break(RULE_HEADER, ret_rule);
	if (e == OK)
		e = find_key(jwt, header, ret_key, ret_rule);
	json_object_put(header);
	return e;
}

/* RFC 7519 section 4.1.3: one name, or an array of them. */
static bool
has_audience(struct json_object *value, const char *expected)
{
	if (!json_object_is_type(value, json_type_array))
		return claims_is(value, expected);
	for (size_t i = 0; i < json_object_array_length(value); i++)
		if (claims_is(json_object_array_get_idx(value, i), expected))
			return true;
	return false;
}

/* Is it by and for whom the configuration says, and in force? */
static enum err
check_scope(const struct jwt_config *cfg, struct json_object *payload,
    int64_t now_s, enum token_rule *ret_rule)
{
	struct json_object *value;
	int64_t nbf_s = 0;

	value = json_object_object_get(payload, "iss");
	if (cfg->issuer != NULL && !claims_is(value, cfg->issuer))
		return token_rule_break(RULE_ISS, ret_rule);
	value = json_object_object_get(payload, "aud");
	if (cfg->audience != NULL && !has_audience(value, cfg->audience))
		return token_rule_break(RULE_AUD, ret_rule);
	if ((json_object_object_get_ex(payload, "nbf", &value) &&
		!claims_time(value, &nbf_s)) ||
	    nbf_s > now_s + JWT_LEEWAY_S)
		return token_rule_break(RULE_NBF, ret_rule);
	return OK;
}

static enum err
check_times(const struct claims *c, int64_t now_s, enum token_rule *ret_rule)
{
	int64_t born_s = c->iat_s != INT64_MIN ? c->iat_s : now_s;

	if (born_s > now_s + JWT_LEEWAY_S)
		return token_rule_break(RULE_IAT, ret_rule);
	if (c->exp_s > born_s + CLAIMS_LIFE_MAX_S)
		return token_rule_break(RULE_LIFE, ret_rule);
	if (c->exp_s <= now_s)
		return token_rule_break(RULE_EXPIRED, ret_rule);
	return OK;
}

static enum err
check_claims(const struct jwt *jwt, struct span text, int64_t now_s,
    struct claims *ret, enum token_rule *ret_rule)
{
	struct json_object *payload = NULL;
	struct claims c = {0};
	enum err e = claims_parse(text, &payload);

	if (e == OK)
		e = check_scope(&jwt->cfg, payload, now_s, ret_rule);
	if (e == OK)
		e = claims_read(payload, &c, ret_rule);
	json_object_put(payload);
	if (e == OK)
		e = check_times(&c, now_s, ret_rule);
	if (e == OK)
		*ret = c;
	else
		claims_done(&c);
	return e;
}

enum err
jwt_verify(const struct jwt *jwt, struct span token, int64_t now_s,
    struct claims *ret, enum token_rule *ret_rule)
{
	struct parts p = {.header = BUF_INIT};
	const struct jws_key *key = NULL;
	struct span payload = {0};
	enum token_rule rule = RULE_FORM;
	enum err e = split(token, &p, &payload);

	if (e == OK)
		e = read_header(jwt, buf_span(&p.header), &key, &rule);
	if (e == OK) {
		rule = RULE_SIGNATURE;
		e = jws_verify(
		    jwt->cfg.alg, key, p.message, buf_span(&p.signature));
	}
	if (e == OK) {
		rule = RULE_PAYLOAD;
		e = base64_add_bytes(&p.payload, payload, BASE64_URL);
	}
	if (e == OK)
		e = check_claims(jwt, buf_span(&p.payload), now_s, ret, &rule);
	parts_done(&p);
	return e == ERR_PROTO || e == ERR_AUTH
		   ? token_rule_break(rule, ret_rule)
		   : e;
}

/* --- Making --------------------------------------------------------------- */

static void
add_text(struct buf *out, const char *name, const char *value)
{
	if (value == NULL)
		return;
	buf_addf(out, ",\"%s\":", name);
	json_text_add_quoted(out, span_of(value));
}

enum err
jwt_make(const struct jwt_config *config, const struct jws_keys *keys,
    const struct claims *c, struct buf *out)
{
	const struct jws_key *key = &keys->list[0];
	struct buf header = BUF_INIT, payload = BUF_INIT, signature = BUF_INIT;
	struct buf token = BUF_INIT;
	enum err e;

	buf_addf(
	    &header, "{\"alg\":\"%s\",\"typ\":\"JWT\"", alg_names[keys->alg]);
	add_text(&header, "kid", key->name);
	buf_add_char(&header, '}');
	buf_add_char(&payload, '{');
	claims_add(&payload, c);
	add_text(&payload, "iss", config->issuer);
	add_text(&payload, "aud", config->audience);
	buf_add_char(&payload, '}');
	base64_add(&token, buf_span(&header), BASE64_URL);
	buf_add_char(&token, '.');
	base64_add(&token, buf_span(&payload), BASE64_URL);
	e = header.failed || payload.failed || token.failed
		? ERR_NOMEM
		: jws_sign(keys->alg, key, buf_span(&token), &signature);
	buf_add_char(&token, '.');
	base64_add(&token, buf_span(&signature), BASE64_URL);
	if (e == OK) {
		buf_add_span(out, buf_span(&token));
		e = buf_ok(out) && buf_ok(&token) ? OK : ERR_NOMEM;
	}
	buf_done(&header);
	buf_done(&payload);
	buf_done(&signature);
	buf_done(&token);
	return e;
}
