/* SPDX-License-Identifier: ISC */
/* Unit tests of conf/opt with flags that are no settings. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <string.h>

#include <cmocka.h>

#include "conf/opt.h"

enum { ONE = 1 };

struct target {
	char *name, *key;
	int64_t count;
	bool loud;
};

#define AT(m) .name = #m, .offset = offsetof(struct target, m)

static const struct opt_def table[] = {
    {AT(name), .type = OPT_STRING, .programs = ONE, .help = "a name"},
    {AT(count), .type = OPT_INT, .fallback = "3", .programs = ONE,
	.help = "a count"},
    {AT(loud), .type = OPT_FLAG, .programs = ONE, .help = "shout"},
    {.name = NULL},
};

/* Of two commands. */
static const struct opt_def tail_flags[] = {
    {.name = "tail", .offset = offsetof(struct target, key), .programs = ONE},
    {.name = NULL},
};
static const struct opt_def rows_flags[] = {
    {.name = "rows",
	.offset = offsetof(struct target, count),
	.type = OPT_INT,
	.fallback = "7",
	.programs = ONE},
    {.name = NULL},
};

static struct target target;
static struct buf message;
static int arg_count;
static char arg_texts[8][32];

/* Flags of a command, beside those of settings. */
static void
test_flags_of_commands(void **state)
{
	struct target more = {0};
	const struct opt_def *const all[] = {tail_flags, rows_flags, NULL};
	struct opt_flags flags = {rows_flags, &more, all};
	struct opt_source src = {
	    .defs = table, .program = ONE, .flags = &flags};
	char *argv[] = {strcpy(arg_texts[0], "--name"),
	    strcpy(arg_texts[1], "--rows"), strcpy(arg_texts[2], "x"),
	    strcpy(arg_texts[3], "--rows=2"), strcpy(arg_texts[4], "-h"),
	    strcpy(arg_texts[5], "--"), strcpy(arg_texts[6], "--loud"), NULL};

	(void)state;
	assert_string_equal(opt_argument(&src, 7, argv, 0), "x");
	assert_string_equal(opt_argument(&src, 7, argv, 1), "--loud");
	assert_null(opt_argument(&src, 7, argv, 2));
	assert_string_equal(opt_find_flag(&src, 7, argv, "name"), "--rows");
	assert_null(opt_find_flag(&src, 7, argv, "loud"));
	assert_null(opt_find_flag(&src, 7, argv, "rows")); /* no setting */

	assert_int_equal(
	    opt_load(&src, &target, 4, argv, &arg_count, &message), OK);
	assert_int_equal(more.count, 2);
	assert_string_equal(target.name, "--rows");
	assert_int_equal(target.count, 3); /* the setting's own */
	opt_done(rows_flags, &more);
	flags.defs = tail_flags;
	argv[0] = strcpy(arg_texts[0], "--rows");
	argv[1] = strcpy(arg_texts[1], "1");
	buf_reset(&message);
	assert_int_equal(
	    opt_load(&src, &target, 2, argv, &arg_count, &message), ERR_PROTO);
	assert_string_equal(message.data, "--rows: not a flag of this command");
	argv[0] = strcpy(arg_texts[0], "--tial=s3cret");
	buf_reset(&message);
	assert_int_equal(
	    opt_load(&src, &target, 1, argv, &arg_count, &message), ERR_PROTO);
	assert_string_equal(
	    message.data, "--tial: unknown flag; did you mean --tail?");
	opt_done(table, &target);
	buf_done(&message);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_flags_of_commands),
	};

	return cmocka_run_group_tests_name("opt_words", tests, NULL, NULL);
}
