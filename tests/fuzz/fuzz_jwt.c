/* SPDX-License-Identifier: ISC */
/*
 * auth/jwt.c on any token, and on any header and payload that are well signed:
 * what it takes has a subject, is of our time and can be made again. An input
 * is the header, a line feed, and the payload.
 */
#undef NDEBUG
#include "auth/jwt.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "auth/crypto.h"
#include "text/base64.h"
#include "text/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEY "0123456789abcdef0123456789abcdef"

enum { NOW_S = 1764000000 };

static const struct jwt_config config = {
    .alg = JWS_HS256, .key = KEY, .issuer = "us", .audience = "jobwire"};

static enum err
verify(const struct jwt *jwt, struct span token, struct claims *ret)
{
	enum token_rule rule = TOKEN_RULES;
	enum err e = jwt_verify(jwt, token, NOW_S, ret, &rule);

	assert(e == OK || (e == ERR_AUTH && rule < TOKEN_RULES));
	return e;
}

/* Of these claims, with our issuer and audience. */
static void
try_again(const struct jwt *jwt, const struct claims *c)
{
	struct jws_keys keys;
	struct buf token = BUF_INIT, message = BUF_INIT;
	struct claims again;

	assert(jws_keys_load(KEY, JWS_HS256, true, &keys, &message) == OK);
	assert(jwt_make(&config, &keys, c, &token) == OK);
	if (token.len <= JWT_SIZE_MAX) {
		assert(verify(jwt, buf_span(&token), &again) == OK);
		assert(strcmp(c->sub, again.sub) == 0);
		assert(c->exp_s == again.exp_s);
		claims_done(&again);
	}
	jws_keys_done(&keys);
	buf_done(&token);
	buf_done(&message);
}

static void
try_token(const struct jwt *jwt, struct span token)
{
	struct claims c;

	if (verify(jwt, token, &c) != OK)
		return;
	assert(*c.sub != '\0' && strlen(c.sub) <= CLAIMS_TEXT_MAX);
	assert(c.exp_s > NOW_S);
	try_again(jwt, &c);
	claims_done(&c);
}

static void
add_signed(struct buf *out, struct span header, struct span payload)
{
	unsigned char mac[CRYPTO_MAC_SIZE];
	struct span message;

	base64_add(out, header, BASE64_URL);
	buf_add_char(out, '.');
	base64_add(out, payload, BASE64_URL);
	message = buf_span(out);
	assert(crypto_hmac(SPAN_LIT(KEY), &message, 1, mac) == OK);
	buf_add_char(out, '.');
	base64_add(
	    out, (struct span){(const char *)mac, sizeof(mac)}, BASE64_URL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct jwt *jwt;
	struct span payload = {(const char *)data, size}, header;
	struct buf token = BUF_INIT, message = BUF_INIT;

	if (jwt == NULL)
		assert(jwt_new(&config, &jwt, &message) == OK);
	try_token(jwt, payload);
	header = span_cut(&payload, '\n');
	add_signed(&token, header, payload);
	try_token(jwt, buf_span(&token));
	buf_done(&token);
	return 0;
}
