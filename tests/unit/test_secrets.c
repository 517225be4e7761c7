/* SPDX-License-Identifier: ISC */
/* auth/secrets.c. */
#include "auth/secrets.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SECRET_1 "0123456789abcdef"
#define SECRET_2 "second-secret-of-rotation"

static struct secrets
load(const char *value)
{
	struct secrets k = {0};
	struct buf message = BUF_INIT;

	assert_int_equal(secrets_load(value, &k, &message), OK);
	assert_int_equal(message.len, 0);
	buf_done(&message);
	return k;
}

static void
assert_refused(const char *value, enum err expected, const char *message)
{
	struct secrets k = {.n = 77};
	struct buf text = BUF_INIT;

	assert_int_equal(secrets_load(value, &k, &text), expected);
	assert_int_equal(k.n, 77);
	assert_null(k.keys);
	assert_string_equal(text.data, message);
	buf_done(&text);
}

static void
test_load(void **state)
{
	struct secrets k;

	(void)state;
	k = load(NULL);
	assert_int_equal(k.n, 0);
	secrets_done(&k);
	k = load(" ,, \t,");
	assert_int_equal(k.n, 0);
	secrets_done(&k);
	k = load(", " SECRET_1 "\t,,  " SECRET_2 " with space ,");
	assert_int_equal(k.n, 2);
	assert_true(span_eq_str(k.keys[0], SECRET_1));
	assert_true(span_eq_str(k.keys[1], SECRET_2 " with space"));
	secrets_done(&k);
	assert_int_equal(k.n, 0);
	secrets_done(&k);
	assert_refused(SECRET_1 ",,tooshort", ERR_LIMIT,
	    "secret 2 is shorter than 16 bytes");
	assert_refused(
	    "0123456789abcde", ERR_LIMIT, "secret 1 is shorter than 16 bytes");
}

/* Writes a temporary file and returns "@PATH" (free it). */
static char *
secret_file(const char *content, size_t n)
{
	struct buf name = BUF_INIT;
	char path[] = "/tmp/jobwire-test-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, n), n);
	close(fd);
	buf_addf(&name, "@%s", path);
	return buf_take(&name);
}

static void
test_load_file(void **state)
{
	static const char content[] =
	    SECRET_1 "\r\n\n  " SECRET_2 " , third-secret-0123\0x\n";
	char *value = secret_file(content, sizeof(content) - 1);
	struct secrets k = load(value);

	(void)state;
	assert_int_equal(k.n, 3);
	assert_true(span_eq_str(k.keys[0], SECRET_1));
	assert_true(span_eq_str(k.keys[1], SECRET_2));
	assert_true(span_eq(k.keys[2], SPAN_LIT("third-secret-0123\0x")));
	secrets_done(&k);
	unlink(value + 1);
	free(value);

	assert_refused("@/nonexistent/secret", ERR_SYS,
	    "/nonexistent/secret: No such file or directory");
	assert_int_equal(errno, ENOENT);
	assert_refused("@", ERR_SYS, ": No such file or directory");
}

static void
test_load_file_limits(void **state)
{
	enum { TOO_LARGE = 65537 };
	char *large = calloc(1, TOO_LARGE), *value;
	struct secrets k;
	struct buf message = BUF_INIT;

	(void)state;
	value = secret_file(large, TOO_LARGE);
	assert_int_equal(secrets_load(value, &k, &message), ERR_LIMIT);
	assert_non_null(strstr(message.data, value + 1));
	buf_done(&message);
	unlink(value + 1);
	free(value);
	free(large);

	value = secret_file(" ,\n", 3);
	assert_int_equal(secrets_load(value, &k, &message), ERR_LIMIT);
	assert_non_null(strstr(message.data, "holds no secret"));
	buf_done(&message);
	unlink(value + 1);
	free(value);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_load),
	    cmocka_unit_test(test_load_file),
	    cmocka_unit_test(test_load_file_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
