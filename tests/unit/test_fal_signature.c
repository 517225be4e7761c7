/* SPDX-License-Identifier: ISC */
/* auth/fal_signature.c, with keys that the test makes. */
#include "auth/fal_signature.h"

#include <errno.h>

#include <openssl/evp.h>

#include "alloc_fail.h"
#include "auth/crypto.h"
#include "signed_call.h"

enum { TIME = 1764000000 };

/* --- Helpers -------------------------------------------------------------- */

static struct fal_keys keys; /* of the running test */
static EVP_PKEY *signers[2]; /* private keys */

static enum err
verify(const struct request *r, int64_t now_s)
{
	return fal_verify(&keys, r, now_s);
}

/* base64url of the signer's public key. */
static void
add_x(struct buf *out, const EVP_PKEY *signer)
{
	unsigned char raw[FAL_KEY_SIZE], text[48];
	size_t n = sizeof(raw);

	assert_int_equal(EVP_PKEY_get_raw_public_key(signer, raw, &n), 1);
	EVP_EncodeBlock(text, raw, FAL_KEY_SIZE);
	for (char *c = (char *)text; *c != '\0' && *c != '='; c++)
		buf_add_char(out, *c == '+' ? '-' : *c == '/' ? '_' : *c);
}

static void
add_jwk(struct buf *out, const EVP_PKEY *signer)
{
	buf_add_str(out, "{\"kty\":\"OKP\",\"use\":\"sig\",\"kid\":\"k\","
			 "\"crv\":\"Ed25519\",\"x\":\"");
	add_x(out, signer);
	buf_add_str(out, "\"}");
}

static enum err
load(const char *jwks, struct fal_keys *ret)
{
	char path[] = "/tmp/jobwire-test-XXXXXX";
	struct buf message = BUF_INIT;
	enum err e;

	write_temporary(path, jwks);
	e = fal_keys_load(path, ret, &message);
	assert_int_equal(message.len > 0, e != OK);
	unlink(path);
	buf_done(&message);
	return e;
}

/* Knows both signers. */
static int
set_up(void **state)
{
	struct buf jwks = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < COUNT(signers); i++) {
		signers[i] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
		assert_non_null(signers[i]);
	}
	buf_add_str(&jwks, "{\"keys\":[");
	add_jwk(&jwks, signers[0]);
	buf_add_char(&jwks, ',');
	add_jwk(&jwks, signers[1]);
	buf_add_str(&jwks, "]}\n");
	assert_int_equal(load(jwks.data, &keys), OK);
	assert_int_equal(keys.n, 2);
	buf_done(&jwks);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(signers); i++)
		EVP_PKEY_free(signers[i]);
	fal_keys_done(&keys);
	assert_null(keys.keys);
	fal_keys_done(&keys);
	return 0;
}

static struct signed_call
call(EVP_PKEY *signer)
{
	struct signed_call c = {
	    .fields = {{"X_FAL_WEBHOOK_REQUEST_ID", "123e4567-e89b"},
		{"X_FAL_WEBHOOK_USER_ID", "user|1"},
		{"X_FAL_WEBHOOK_TIMESTAMP", "1764000000"},
		{"X_FAL_WEBHOOK_SIGNATURE", ""}},
	    .body = "{\"request_id\":\"123e4567-e89b\",\"status\":\"OK\"}"};
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct buf text = BUF_INIT;
	unsigned char sig[64];
	size_t n = sizeof(sig);
	char digest[CRYPTO_SHA256_SIZE];

	assert_int_equal(crypto_sha256(span_of(c.body), digest), OK);
	buf_addf(&text, "%s\n%s\n%s\n%s", c.fields[0].value, c.fields[1].value,
	    c.fields[2].value, digest);
	assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, signer), 1);
	assert_int_equal(EVP_DigestSign(ctx, sig, &n,
			     (const unsigned char *)text.data, text.len),
	    1);
	for (size_t i = 0; i < n; i++)
		(void)snprintf(c.fields[3].value + 2 * i, 3, "%02x", sig[i]);
	EVP_MD_CTX_free(ctx);
	buf_done(&text);
	return c;
}

/* --- Verifying ------------------------------------------------------------ */

static void
test_accepted(void **state)
{
	struct signed_call c;

	(void)state;
	for (size_t i = 0; i < COUNT(signers); i++) {
		c = call(signers[i]);
		assert_int_equal(verify_call(&c, verify, TIME), OK);
	}
	for (char *p = c.fields[3].value; *p != '\0'; p++)
		if (*p >= 'a')
			*p = (char)(*p - 'a' + 'A');
	assert_int_equal(verify_call(&c, verify, TIME), OK);
}

static void
test_every_bit_counts(void **state)
{
	struct signed_call c = call(signers[0]);

	(void)state;
	for (size_t i = 0; i < CALL_FIELDS; i++)
		assert_bits_count(&c, c.fields[i].value, i == 3, verify, TIME);
	assert_bits_count(&c, c.body, false, verify, TIME);
	assert_fields_count(&c, verify, TIME);
	strcat(c.fields[3].value, "00");
	assert_int_equal(verify_call(&c, verify, TIME), ERR_AUTH);
}

