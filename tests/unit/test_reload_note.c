/* SPDX-License-Identifier: ISC */
/* io/reload_note.c: a line of each process, whole whatever it says. */
#include "io/reload_note.h"

#include <sys/resource.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/jobwire-note.XXXXXX";
static char db[64];

static int
set_up(void **state)
{
	(void)state;
	strcpy(folder + sizeof(folder) - 7, "XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(db, sizeof(db), "%s/j.db", folder);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	reload_note_end(db);
	return rmdir(folder);
}

static void
assert_said(const char *expected)
{
	struct buf said = BUF_INIT;

	assert_true(reload_note_find(db, getpid(), &said));
	assert_true(span_eq_str(buf_span(&said), expected));
	buf_done(&said);
}

static void
assert_silent(void)
{
	struct buf said = BUF_INIT;

	assert_false(reload_note_find(db, getpid(), &said));
	assert_int_equal(said.len, 0);
	buf_done(&said);
}

static void
test_who_waits_is_told(void **state)
{
	struct buf said = BUF_INIT;

	(void)state;
	assert_int_equal(reload_note_begin(db), OK);
	assert_silent();
	reload_note_add(db, true, (struct span){0});
	assert_said("reloaded ");
	/* Before the next one the file is made anew. */
	assert_int_equal(reload_note_begin(db), OK);
	assert_silent();
	reload_note_add(db, false, SPAN_LIT("why not"));
	assert_said("kept why not");
	assert_false(reload_note_find(db, 1, &said));
	reload_note_end(db);
	assert_silent();
}

/* Else the file would stay. */
static void
test_nobody_waits(void **state)
{
	(void)state;
	reload_note_add(db, true, (struct span){0});
	assert_silent();
}

/* What is too long is cut, and the next line is one of its own. */
static void
test_length(void **state)
{
	char *text = malloc(2 * RELOAD_NOTE_LINE_MAX);
	struct buf said = BUF_INIT;
	size_t longest;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', 2 * RELOAD_NOTE_LINE_MAX);
	/* The number and two spaces are in front of it, and "kept". */
	longest = RELOAD_NOTE_LINE_MAX - 2 -
		  (size_t)snprintf(NULL, 0, "%ld kept ", (long)getpid());
	for (size_t n = longest - 1; n <= longest + 2; n++) {
		assert_int_equal(reload_note_begin(db), OK);
		reload_note_add(db, false, (struct span){text, n});
		buf_reset(&said);
		assert_true(reload_note_find(db, getpid(), &said));
		assert_int_equal(
		    said.len, strlen("kept ") + (n < longest ? n : longest));
		assert_int_equal(said.data[said.len - 1], 'x');
	}
	buf_done(&said);
	free(text);
}

/* Who waits hears nothing then; we go on. */
static void
test_a_full_disk(void **state)
{
	void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
	struct rlimit limit, none;

	(void)state;
	assert_int_equal(reload_note_begin(db), OK);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	none = (struct rlimit){0, limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	reload_note_add(db, true, (struct span){0});
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	signal(SIGXFSZ, before);
	assert_silent();
	reload_note_add(db, true, (struct span){0});
	assert_said("reloaded ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_who_waits_is_told),
	    TEST(test_nobody_waits),
	    TEST(test_length),
	    TEST(test_a_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
