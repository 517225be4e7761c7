/* SPDX-License-Identifier: ISC */
/* auth/url_signature.c. The signatures written out were computed with Python's
 * hmac. */
#include "auth/url_signature.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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

static struct url_claim
claim(const char *job_id, const char *restore_id)
{
	return (struct url_claim){.provider = "runpod-completion",
	    .job_id = span_of(job_id),
	    .restore_id = span_of(restore_id),
	    .exp = exp_s};
}

static struct secrets
load(const char *value)
{
	struct secrets k = {0};
	struct buf message = BUF_INIT;

	assert_int_equal(secrets_load(value, &k, &message), OK);
	assert_int_equal(message.len, 0);
	buf_done(&message);
	return k;
}

static enum err
verify(const char *secrets, const struct url_claim *c, const char *sig)
{
	struct secrets k = load(secrets);
	enum err e = url_signature_verify(&k, c, span_of(sig), exp_s - 1);

	secrets_done(&k);
	return e;
}

static void
assert_query(
    const char *secrets, const struct url_claim *c, const char *expected)
{
	struct secrets k = load(secrets);
	struct buf out = BUF_INIT;

	assert_int_equal(url_signature_add(&k, c, &out), OK);
	assert_string_equal(out.data, expected);
	buf_done(&out);
	secrets_done(&k);
}

static void
test_add_query(void **state)
{
	struct url_claim plain = claim("job-1", NULL);
	struct url_claim full = claim("job-1", RESTORE);

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
	const struct secrets none = {0};
	struct url_claim c = claim("job-1", NULL);
	struct buf out = BUF_INIT;

	(void)state;
	assert_int_equal(url_signature_add(&none, &c, &out), ERR_AUTH);
	assert_int_equal(out.len, 0);
	assert_int_equal(
	    url_signature_verify(&none, &c, SPAN_LIT(SIG_1), 0), ERR_AUTH);
	buf_done(&out);
}

static void
test_rotation(void **state)
{
	struct url_claim c = claim("job-1", NULL);

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
	struct secrets k = load(SECRET_1);
	struct url_claim c = claim("job-1", NULL);
	const struct span sig = SPAN_LIT(SIG_1);

	(void)state;
	assert_int_equal(url_signature_verify(&k, &c, sig, exp_s), OK);
	assert_int_equal(
	    url_signature_verify(&k, &c, sig, exp_s + 1), ERR_EXPIRED);
	assert_int_equal(
	    url_signature_verify(&k, &c, sig, INT64_MAX), ERR_EXPIRED);
	/* A wrong signature never learns whether it would be too late. */
	c.exp--;
	assert_int_equal(
	    url_signature_verify(&k, &c, sig, exp_s + 1), ERR_AUTH);
	secrets_done(&k);
}

/* No one-bit change of any of the n bytes that the claim or sig points to is
 * let through. */
static void
assert_flips_refused(const struct secrets *k, const struct url_claim *c,
    struct span sig, char *bytes, size_t n)
{
	for (size_t bit = 0; bit < 8 * n; bit++) {
		bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
		assert_int_equal(url_signature_verify(k, c, sig, 0), ERR_AUTH);
		bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
	}
	assert_int_equal(url_signature_verify(k, c, sig, 0), OK);
}

static void
test_bit_flips(void **state)
{
	char sig[] = SIG_RESTORE, job[] = "job-1", restore[] = RESTORE;
	char provider[] = "runpod-completion";
	struct secrets k = load(SECRET_1 "," SECRET_2);
	struct url_claim c = claim(job, restore);
	const struct span sig_span = span_of(sig);

	(void)state;
	c.provider = provider;
	assert_flips_refused(&k, &c, sig_span, sig, strlen(sig));
	assert_flips_refused(&k, &c, sig_span, job, strlen(job));
	assert_flips_refused(&k, &c, sig_span, restore, strlen(restore));
	assert_flips_refused(&k, &c, sig_span, provider, strlen(provider));
	assert_flips_refused(&k, &c, sig_span, (char *)&c.exp, sizeof(c.exp));
	secrets_done(&k);
}