static void
test_unknown_signer(void **state)
{
	EVP_PKEY *stranger = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	const struct signed_call c = call(stranger);

	(void)state;
	assert_int_equal(verify_call(&c, verify, TIME), ERR_AUTH);
	EVP_PKEY_free(stranger);
}

static void
test_tolerance(void **state)
{
	struct signed_call c = call(signers[1]);

	(void)state;
	assert_int_equal(verify_call(&c, verify, TIME - 300), OK);
	assert_int_equal(verify_call(&c, verify, TIME + 300), OK);
	assert_int_equal(verify_call(&c, verify, TIME - 301), ERR_EXPIRED);
	assert_int_equal(verify_call(&c, verify, TIME + 301), ERR_EXPIRED);
	c.body[0] = ' ';
	assert_int_equal(verify_call(&c, verify, TIME + 301), ERR_AUTH);
}

static void
test_no_keys(void **state)
{
	const struct signed_call c = call(signers[0]);
	struct buf message = BUF_INIT;

	(void)state;
	fal_keys_done(&keys);
	assert_int_equal(fal_keys_load(NULL, &keys, &message), OK);
	assert_int_equal(verify_call(&c, verify, TIME), ERR_NOENT);
	assert_int_equal(fal_keys_load("", &keys, &message), OK);
	assert_int_equal(verify_call(&c, verify, TIME), ERR_NOENT);
}

/* --- Loading -------------------------------------------------------------- */

/* Keys of other kinds stand beside ours; some are broken. */
static void
test_load_passes_over(void **state)
{
	struct buf jwks = BUF_INIT, x = BUF_INIT;
	const struct signed_call c = call(signers[0]);

	(void)state;
	add_x(&x, signers[0]);
	buf_addf(&jwks,
	    " {\"x\":1,\"keys\":[{},[],null,7,\"x\","
	    "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"},"
	    "{\"crv\":\"X25519\",\"x\":\"%s\"},{\"crv\":\"Ed25519\"},"
	    "{\"crv\":\"Ed25519\",\"x\":7},{\"crv\":\"Ed25519\",\"x\":\"\"},"
	    "{\"crv\":\"Ed25519\",\"x\":\"%sA\"},"
	    "{\"crv\":\"Ed25519\",\"x\":\"%sAAAAA\"},"
	    "{\"x\":\"%s\",\"crv\":\"Ed25519\"}]} ",
	    x.data, x.data, x.data, x.data);
	fal_keys_done(&keys);
	assert_int_equal(load(jwks.data, &keys), OK);
	assert_int_equal(keys.n, 1);
	assert_int_equal(verify_call(&c, verify, TIME), OK);
	buf_done(&jwks);
	buf_done(&x);
}

static void
test_load_refused(void **state)
{
	static const char *const bad[] = {"", "{", "[]", "{}", "null",
	    "{\"keys\":[]}", "{\"keys\":{}}", "{\"keys\":\"x\"}",
	    "{\"keys\":[{\"crv\":\"Ed25519\",\"x\":\"AAAA\"}]}",
	    "{\"keys\":[]} x"};
	struct fal_keys k = {.n = 77};
	struct buf message = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		if (load(bad[i], &k) != ERR_PROTO)
			fail_msg("accepted: %s", bad[i]);
	assert_int_equal(
	    fal_keys_load("/nonexistent/jwks", &k, &message), ERR_SYS);
	assert_int_equal(errno, ENOENT);
	assert_string_equal(
	    message.data, "/nonexistent/jwks: No such file or directory");
	assert_int_equal(k.n, 77);
	assert_null(k.keys);
	buf_done(&message);
}

static void
test_load_no_memory(void **state)
{
	char path[] = "/tmp/jobwire-test-XXXXXX";
	struct buf jwks = BUF_INIT, message = BUF_INIT;
	struct fal_keys k = {0};
	bool is_more = true;
	enum err e;

	(void)state;
	buf_add_str(&jwks, "{\"keys\":[");
	add_jwk(&jwks, signers[0]);
	buf_add_str(&jwks, "]}");
	write_temporary(path, jwks.data);
	for (unsigned n = 1; is_more; n++) {
		assert_int_equal(k.n, 0);
		alloc_fail_start(n);
		e = fal_keys_load(path, &k, &message);
		is_more = alloc_fail_stop();
		assert_int_equal(e, is_more ? ERR_NOMEM : OK);
		buf_done(&message);
	}
	assert_int_equal(k.n, 1);
	fal_keys_done(&k);
	unlink(path);
	buf_done(&jwks);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_accepted),
	    TEST(test_every_bit_counts),
	    TEST(test_unknown_signer),
	    TEST(test_tolerance),
	    TEST(test_no_keys),
	    TEST(test_load_passes_over),
	    TEST(test_load_refused),
	    TEST(test_load_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
