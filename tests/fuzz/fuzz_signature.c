/* SPDX-License-Identifier: ISC */
/*
 * auth/standard_signature.c, fal_signature.c, url_signature.c and text/base64.c
 * on any header fields, query and body: they accept exactly what is signed for
 * now. An input is five texts, with a line feed between them: id, timestamp,
 * signature, query or user id, body.
 */
#undef NDEBUG
#include "auth/standard_signature.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "auth/fal_signature.h"
#include "auth/url_signature.h"
#include "text/base64.h"
#include "text/hex.h"
#include "web/query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of the specification of Standard Webhooks; its example is in the corpus. */
#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define URL_KEY "0123456789abcdef"

enum { NOW = 1614265330, PARTS = 5 };

/* Of RFC 8032 section 7.1, test 1. */
static struct fal_key fal_key = {
    {0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3,
	0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25,
	0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a}};

struct input {
	struct span id, timestamp, signature, query, body;
};

static void
add_field(struct buf *variables, const char *name, struct span value)
{
	buf_add_str(variables, name);
	buf_add_char(variables, '=');
	buf_add_span(variables, value);
	buf_add_char(variables, '\0');
}

/* As a web server would pass it: a field ends before a NUL. */
static struct span
up_to_nul(struct span s)
{
	const char *nul = s.n == 0 ? NULL : memchr(s.p, '\0', s.n);

	return (struct span){s.p, nul == NULL ? s.n : (size_t)(nul - s.p)};
}

static bool
is_now(struct span timestamp)
{
	char text[19] = "";
	int64_t time_s;

	if (timestamp.n == 0 || timestamp.n >= sizeof(text))
		return false;
	memcpy(text, timestamp.p, timestamp.n);
	if (strspn(text, "0123456789") != timestamp.n)
		return false;
	time_s = strtoll(text, NULL, 10);
	return time_s >= NOW - 300 && time_s <= NOW + 300;
}

