/* SPDX-License-Identifier: ISC */
/* io/status.c: what the writing half says, and when it counts as away. */
#include "io/status.h"

#include <sys/stat.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

static char folder[] = "/tmp/jobwire-status.XXXXXX";
static char db[64], file[80];

static int
set_up(void **state)
{
	(void)state;
	strcpy(folder + sizeof(folder) - 7, "XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(db, sizeof(db), "%s/j.db", folder);
	snprintf(file, sizeof(file), "%s-writer", db);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	(void)unlink(file);
	return rmdir(folder);
}

static void
test_what_was_written(void **state)
{
	struct status s;
	int64_t before = clock_real_ms();

	(void)state;
	assert_int_equal(status_read(db, 0, &s), ERR_NOENT);
	assert_int_equal(status_write(db, true, "the disk is full"), OK);
	assert_int_equal(status_write(db, true, "ok"), OK);
	assert_int_equal(status_read(db, before, &s), OK);
	assert_string_equal(s.text, "ok");
	assert_true(s.is_daemon);
	assert_true(s.at_ms >= before && s.at_ms <= clock_real_ms());
}

static void
test_silence(void **state)
{
	struct status s;

	(void)state;
	assert_int_equal(status_write(db, true, "ok"), OK);
	assert_int_equal(status_read(db, 0, &s), OK);
	assert_int_equal(status_read(db, s.at_ms + STATUS_AWAY_MS - 1, &s), OK);
	assert_string_equal(s.text, "ok");
	assert_int_equal(status_read(db, s.at_ms + STATUS_AWAY_MS, &s), OK);
	assert_string_equal(s.text, "away");
	/* A process for one call is silent afterwards. */
	assert_int_equal(status_write(db, false, "ok"), OK);
	assert_int_equal(status_read(db, INT64_MAX, &s), OK);
	assert_string_equal(s.text, "ok");
	assert_false(s.is_daemon);
}

static void
test_long_text(void **state)
{
	char text[200] = "";
	struct status s;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(status_write(db, true, text), OK);
	assert_int_equal(status_read(db, 0, &s), OK);
	text[STATUS_TEXT_SIZE - 1] = '\0';
	assert_string_equal(s.text, text);
}

static void
test_no_place(void **state)
{
	struct status s;

	(void)state;
	assert_int_equal(symlink("/dev/null", file), 0);
	assert_int_equal(status_write(db, true, "ok"), ERR_SYS);
	assert_int_equal(status_read(db, 0, &s), ERR_NOENT);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(mkfifo(file, 0600), 0); /* nobody waits for it */
	assert_int_equal(status_write(db, true, "ok"), ERR_SYS);
	assert_int_equal(status_read(db, 0, &s), ERR_NOENT);
	assert_int_equal(status_write("/nowhere/j.db", true, "ok"), ERR_SYS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_what_was_written),
	    TEST(test_silence),
	    TEST(test_long_text),
	    TEST(test_no_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
