/* SPDX-License-Identifier: ISC */
/* auth/sign.c. The signatures written out were computed with Python's hmac. */
#include "auth/sign.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "web/query.h"

#define SECRET_1 "0123456789abcdef"
#define SECRET_2 "second-secret-of-rotation"
#define SIG_1 "88jA0h-_5qKS_NOaCK2jvEbnh_1EQK09oRtBmtBcAaU"
#define SIG_2 "CglvnW5ddiZOmPzen5u20YRIFFdu-ggRe3_6ladfE4I"
#define SIG_RESTORE "ZsTmxEEB0pCrdMH0C-ss4mBY0YYVY0pD5CP2RREdSFU"
#define RESTORE "r 1/\xc3\xbc"

static const int64_t exp_s = 1764000000;

static struct sign_claim
claim(const char *job_id, const char *restore_id)
{
	return (struct sign_claim){.provider = "runpod-completion",
	    .job_id = span_of(job_id),
	    .restore_id = span_of(restore_id),
	    .exp = exp_s};
}

static struct sign_keys
load(const char *value)
{
	struct sign_keys k = {0};
	struct buf message = BUF_INIT;

	assert_int_equal(sign_keys_load(value, &k, &message), OK);
	assert_int_equal(message.len, 0);
	buf_done(&message);
	return k;
}

static enum err
verify(const char *secrets, const struct sign_claim *c, const char *sig)
{
	struct sign_keys k = load(secrets);
	enum err e = sign_verify(&k, c, span_of(sig), exp_s - 1);

	sign_keys_done(&k);
	return e;
}

static void
assert_refused(const char *value, enum err expected, const char *message)
{
	struct sign_keys k = {.n = 77};
	struct buf text = BUF_INIT;

	assert_int_equal(sign_keys_load(value, &k, &text), expected);
	assert_int_equal(k.n, 77);
	assert_null(k.keys);
	assert_string_equal(text.data, message);
	buf_done(&text);
}

static void
test_load(void **state)
{
	struct sign_keys k;

	(void)state;
	k = load(NULL);
	assert_int_equal(k.n, 0);
	sign_keys_done(&k);
	k = load(" ,, \t,");
	assert_int_equal(k.n, 0);
	sign_keys_done(&k);
	k = load(", " SECRET_1 "\t,,  " SECRET_2 " with space ,");
	assert_int_equal(k.n, 2);
	assert_true(span_eq_str(k.keys[0], SECRET_1));
	assert_true(span_eq_str(k.keys[1], SECRET_2 " with space"));
	sign_keys_done(&k);
	assert_int_equal(k.n, 0);
	sign_keys_done(&k);
	assert_refused(SECRET_1 ",,tooshort", ERR_LIMIT,
	    "secret 2 is shorter than 16 bytes");
	assert_refused(
	    "0123456789abcde", ERR_LIMIT, "secret 1 is shorter than 16 bytes");
}

/* Writes a temporary file and returns "@PATH" (free it). */
static char *
secret_file(const char *content, size_t n)
{
	struct buf name = BUF_INIT;
	char path[] = "/tmp/jobwire-test-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, n), n);
	close(fd);
	buf_addf(&name, "@%s", path);
	return buf_take(&name);
}

static void
test_load_file(void **state)
{
	static const char content[] =
	    SECRET_1 "\r\n\n  " SECRET_2 " , third-secret-0123\0x\n";
	char *value = secret_file(content, sizeof(content) - 1);
	struct sign_keys k = load(value);

	(void)state;
	assert_int_equal(k.n, 3);
	assert_true(span_eq_str(k.keys[0], SECRET_1));
	assert_true(span_eq_str(k.keys[1], SECRET_2));
	assert_true(span_eq(k.keys[2], SPAN_LIT("third-secret-0123\0x")));
	sign_keys_done(&k);
	unlink(value + 1);
	free(value);

	assert_refused("@/nonexistent/secret", ERR_SYS,
	    "/nonexistent/secret: No such file or directory");
	assert_int_equal(errno, ENOENT);
	assert_refused("@", ERR_SYS, ": No such file or directory");
}

