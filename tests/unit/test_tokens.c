/* SPDX-License-Identifier: ISC */
/* store/tokens.c */
#include "store/tokens.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "store/retention.h"
#include "store_site.h"

#define HEX_16 "0123456789abcdef"
#define DIGEST_A HEX_16 HEX_16 HEX_16 HEX_16
#define DIGEST_B "f" HEX_16 HEX_16 HEX_16 "0123456789abcde"
#define DIGEST_C "e" HEX_16 HEX_16 HEX_16 "0123456789abcde"

static const int64_t now_s = 1800000000;

static bool
is_revoked(struct site *s, const char *jti, const char *sub, int64_t iat_s)
{
	bool is = false;

	assert_int_equal(tokens_is_revoked(s->db, jti, sub, iat_s, &is), OK);
	return is;
}

static void
test_revoke_one(void **state)
{
	struct site *s = *state;

	assert_int_equal(tokens_revoke(s->db, "jti", DIGEST_A, now_s), OK);
	assert_true(is_revoked(s, DIGEST_A, DIGEST_B, now_s + 9));
	assert_false(is_revoked(s, DIGEST_B, DIGEST_A, now_s - 9));
	assert_false(is_revoked(s, NULL, DIGEST_A, INT64_MIN));
}

/* All tokens issued up to that second, and those that do not say when. */
static void
test_revoke_subject(void **state)
{
	struct site *s = *state;

	assert_int_equal(tokens_revoke(s->db, "sub", DIGEST_A, now_s), OK);
	assert_true(is_revoked(s, NULL, DIGEST_A, now_s));
	assert_true(is_revoked(s, DIGEST_B, DIGEST_A, 0));
	assert_true(is_revoked(s, DIGEST_B, DIGEST_A, INT64_MIN));
	assert_false(is_revoked(s, NULL, DIGEST_A, now_s + 1));
	assert_false(is_revoked(s, DIGEST_A, DIGEST_B, 0));
	/* Again, later. */
	assert_int_equal(tokens_revoke(s->db, "sub", DIGEST_A, now_s + 5), OK);
	assert_true(is_revoked(s, NULL, DIGEST_A, now_s + 5));
	assert_int_equal(raw_int(s, "SELECT count(*) FROM revoked"), 1);
}

/* Of one whose name needs no quoting, while max may be there. */
static enum err
try_ticket(struct site *s, const char *sub, const char *digest,
    int64_t expires_at, int64_t max)
{
	struct buf claims = BUF_INIT;
	struct ticket_new t = {digest, sub, {0}, expires_at};
	enum err e;

	buf_addf(&claims, "{\"sub\":\"%s\"}", sub);
	t.claims = buf_span(&claims);
	assert_int_equal(db_begin(s->db), OK);
	e = tokens_add_ticket(s->db, &t, now_s, max);
	assert_int_equal(db_commit(s->db), OK);
	buf_done(&claims);
	return e;
}

static void
add_ticket(struct site *s, const char *digest, int64_t expires_at)
{
	assert_int_equal(try_ticket(s, "a", digest, expires_at, 0), OK);
}

static enum err
take(struct site *s, const char *digest, int64_t at_s, const char *expected)
{
	struct buf claims = BUF_INIT;
	enum err e = tokens_take_ticket(s->db, digest, at_s, &claims);

	assert_true(span_eq_str(buf_span(&claims), expected));
	buf_done(&claims);
	return e;
}

static void
test_ticket_is_used_once(void **state)
{
	struct site *s = *state;

	add_ticket(s, DIGEST_A, now_s + 30);
	assert_int_equal(take(s, DIGEST_B, now_s, ""), ERR_NOENT);
	assert_int_equal(take(s, DIGEST_A, now_s + 30, ""), ERR_NOENT);
	assert_int_equal(take(s, DIGEST_A, now_s + 29, "{\"sub\":\"a\"}"), OK);
	assert_int_equal(take(s, DIGEST_A, now_s + 29, ""), ERR_NOENT);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM tickets"), 0);
}

