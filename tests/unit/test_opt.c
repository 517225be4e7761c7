/* SPDX-License-Identifier: ISC */
/* Unit tests of conf/opt. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/opt.h"

enum { ONE = 1, TWO = 2, THREE = 4 };

struct target {
	char *name, *key, *other;
	int64_t count, pause, room;
	int color;
	bool loud;
};

#define AT(m) .name = #m, .offset = offsetof(struct target, m)

static const struct opt_def table[] = {
    {AT(name), .type = OPT_STRING, .fallback = "def", .programs = ONE | TWO,
	.help = "a name"},
    {AT(key), .type = OPT_STRING, .live = true, .programs = ONE, .secret = true,
	.help = "a key"},
    {AT(other), .type = OPT_STRING, .programs = TWO, .help = "not ours"},
    {AT(count), .type = OPT_INT, .fallback = "3", .min = 1, .max = 9,
	.programs = ONE, .help = "a count"},
    {AT(pause), .type = OPT_DURATION, .fallback = "1s", .other_fallback = "2s",
	.other_programs = THREE, .programs = ONE | TWO | THREE,
	.help = "a pause"},
    {.name = "room_size",
	.offset = offsetof(struct target, room),
	.type = OPT_SIZE,
	.programs = ONE,
	.help = "some room"},
    {AT(color), .type = OPT_CHOICE, .fallback = "red", .choices = "red|green",
	.programs = ONE, .help = "a color"},
    {AT(loud), .type = OPT_FLAG, .programs = ONE, .help = "shout"},
    {.name = "old_name", .type = OPT_GONE, .programs = ONE, .help = "use name"},
    {.name = NULL},
};

static char folder[] = "/tmp/jobwire-opt.XXXXXX";
static char file[64];
static struct target target;
static struct buf message;
static int arg_count;
static char arg_texts[16][128], *args[16];

static void
write_file(const char *text)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
}

static unsigned program_now = ONE;

/* Loads for that program with these arguments (a list ended by NULL). */
static enum err
load(const char *first, ...)
{
	struct opt_source src = {.defs = table,
	    .program = program_now,
	    .file = file,
	    .aliases = "one|two|one"};
	const char *arg;
	va_list ap;
	int argc = 0;

	opt_done(table, &target);
	target = (struct target){0};
	buf_reset(&message);
	va_start(ap, first);
	for (arg = first; arg != NULL; arg = va_arg(ap, const char *)) {
		args[argc] = strcpy(arg_texts[argc], arg);
		argc++;
	}
	va_end(ap);
	return opt_load(&src, &target, argc, args, &arg_count, &message);
}

#define assert_loads(...)                                                      \
	do {                                                                   \
		enum err e_ = load(__VA_ARGS__, NULL);                         \
		if (e_ != OK)                                                  \
			print_error("%s\n", message.data);                     \
		assert_int_equal(e_, OK);                                      \
	} while (0)

/* The message begins with `begin`, and does not repeat values. */
#define assert_refuses(begin, ...)                                             \
	do {                                                                   \
		assert_int_equal(load(__VA_ARGS__, NULL), ERR_PROTO);          \
		assert_non_null(message.data);                                 \
		assert_null(strchr(message.data, '\n'));                       \
		assert_null(strstr(message.data, "s3cret"));                   \
		if (strncmp(message.data, begin, strlen(begin)) != 0)          \
			assert_string_equal(message.data, begin);              \
	} while (0)

/* The same for a fault in the file, "FILE:LINE: ...". */
#define assert_refuses_file(text, end)                                         \
	do {                                                                   \
		char begin_[128];                                              \
		(void)snprintf(begin_, sizeof(begin_), "%s%s", file, end);     \
		write_file(text);                                              \
		assert_refuses(begin_, NULL);                                  \
	} while (0)

static int
set_up(void **state)
{
	(void)state;
	unlink(file);
	unsetenv("JOBWIRE_CONFIG");
	unsetenv("JOBWIRE_NAME");
	unsetenv("JOBWIRE_PAUSE");
	unsetenv("JOBWIRE_OTHER");
	return 0;
}