static void
test_load_file_limits(void **state)
{
	enum { TOO_LARGE = 65537 };
	char *large = calloc(1, TOO_LARGE), *value;
	struct sign_keys k;
	struct buf message = BUF_INIT;

	(void)state;
	value = secret_file(large, TOO_LARGE);
	assert_int_equal(sign_keys_load(value, &k, &message), ERR_LIMIT);
	assert_non_null(strstr(message.data, value + 1));
	buf_done(&message);
	unlink(value + 1);
	free(value);
	free(large);

	value = secret_file(" ,\n", 3);
	assert_int_equal(sign_keys_load(value, &k, &message), ERR_LIMIT);
	assert_non_null(strstr(message.data, "holds no secret"));
	buf_done(&message);
	unlink(value + 1);
	free(value);
}

static void
assert_query(
    const char *secrets, const struct sign_claim *c, const char *expected)
{
	struct sign_keys k = load(secrets);
	struct buf out = BUF_INIT;

	assert_int_equal(sign_add_query(&k, c, &out), OK);
	assert_string_equal(out.data, expected);
	buf_done(&out);
	sign_keys_done(&k);
}

static void
test_add_query(void **state)
{
	struct sign_claim plain = claim("job-1", NULL);
	struct sign_claim full = claim("job-1", RESTORE);

	(void)state;
	assert_query(
	    SECRET_1, &plain, "job_id=job-1&exp=1764000000&sig=" SIG_1);
	assert_query(SECRET_2 "," SECRET_1, &plain,
	    "job_id=job-1&exp=1764000000&sig=" SIG_2);
	assert_query(SECRET_1, &full,
	    "job_id=job-1&restore_id=r%201%2F%C3%BC&exp=1764000000"
	    "&sig=" SIG_RESTORE);
	assert_int_equal(verify(SECRET_1, &plain, SIG_1), OK);
	assert_int_equal(verify(SECRET_1, &full, SIG_RESTORE), OK);
	assert_int_equal(verify(SECRET_1, &full, SIG_1), ERR_AUTH);
}

static void
test_no_keys(void **state)
{
	const struct sign_keys none = {0};
	struct sign_claim c = claim("job-1", NULL);
	struct buf out = BUF_INIT;

	(void)state;
	assert_int_equal(sign_add_query(&none, &c, &out), ERR_AUTH);
	assert_int_equal(out.len, 0);
	assert_int_equal(sign_verify(&none, &c, SPAN_LIT(SIG_1), 0), ERR_AUTH);
	buf_done(&out);
}

static void
test_rotation(void **state)
{
	struct sign_claim c = claim("job-1", NULL);

	(void)state;
	assert_int_equal(verify(SECRET_1 "," SECRET_2, &c, SIG_1), OK);
	assert_int_equal(verify(SECRET_1 "," SECRET_2, &c, SIG_2), OK);
	assert_int_equal(verify(SECRET_2 "," SECRET_1, &c, SIG_1), OK);
	assert_int_equal(verify(SECRET_2, &c, SIG_1), ERR_AUTH);
	assert_int_equal(verify(SECRET_1, &c, SIG_2), ERR_AUTH);
	assert_int_equal(verify(SECRET_1 "0", &c, SIG_1), ERR_AUTH);
}

static void
test_expiry(void **state)
{
	struct sign_keys k = load(SECRET_1);
	struct sign_claim c = claim("job-1", NULL);
	const struct span sig = SPAN_LIT(SIG_1);

	(void)state;
	assert_int_equal(sign_verify(&k, &c, sig, exp_s), OK);
	assert_int_equal(sign_verify(&k, &c, sig, exp_s + 1), ERR_EXPIRED);
	assert_int_equal(sign_verify(&k, &c, sig, INT64_MAX), ERR_EXPIRED);
	/* A wrong signature never learns whether it would be too late. */
	c.exp--;
	assert_int_equal(sign_verify(&k, &c, sig, exp_s + 1), ERR_AUTH);
	sign_keys_done(&k);
}

/* No one-bit change of any of the n bytes that the claim or sig points to is
 * let through. */
