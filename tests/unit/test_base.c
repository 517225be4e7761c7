/* SPDX-License-Identifier: ISC */
/* Unit tests of base: buf, clock, err, file, log. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"

static void
test_buf_grows_and_stays_terminated(void **state)
{
	struct buf b = BUF_INIT;
	size_t i;

	(void)state;
	assert_true(span_eq_str(buf_span(&b), ""));
	for (i = 0; i < 1000; i++) {
		buf_add_char(&b, 'x');
		assert_int_equal(b.len, i + 1);
		assert_int_equal(b.data[b.len], '\0');
	}
	buf_reset(&b);
	buf_add_str(&b, "a");
	buf_addf(&b, "%d-%s", 42, "b");
	buf_add_span(&b, SPAN_LIT("c\0d"));
	buf_add(&b, NULL, 0);
	assert_true(buf_ok(&b));
	assert_int_equal(b.len, 8);
	assert_memory_equal(b.data, "a42-bc\0d", 9);
	buf_done(&b);
	buf_done(&b);
	assert_null(b.data);
}

static void
test_buf_failure_is_sticky(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	buf_add_str(&b, "kept");
	buf_reserve(&b, SIZE_MAX);
	assert_false(buf_ok(&b));
	buf_add_str(&b, "no");
	buf_add_char(&b, 'n');
	buf_addf(&b, "%s", "no");
	assert_false(buf_ok(&b));
	assert_string_equal(b.data, "kept");
	assert_null(buf_take(&b));
	assert_true(buf_ok(&b));

	buf_reserve(&b, SIZE_MAX);
	assert_false(buf_ok(&b));
	buf_reset(&b);
	buf_add_str(&b, "works again");
	assert_true(buf_ok(&b));
	buf_done(&b);
}

static void
test_buf_take(void **state)
{
	struct buf b = BUF_INIT;
	char *text = buf_take(&b);

	(void)state;
	assert_string_equal(text, "");
	free(text);
	buf_add_str(&b, "text");
	text = buf_take(&b);
	assert_string_equal(text, "text");
	assert_null(b.data);
	assert_int_equal(b.len, 0);
	free(text);
}

static void
test_spans(void **state)
{
	struct span none = span_of(NULL);
	char *copy;

	(void)state;
	assert_int_equal(none.n, 0);
	assert_true(span_eq(none, span_of("")));
	assert_true(span_eq_str(span_of("abc"), "abc"));
	assert_false(span_eq_str(span_of("abc"), "abd"));
	assert_false(span_eq_str(span_of("abc"), "ab"));
	copy = span_dup((struct span){"abcdef", 3});
	assert_string_equal(copy, "abc");
	free(copy);
	copy = span_dup(none);
	assert_string_equal(copy, "");
	free(copy);
}

static void
test_rfc3339(void **state)
{
	char text[CLOCK_RFC3339_SIZE];

	(void)state;
	clock_rfc3339(0, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");
	clock_rfc3339(INT64_C(951782399007), text);
	assert_string_equal(text, "2000-02-28T23:59:59.007Z");
	clock_rfc3339(INT64_C(951782400000), text);
	assert_string_equal(text, "2000-02-29T00:00:00.000Z");
	clock_rfc3339(INT64_C(4102444800999), text);
	assert_string_equal(text, "2100-01-01T00:00:00.999Z");
	clock_rfc3339(INT64_MIN, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");
	clock_rfc3339(INT64_MAX, text);
	assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

static void
test_rfc3339_parsed(void **state)
{
	static const char *const wrong[] = {"", "now", "2000-02-28T23:59:59Z",
	    "2000- 2-28T23:59:59.007Z", "2000-02-28T23:59:59.007Z ",
	    "2000-02-28T23:59:59.007", "2000-02-28T+3:59:59.007Z",
	    "2000-13-01T00:00:00.000Z", "2000-02-30T00:00:00.000Z",
	    "2001-02-29T00:00:00.000Z", "2001-12-32T00:00:00.000Z",
	    "2000-00-01T00:00:00.000Z", "2000-02-00T00:00:00.000Z",
	    "2000-01-01T24:00:00.000Z", "2000-01-01T00:60:00.000Z",
	    "9999-99-99T99:99:99.999Z"};
	int64_t ms = 5;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_false(clock_parse_rfc3339(wrong[i], &ms));
	assert_true(ms == 5);
	assert_true(clock_parse_rfc3339("2000-02-28T23:59:59.007Z", &ms));
	assert_true(ms == INT64_C(951782399007));
	/* Each hour, say, of 400 years. */
	for (int64_t t = 0; t < INT64_C(400) * 366 * 86400000; t += 3600999) {
		char text[CLOCK_RFC3339_SIZE];

		clock_rfc3339(t, text);
		assert_true(clock_parse_rfc3339(text, &ms));
		assert_true(ms == t);
	}
}

static void
test_folder_of_path(void **state)
{
	static const char *const paths[][2] = {{"a", "."}, {"", "."},
	    {"./a", "."}, {"/a", "/"}, {"/a/b", "/a"}, {"a/b/c", "a/b"}};
	struct buf folder = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		buf_reset(&folder);
		file_add_folder(&folder, paths[i][0]);
		assert_string_equal(folder.data, paths[i][1]);
	}
	buf_done(&folder);
}

