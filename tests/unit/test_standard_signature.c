/* SPDX-License-Identifier: ISC */
/*
 * auth/standard_signature.c. The first signature is the one that the reference
 * libraries of Standard Webhooks test themselves with; the others were computed
 * with Python's hmac.
 */
#include "auth/standard_signature.h"

#include <errno.h>

#include "alloc_fail.h"
#include "signed_call.h"

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define SIG "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
#define SECRET_32 "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define SIG_32 "v1,O4Gjv1HqPqsMrjmczoggs/sWA8gZD0VyHG+fLh4+ktI="
#define SECRET_64                                                              \
	"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEy" \
	"MzQ1Njc4OTo7PD0+Pw=="
#define SIG_64 "v1,LZ5zuwHTqQH3VM8ERUusjzVQq1FXzemvpR8Mk7Ivp5c="
#define RAW_SECRET "polar_whs_0123456789abcdef"
#define SIG_RAW "v1,zttW3MbpRiWtswSIFeIxh510C0RuV6AyAQ178R69vTU="
#define SIG_NO_ID "v1,BbrBopkxy1IaPTmLxhGOIjtynRWNh3UqphKDPFaJ1cU="
#define SIG_NO_BODY "v1,v48jdbgvh29KJz2Qc+ghw8G6vG3nAKnujWBg8oM/62A="

enum { TIME = 1614265330 };

static struct standard_keys keys; /* of the running test */

static enum err
verify(const struct request *r, int64_t now_s)
{
	return standard_verify(&keys, r, now_s);
}

static void
load(const char *value)
{
	struct buf message = BUF_INIT;

	standard_keys_done(&keys);
	if (standard_keys_load(value, &keys, &message) != OK)
		fail_msg("%s: %s", value, buf_span(&message).p);
	assert_int_equal(message.len, 0);
	buf_done(&message);
}

static int
tear_down(void **state)
{
	(void)state;
	standard_keys_done(&keys);
	assert_null(keys.keys);
	standard_keys_done(&keys);
	return 0;
}

/* The published call, with this signature field. */
static struct signed_call
call(const char *signatures)
{
	struct signed_call c = {
	    .fields = {{"WEBHOOK_ID", "msg_p5jXN8AQM9LWM0D4loKWxJek"},
		{"WEBHOOK_TIMESTAMP", "1614265330"}, {"WEBHOOK_SIGNATURE", ""}},
	    .body = "{\"test\": 2432232314}"};

	assert_true(strlen(signatures) < sizeof(c.fields[2].value));
	strcpy(c.fields[2].value, signatures);
	return c;
}

static enum err
verify_signed(const char *signatures)
{
	const struct signed_call c = call(signatures);

	return verify_call(&c, verify, TIME);
}