static void
assert_flips_refused(const struct sign_keys *k, const struct sign_claim *c,
    struct span sig, char *bytes, size_t n)
{
	for (size_t bit = 0; bit < 8 * n; bit++) {
		bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
		assert_int_equal(sign_verify(k, c, sig, 0), ERR_AUTH);
		bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
	}
	assert_int_equal(sign_verify(k, c, sig, 0), OK);
}

static void
test_bit_flips(void **state)
{
	char sig[] = SIG_RESTORE, job[] = "job-1", restore[] = RESTORE;
	char provider[] = "runpod-completion";
	struct sign_keys k = load(SECRET_1 "," SECRET_2);
	struct sign_claim c = claim(job, restore);
	const struct span sig_span = span_of(sig);

	(void)state;
	c.provider = provider;
	assert_flips_refused(&k, &c, sig_span, sig, strlen(sig));
	assert_flips_refused(&k, &c, sig_span, job, strlen(job));
	assert_flips_refused(&k, &c, sig_span, restore, strlen(restore));
	assert_flips_refused(&k, &c, sig_span, provider, strlen(provider));
	assert_flips_refused(&k, &c, sig_span, (char *)&c.exp, sizeof(c.exp));
	sign_keys_done(&k);
}

static void
test_transplants(void **state)
{
	struct sign_claim c = claim("job-1", NULL);

	(void)state;
	c.provider = "replicate";
	assert_int_equal(verify(SECRET_1, &c, SIG_1), ERR_AUTH);
	c = claim("job-2", NULL);
	assert_int_equal(verify(SECRET_1, &c, SIG_1), ERR_AUTH);
	c = claim("job-1", "other");
	assert_int_equal(verify(SECRET_1, &c, SIG_1), ERR_AUTH);
	c = claim("", NULL);
	assert_int_equal(verify(SECRET_1, &c, SIG_1), ERR_AUTH);
	/* The restore id taken away from one that was signed with it. */
	c = claim("job-1", NULL);
	assert_int_equal(verify(SECRET_1, &c, SIG_RESTORE), ERR_AUTH);
}

/* Two claims whose parts, joined, would be the same text. */
static void
test_line_breaks(void **state)
{
	struct sign_keys k = load(SECRET_1);
	struct sign_claim inner = claim("a", "b\nc\n1764000000");
	struct sign_claim moved = claim("a\nb", "c\n1764000000");
	struct sign_claim provider = claim("b\nc", "1764000000");
	struct buf query = BUF_INIT, sig = BUF_INIT;

	(void)state;
	provider.provider = "runpod-completion\na";
	assert_int_equal(sign_add_query(&k, &inner, &query), OK);
	assert_true(query_get(buf_span(&query), "sig", &sig));
	assert_int_equal(sign_verify(&k, &inner, buf_span(&sig), 0), OK);
	assert_int_equal(sign_verify(&k, &moved, buf_span(&sig), 0), ERR_AUTH);
	assert_int_equal(
	    sign_verify(&k, &provider, buf_span(&sig), 0), ERR_AUTH);
	buf_reset(&query);
	assert_int_equal(sign_add_query(&k, &moved, &query), ERR_AUTH);
	assert_int_equal(sign_add_query(&k, &provider, &query), ERR_AUTH);
	assert_int_equal(query.len, 0);
	buf_done(&query);
	buf_done(&sig);
	sign_keys_done(&k);
}

/* Any bytes in restore_id survive the way through the URL. */
static void
test_restore_id_round_trip(void **state)
{
	static const char all[] = "\0\n\r&=%+ #?/\"\\\xff\xc3\xa9\nexp\n1";
	struct sign_keys k = load(SECRET_1);
	struct sign_claim c = claim("job-1", NULL);
	struct buf query = BUF_INIT, restore = BUF_INIT, sig = BUF_INIT;

	(void)state;
	c.restore_id = (struct span){all, sizeof(all) - 1};
	assert_int_equal(sign_add_query(&k, &c, &query), OK);
	assert_true(query_get(buf_span(&query), "restore_id", &restore));
	assert_true(query_get(buf_span(&query), "sig", &sig));
	assert_true(span_eq(buf_span(&restore), c.restore_id));
	c.restore_id = buf_span(&restore);
	assert_int_equal(sign_verify(&k, &c, buf_span(&sig), 0), OK);
	buf_done(&query);
	buf_done(&restore);
	buf_done(&sig);
	sign_keys_done(&k);
}