/* Each subject has a number of its own; what is used or over is not in it. */
static void
test_tickets_are_bounded(void **state)
{
	struct site *s = *state;

	add_ticket(s, DIGEST_A, now_s + 30);
	assert_int_equal(
	    try_ticket(s, "a", DIGEST_B, now_s + 30, 1), ERR_LIMIT);
	assert_int_equal(try_ticket(s, "b", DIGEST_B, now_s + 30, 1), OK);
	assert_int_equal(take(s, DIGEST_B, now_s, "{\"sub\":\"b\"}"), OK);
	assert_int_equal(try_ticket(s, "b", DIGEST_B, now_s, 1), OK);
	assert_int_equal(try_ticket(s, "b", DIGEST_C, now_s + 30, 1), OK);
	assert_int_equal(raw_int(s, "SELECT count(*) FROM tickets"), 3);
}

/* A ticket that is there waits for nobody who writes; one that is made up does
 * not even ask for the lock. */
static void
test_ticket_of_a_locked_database(void **state)
{
	struct site *s = *state;

	add_ticket(s, DIGEST_A, now_s + 30);
	db_close(&s->db);
	assert_int_equal(db_open(s->path, DB_WRITE, 1, &s->db, NULL), OK);
	assert_int_equal(db_sync_normal(s->db), OK);
	raw(s, "BEGIN IMMEDIATE");
	assert_int_equal(take(s, DIGEST_A, now_s, ""), ERR_BUSY);
	assert_int_equal(take(s, DIGEST_B, now_s, ""), ERR_NOENT);
	raw(s, "ROLLBACK");
	assert_int_equal(take(s, DIGEST_A, now_s, "{\"sub\":\"a\"}"), OK);
}

static void
test_schema_refuses(void **state)
{
	struct site *s = *state;

	assert_int_equal(
	    tokens_revoke(s->db, "iss", DIGEST_A, now_s), ERR_PROTO);
	assert_int_equal(tokens_revoke(s->db, "jti", HEX_16, now_s), ERR_PROTO);
	assert_int_equal(try_ticket(s, "\"", DIGEST_A, now_s, 0), ERR_PROTO);
	assert_int_equal(try_ticket(s, "a", HEX_16, now_s, 1), ERR_PROTO);
}

static void
test_prune(void **state)
{
	const struct retention keep = {1, 1, 1};
	struct retention_done done = {0};
	struct site *s = *state;
	int64_t real_s = clock_real_ms() / 1000;
	bool has_more = false;

	add_ticket(s, DIGEST_A, real_s - 1);
	add_ticket(s, DIGEST_B, real_s + 60);
	assert_int_equal(tokens_revoke(s->db, "sub", DIGEST_A, real_s), OK);
	assert_int_equal(tokens_revoke(s->db, "sub", DIGEST_B,
			     real_s - TOKENS_REVOKED_KEEP_S - 1),
	    OK);
	assert_int_equal(retention_step(s->db, &keep, &done, &has_more), OK);
	assert_string_equal(
	    raw_text(s, "SELECT group_concat(digest) FROM tickets"), DIGEST_B);
	assert_string_equal(
	    raw_text(s, "SELECT group_concat(digest) FROM revoked"), DIGEST_A);
	/* Nothing to do is nothing written. */
	raw(s, "BEGIN IMMEDIATE");
	assert_int_equal(tokens_prune(s->db, real_s), OK);
	raw(s, "ROLLBACK");
}

#define SITE_TEST(f)                                                           \
	cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    SITE_TEST(test_revoke_one),
	    SITE_TEST(test_revoke_subject),
	    SITE_TEST(test_ticket_is_used_once),
	    SITE_TEST(test_tickets_are_bounded),
	    SITE_TEST(test_ticket_of_a_locked_database),
	    SITE_TEST(test_schema_refuses),
	    SITE_TEST(test_prune),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
