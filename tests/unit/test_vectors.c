/* SPDX-License-Identifier: ISC */
/*
 * The vectors of tests/vectors: what we sign is byte for byte what the files
 * say, and so is what publish/ makes of them in other languages
 * (tests/integration/test_publish.py).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "auth/jwt.h"
#include "auth/url_signature.h"
#include "hook/urls.h"
#include "job/name.h"
#include "text/json_value.h"
#include "text/span.h"

/* A member's text, borrowed; NULL: it is null or missing. */
static const char *
text_of(struct json_object *vector, const char *name)
{
	return json_object_get_string(json_object_object_get(vector, name));
}

static int64_t
number_of(struct json_object *vector, const char *name)
{
	return json_object_get_int64(json_object_object_get(vector, name));
}

static void
each_vector(const char *path, void (*check)(struct json_object *vector))
{
	struct json_object *vectors = json_object_from_file(path);

	assert_non_null(vectors);
	assert_true(json_object_array_length(vectors) > 10);
	for (size_t i = 0; i < json_object_array_length(vectors); i++) {
		struct json_object *v = json_object_array_get_idx(vectors, i);

		print_message("# %s\n", text_of(v, "name"));
		check(v);
	}
	json_object_put(vectors);
}

static void
check_url(struct json_object *v)
{
	const struct urls_site site = {
	    text_of(v, "base_url"), text_of(v, "api_prefix")};
	const struct url_claim claim = {text_of(v, "provider"),
	    span_of(text_of(v, "job_id")), span_of(text_of(v, "restore_id")),
	    number_of(v, "exp")};
	struct secrets keys = {0};
	struct buf out = BUF_INIT;

	if (text_of(v, "refused") != NULL) {
		assert_false(job_id_ok(claim.job_id));
		return;
	}
	assert_true(claim.job_id.n == 0 || job_id_ok(claim.job_id));
	assert_int_equal(
	    secrets_load(text_of(v, "webhook_secret"), &keys, &out), OK);
	assert_int_equal(urls_add_webhook(&out, &site, &keys, &claim), OK);
	assert_string_equal(out.data, text_of(v, "url"));
	buf_done(&out);
	secrets_done(&keys);
}

/* A vector's `jobs` as a list of the claims; false where one is no job id. */
static bool
take_jobs(struct json_object *jobs, struct buf *ret)
{
	for (size_t i = 0; i < json_object_array_length(jobs); i++) {
		const char *id =
		    json_object_get_string(json_object_array_get_idx(jobs, i));

		if (!job_id_ok(span_of(id)))
			return false;
		buf_addf(ret, "%s%s", i > 0 ? "," : "", id);
	}
	return true;
}

static void
check_made(struct json_object *v, const struct claims *claims)
{
	const struct jwt_config cfg = {.alg = JWS_HS256,
	    .issuer = text_of(v, "issuer"),
	    .audience = text_of(v, "audience")};
	const char *kid = text_of(v, "kid");
	struct jws_keys keys = {0};
	struct buf out = BUF_INIT;

	assert_int_equal(
	    jws_keys_load(text_of(v, "jwt_key"), JWS_HS256, true, &keys, &out),
	    OK);
	if (kid != NULL)
		keys.list[0].name = span_dup(span_of(kid));
	assert_int_equal(jwt_make(&cfg, &keys, claims, &out), OK);
	assert_string_equal(out.data, text_of(v, "token"));
	buf_done(&out);
	jws_keys_done(&keys);
}

static void
check_token(struct json_object *v)
{
	struct json_object *list = json_object_object_get(v, "jobs");
	struct buf jobs = BUF_INIT;
	struct claims claims = {
	    .exp_s = number_of(v, "exp"), .iat_s = number_of(v, "iat")};
	bool is_good = claims_is_text(span_of(text_of(v, "sub")));

	claims.sub = (char *)(uintptr_t)text_of(v, "sub");
	claims.jti = (char *)(uintptr_t)text_of(v, "jti");
	if (list != NULL) {
		is_good = take_jobs(list, &jobs) && is_good;
		/* An empty list is one, too. */
		claims.jobs =
		    (char *)(uintptr_t)(jobs.len > 0 ? jobs.data : "");
	}
	assert_int_equal(is_good, text_of(v, "refused") == NULL);
	if (is_good)
		check_made(v, &claims);
	buf_done(&jobs);
}

static void
test_webhook_urls(void **state)
{
	(void)state;
	each_vector("tests/vectors/webhook-urls.json", check_url);
}

static void
test_tokens(void **state)
{
	(void)state;
	each_vector("tests/vectors/tokens.json", check_token);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_webhook_urls),
	    cmocka_unit_test(test_tokens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