static void
test_precedence(void **state)
{
	(void)state;
	assert_loads(NULL);
	assert_string_equal(target.name, "def");
	assert_null(target.key);
	assert_int_equal(target.pause, 1000);
	write_file("name = from file\npause = 2s\n");
	assert_loads(NULL);
	assert_string_equal(target.name, "from file");
	assert_int_equal(target.pause, 2000);
	setenv("JOBWIRE_NAME", "from env", 1);
	setenv("JOBWIRE_PAUSE", "3s", 1);
	assert_loads(NULL);
	assert_string_equal(target.name, "from env");
	assert_loads("--name", "from flag");
	assert_string_equal(target.name, "from flag");
	assert_int_equal(target.pause, 3000);
	setenv("JOBWIRE_NAME", "", 1);
	assert_loads(NULL);
	assert_string_equal(target.name, "from file");
	assert_loads("--name=");
	assert_null(target.name);
}

static void
test_arguments(void **state)
{
	(void)state;
	assert_loads("a", "--room-size=2k", "-", "--loud", "b", "--pause", "5m",
	    "--", "--name", "c");
	assert_int_equal(arg_count, 5);
	assert_string_equal(args[0], "a");
	assert_string_equal(args[1], "-");
	assert_string_equal(args[2], "b");
	assert_string_equal(args[3], "--name");
	assert_string_equal(args[4], "c");
	assert_int_equal(target.room, 2048);
	assert_int_equal(target.pause, 300000);
	assert_true(target.loud);
	assert_loads("--name=a=b");
	assert_string_equal(target.name, "a=b");
}

static void
test_bad_flags(void **state)
{
	(void)state;
	assert_refuses("--nonsense: unknown flag", "--nonsense=s3cret");
	assert_refuses("--room_size: unknown flag", "--room_size", "1");
	assert_refuses(
	    "--romsize: unknown flag; did you mean --room-size?", "--romsize");
	assert_refuses("--other: unknown flag", "--other", "x");
	assert_refuses("-x: unknown flag", "-x");
	assert_refuses("-: unknown flag", "-=x");
	assert_refuses("--: unknown flag", "--=x");
	assert_refuses("--a?b: unknown flag", "--a\nb");
	assert_refuses("--name: needs a value", "--name");
	assert_refuses("--loud: loud must be without a value", "--loud=yes");
	assert_refuses("--pause: pause must be a time", "--pause", "s3cret");
	assert_refuses(
	    "--count: count must be a whole number, from 1 to 9", "--count=0");
	assert_refuses("--count: ", "--count=10");
	assert_refuses("--room-size: room_size must be a size", "--room-size=");
	assert_refuses("--color: color must be one of red|green", "--color=re");
	assert_refuses("--color: ", "--color=red|green");
	assert_refuses("--color: ", "--color=");
}

static void
test_bad_variables(void **state)
{
	(void)state;
	setenv("JOBWIRE_UNKNOWN", "x", 1);
	setenv("JOBWIRE_OTHER", "not ours", 1);
	assert_loads(NULL);
	assert_null(target.other);
	setenv("JOBWIRE_PAUSE", "s3cret", 1);
	assert_refuses("JOBWIRE_PAUSE: pause must be a time", NULL);
}

static void
test_file_syntax(void **state)
{
	(void)state;
	write_file("# a comment\n\n  \t\r\n   # another\r\n"
		   "  name =  spaced # kept  \t\r\n"
		   "key=a=b\nother = passed over\npause=1\npause = 2\n"
		   "color=green");
	assert_loads(NULL);
	assert_string_equal(target.name, "spaced # kept");
	assert_string_equal(target.key, "a=b");
	assert_null(target.other);
	assert_int_equal(target.pause, 2000);
	assert_int_equal(target.color, 1);
	write_file("name =\n");
	assert_loads(NULL);
	assert_null(target.name);
	write_file("");
	assert_loads(NULL);
}

static void
test_file_aliases(void **state)
{
	(void)state;
	write_file("one_pause = 7s\ntwo_pause = 8s\none_room_size = 3\n"
		   "two_other = x\ntwo_count = whatever\none_other = x\n");
	assert_loads(NULL);
	assert_int_equal(target.pause, 7000);
	assert_int_equal(target.room, 3);
	assert_null(target.other);
	assert_refuses_file("one_nonsense = 1\n", ":1: unknown setting one_n");
	assert_refuses_file("three_pause = 1\n", ":1: unknown setting three");
	assert_refuses_file("one_pause = x\n", ":1: pause must be a time");
}

/* A program with a default of its own, and an alias that it shares. */
static void
test_other_default(void **state)
{
	struct buf out = BUF_INIT;

	(void)state;
	program_now = THREE;
	write_file("");
	assert_loads(NULL);
	assert_int_equal(target.pause, 2000);
	write_file("one_pause = 7s\none_count = 2\n");
	assert_loads(NULL);
	assert_int_equal(target.pause, 7000);
	assert_int_equal(target.count, 3);
	opt_help(table, THREE, &out);
	assert_non_null(strstr(out.data, "(2s)"));
	buf_done(&out);
	program_now = ONE;
}