static void
test_random_between(void **state)
{
	bool saw_lo = false, saw_hi = false;
	int64_t r;
	int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		r = random_between(-1, 2);
		assert_in_range(r + 1, 0, 3);
		saw_lo = saw_lo || r == -1;
		saw_hi = saw_hi || r == 2;
	}
	assert_true(saw_lo && saw_hi);
	assert_true(random_between(7, 7) == 7);
	r = random_between(INT64_MIN, INT64_MAX);
	assert_true(random_between(r, r) == r);
	assert_true(clock_mono_us() <= clock_mono_us());
	assert_true(clock_real_ms() > INT64_C(1700000000000));
}

static void
test_err_texts(void **state)
{
	int e;

	(void)state;
	for (e = OK; e <= ERR_EXISTS; e++)
		assert_string_not_equal(err_text((enum err)e), "unknown error");
	assert_string_equal(err_text((enum err)1000), "unknown error");
}

static void
test_file_read(void **state)
{
	char path[] = "/tmp/jobwire-file.XXXXXX";
	int i, fd = mkstemp(path);
	struct buf b = BUF_INIT;

	(void)state;
	assert_int_not_equal(fd, -1);
	for (i = 0; i < 1000; i++)
		assert_int_equal(write(fd, "0123456789", 10), 10);
	close(fd);
	buf_add_str(&b, "before ");
	assert_int_equal(file_read(path, 9999, &b), ERR_LIMIT);
	assert_string_equal(b.data, "before ");
	assert_int_equal(file_read(path, 10000, &b), OK);
	assert_int_equal(b.len, 10007);
	unlink(path);
	assert_int_equal(file_read(path, 10000, &b), ERR_SYS);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(file_read("/tmp", 10000, &b), ERR_SYS);
	assert_int_equal(errno, EISDIR);
	buf_done(&b);
}

/*
 * Log lines are read back through a pipe on descriptor 2.
 */
static int log_pipe[2], real_stderr;

static void
catch_stderr(void)
{
	assert_int_equal(pipe2(log_pipe, O_NONBLOCK), 0);
	real_stderr = dup(STDERR_FILENO);
	dup2(log_pipe[1], STDERR_FILENO);
}

/* What was logged, after the time stamp of the first line. */
static const char *
caught_stderr(void)
{
	static char text[16384];
	ssize_t n = read(log_pipe[0], text, sizeof(text) - 1);

	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	close(log_pipe[0]);
	close(log_pipe[1]);
	if (n <= 0)
		return "";
	text[n] = '\0';
	assert_true(n >= CLOCK_RFC3339_SIZE);
	assert_int_equal(text[CLOCK_RFC3339_SIZE - 2], 'Z');
	return text + CLOCK_RFC3339_SIZE;
}

static void
test_log_line(void **state)
{
	(void)state;
	catch_stderr();
	errno = EMFILE;
	log_warn("accept_paused", "errno", "EMFILE", "dropped", NULL, "n",
	    LOG_INT(-7), "path", "/a.b:c@d+e-f_g", "empty", "");
	assert_int_equal(errno, EMFILE);
	assert_string_equal(caught_stderr(),
	    "level=warn event=accept_paused errno=EMFILE n=-7 "
	    "path=/a.b:c@d+e-f_g empty=\"\"\n");
}

static void
test_log_cannot_be_forged(void **state)
{
	(void)state;
	catch_stderr();
	log_error("e", "a", "x\nlevel=info event=forged", "b", "q\"\\\r\t", "c",
	    "\x1b[31m\x7f", "d", "\xc2\x9b", "e", "a b=c");
	assert_string_equal(caught_stderr(),
	    "level=error event=e a=\"x\\nlevel=info event=forged\" "
	    "b=\"q\\\"\\\\\\r\\t\" c=\"\\x1b[31m\\x7f\" d=\"\\xc2\\x9b\" "
	    "e=\"a b=c\"\n");
}

static void
test_log_lengths(void **state)
{
	char longer[LOG_VALUE_MAX + 2], nasty[LOG_VALUE_MAX + 1];
	const char *text;

	(void)state;
	memset(longer, 'v', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	memset(nasty, 1, sizeof(nasty) - 1);
	nasty[sizeof(nasty) - 1] = '\0';

	catch_stderr();
	log_error("e", "k", longer);
	text = caught_stderr();
	assert_int_equal(strlen(strstr(text, "k=")), 2 + LOG_VALUE_MAX + 1);

	/* Pairs that do not fit into one write are left out whole. */
	catch_stderr();
	log_error("e", "a", nasty, "b", nasty, "c", nasty, "d", nasty, "e",
	    nasty, "z", "fits");
	text = caught_stderr();
	assert_true(strlen(text) < 4096);
	assert_non_null(strstr(text, " c=\""));
	assert_null(strstr(text, " d=\""));
	assert_string_equal(strstr(text, " z="), " z=fits\n");
}

static void
test_log_level(void **state)
{
	(void)state;
	catch_stderr();
	log_set_level(LOG_LEVEL_WARN);
	log_info("hidden");
	log_warn("shown");
	log_set_level(LOG_LEVEL_INFO);
	assert_string_equal(caught_stderr(), "level=warn event=shown\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_buf_grows_and_stays_terminated),
	    cmocka_unit_test(test_buf_failure_is_sticky),
	    cmocka_unit_test(test_buf_take),
	    cmocka_unit_test(test_spans),
	    cmocka_unit_test(test_rfc3339),
	    cmocka_unit_test(test_rfc3339_parsed),
	    cmocka_unit_test(test_folder_of_path),
	    cmocka_unit_test(test_random_between),
	    cmocka_unit_test(test_err_texts),
	    cmocka_unit_test(test_file_read),
	    cmocka_unit_test(test_log_line),
	    cmocka_unit_test(test_log_cannot_be_forged),
	    cmocka_unit_test(test_log_lengths),
	    cmocka_unit_test(test_log_level),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
