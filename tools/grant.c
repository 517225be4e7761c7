/* SPDX-License-Identifier: ISC */
/*
 * What a new token or ticket says, from the flags, and how a token is signed.
 */
#include "grant.h"

#include <stdint.h>
#include <string.h>

#include "app/auth_settings.h"
#include "auth/jwt.h"
#include "base/clock.h"
#include "conf/opt.h"
#include "job/name.h"
#include "text/base64.h"
#include "text/span.h"

enum { JTI_BYTES = 16 };

void
grant_done(struct grant *g)
{
	buf_done(&g->jti);
}

static bool
are_job_ids(const char *list)
{
	struct span rest = span_of(list);

	while (rest.n > 0)
		if (!job_id_ok(span_cut(&rest, ',')))
			return false;
	return *list != '\0' && list[strlen(list) - 1] != ',';
}

int
grant_init(const struct grant_flags *flags, const char *what, struct grant *g)
{
	int64_t ttl_ms = flags->ttl != 0 ? flags->ttl : GRANT_TTL_MS;
	char bytes[JTI_BYTES];

	if (flags->sub == NULL || !claims_is_text(span_of(flags->sub)))
		return command_misuse(what, "--sub names who may read");
	if (flags->jobs != NULL && !are_job_ids(flags->jobs))
		return command_misuse(what, "--jobs takes job ids: a,b");
	random_bytes(bytes, sizeof(bytes));
	base64_add(&g->jti, (struct span){bytes, sizeof(bytes)}, BASE64_URL);
	if (!buf_ok(&g->jti))
		return command_fail(what, "out of memory");
	g->claims.sub = (char *)(uintptr_t)flags->sub;
	g->claims.jti = g->jti.data;
	g->claims.jobs = flags->jobs;
	g->claims.iat_s = clock_real_ms() / 1000;
	g->claims.exp_s = g->claims.iat_s + ttl_ms / 1000;
	return EXIT_DONE;
}

/* The keys that can sign: --key, else the secret of HS256. */
static enum err
load_keys(const struct settings *s, const char *key, struct jws_keys *ret,
    struct buf *why)
{
	enum jws_alg alg = auth_settings_jwt(s).alg;
	struct jws_keys keys = {0};
	enum err e = OK;

	if (key != NULL)
		e = jws_keys_load(key, alg, true, &keys, why);
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
grant_sign(const struct settings *s, const char *key,
    const struct claims *claims, struct buf *out, struct buf *why)
{
	const struct jwt_config cfg = auth_settings_jwt(s);
	struct jws_keys keys = {0};
	enum err e = load_keys(s, key, &keys, why);

	if (e == OK)
		e = jwt_make(&cfg, &keys, claims, out);
	jws_keys_done(&keys);
	return e;
}
