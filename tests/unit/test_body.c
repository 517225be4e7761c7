/* SPDX-License-Identifier: ISC */
/* web/body.c */
#include "web/body.h"

#include <sys/resource.h>
#include <dirent.h>
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

#include "alloc_fail.h"

enum { MAX = BODY_MEMORY_MAX };

/* A folder for files, limits that refer to it, and one body. */
struct box {
	char dir[64];
	_Atomic uint64_t held;
	struct body_limits limits;
	struct body body;
	char bytes[2 * MAX];
};

static int
set_up(void **state)
{
	struct box *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	strcpy(b->dir, "/tmp/jobwire-body-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	b->limits = (struct body_limits){4 * MAX, 8 * MAX, b->dir, &b->held};
	b->body = body_new(&b->limits);
	for (size_t i = 0; i < sizeof(b->bytes); i++)
		b->bytes[i] = (char)(i * 7 + i / 251);
	*state = b;
	return 0;
}

/* Nothing is counted any more, and no file is left. */
static int
tear_down(void **state)
{
	struct box *b = *state;

	body_done(&b->body);
	body_done(&b->body);
	assert_int_equal(b->held, 0);
	assert_int_equal(rmdir(b->dir), 0);
	free(b);
	return 0;
}

static void
assert_whole(struct box *b, size_t n, bool is_mapped)
{
	struct span whole = {NULL, 0};

	assert_int_equal(body_finish(&b->body, &whole), OK);
	assert_int_equal(whole.n, n);
	assert_int_equal(b->held, n);
	assert_int_equal(body_is_mapped(&b->body), is_mapped);
	if (n > 0)
		assert_memory_equal(whole.p, b->bytes, n);
	body_release_pages(whole, is_mapped);
	if (n > 0)
		assert_memory_equal(whole.p, b->bytes, n);
}

static void
assert_dropped(struct box *b, enum err e)
{
	struct span whole = {b->bytes, 1};

	assert_int_equal(b->body.err, e);
	assert_int_equal(b->held, 0);
	body_add(&b->body, "more", 4);
	assert_int_equal(b->held, 0);
	assert_int_equal(body_finish(&b->body, &whole), e);
	assert_ptr_equal(whole.p, b->bytes);
}

static void
test_empty(void **state)
{
	assert_whole(*state, 0, false);
}

static void
test_in_memory(void **state)
{
	struct box *b = *state;

	body_add(&b->body, b->bytes, 1000);
	body_add(&b->body, b->bytes + 1000, 0);
	body_add(&b->body, b->bytes + 1000, MAX - 1000);
	assert_whole(b, MAX, false);
}

/* In pieces that cross the border at any place. */
static void
test_in_a_file(void **state)
{
	struct box *b = *state;

	for (size_t piece = 1000; piece <= 2 * MAX; piece = piece * 3 + 1) {
		for (size_t at = 0; at < 2 * MAX; at += piece)
			body_add(&b->body, b->bytes + at,
			    piece < 2 * MAX - at ? piece : 2 * MAX - at);
		assert_whole(b, 2 * MAX, true);
		body_done(&b->body);
		b->body = body_new(&b->limits);
	}
	body_add(&b->body, b->bytes, MAX + 1);
	assert_whole(b, MAX + 1, true);
}

/* A folder whose file system may know no files without a name shows none all
 * the same. */
static void
test_file_has_no_name(void **state)
{
	struct box *b = *state;
	const struct dirent *entry;
	DIR *dir;

	body_add(&b->body, b->bytes, 2 * MAX);
	assert_int_not_equal(b->body.fd, -1);
	dir = opendir(b->dir);
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL)
		assert_int_equal(entry->d_name[0], '.');
	closedir(dir);
}

static void
test_limit_of_each(void **state)
{
	struct box *b = *state;

	b->limits.each = 1000;
	body_add(&b->body, b->bytes, 1000);
	assert_whole(b, 1000, false);
	body_add(&b->body, b->bytes, 1);
	assert_dropped(b, ERR_LIMIT);
}

static void
test_limit_of_each_in_a_file(void **state)
{
	struct box *b = *state;

	body_add(&b->body, b->bytes, 2 * MAX);
	body_add(&b->body, b->bytes, 2 * MAX);
	assert_int_equal(b->held, 4 * MAX);
	body_add(&b->body, b->bytes, 1);
	assert_dropped(b, ERR_LIMIT);
}

static void
test_limit_of_all(void **state)
{
	struct box *b = *state;
	struct body other = body_new(&b->limits);

	b->limits.all = 1500;
	body_add(&other, b->bytes, 1000);
	body_add(&b->body, b->bytes, 500);
	assert_int_equal(b->held, 1500);
	body_add(&b->body, b->bytes, 1);
	assert_int_equal(b->body.err, ERR_AGAIN);
	assert_int_equal(b->held, 1000);
	body_done(&other);
	assert_dropped(b, ERR_AGAIN);
}

static void
test_no_folder(void **state)
{
	struct box *b = *state;

	b->limits.dir = "/nonexistent/folder";
	body_add(&b->body, b->bytes, MAX);
	assert_int_equal(b->body.err, OK);
	body_add(&b->body, b->bytes, 1);
	assert_dropped(b, ERR_SYS);
}

/* A file that may not grow is told from one that has no space. */
static void
test_file_that_cannot_grow(void **state)
{
	struct box *b = *state;
	struct rlimit old, low;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	signal(SIGXFSZ, SIG_IGN);
	low = (struct rlimit){MAX + 4096, old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	body_add(&b->body, b->bytes, MAX + 1);
	body_add(&b->body, b->bytes, 8192);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_dropped(b, ERR_SYS);
}

static void
test_no_memory(void **state)
{
	struct box *b = *state;
	bool is_more = true;

	for (unsigned n = 1; is_more; n++) {
		body_done(&b->body);
		b->body = body_new(&b->limits);
		alloc_fail_start(n);
		for (size_t at = 0; at < 2 * MAX; at += 8192)
			body_add(&b->body, b->bytes + at, 8192);
		is_more = alloc_fail_stop();
		if (is_more)
			assert_dropped(b, ERR_NOMEM);
	}
	assert_whole(b, 2 * MAX, true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_empty),
	    TEST(test_in_memory),
	    TEST(test_in_a_file),
	    TEST(test_file_has_no_name),
	    TEST(test_limit_of_each),
	    TEST(test_limit_of_each_in_a_file),
	    TEST(test_limit_of_all),
	    TEST(test_no_folder),
	    TEST(test_file_that_cannot_grow),
	    TEST(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