static void
test_malformed_sig(void **state)
{
	struct sign_keys k = load(SECRET_1);
	struct sign_claim c = claim("job-1", NULL);
	const struct span bad[] = {{NULL, 0}, SPAN_LIT(""), SPAN_LIT(SIG_1 "="),
	    SPAN_LIT(SIG_1 "\n"), SPAN_LIT(SIG_1 "\0"), SPAN_LIT(" " SIG_1),
	    SPAN_LIT(SIG_1 SIG_1), {SIG_1, sizeof(SIG_1) - 2},
	    /* standard alphabet, and the same bytes spelt with spare bits */
	    SPAN_LIT("88jA0h+/5qKS/NOaCK2jvEbnh/1EQK09oRtBmtBcAaU"),
	    SPAN_LIT("88jA0h-_5qKS_NOaCK2jvEbnh_1EQK09oRtBmtBcAaV")};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(sign_verify(&k, &c, bad[i], 0), ERR_AUTH);
	sign_keys_done(&k);
}

static void
assert_digest(struct span bytes, const char *expected)
{
	char digest[SIGN_DIGEST_SIZE];

	assert_int_equal(sign_digest(bytes, digest), OK);
	assert_string_equal(digest, expected);
}

static void
test_digest_of_parts(void **state)
{
	const struct span parts[] = {
	    SPAN_LIT("a"), {NULL, 0}, SPAN_LIT("b"), SPAN_LIT("c")};
	char whole[SIGN_DIGEST_SIZE], digest[SIGN_DIGEST_SIZE];

	(void)state;
	assert_int_equal(sign_digest(SPAN_LIT("abc"), whole), OK);
	assert_int_equal(sign_digest_of(parts, 4, digest), OK);
	assert_string_equal(digest, whole);
}

/* FIPS 180-4 examples. */
static void
test_digest(void **state)
{
	(void)state;
	assert_digest((struct span){NULL, 0},
	    "e3b0c44298fc1c149afbf4c8996fb924"
	    "27ae41e4649b934ca495991b7852b855");
	assert_digest(SPAN_LIT("abc"), "ba7816bf8f01cfea414140de5dae2223"
				       "b00361a396177a9cb410ff61f20015ad");
}

static void
test_no_memory(void **state)
{
	struct sign_claim c = claim("job-1", RESTORE);
	bool is_more = true;

	(void)state;
	for (unsigned n = 1; is_more; n++) {
		struct sign_keys k = {0};
		struct buf message = BUF_INIT, query = BUF_INIT;
		enum err e;

		alloc_fail_start(n);
		e = sign_keys_load(SECRET_1 "," SECRET_2, &k, &message);
		if (e == OK)
			e = sign_add_query(&k, &c, &query);
		if (e == OK)
			e = sign_verify(&k, &c, SPAN_LIT(SIG_RESTORE), 0);
		is_more = alloc_fail_stop();
		assert_int_equal(e, is_more ? ERR_NOMEM : OK);
		buf_done(&message);
		buf_done(&query);
		sign_keys_done(&k);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_load),
	    cmocka_unit_test(test_load_file),
	    cmocka_unit_test(test_load_file_limits),
	    cmocka_unit_test(test_add_query),
	    cmocka_unit_test(test_no_keys),
	    cmocka_unit_test(test_rotation),
	    cmocka_unit_test(test_expiry),
	    cmocka_unit_test(test_bit_flips),
	    cmocka_unit_test(test_transplants),
	    cmocka_unit_test(test_line_breaks),
	    cmocka_unit_test(test_restore_id_round_trip),
	    cmocka_unit_test(test_malformed_sig),
	    cmocka_unit_test(test_digest),
	    cmocka_unit_test(test_digest_of_parts),
	    cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