static void
test_published_call(void **state)
{
	struct signed_call c = call(SIG_NO_BODY);

	(void)state;
	load(SECRET);
	assert_int_equal(verify_signed(SIG), OK);
	load("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
	assert_int_equal(verify_signed(SIG), OK);
	c.body[0] = '\0';
	assert_int_equal(verify_call(&c, verify, TIME), OK);
}

/* As dashboards show secrets; the raw one is 24 bytes as they are. */
static void
test_ways_to_write(void **state)
{
	(void)state;
	load("v1," SECRET);
	assert_int_equal(keys.n, 1);
	assert_int_equal(verify_signed(SIG), OK);
	load("v1," SECRET_32 ", v1," SECRET "," SECRET_64);
	assert_int_equal(keys.n, 3);
	assert_int_equal(verify_signed(SIG), OK);
	assert_int_equal(verify_signed(SIG_32), OK);
	load("raw:" RAW_SECRET "," SECRET_32);
	assert_int_equal(keys.n, 2);
	assert_int_equal(verify_signed(SIG_RAW), OK);
	assert_int_equal(verify_signed(SIG_32), OK);
	assert_int_equal(verify_signed(SIG), ERR_AUTH);
}

static void
test_other_field_names(void **state)
{
	struct signed_call c = call(SIG);

	(void)state;
	load(SECRET);
	c.fields[0].name = "SVIX_ID";
	c.fields[1].name = "SVIX_TIMESTAMP";
	c.fields[2].name = "SVIX_SIGNATURE";
	assert_int_equal(verify_call(&c, verify, TIME), OK);
	/* The first name wins, where it has a value. */
	c.fields[3].name = "WEBHOOK_ID";
	assert_int_equal(verify_call(&c, verify, TIME), OK);
	strcpy(c.fields[3].value, "msg_other");
	assert_int_equal(verify_call(&c, verify, TIME), ERR_AUTH);
}

static void
test_every_bit_counts(void **state)
{
	struct signed_call c = call(SIG);

	(void)state;
	load(SECRET);
	for (size_t i = 0; i < 3; i++)
		assert_bits_count(&c, c.fields[i].value, false, verify, TIME);
	assert_bits_count(&c, c.body, false, verify, TIME);
	assert_fields_count(&c, verify, TIME);
	strcat(c.body, " ");
	assert_int_equal(verify_call(&c, verify, TIME), ERR_AUTH);
	c = call(SIG_NO_ID); /* a delivery must have a name */
	c.fields[0].value[0] = '\0';
	assert_int_equal(verify_call(&c, verify, TIME), ERR_AUTH);
}

/* Several signatures: the sender rotates its secret, or signs in a way that we
 * do not know as well. */
static void
test_list_of_signatures(void **state)
{
	static const char *const good[] = {SIG_32 " " SIG, SIG " " SIG_32,
	    "  " SIG "  ", "v1a,x v2,y " SIG, "v1, v1 , " SIG};
	static const char *const bad[] = {"", " ", "v1,", "v1", SIG_32,
	    SIG_32 " " SIG_64, SIG "x", "v1," SIG,
	    "v2"
	    ","
	    "g0hM9SsE",
	    "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
	    "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE",
	    "v1,g0hM9SsE-OTPJTGt_tmIKtSyZlE3uFJELVlNIOLJ1OE=",
	    "v1,G0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
	    "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF=", SIG_32 "," SIG,
	    "V1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="};

	(void)state;
	load(SECRET);
	for (size_t i = 0; i < COUNT(good); i++)
		if (verify_signed(good[i]) != OK)
			fail_msg("refused: %s", good[i]);
	for (size_t i = 0; i < COUNT(bad); i++)
		if (verify_signed(bad[i]) != ERR_AUTH)
			fail_msg("accepted: %s", bad[i]);
}

static void
test_rotated_secrets(void **state)
{
	(void)state;
	load(SECRET_32 ", " SECRET "," SECRET_64);
	assert_int_equal(keys.n, 3);
	assert_int_equal(verify_signed(SIG), OK);
	assert_int_equal(verify_signed(SIG_32), OK);
	assert_int_equal(verify_signed(SIG_64), OK);
	assert_int_equal(verify_signed(SIG_NO_BODY), ERR_AUTH);
	load(SECRET_32);
	assert_int_equal(verify_signed(SIG), ERR_AUTH);
	assert_int_equal(verify_signed(SIG_32), OK);
}

static void
test_tolerance(void **state)
{
	const struct signed_call good = call(SIG), bad = call(SIG_32);

	(void)state;
	load(SECRET);
	assert_int_equal(verify_call(&good, verify, TIME - 300), OK);
	assert_int_equal(verify_call(&good, verify, TIME + 300), OK);
	assert_int_equal(verify_call(&good, verify, TIME - 301), ERR_EXPIRED);
	assert_int_equal(verify_call(&good, verify, TIME + 301), ERR_EXPIRED);
	assert_int_equal(verify_call(&bad, verify, TIME + 301), ERR_AUTH);
}

static void
test_no_keys(void **state)
{
	(void)state;
	load(NULL);
	assert_int_equal(keys.n, 0);
	assert_int_equal(verify_signed(SIG), ERR_NOENT);
	load("  , ");
	assert_int_equal(verify_signed(SIG), ERR_NOENT);
}

/* --- Loading -------------------------------------------------------------- */

static void
test_load_file(void **state)
{
	char path[] = "/tmp/jobwire-test-XXXXXX", value[64];

	(void)state;
	write_temporary(path, SECRET_64 "\r\n" SECRET "\n");
	(void)snprintf(value, sizeof(value), "@%s", path);
	load(value);
	assert_int_equal(keys.n, 2);
	assert_int_equal(keys.keys[0].n, 64);
	assert_int_equal(keys.keys[1].n, 24);
	assert_int_equal(verify_signed(SIG), OK);
	unlink(path);
}

static void
assert_refused(const char *value, enum err expected, const char *message)
{
	struct standard_keys k = {.n = 77};
	struct buf text = BUF_INIT;

	assert_int_equal(standard_keys_load(value, &k, &text), expected);
	assert_int_equal(k.n, 77);
	assert_null(k.keys);
	assert_string_equal(buf_span(&text).p, message);
	buf_done(&text);
}

static void
test_load_refused(void **state)
{
	(void)state;
	assert_refused("@/nonexistent/key", ERR_SYS,
	    "/nonexistent/key: No such file or directory");
	assert_int_equal(errno, ENOENT);
	assert_refused(SECRET ",whsec_short", ERR_PROTO,
	    "secret 2 is not whsec_ and base64");
	assert_refused("whsec_c2hvcnQ=", ERR_LIMIT,
	    "secret 1 does not have 24 to 64 bytes");
	assert_refused(
	    "v1", ERR_LIMIT, "secret 1 does not have 24 to 64 bytes");
	assert_refused("raw:0123456789abcde", ERR_LIMIT,
	    "secret 1 does not have 16 to 256 bytes behind raw:");
	/* 23 and 65 bytes */
	assert_refused("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", ERR_LIMIT,
	    "secret 1 does not have 24 to 64 bytes");
	assert_refused(SECRET "," SECRET_64 "," SECRET_64 "AAAA", ERR_PROTO,
	    "secret 3 is not whsec_ and base64");
	assert_refused("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
		       "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	    ERR_LIMIT, "secret 1 does not have 24 to 64 bytes");
	/* a public key, which is not taken */
	assert_refused("whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", ERR_PROTO,
	    "secret 1 is a public key (v1a): not taken, use a sender's whsec_ "
	    "secret");
	assert_refused("v1," SECRET
		       ",v1a,whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
	    ERR_PROTO,
	    "secret 2 is a public key (v1a): not taken, use a sender's whsec_ "
	    "secret");
	assert_refused("whsec_MfKQ9r8GKYqr TwjUPD8ILPZIo2LaLaSw", ERR_PROTO,
	    "secret 1 is not whsec_ and base64");
}

static void
test_load_no_memory(void **state)
{
	struct buf message = BUF_INIT;
	bool is_more = true;
	enum err e;

	(void)state;
	for (unsigned n = 1; is_more; n++) {
		assert_int_equal(keys.n, 0);
		alloc_fail_start(n);
		e = standard_keys_load(SECRET "," SECRET_32, &keys, &message);
		is_more = alloc_fail_stop();
		assert_int_equal(e, is_more ? ERR_NOMEM : OK);
		buf_done(&message);
	}
	assert_int_equal(verify_signed(SIG), OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(test_published_call, tear_down),
	    cmocka_unit_test_teardown(test_ways_to_write, tear_down),
	    cmocka_unit_test_teardown(test_other_field_names, tear_down),
	    cmocka_unit_test_teardown(test_every_bit_counts, tear_down),
	    cmocka_unit_test_teardown(test_list_of_signatures, tear_down),
	    cmocka_unit_test_teardown(test_rotated_secrets, tear_down),
	    cmocka_unit_test_teardown(test_tolerance, tear_down),
	    cmocka_unit_test_teardown(test_no_keys, tear_down),
	    cmocka_unit_test_teardown(test_load_file, tear_down),
	    cmocka_unit_test_teardown(test_load_refused, tear_down),
	    cmocka_unit_test_teardown(test_load_no_memory, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
