/* SPDX-License-Identifier: ISC */
/* auth/jwt.c and auth/jws.c. The token written out was made with Python's
 * hmac; what is wrong with tokens in general is in tests/integration. */
#include "auth/jwt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "alloc_fail.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define TOKEN                                                                  \
	"eyJhbGciOiJIUzI1NiIsImtpZCI6IngifQ.eyJzdWIiOiJhbGljZSIsImV4cCI6MTgw"  \
	"MDAwMDAwMCwiaWF0IjoxNzkwMDAwMDAwLCJpc3MiOiJpIiwiYXVkIjpbInUiXX0.B6j"  \
	"q-YiSjqiFknkFiD2nzPOhejY9JUhvPC0CzaRP5NA"

static const int64_t now_s = 1790000100;

/* --- Key files ------------------------------------------------------------ */

/* A folder with: rsa, rsa.pub, small.pub (RSA, 1024 bits), ec, ec.pub,
 * other.pub (EC), p384.pub, secret, locked (EC, behind a passphrase). */
struct folder {
	char path[64];
};

static const char *const names[] = {"rsa", "rsa.pub", "small.pub", "ec",
    "ec.pub", "other.pub", "p384.pub", "secret", "locked"};

static FILE *
create(const struct folder *f, const char *name)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", f->path, name);
	file = fopen(path, "w");
	assert_non_null(file);
	return file;
}

/* Frees the key. */
static void
write_pem(
    const struct folder *f, EVP_PKEY *key, const char *name, bool is_private)
{
	char public_name[32];
	FILE *file;

	assert_non_null(key);
	if (is_private) {
		file = create(f, name);
		PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
		fclose(file);
	}
	snprintf(public_name, sizeof(public_name), "%s.pub", name);
	file = create(f, public_name);
	PEM_write_PUBKEY(file, key);
	fclose(file);
	EVP_PKEY_free(key);
}

static void
write_locked(const struct folder *f, const char *name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	FILE *file = create(f, name);
	unsigned char word[] = "word";

	assert_int_equal(PEM_write_PrivateKey(
			     file, key, EVP_aes_128_cbc(), word, 4, NULL, NULL),
	    1);
	fclose(file);
	EVP_PKEY_free(key);
}

static void
write_text(const struct folder *f, const char *name, const char *text)
{
	FILE *file = create(f, name);

	fputs(text, file);
	fclose(file);
}

static int
setup(void **state)
{
	struct folder *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->path, "/tmp/jobwire-jwt-XXXXXX");
	assert_non_null(mkdtemp(f->path));
	write_pem(f, EVP_RSA_gen(2048), "rsa", true);
	write_pem(f, EVP_RSA_gen(1024), "small", false);
	write_pem(f, EVP_EC_gen("P-256"), "ec", true);
	write_pem(f, EVP_EC_gen("P-256"), "other", false);
	write_pem(f, EVP_EC_gen("P-384"), "p384", false);
	write_text(f, "secret", " \n" SECRET "\r\n");
	write_locked(f, "locked");
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct folder *f = *state;
	char path[128];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", f->path, names[i]);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(rmdir(f->path), 0);
	free(f);
	return 0;
}

/* `@FILE`, or `a=@FILE,b=@FILE`; valid until the next call but one. */
static const char *
at(const struct folder *f, const char *one, const char *two)
{
	static char texts[2][300];
	static int i;
	char *text = texts[i ^= 1];

	if (two == NULL)
		snprintf(text, sizeof(texts[0]), "@%s/%s", f->path, one);
	else
		snprintf(text, sizeof(texts[0]), "a=@%s/%s,b=@%s/%s", f->path,
		    one, f->path, two);
	return text;
}

/* --- Keys ----------------------------------------------------------------- */

static enum err
load(const char *value, enum jws_alg alg, const char *message)
{
	struct jws_keys k = {.n = 77};
	struct buf text = BUF_INIT;
	enum err e = jws_keys_load(value, alg, false, &k, &text);

	if (e == OK) {
		assert_int_equal(text.len, 0);
		jws_keys_done(&k);
	} else {
		assert_int_equal(k.n, 77);
		assert_non_null(strstr(text.data, message));
		assert_null(strstr(text.data, "0123456789"));
	}
	buf_done(&text);
	return e;
}