/* Standard Webhooks, computed in another way. */
static bool
is_standard(const struct input *in)
{
	unsigned char key[24], mac[EVP_MAX_MD_SIZE], text[64] = "v1,";
	struct buf message = BUF_INIT, list = BUF_INIT, token = BUF_INIT;
	bool is_there;
	size_t n;

	assert(base64_read(SPAN_LIT("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
		   BASE64_ANY, key, sizeof(key), &n) == OK);
	buf_add_span(&message, in->id);
	buf_add_char(&message, '.');
	buf_add_span(&message, in->timestamp);
	buf_add_char(&message, '.');
	buf_add_span(&message, in->body);
	assert(buf_ok(&message));
	assert(
	    HMAC(EVP_sha256(), key, (int)n, (const unsigned char *)message.data,
		message.len, mac, NULL) != NULL);
	EVP_EncodeBlock(text + 3, mac, 32);
	buf_addf(&token, " %s ", text);
	buf_add_char(&list, ' ');
	buf_add_span(&list, in->signature);
	buf_add_char(&list, ' ');
	is_there = strstr(list.data, token.data) != NULL;
	buf_done(&message);
	buf_done(&list);
	buf_done(&token);
	return in->id.n > 0 && is_there;
}

static void
try_standard(const struct input *in)
{
	static struct standard_keys keys;
	struct buf variables = BUF_INIT, message = BUF_INIT;
	struct request r = {.body = in->body};
	bool is_signed = is_standard(in);
	enum err e;

	if (keys.n == 0)
		assert(standard_keys_load(SECRET, &keys, &message) == OK);
	add_field(&variables, "HTTP_WEBHOOK_ID", in->id);
	add_field(&variables, "HTTP_WEBHOOK_TIMESTAMP", in->timestamp);
	add_field(&variables, "HTTP_WEBHOOK_SIGNATURE", in->signature);
	r.variables = buf_span(&variables);
	e = standard_verify(&keys, &r, NOW);
	assert((e == OK) == (is_signed && is_now(in->timestamp)));
	assert(e == OK || e == ERR_AUTH || (e == ERR_EXPIRED && is_signed));
	buf_done(&variables);
}

static void
try_fal(const struct input *in)
{
	const struct fal_keys keys = {&fal_key, 1};
	struct buf variables = BUF_INIT;
	struct request r = {.body = in->body};
	unsigned char sig[64];
	enum err e;

	add_field(&variables, "HTTP_X_FAL_WEBHOOK_REQUEST_ID", in->id);
	add_field(&variables, "HTTP_X_FAL_WEBHOOK_USER_ID", in->query);
	add_field(&variables, "HTTP_X_FAL_WEBHOOK_TIMESTAMP", in->timestamp);
	add_field(&variables, "HTTP_X_FAL_WEBHOOK_SIGNATURE", in->signature);
	r.variables = buf_span(&variables);
	e = fal_verify(&keys, &r, NOW);
	assert(e == OK || e == ERR_AUTH || e == ERR_EXPIRED);
	if (e != ERR_AUTH)
		assert(hex_read(in->signature, sig, sizeof(sig)) == OK);
	if (e == OK)
		assert(is_now(in->timestamp));
	buf_done(&variables);
}

/* The query of a signed URL: what is accepted is what we would have signed. */
static void
try_query(const struct input *in)
{
	static struct secrets keys;
	struct buf job_id = BUF_INIT, restore_id = BUF_INIT, exp = BUF_INIT,
		   sig = BUF_INIT, message = BUF_INIT, made = BUF_INIT,
		   made_sig = BUF_INIT;
	struct url_claim claim = {.provider = "standard"};
	enum err e;

	if (keys.n == 0)
		assert(secrets_load(URL_KEY, &keys, &message) == OK);
	(void)query_get(in->query, "job_id", &job_id);
	(void)query_get(in->query, "restore_id", &restore_id);
	(void)query_get(in->query, "exp", &exp);
	(void)query_get(in->query, "sig", &sig);
	claim.job_id = buf_span(&job_id);
	claim.restore_id = buf_span(&restore_id);
	claim.exp = strtoll(buf_span(&exp).p, NULL, 10);
	e = url_signature_verify(&keys, &claim, buf_span(&sig), NOW);
	assert(e == OK || e == ERR_AUTH || e == ERR_EXPIRED);
	/* Not signed: a claim with a line break. */
	if (url_signature_add(&keys, &claim, &made) == OK)
		assert(query_get(buf_span(&made), "sig", &made_sig));
	assert((e != ERR_AUTH) ==
	       (sig.len > 0 && span_eq(buf_span(&made_sig), buf_span(&sig))));
	buf_done(&job_id);
	buf_done(&restore_id);
	buf_done(&exp);
	buf_done(&sig);
	buf_done(&made);
	buf_done(&made_sig);
}

/* What is taken for base64 has as many bytes as its length says; what they are
 * encoded to means the same. */
static void
try_base64(struct span text)
{
	unsigned char bytes[96], again[96], encoded[129];
	size_t n, n_again;

	if (base64_read(text, BASE64_ANY, bytes, sizeof(bytes), &n) != OK)
		return;
	assert(n <= text.n / 4 * 3 + 2 && n + 2 >= text.n / 4 * 3);
	EVP_EncodeBlock(encoded, bytes, (int)n);
	assert(base64_read(span_of((const char *)encoded), BASE64_PADDED, again,
		   sizeof(again), &n_again) == OK);
	assert(n == n_again && memcmp(bytes, again, n) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = {(const char *)data, size}, parts[PARTS];
	struct input in;

	for (size_t i = 0; i < PARTS; i++) {
		const char *end = i == PARTS - 1 || rest.n == 0
				      ? NULL
				      : memchr(rest.p, '\n', rest.n);
		const size_t n = end == NULL ? rest.n : (size_t)(end - rest.p);

		parts[i] = (struct span){rest.p, n};
		rest.p += n + (end != NULL);
		rest.n -= n + (end != NULL);
	}
	in = (struct input){up_to_nul(parts[0]), up_to_nul(parts[1]),
	    up_to_nul(parts[2]), up_to_nul(parts[3]), parts[4]};
	try_standard(&in);
	try_fal(&in);
	try_query(&in);
	try_base64(in.signature);
	return 0;
}
