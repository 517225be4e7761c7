/* SPDX-License-Identifier: ISC */
/* auth/ticket.c */
#include "auth/ticket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store_site.h"

static const int64_t now_s = 1800000000;

/* A ticket, terminated. */
static struct buf
sell(struct site *s, int64_t exp_s, const char *job_ids)
{
	char sub[] = "al\"ice", jti[] = "j", jobs[] = "a,b";
	struct claims c = {sub, jti, jobs, exp_s, now_s - 5};
	struct buf ticket = BUF_INIT;
	struct intent_result written;

	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(
	    ticket_make(s->db, &c, job_ids, now_s, 0, &ticket, &written), OK);
	assert_int_equal(db_commit(s->db), OK);
	assert_int_equal(ticket.len, 32);
	return ticket;
}

static void
test_claims_come_back(void **state)
{
	struct site *s = *state;
	struct ticket_store store = {.db_path = s->path};
	struct buf ticket = sell(s, now_s + 600, "a");
	struct claims c;
	char *job_ids = NULL;

	assert_int_equal(
	    ticket_use(&store, buf_span(&ticket), false, now_s, &c, &job_ids),
	    OK);
	assert_string_equal(c.sub, "al\"ice");
	assert_string_equal(c.jti, "j");
	assert_string_equal(c.jobs, "a,b");
	assert_string_equal(job_ids, "a");
	assert_int_equal(c.exp_s, now_s + 600);
	assert_int_equal(c.iat_s, now_s - 5);
	claims_done(&c);
	free(job_ids);
	assert_int_equal(
	    ticket_use(&store, buf_span(&ticket), false, now_s, &c, &job_ids),
	    ERR_AUTH);
	ticket_store_done(&store);
	buf_done(&ticket);
}

/* Half a minute, or as long as its token if that is less. */
static void
test_life(void **state)
{
	struct site *s = *state;
	struct buf first = sell(s, now_s + 600, NULL);
	struct buf second = sell(s, now_s + 7, NULL);

	assert_false(span_eq(buf_span(&first), buf_span(&second)));
	assert_int_equal(
	    raw_int(s, "SELECT max(expires_at) FROM tickets"), now_s + 30);
	assert_int_equal(
	    raw_int(s, "SELECT min(expires_at) FROM tickets"), now_s + 7);
	buf_done(&first);
	buf_done(&second);
}

/* However its name has to be quoted. */
static void
test_too_many_of_a_subject(void **state)
{
	char sub[] = "al\"ice";
	const struct claims c = {sub, NULL, NULL, now_s + 600, INT64_MIN};
	struct site *s = *state;
	struct buf first = sell(s, now_s + 600, NULL), second = BUF_INIT;
	struct intent_result written;

	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(
	    ticket_make(s->db, &c, NULL, now_s, 1, &second, &written),
	    ERR_EXISTS);
	assert_int_equal(written.refusal, INTENT_TOO_MANY);
	assert_int_equal(second.len, 0);
	assert_int_equal(
	    ticket_make(s->db, &c, NULL, now_s, 2, &second, &written), OK);
	assert_int_equal(db_commit(s->db), OK);
	buf_done(&first);
	buf_done(&second);
}

static void
test_form(void **state)
{
	static const char *const bad[] = {"", "A",
	    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
	    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
	    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
	struct site *s = *state;
	struct ticket_store store = {.db_path = s->path};
	struct claims c;
	char *job_ids = NULL;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(ticket_use(&store, span_of(bad[i]), false,
				     now_s, &c, &job_ids),
		    ERR_AUTH);
		/* Only what looks like one is worth a connection. */
		assert_int_equal(store.db != NULL, i == 5);
	}
	ticket_store_done(&store);
}

/* It stays good. */
static void
test_locked(void **state)
{
	struct site *s = *state;
	struct ticket_store store = {.db_path = s->path};
	struct buf ticket = sell(s, now_s + 600, NULL);
	struct claims c;
	char *job_ids = NULL;

	raw(s, "BEGIN IMMEDIATE");
	assert_int_equal(
	    ticket_use(&store, buf_span(&ticket), false, now_s, &c, &job_ids),
	    ERR_AGAIN);
	raw(s, "ROLLBACK");
	assert_int_equal(
	    ticket_use(&store, buf_span(&ticket), false, now_s, &c, &job_ids),
	    OK);
	assert_null(job_ids);
	claims_done(&c);
	ticket_store_done(&store);
	buf_done(&ticket);
}

/* The file under the path is another one: its tickets count. */
static void
test_replaced_database(void **state)
{
	struct site *s = *state;
	struct ticket_store store = {.db_path = s->path};
	struct buf ticket = sell(s, now_s + 600, NULL);
	struct claims c;
	char *job_ids = NULL, away[256];

	assert_int_equal(
	    ticket_use(&store, SPAN_LIT("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
		false, now_s, &c, &job_ids),
	    ERR_AUTH);
	snprintf(away, sizeof(away), "%s.away", s->path);
	assert_int_equal(rename(s->path, away), 0);
	assert_int_equal(
	    ticket_use(&store, buf_span(&ticket), false, now_s, &c, &job_ids),
	    ERR_GONE);
	assert_int_equal(rename(away, s->path), 0);
	assert_int_equal(
	    ticket_use(&store, buf_span(&ticket), false, now_s, &c, &job_ids),
	    OK);
	claims_done(&c);
	ticket_store_done(&store);
	buf_done(&ticket);
}

#define SITE_TEST(f)                                                           \
	cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    SITE_TEST(test_claims_come_back),
	    SITE_TEST(test_life),
	    SITE_TEST(test_too_many_of_a_subject),
	    SITE_TEST(test_form),
	    SITE_TEST(test_locked),
	    SITE_TEST(test_replaced_database),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