static void
test_load(void **state)
{
	const struct folder *f = *state;
	static const char short_one[] = "0123456789abcdef0123456789abcde";

	assert_int_equal(load(SECRET, JWS_HS256, ""), OK);
	assert_int_equal(load("a=b," SECRET, JWS_HS256, ""), OK);
	assert_int_equal(load(at(f, "secret", NULL), JWS_HS256, ""), OK);
	assert_int_equal(load(short_one, JWS_HS256, "32"), ERR_LIMIT);
	assert_int_equal(
	    load(at(f, "rsa.pub", NULL), JWS_HS256, "PEM"), ERR_PROTO);
	assert_int_equal(
	    load(at(f, "gone", NULL), JWS_HS256, "No such file"), ERR_SYS);
	assert_int_equal(load(at(f, "rsa.pub", NULL), JWS_RS256, ""), OK);
	assert_int_equal(load(at(f, "ec.pub", NULL), JWS_ES256, ""), OK);
	assert_int_equal(load(at(f, "ec.pub", "other.pub"), JWS_ES256, ""), OK);
}

static void
test_load_refuses(void **state)
{
	static const struct {
		const char *name;
		enum jws_alg alg;
	} bad[] = {
	    {"small.pub", JWS_RS256},
	    {"ec.pub", JWS_RS256},
	    {"rsa", JWS_RS256},
	    {"secret", JWS_RS256},
	    {"rsa.pub", JWS_ES256},
	    {"p384.pub", JWS_ES256},
	    {"ec", JWS_ES256},
	};
	const struct folder *f = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(load(at(f, bad[i].name, NULL), bad[i].alg,
				     "not a public key"),
		    ERR_PROTO);
	}
	/* One bad key among good ones spoils all, and is named. */
	assert_int_equal(
	    load(at(f, "ec.pub", "p384.pub"), JWS_ES256, "p384.pub"),
	    ERR_PROTO);
}

/* Nobody is asked for a passphrase. */
static void
test_load_locked(void **state)
{
	const struct folder *f = *state;
	struct buf text = BUF_INIT;
	struct jws_keys k;

	assert_int_equal(
	    jws_keys_load(at(f, "locked", NULL), JWS_ES256, true, &k, &text),
	    ERR_PROTO);
	assert_non_null(strstr(text.data, "not a private key"));
	buf_done(&text);
}

static void
test_find(void **state)
{
	const struct folder *f = *state;
	struct buf text = BUF_INIT;
	struct jws_keys k;

	assert_int_equal(jws_keys_load(at(f, "ec.pub", "other.pub"), JWS_ES256,
			     false, &k, &text),
	    OK);
	assert_int_equal(k.n, 2);
	assert_ptr_equal(jws_keys_find(&k, SPAN_LIT("a")), &k.list[0]);
	assert_ptr_equal(jws_keys_find(&k, SPAN_LIT("b")), &k.list[1]);
	assert_null(jws_keys_find(&k, SPAN_LIT("")));
	assert_null(jws_keys_find(&k, SPAN_LIT("c")));
	jws_keys_done(&k);
	assert_int_equal(
	    jws_keys_load(SECRET, JWS_HS256, false, &k, &text), OK);
	assert_ptr_equal(jws_keys_find(&k, SPAN_LIT("any")), &k.list[0]);
	jws_keys_done(&k);
	assert_int_equal(jws_keys_load(NULL, JWS_HS256, false, &k, &text), OK);
	assert_null(jws_keys_find(&k, SPAN_LIT("")));
	jws_keys_done(&k);
	buf_done(&text);
}

/* --- Tokens --------------------------------------------------------------- */

static struct jwt *
make(const struct jwt_config *cfg)
{
	struct buf message = BUF_INIT;
	struct jwt *jwt = NULL;

	assert_int_equal(jwt_new(cfg, &jwt, &message), OK);
	buf_done(&message);
	return jwt;
}

static enum token_rule rule; /* that the last bad token broke */

static enum err
verify(struct jwt *jwt, const char *token, int64_t at_s)
{
	struct claims c = {0};
	enum err e = jwt_verify(jwt, span_of(token), at_s, &c, &rule);

	if (e != OK)
		assert_null(c.sub);
	claims_done(&c);
	return e;
}

static void
test_known_token(void **state)
{
	struct jwt_config cfg = {JWS_HS256, SECRET, "i", "u"};
	struct jwt *jwt = make(&cfg);
	struct claims c;

	(void)state;
	assert_int_equal(
	    jwt_verify(jwt, SPAN_LIT(TOKEN), now_s, &c, &rule), OK);
	assert_string_equal(c.sub, "alice");
	assert_int_equal(c.exp_s, 1800000000);
	assert_int_equal(c.iat_s, 1790000000);
	assert_null(c.jti);
	claims_done(&c);
	assert_int_equal(verify(jwt, TOKEN, 1799999999), OK);
	assert_int_equal(verify(jwt, TOKEN, 1800000000), ERR_AUTH);
	assert_int_equal(rule, RULE_EXPIRED);
	/* Issued in what is the future for us. */
	assert_int_equal(verify(jwt, TOKEN, 1790000000 - JWT_LEEWAY_S), OK);
	assert_int_equal(
	    verify(jwt, TOKEN, 1790000000 - JWT_LEEWAY_S - 1), ERR_AUTH);
	assert_int_equal(verify(jwt, "", now_s), ERR_AUTH);
	assert_int_equal(verify(jwt, TOKEN "A", now_s), ERR_AUTH);
	jwt_free(&jwt);
	assert_null(jwt);
	jwt_free(&jwt);
}

