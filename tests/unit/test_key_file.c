/* SPDX-License-Identifier: ISC */
/* auth/key_file.c. */
#include "auth/key_file.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "text/span.h"

static void
note_file(void *arg, const char *path)
{
	buf_addf(arg, "<%s>", path);
}

static void
test_each(void **state)
{
	static const char *const values[][2] = {{"secret", ""}, {"a,b", ""},
	    {"@/k", "</k>"}, {"@a,b", "<a,b>"}, {"x=@/k,y=@l", "</k><l>"},
	    {"x=@/k,", "</k>"}, {"x=@/k,secret", ""}, {"x=y@z", ""}, {"@", ""},
	    {"x=@", ""}, {"=@/k", ""}, {"a b=@/k", ""}, {"", ""}};
	struct buf found = BUF_INIT;

	(void)state;
	assert_int_equal(key_file_each(NULL, note_file, &found), OK);
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		buf_reset(&found);
		assert_int_equal(
		    key_file_each(values[i][0], note_file, &found), OK);
		assert_string_equal(buf_span(&found).p, values[i][1]);
	}
	buf_done(&found);
}

static void
test_names(void **state)
{
	struct span list = SPAN_LIT("x=@/k,y=@l"), name, path;

	(void)state;
	assert_int_equal(key_file_count(list.p), 2);
	assert_true(key_file_cut(&list, &name, &path));
	assert_true(span_eq_str(name, "x") && span_eq_str(path, "/k"));
	assert_true(span_eq_str(list, "y=@l"));
	assert_true(key_file_cut(&list, &name, &path));
	assert_true(span_eq_str(name, "y") && span_eq_str(path, "l"));
	assert_int_equal(list.n, 0);
	list = SPAN_LIT("@a,b");
	assert_true(key_file_cut(&list, &name, &path));
	assert_int_equal(name.n, 0);
	assert_true(span_eq_str(path, "a,b"));
	list = SPAN_LIT("secret");
	assert_false(key_file_cut(&list, &name, &path));
	assert_true(span_eq_str(list, "secret"));
}

static void
test_read(void **state)
{
	char path[] = "/tmp/jobwire-test-XXXXXX", chunk[4096] = {0};
	int fd = mkstemp(path);
	struct buf content = BUF_INIT, message = BUF_INIT;
	struct span gone = SPAN_LIT("/nonexistent/k");

	(void)state;
	for (int i = 0; i < 16; i++)
		assert_int_equal(write(fd, chunk, sizeof(chunk)), 4096);
	assert_int_equal(key_file_read(span_of(path), &content, &message), OK);
	assert_int_equal(content.len, 65536);
	assert_int_equal(message.len, 0);
	key_file_wipe(&content);
	assert_null(content.data);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(
	    key_file_read(span_of(path), &content, &message), ERR_LIMIT);
	assert_memory_equal(message.data, path, strlen(path));
	key_file_wipe(&content);
	buf_reset(&message);
	assert_int_equal(key_file_read(gone, &content, &message), ERR_SYS);
	assert_int_equal(errno, ENOENT);
	assert_string_equal(
	    message.data, "/nonexistent/k: No such file or directory");
	buf_done(&message);
	close(fd);
	unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_each),
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
