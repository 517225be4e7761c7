/* SPDX-License-Identifier: ISC */
/* auth/limit.c */
#include "auth/limit.h"

#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

enum { SECOND = 1000 * 1000, PER_MINUTE = 6 };

static const int64_t start_us = INT64_C(5) * 3600 * SECOND;

static int
setup(void **state)
{
	struct limit *l = NULL;

	assert_int_equal(limit_new(PER_MINUTE, &l), OK);
	assert_non_null(l);
	*state = l;
	return 0;
}

static int
teardown(void **state)
{
	struct limit *l = *state;

	limit_free(&l);
	assert_null(l);
	limit_free(&l);
	return 0;
}

static void
fail_times(struct limit *l, const char *address, int n, int64_t now_us)
{
	while (n-- > 0)
		limit_count(l, address, now_us);
}

/* A child's failures are its parent's. */
static void
test_processes_share_it(void **state)
{
	struct limit *l = *state;
	pid_t pid = fork();
	int status;

	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		fail_times(l, "192.0.2.1", PER_MINUTE, start_us);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(limit_wait_s(l, "192.0.2.1", start_us), 10);
}

/* Six at once, then one each ten seconds. */
static void
test_bucket(void **state)
{
	struct limit *l = *state;

	assert_int_equal(limit_wait_s(l, "192.0.2.1", start_us), 0);
	fail_times(l, "192.0.2.1", PER_MINUTE - 1, start_us);
	assert_int_equal(limit_wait_s(l, "192.0.2.1", start_us), 0);
	fail_times(l, "192.0.2.1", 1, start_us);
	assert_int_equal(limit_wait_s(l, "192.0.2.1", start_us), 10);
	assert_int_equal(limit_wait_s(l, "192.0.2.1", start_us + 1), 10);
	assert_int_equal(
	    limit_wait_s(l, "192.0.2.1", start_us + 9 * SECOND + 1), 1);
	assert_int_equal(
	    limit_wait_s(l, "192.0.2.1", start_us + 10 * SECOND), 0);
	fail_times(l, "192.0.2.1", 1, start_us + 10 * SECOND);
	assert_int_equal(
	    limit_wait_s(l, "192.0.2.1", start_us + 10 * SECOND), 10);
	/* After a minute all is forgiven, and no more than all. */
	fail_times(l, "192.0.2.1", PER_MINUTE - 1, start_us + 999 * SECOND);
	assert_int_equal(
	    limit_wait_s(l, "192.0.2.1", start_us + 999 * SECOND), 0);
	assert_int_equal(limit_wait_s(l, "192.0.2.2", start_us), 0);
}

static void
test_addresses(void **state)
{
	static const struct {
		const char *a, *b;
		bool is_same;
	} pairs[] = {
	    {"192.0.2.1", "::ffff:192.0.2.1", true},
	    {"192.0.2.1", "192.0.2.2", false},
	    {"2001:db8:1:2::1", "2001:0db8:0001:0002:ffff::", true},
	    {"2001:db8:1:2::1", "2001:db8:1:3::1", false},
	    {"", "unix:", true},
	    {"not an address", "192.0.2.256", true},
	};
	struct limit *l = *state;

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		int64_t now_us = start_us + (int64_t)i * 3600 * SECOND;

		fail_times(l, pairs[i].a, PER_MINUTE, now_us);
		assert_int_equal(
		    limit_wait_s(l, pairs[i].b, now_us) > 0, pairs[i].is_same);
	}
}

/* Many addresses push each other out; nothing grows and nothing is refused for
 * another's failures. */
static void
test_many_addresses(void **state)
{
	struct limit *l = *state;
	char address[32];

	fail_times(l, "203.0.113.9", PER_MINUTE, start_us);
	for (int i = 0; i < 20000; i++) {
		snprintf(address, sizeof(address), "10.%d.%d.%d", i >> 16,
		    i >> 8 & 255, i & 255);
		assert_int_equal(limit_wait_s(l, address, start_us), 0);
		limit_count(l, address, start_us);
	}
	snprintf(address, sizeof(address), "10.0.78.31"); /* the last */
	fail_times(l, address, PER_MINUTE - 1, start_us);
	assert_true(limit_wait_s(l, address, start_us) > 0);
}

static void
test_no_limit(void **state)
{
	struct limit *l = NULL;

	(void)state;
	assert_int_equal(limit_new(0, &l), OK);
	assert_null(l);
	fail_times(l, "192.0.2.1", 1000, start_us);
	assert_int_equal(limit_wait_s(l, "192.0.2.1", start_us), 0);
}

#define LIMIT_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    LIMIT_TEST(test_bucket),
	    LIMIT_TEST(test_addresses),
	    LIMIT_TEST(test_many_addresses),
	    LIMIT_TEST(test_processes_share_it),
	    cmocka_unit_test(test_no_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