/* One that is good for longer than a year is refused, however well signed. */
static void
test_life(void **state)
{
	const struct jwt_config cfg = {JWS_HS256, SECRET, NULL, NULL};
	char sub[] = "alice";
	struct claims c = {
	    .sub = sub, .iat_s = now_s, .exp_s = now_s + CLAIMS_LIFE_MAX_S};
	struct buf token = BUF_INIT, message = BUF_INIT;
	struct jwt *jwt = make(&cfg);
	struct jws_keys keys;

	(void)state;
	assert_int_equal(
	    jws_keys_load(SECRET, JWS_HS256, true, &keys, &message), OK);
	assert_int_equal(jwt_make(&cfg, &keys, &c, &token), OK);
	assert_int_equal(verify(jwt, token.data, now_s), OK);
	buf_reset(&token);
	c.exp_s++;
	assert_int_equal(jwt_make(&cfg, &keys, &c, &token), OK);
	assert_int_equal(verify(jwt, token.data, now_s), ERR_AUTH);
	assert_int_equal(rule, RULE_LIFE);
	buf_done(&token);
	jws_keys_done(&keys);
	jwt_free(&jwt);
}

static void
test_not_for_us(void **state)
{
	static const struct jwt_config others[] = {
	    {JWS_HS256, SECRET "x", NULL, NULL},
	    {JWS_HS256, SECRET, "j", NULL},
	    {JWS_HS256, SECRET, NULL, "v"},
	    {JWS_HS256, SECRET, NULL, "us"},
	};
	struct jwt *jwt;

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		jwt = make(&others[i]);
		assert_int_equal(verify(jwt, TOKEN, now_s), ERR_AUTH);
		jwt_free(&jwt);
	}
}

static void
test_made_tokens(void **state)
{
	static const struct {
		enum jws_alg alg;
		const char *private_key, *public_key;
	} kinds[] = {
	    {JWS_HS256, "secret", "secret"},
	    {JWS_RS256, "rsa", "rsa.pub"},
	    {JWS_ES256, "ec", "ec.pub"},
	};
	char sub[] = "a\"b", jobs[] = "j";
	const struct folder *f = *state;
	struct claims c = {
	    .sub = sub, .jobs = jobs, .exp_s = now_s + 60, .iat_s = now_s};
	struct buf token = BUF_INIT, message = BUF_INIT;
	struct jws_keys keys;
	struct jwt *jwt;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct jwt_config cfg = {kinds[i].alg, NULL, "i", "u"};

		assert_int_equal(
		    jws_keys_load(at(f, kinds[i].private_key, NULL),
			kinds[i].alg, true, &keys, &message),
		    OK);
		buf_reset(&token);
		assert_int_equal(jwt_make(&cfg, &keys, &c, &token), OK);
		jws_keys_done(&keys);
		cfg.key = at(f, kinds[i].public_key, NULL);
		jwt = make(&cfg);
		assert_int_equal(verify(jwt, token.data, now_s), OK);
		token.data[token.len / 2] ^= 1;
		assert_int_equal(verify(jwt, token.data, now_s), ERR_AUTH);
		jwt_free(&jwt);
	}
	buf_done(&token);
	buf_done(&message);
}

/* A token is never found bad for want of memory. */
static void
test_no_memory(void **state)
{
	struct jwt_config cfg = {JWS_HS256, SECRET, "i", "u"};
	struct jwt *jwt = make(&cfg);
	bool is_more = true;
	enum err e;

	(void)state;
	for (unsigned n = 1; is_more; n++) {
		alloc_fail_start(n);
		e = verify(jwt, TOKEN, now_s);
		is_more = alloc_fail_stop();
		assert_int_equal(e, is_more ? ERR_NOMEM : OK);
	}
	jwt_free(&jwt);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_load),
	    cmocka_unit_test(test_load_refuses),
	    cmocka_unit_test(test_load_locked),
	    cmocka_unit_test(test_find),
	    cmocka_unit_test(test_known_token),
	    cmocka_unit_test(test_life),
	    cmocka_unit_test(test_not_for_us),
	    cmocka_unit_test(test_made_tokens),
	    cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