/* What is gone is passed over and said, and does not hide a fault. */
static void
test_gone(void **state)
{
	struct buf out = BUF_INIT;
	char expected[256];

	(void)state;
	write_file("name = a\nold_name = s3cret\ncount = 4\n");
	setenv("JOBWIRE_OLD_NAME", "s3cret", 1);
	assert_loads("--old-name", "s3cret", "rest");
	unsetenv("JOBWIRE_OLD_NAME");
	(void)snprintf(expected, sizeof(expected),
	    "%s:2: old_name has no effect any more: use name; "
	    "JOBWIRE_OLD_NAME: old_name has no effect any more: use name; "
	    "--old-name: old_name has no effect any more: use name",
	    file);
	assert_string_equal(message.data, expected);
	assert_string_equal(target.name, "a");
	assert_int_equal(target.count, 4);
	assert_int_equal(arg_count, 1);
	opt_help(table, ONE, &out);
	opt_show(table, ONE, &target, &out);
	assert_null(strstr(out.data, "old_name"));
	assert_null(strstr(out.data, "old-name"));
	buf_done(&out);
	assert_refuses_file("old_name = 1\ncount = s3cret\n",
	    ":1: old_name has no effect any more: use name; ");
	program_now = TWO; /* it was never this one's */
	write_file("old_name = 1\n");
	assert_loads(NULL);
	assert_int_equal(message.len, 0);
	assert_refuses("--old-name: unknown flag", "--old-name", "1");
	program_now = ONE;
}

/* What is live changes places, what is not is named; again undoes it. */
static void
test_swap(void **state)
{
	struct target other = {0};
	struct buf kept = BUF_INIT;

	(void)state;
	write_file("name = a\nkey = first\ncount = 4\n");
	assert_loads(NULL);
	other = target;
	target = (struct target){0};
	write_file("name = b\nkey = second\ncount = 5\n");
	assert_loads(NULL);
	for (int i = 0; i < 2; i++) {
		opt_swap(table, ONE, &other, &target, &kept);
		assert_string_equal(kept.data, "name, count");
		assert_string_equal(other.key, i == 0 ? "second" : "first");
		assert_string_equal(target.key, i == 0 ? "first" : "second");
		assert_string_equal(other.name, "a");
		buf_reset(&kept);
	}
	opt_swap(table, TWO, &other, &target, &kept);
	assert_string_equal(kept.data, "name"); /* the others are not its */
	opt_done(table, &other);
	buf_done(&kept);
}

static void
test_bad_files(void **state)
{
	(void)state;
	assert_refuses_file(
	    "name = a\n\nnonsense = s3cret\n", ":3: unknown setting nonsense");
	assert_refuses_file("\nname\n", ":2: expected `name = value`");
	assert_refuses_file("= x\n", ":1: unknown setting ");
	assert_refuses_file("na\x1b[me = x\n", ":1: unknown setting na?[me");
	assert_refuses_file("pause = s3cret", ":1: pause must be a time");
	assert_refuses_file("key = x\ncount = 3s3cret\n", ":2: count must be");
	assert_refuses_file("loud = 1\n", ":1: this is for the command line");
}

static void
test_unreadable_files(void **state)
{
	struct opt_source src = {.defs = table,
	    .program = ONE,
	    .file = "/nonexistent/jobwire.conf",
	    .file_required = true};
	char *big = malloc(100001);

	(void)state;
	opt_done(table, &target);
	target = (struct target){0};
	buf_reset(&message);
	assert_int_equal(
	    opt_load(&src, &target, 0, args, &arg_count, &message), ERR_SYS);
	assert_string_equal(message.data,
	    "/nonexistent/jobwire.conf: No such file or directory");
	memset(big, '#', 100000);
	big[100000] = '\0';
	assert_refuses_file(big, ": larger than the limit");
	free(big);
	{
		int fd = open(file, O_WRONLY | O_TRUNC);

		assert_int_equal(write(fd, "name = a\0b\n", 11), 11);
		close(fd);
	}
	assert_int_equal(load(NULL, NULL), ERR_PROTO);
	assert_non_null(strstr(message.data, "zero byte"));
}

