/* SPDX-License-Identifier: ISC */
/* store/inbox.c: which calls stay when there are too many. How they come there
 * is in test_inbox.py. */
#include "store/inbox.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "store_site.h"

enum { DAY_MS = 86400000, KEEP_DAYS = 7 };

static struct db *
open_inbox(const struct site *s)
{
	struct db *inbox = NULL;

	assert_int_equal(
	    inbox_open(s->path, DB_WRITE, BUSY_MS, &inbox, NULL), OK);
	return inbox;
}

/* Adds one, so many milliseconds ago. */
static bool
add(struct db *inbox, const char *code, const char *peer, int64_t age_ms)
{
	const struct inbox_call call = {.at_ms = clock_real_ms() - age_ms,
	    .status = 403,
	    .code = code,
	    .method = "POST",
	    .path = "/webhooks/runpod",
	    .peer = peer,
	    .body = SPAN_LIT("{}")};
	bool is_kept = false;

	assert_int_equal(inbox_begin(inbox), OK);
	assert_int_equal(inbox_add(inbox, &call, &is_kept), OK);
	assert_int_equal(inbox_end(inbox, OK), OK);
	return is_kept;
}

static void
trim(struct db *inbox, int64_t keep)
{
	assert_int_equal(inbox_begin(inbox), OK);
	assert_int_equal(inbox_trim(inbox, keep, KEEP_DAYS), OK);
	assert_int_equal(inbox_end(inbox, OK), OK);
}

/* "code/peer" of each, the newest first. */
static void
take(void *arg, const struct inbox_call *call)
{
	struct buf *out = arg;

	assert_int_equal(call->body.n, 0);
	buf_addf(out, "%s/%s ", call->code, call->peer);
}

static void
assert_list(struct db *inbox, const char *expected)
{
	struct buf out = BUF_INIT;

	assert_int_equal(inbox_list(inbox, 100, take, &out), OK);
	assert_string_equal(buf_span(&out).n > 0 ? out.data : "", expected);
	buf_done(&out);
}

static void
test_the_most_frequent_goes(void **state)
{
	struct db *inbox = open_inbox(*state);

	assert_true(add(inbox, "rare", "a", 9000));
	for (int i = 0; i < 4; i++)
		assert_true(add(inbox, "flood", "x", 9000 - i));
	assert_true(add(inbox, "flood", "b", 8000));
	assert_true(add(inbox, "new", "a", 7000));
	trim(inbox, 5);
	assert_list(inbox, "new/a flood/b flood/x flood/x rare/a ");
	trim(inbox, 4);
	assert_list(inbox, "new/a flood/b flood/x rare/a ");
	trim(inbox, 4);
	assert_list(inbox, "new/a flood/b flood/x rare/a ");
	db_close(&inbox);
}

static void
test_the_old_go(void **state)
{
	struct db *inbox = open_inbox(*state);

	assert_true(add(inbox, "old", "a", INT64_C(8) * DAY_MS));
	assert_true(add(inbox, "young", "a", INT64_C(6) * DAY_MS));
	trim(inbox, 100);
	assert_list(inbox, "young/a ");
	db_close(&inbox);
}

static void
test_no_more_than_so_many_in_a_second(void **state)
{
	struct db *inbox = open_inbox(*state);
	int n = 0;

	for (int i = 0; i < 100; i++)
		n += add(inbox, "flood", "a", 0);
	assert_in_range(n, 2 * INBOX_CALLS_PER_SECOND, 99);
	assert_true(add(inbox, "other", "a", 0));
	db_close(&inbox);
}

static void
test_what_is_not_there(void **state)
{
	const struct site *s = *state;
	struct db *inbox = NULL;
	struct buf out = BUF_INIT;

	assert_int_equal(
	    inbox_open(s->path, DB_READ, BUSY_MS, &inbox, NULL), ERR_NOENT);
	inbox = open_inbox(s);
	assert_int_equal(inbox_get(inbox, 1, take, &out), ERR_NOENT);
	assert_int_equal(inbox_forget(inbox, 1), ERR_NOENT);
	assert_int_equal(inbox_forget(inbox, 0), OK);
	db_close(&inbox);
	buf_done(&out);
}

static void
test_not_through_a_link(void **state)
{
	const struct site *s = *state;
	char path[300], other[300];
	struct db *inbox = NULL;

	snprintf(path, sizeof(path), "%s-inbox", s->path);
	snprintf(other, sizeof(other), "%s-other", s->path);
	assert_int_equal(symlink(other, path), 0);
	assert_int_equal(
	    inbox_open(s->path, DB_WRITE, BUSY_MS, &inbox, NULL), ERR_READONLY);
	assert_int_equal(access(other, F_OK), -1);
	assert_int_equal(unlink(path), 0);
}

/* 0 is a descriptor like any other. */
static void
test_closes_only_its_own(void **state)
{
	struct db *inbox = open_inbox(*state);

	if (fcntl(STDIN_FILENO, F_GETFD) == -1)
		assert_int_equal(open("/dev/null", O_RDONLY), STDIN_FILENO);
	db_close(&inbox);
	assert_int_not_equal(fcntl(STDIN_FILENO, F_GETFD), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		test_closes_only_its_own, site_setup, site_teardown),
	    cmocka_unit_test_setup_teardown(
		test_the_most_frequent_goes, site_setup, site_teardown),
	    cmocka_unit_test_setup_teardown(
		test_the_old_go, site_setup, site_teardown),
	    cmocka_unit_test_setup_teardown(
		test_no_more_than_so_many_in_a_second, site_setup,
		site_teardown),
	    cmocka_unit_test_setup_teardown(
		test_what_is_not_there, site_setup, site_teardown),
	    cmocka_unit_test_setup_teardown(
		test_not_through_a_link, site_setup, site_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
