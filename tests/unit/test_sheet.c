/* SPDX-License-Identifier: ISC */
/* io/sheet.c: what one process says is read whole by another, or not at all. */
#include "io/sheet.h"

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

#define SUFFIX "-metrics-test"

static char folder[] = "/tmp/jobwire-sheet.XXXXXX";
static char db[64], file[80];

static int
set_up(void **state)
{
	(void)state;
	strcpy(folder + sizeof(folder) - 7, "XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(db, sizeof(db), "%s/j.db", folder);
	snprintf(file, sizeof(file), "%s%s", db, SUFFIX);
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
assert_reads(int64_t now_ms, const char *expected)
{
	struct buf out = BUF_INIT;

	assert_int_equal(sheet_read(db, SUFFIX, now_ms, &out), OK);
	assert_true(span_eq_str(buf_span(&out), expected));
	buf_done(&out);
}

static void
assert_nothing(int64_t now_ms)
{
	struct buf out = BUF_INIT;

	assert_int_equal(sheet_read(db, SUFFIX, now_ms, &out), ERR_NOENT);
	assert_int_equal(out.len, 0);
	buf_done(&out);
}

static void
test_what_was_written(void **state)
{
	int64_t now = clock_real_ms();

	(void)state;
	assert_nothing(now);
	assert_int_equal(
	    sheet_write(db, SUFFIX, SPAN_LIT("a longer text\n")), OK);
	assert_reads(now, "a longer text\n");
	assert_int_equal(sheet_write(db, SUFFIX, SPAN_LIT("short\n")), OK);
	assert_reads(now, "short\n");
	assert_int_equal(sheet_write(db, SUFFIX, SPAN_LIT("")), OK);
	assert_reads(now, "");
}

static void
test_silence(void **state)
{
	int64_t before = clock_real_ms();

	(void)state;
	assert_int_equal(sheet_write(db, SUFFIX, SPAN_LIT("x")), OK);
	assert_reads(before + SHEET_AWAY_MS - 1, "x");
	assert_nothing(clock_real_ms() + SHEET_AWAY_MS);
}

static void
test_length(void **state)
{
	char *text = malloc(SHEET_MAX + 1);
	struct buf out = BUF_INIT;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', SHEET_MAX + 1);
	assert_int_equal(
	    sheet_write(db, SUFFIX, (struct span){text, SHEET_MAX + 1}),
	    ERR_LIMIT);
	assert_int_equal(
	    sheet_write(db, SUFFIX, (struct span){text, SHEET_MAX}), OK);
	assert_int_equal(sheet_read(db, SUFFIX, 0, &out), OK);
	assert_int_equal(out.len, SHEET_MAX);
	buf_done(&out);
	free(text);
}

/* Its room is there before the disk is full. */
static void
test_room_is_taken_at_once(void **state)
{
	struct stat before, after;
	char *text = malloc(SHEET_MAX);

	(void)state;
	assert_non_null(text);
	memset(text, 'x', SHEET_MAX);
	assert_int_equal(sheet_write(db, SUFFIX, SPAN_LIT("x")), OK);
	assert_int_equal(stat(file, &before), 0);
	assert_int_equal(
	    sheet_write(db, SUFFIX, (struct span){text, SHEET_MAX}), OK);
	assert_int_equal(stat(file, &after), 0);
	assert_int_equal(before.st_blocks, after.st_blocks);
	free(text);
}

static void
test_what_is_none(void **state)
{
	static const char *const texts[] = {
	    "",
	    "hello",
	    "1 2\n",
	    "9999999999999        4294967295 0123456789abcdef\n......",
	    "9999999999999        1          0123456789abcdef\nx.....",
	    "-9223372036854775808 1          af63f54c8601f77f\nx",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		assert_int_not_equal(fd, -1);
		assert_int_equal(write(fd, texts[i], strlen(texts[i])),
		    (int)strlen(texts[i]));
		close(fd);
		assert_nothing(0);
	}
	assert_int_equal(unlink(file), 0);
	assert_int_equal(symlink("/dev/null", file), 0);
	assert_int_equal(sheet_write(db, SUFFIX, SPAN_LIT("x")), ERR_SYS);
	assert_nothing(0);
	assert_int_equal(
	    sheet_write("/nowhere/j.db", SUFFIX, SPAN_LIT("x")), ERR_SYS);
}

/* Texts of one character each, and of another length each time. */
static void
write_for_ever(void)
{
	static char text[40000];

	/* Not longer than the test, which may fail. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (unsigned i = 0;; i++) {
		memset(text, 'a' + (int)(i % 26), sizeof(text));
		if (sheet_write(db, SUFFIX,
			(struct span){text, sizeof(text) - i % 7 * 5000}) != OK)
			_exit(1);
	}
}

static void
test_never_half_of_two(void **state)
{
	struct buf out = BUF_INIT;
	int n_read = 0;
	pid_t writer;

	(void)state;
	assert_int_equal(sheet_write(db, SUFFIX, SPAN_LIT("a")), OK);
	writer = fork();
	if (writer == 0)
		write_for_ever();
	for (int i = 0; i < 3000; i++) {
		buf_reset(&out);
		if (sheet_read(db, SUFFIX, 0, &out) != OK)
			continue;
		n_read++;
		for (size_t k = 1; k < out.len; k++)
			assert_int_equal(out.data[k], out.data[0]);
	}
	assert_int_equal(kill(writer, SIGKILL), 0);
	assert_int_equal(waitpid(writer, NULL, 0), writer);
	assert_true(n_read > 0);
	buf_done(&out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_what_was_written),
	    TEST(test_silence),
	    TEST(test_length),
	    TEST(test_room_is_taken_at_once),
	    TEST(test_what_is_none),
	    TEST(test_never_half_of_two),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