/* A number of any size by one of three flags. */
static enum err
read_number(const char *flag, const char *text, int64_t *ret)
{
	static const struct opt_def numbers[] = {
	    {.name = "time", .type = OPT_DURATION, .programs = ONE},
	    {.name = "size", .type = OPT_SIZE, .programs = ONE},
	    {.name = "int", .type = OPT_INT, .programs = ONE}, {.name = NULL}};
	const struct opt_source src = {.defs = numbers, .program = ONE};
	char *argv[] = {strcpy(arg_texts[0], flag), strcpy(arg_texts[1], text)};

	buf_reset(&message);
	return opt_load_words(&src, ret, 2, argv, &arg_count, &message);
}

static void
test_numbers(void **state)
{
	static const struct {
		const char *text;
		int64_t ms; /* -1: refused */
	} durations[] = {{"0", 0}, {"0ms", 0}, {"1", 1000}, {"250ms", 250},
	    {"30s", 30000}, {"5m", 300000}, {"2h", 7200000}, {"1d", 86400000},
	    {"007s", 7000}, {"106751991167d", INT64_C(9223372036828800000)},
	    {"106751991168d", -1}, {"9223372036854775807ms", INT64_MAX},
	    {"9223372036854775808ms", -1}, {"99999999999999999999", -1},
	    {"", -1}, {"s", -1}, {"-1s", -1}, {"+1s", -1}, {"1.5s", -1},
	    {"1 s", -1}, {" 1s", -1}, {"1s ", -1}, {"1S", -1}, {"1k", -1},
	    {"1sm", -1}, {"0x10", -1}};
	int64_t n = 5;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
		enum err e = read_number("--time", durations[i].text, &n);

		assert_int_equal(e, durations[i].ms < 0 ? ERR_PROTO : OK);
		if (e == OK)
			assert_true(n == durations[i].ms);
	}
	assert_int_equal(read_number("--size", "32m", &n), OK);
	assert_int_equal(n, 33554432);
	assert_int_equal(read_number("--size", "4k", &n), OK);
	assert_int_equal(n, 4096);
	assert_int_equal(read_number("--size", "1g", &n), ERR_PROTO);
	assert_int_equal(
	    read_number("--size", "8796093022208m", &n), ERR_PROTO);
	assert_int_equal(n, 4096);
	assert_int_equal(read_number("--int", "12", &n), OK);
	assert_int_equal(n, 12);
	assert_int_equal(read_number("--int", "12s", &n), ERR_PROTO);
	assert_int_equal(read_number("--int", "", &n), ERR_PROTO);
}

static void
test_help_and_show(void **state)
{
	struct buf out = BUF_INIT;

	(void)state;
	opt_help(table, ONE, &out);
	assert_non_null(strstr(out.data, "  --room-size SIZE  "));
	assert_non_null(strstr(out.data, "  --color red|green  "));
	assert_non_null(strstr(out.data, " a pause (1s)\n"));
	assert_null(strstr(out.data, "--other"));
	buf_reset(&out);
	assert_loads("--key=s3cret", "--pause=90s", "--room-size=2048");
	opt_show(table, ONE, &target, &out);
	assert_string_equal(out.data,
	    "name = def\nkey = (set)\ncount = 3\npause = 90s\n"
	    "room_size = 2k\ncolor = red\n");
	buf_reset(&out);
	assert_loads("--pause=0");
	opt_show(table, ONE, &target, &out);
	assert_non_null(strstr(out.data, "key = \n"));
	assert_non_null(strstr(out.data, "pause = 0ms\nroom_size = 0\n"));
	buf_done(&out);
}

static int
tear_down_all(void **state)
{
	(void)state;
	opt_done(table, &target);
	buf_done(&message);
	unlink(file);
	return rmdir(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_precedence, set_up),
	    cmocka_unit_test_setup(test_arguments, set_up),
	    cmocka_unit_test_setup(test_bad_flags, set_up),
	    cmocka_unit_test_setup(test_bad_variables, set_up),
	    cmocka_unit_test_setup(test_file_syntax, set_up),
	    cmocka_unit_test_setup(test_file_aliases, set_up),
	    cmocka_unit_test_setup(test_gone, set_up),
	    cmocka_unit_test_setup(test_swap, set_up),
	    cmocka_unit_test_setup(test_other_default, set_up),
	    cmocka_unit_test_setup(test_bad_files, set_up),
	    cmocka_unit_test_setup(test_unreadable_files, set_up),
	    cmocka_unit_test_setup(test_numbers, set_up),
	    cmocka_unit_test_setup(test_help_and_show, set_up),
	};

	if (mkdtemp(folder) == NULL)
		return 1;
	(void)snprintf(file, sizeof(file), "%s/conf", folder);
	return cmocka_run_group_tests(tests, NULL, tear_down_all);
}
