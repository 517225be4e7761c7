/* SPDX-License-Identifier: ISC */
/* store/idempotency.c */
#include "store/idempotency.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store_site.h"

#define DIGEST                                                                 \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct idempotency_record record = {
    .request = DIGEST, .first_id = 7, .n_events = 3};

static void
test_a_key_is_found_again(void **state)
{
	struct site *s = *state;
	struct idempotency_record found = {.first_id = -1};

	assert_int_equal(idempotency_find(s->db, "k", &found), ERR_NOENT);
	assert_int_equal(found.first_id, -1);
	assert_int_equal(idempotency_add(s->db, "k", &record), OK);
	assert_int_equal(idempotency_find(s->db, "k", &found), OK);
	assert_string_equal(found.request, DIGEST);
	assert_int_equal(found.first_id, 7);
	assert_int_equal(found.n_events, 3);
	assert_int_equal(idempotency_find(s->db, "K", &found), ERR_NOENT);
}

static void
test_a_key_is_given_once(void **state)
{
	struct site *s = *state;
	struct idempotency_record other = record, found;

	other.first_id = 99;
	assert_int_equal(idempotency_add(s->db, "k", &record), OK);
	assert_int_equal(idempotency_add(s->db, "k", &other), ERR_PROTO);
	assert_int_equal(idempotency_find(s->db, "k", &found), OK);
	assert_int_equal(found.first_id, 7);
}

/* It is there when its events are. */
static void
test_a_key_goes_with_its_transaction(void **state)
{
	struct site *s = *state;
	struct idempotency_record found;

	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(idempotency_add(s->db, "k", &record), OK);
	assert_int_equal(idempotency_find(s->db, "k", &found), OK);
	db_rollback(s->db);
	assert_int_equal(idempotency_find(s->db, "k", &found), ERR_NOENT);
}

#define SITE_TEST(f)                                                           \
	cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    SITE_TEST(test_a_key_is_found_again),
	    SITE_TEST(test_a_key_is_given_once),
	    SITE_TEST(test_a_key_goes_with_its_transaction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