static void
test_transplants(void **state)
{
	struct url_claim c = claim("job-1", NULL);

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
	struct secrets k = load(SECRET_1);
	struct url_claim inner = claim("a", "b\nc\n1764000000");
	struct url_claim moved = claim("a\nb", "c\n1764000000");
	struct url_claim provider = claim("b\nc", "1764000000");
	struct buf query = BUF_INIT, sig = BUF_INIT;

	(void)state;
	provider.provider = "runpod-completion\na";
	assert_int_equal(url_signature_add(&k, &inner, &query), OK);
	assert_true(query_get(buf_span(&query), "sig", &sig));
	assert_int_equal(
	    url_signature_verify(&k, &inner, buf_span(&sig), 0), OK);
	assert_int_equal(
	    url_signature_verify(&k, &moved, buf_span(&sig), 0), ERR_AUTH);
	assert_int_equal(
	    url_signature_verify(&k, &provider, buf_span(&sig), 0), ERR_AUTH);
	buf_reset(&query);
	assert_int_equal(url_signature_add(&k, &moved, &query), ERR_AUTH);
	assert_int_equal(url_signature_add(&k, &provider, &query), ERR_AUTH);
	assert_int_equal(query.len, 0);
	buf_done(&query);
	buf_done(&sig);
	secrets_done(&k);
}

/* Any bytes in restore_id survive the way through the URL. */
static void
test_restore_id_round_trip(void **state)
{
	static const char all[] = "\0\n\r&=%+ #?/\"\\\xff\xc3\xa9\nexp\n1";
	struct secrets k = load(SECRET_1);
	struct url_claim c = claim("job-1", NULL);
	struct buf query = BUF_INIT, restore = BUF_INIT, sig = BUF_INIT;

	(void)state;
	c.restore_id = (struct span){all, sizeof(all) - 1};
	assert_int_equal(url_signature_add(&k, &c, &query), OK);
	assert_true(query_get(buf_span(&query), "restore_id", &restore));
	assert_true(query_get(buf_span(&query), "sig", &sig));
	assert_true(span_eq(buf_span(&restore), c.restore_id));
	c.restore_id = buf_span(&restore);
	assert_int_equal(url_signature_verify(&k, &c, buf_span(&sig), 0), OK);
	buf_done(&query);
	buf_done(&restore);
	buf_done(&sig);
	secrets_done(&k);
}

static void
test_malformed_sig(void **state)
{
	struct secrets k = load(SECRET_1);
	struct url_claim c = claim("job-1", NULL);
	const struct span bad[] = {{NULL, 0}, SPAN_LIT(""), SPAN_LIT(SIG_1 "="),
	    SPAN_LIT(SIG_1 "\n"), SPAN_LIT(SIG_1 "\0"), SPAN_LIT(" " SIG_1),
	    SPAN_LIT(SIG_1 SIG_1), {SIG_1, sizeof(SIG_1) - 2},
	    /* standard alphabet, and the same bytes spelt with spare bits */
	    SPAN_LIT("88jA0h+/5qKS/NOaCK2jvEbnh/1EQK09oRtBmtBcAaU"),
	    SPAN_LIT("88jA0h-_5qKS_NOaCK2jvEbnh_1EQK09oRtBmtBcAaV")};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
		    url_signature_verify(&k, &c, bad[i], 0), ERR_AUTH);
	secrets_done(&k);
}

static void
test_no_memory(void **state)
{
	struct url_claim c = claim("job-1", RESTORE);
	bool is_more = true;

	(void)state;
	for (unsigned n = 1; is_more; n++) {
		struct secrets k = {0};
		struct buf message = BUF_INIT, query = BUF_INIT;
		enum err e;

		alloc_fail_start(n);
		e = secrets_load(SECRET_1 "," SECRET_2, &k, &message);
		if (e == OK)
			e = url_signature_add(&k, &c, &query);
		if (e == OK)
			e = url_signature_verify(
			    &k, &c, SPAN_LIT(SIG_RESTORE), 0);
		is_more = alloc_fail_stop();
		assert_int_equal(e, is_more ? ERR_NOMEM : OK);
		buf_done(&message);
		buf_done(&query);
		secrets_done(&k);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_add_query),
	    cmocka_unit_test(test_no_keys),
	    cmocka_unit_test(test_rotation),
	    cmocka_unit_test(test_expiry),
	    cmocka_unit_test(test_bit_flips),
	    cmocka_unit_test(test_transplants),
	    cmocka_unit_test(test_line_breaks),
	    cmocka_unit_test(test_restore_id_round_trip),
	    cmocka_unit_test(test_malformed_sig),
	    cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
