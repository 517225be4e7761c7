/* SPDX-License-Identifier: ISC */
/*
 * Is a right to read still one? Blocks as far as a short look into the database
 * does.
 */
#include "auth/session.h"

#include <stddef.h>

#include "store/tokens.h"

enum err
session_of(const struct claims *c, struct session *ret)
{
	enum err e = crypto_sha256(span_of(c->sub), ret->sub);

	ret->exp_s = c->exp_s;
	ret->iat_s = c->iat_s;
	ret->has_jti = c->jti != NULL;
	if (e == OK && ret->has_jti)
		e = crypto_sha256(span_of(c->jti), ret->jti);
	return e;
}

enum err
session_check(const struct session *s, struct db *db, int64_t now_s)
{
	bool is_revoked = false;
	enum err e;

	if (s->exp_s <= now_s)
		return ERR_EXPIRED;
	if (db == NULL)
		return ERR_GONE;
	e = tokens_is_revoked(
	    db, s->has_jti ? s->jti : NULL, s->sub, s->iat_s, &is_revoked);
	return e == OK && is_revoked ? ERR_AUTH : e;
}

void
session_explain(enum err e, struct refusal *ret)
{
	static const struct refusal expired = {401, "token_expired",
	    "The time of this token is over.", REFUSAL_BAD_TOKEN, 0};
	static const struct refusal revoked = {401, "token_revoked",
	    "This token was revoked.", REFUSAL_BAD_TOKEN, 0};

	*ret = e == ERR_EXPIRED ? expired : revoked;
}
