/* SPDX-License-Identifier: ISC */
/*
 * auth/claims.c and text/base64.c on any bytes: what is taken keeps its meaning
 * when it is written and read again, and base64url has one spelling.
 */
#undef NDEBUG
#include "auth/claims.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "text/base64.h"
#include "text/json_value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static enum err
read_claims(struct span text, struct claims *ret)
{
	struct json_object *o = NULL;
	enum token_rule rule;
	enum err e = claims_parse(text, &o);

	if (e == OK)
		e = claims_read(o, ret, &rule);
	json_object_put(o);
	return e;
}

static void
try_claims(struct span text)
{
	struct claims c, again;
	struct buf out = BUF_INIT;

	if (read_claims(text, &c) != OK)
		return;
	assert(*c.sub != '\0' && strlen(c.sub) <= CLAIMS_TEXT_MAX);
	if (c.jobs != NULL)
		(void)claims_list_has(c.jobs, "job-1");
	buf_add_char(&out, '{');
	claims_add(&out, &c);
	buf_add_char(&out, '}');
	assert(read_claims(buf_span(&out), &again) == OK);
	assert(is_same(c.sub, again.sub) && is_same(c.jti, again.jti));
	assert(is_same(c.jobs, again.jobs));
	assert(c.exp_s == again.exp_s && c.iat_s == again.iat_s);
	claims_done(&c);
	claims_done(&again);
	buf_done(&out);
}

static void
try_base64(struct span text)
{
	struct buf bytes = BUF_INIT, again = BUF_INIT;

	if (base64_add_bytes(&bytes, text, BASE64_URL) == OK) {
		base64_add(&again, buf_span(&bytes), BASE64_URL);
		assert(span_eq(buf_span(&again), text));
	}
	buf_reset(&bytes);
	buf_reset(&again);
	base64_add(&again, text, BASE64_URL);
	assert(base64_add_bytes(&bytes, buf_span(&again), BASE64_URL) == OK);
	assert(span_eq(buf_span(&bytes), text));
	buf_done(&bytes);
	buf_done(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = {(const char *)data, size};

	try_claims(text);
	try_base64(text);
	return 0;
}
