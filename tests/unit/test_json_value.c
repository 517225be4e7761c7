/* SPDX-License-Identifier: ISC */
/* text/json_value.c: what is taken, and that json-c never lacks the memory that
 * it does not look for. */
#include "text/json_value.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static enum err
read_text(struct span text)
{
	struct json_object *o = NULL;
	size_t n;
	enum err e = json_value_object(text, &o, &n);

	json_object_put(o);
	return e;
}

/* What json-c takes and RFC 8259 does not know is refused. */
static void
test_refused(void **state)
{
	static const char *const bad[] = {"", "null", "[]", "1", "\"a\"", "{",
	    "{\"a\":1,}", "{\"a\":1}x", "{a:1}", "{'a':1}", "{\"a\":01}",
	    "{\"a\":NaN}", "{\"a\":Infinity}", "{\"a\":TRUE}", "/* */{\"a\":1}",
	    "{\"a\":1 // \n}", "{\"a\":\"\n\"}", "{\"a\\u0000b\":1}"};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		if (read_text(span_of(bad[i])) != ERR_PROTO)
			fail_msg("%s", bad[i]);
	assert_int_equal(read_text(SPAN_LIT("{\"a\":1}\0")), ERR_PROTO);
}

static void
test_taken(void **state)
{
	static const char text[] =
	    " {\"a\":\"x\\u0000y\",\"b\":-1e400,\"a\":\"z\",\"c\":null,"
	    "\"d\":123456789012345678901234567890,\"\":{}} ";
	struct json_object *o = NULL;
	struct span s;
	size_t n;

	(void)state;
	assert_int_equal(json_value_object(span_of(text), &o, &n), OK);
	assert_int_equal(n, 6);
	assert_int_equal(json_object_object_length(o), 5);
	assert_true(json_value_string(json_object_object_get(o, "a"), &s));
	assert_true(span_eq_str(s, "z"));
	assert_false(json_value_string(json_object_object_get(o, "b"), &s));
	assert_false(json_value_string(NULL, &s));
	json_object_put(o);
	assert_int_equal(
	    json_value_object(SPAN_LIT("{\"a\":\"x\\u0000y\"}"), &o, &n), OK);
	assert_true(json_value_string(json_object_object_get(o, "a"), &s));
	assert_true(span_eq(s, SPAN_LIT("x\0y")));
	json_object_put(o);
}

static void
add_times(struct buf *out, const char *text, int n)
{
	while (n-- > 0)
		buf_add_str(out, text);
}

static enum err
read_nested(int depth)
{
	struct buf text = BUF_INIT;
	enum err e;

	buf_add_str(&text, "{\"a\":");
	add_times(&text, "[", depth - 1);
	add_times(&text, "]", depth - 1);
	buf_add_char(&text, '}');
	e = read_text(buf_span(&text));
	buf_done(&text);
	return e;
}

static void
test_limits(void **state)
{
	struct buf text = BUF_INIT;

	(void)state;
	assert_int_equal(read_nested(32), OK);
	assert_int_equal(read_nested(33), ERR_LIMIT);
	/* 16 KiB that would be some megabytes. */
	buf_add_str(&text, "{\"a\":[");
	add_times(&text, "{},", 5000);
	buf_add_str(&text, "{}]}");
	assert_int_equal(read_text(buf_span(&text)), ERR_LIMIT);
	buf_reset(&text);
	buf_add_str(&text, "{\"a\":\"");
	add_times(&text, "0123456789abcdef", 100 * 1024 / 16);
	buf_add_str(&text, "\"}");
	assert_int_equal(read_text(buf_span(&text)), OK);
	buf_done(&text);
}

static void
test_lenient(void **state)
{
	struct json_object *o = NULL;

	(void)state;
	assert_int_equal(
	    json_value_lenient(SPAN_LIT("{'a': \"b\",} and more"), &o), OK);
	assert_int_equal(json_object_object_length(o), 1);
	json_object_put(o);
	assert_int_equal(json_value_lenient(SPAN_LIT("[1]"), &o), ERR_PROTO);
	assert_int_equal(json_value_lenient(SPAN_LIT("{\"a"), &o), ERR_PROTO);
	assert_int_equal(json_value_lenient(SPAN_LIT(""), &o), ERR_PROTO);
}

/* --- Without memory ------------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_OWN_HEAP 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_OWN_HEAP 1
#endif
#endif

static const char *const texts[] = {
    "{\"sub\":\"a name that is longer than thirty-two bytes, and some more of "
    "it, and more again\",\"exp\":1764000000.5,\"jobs\":[\"a\",\"b\"]}",
    "{\"a\":[{},{},{},[],[],[],{\"b\":{}}]}",
    "{\"k0\":0,\"k1\":1,\"k2\":2,\"k3\":3,\"k4\":4,\"k5\":5,\"k6\":6,\"k7\":7,"
    "\"k8\":8,\"k9\":9,\"ka\":10,\"kb\":11,\"kc\":12,\"kd\":13,\"ke\":14}",
    "{\"a\":[0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,"
    "3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7]}",
};

/* Compilers leave out what is taken and not used. */
static void *
take(size_t n)
{
	void *volatile p = malloc(n);

	return p;
}

/* Takes all that malloc() has left, and gives n bytes of it back. */
static void
leave_only(size_t n)
{
	const struct rlimit none = {0, RLIM_INFINITY};
	void *spare = take(n);

	if (spare == NULL || setrlimit(RLIMIT_AS, &none) != 0)
		_exit(100);
	for (size_t size = 1 << 20; size >= 16; size /= 2)
		while (take(size) != NULL)
			;
	free(spare);
}

/* In a process of its own: reads the text when only n bytes are left. */
static int
read_with(const char *text, size_t n, const char *expected)
{
	struct json_object *o = NULL;
	struct span span = span_of(text);
	size_t names;
	enum err e;

	leave_only(n);
	e = json_value_object(span, &o, &names);
	if (e != OK)
		return e == ERR_NOMEM ? 1 : 2;
	/* What is compared needs memory again. */
	(void)setrlimit(
	    RLIMIT_AS, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
	return strcmp(json_object_to_json_string(o), expected) == 0 ? 0 : 3;
}

static int
exit_of(const char *text, size_t n, const char *expected)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(read_with(text, n, expected));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status)
				 : 1000 + WTERMSIG(status);
}

/* Whatever is left, all is read or nothing. */
static void
test_no_memory(void **state)
{
	(void)state;
#ifdef HAS_OWN_HEAP
	print_message("skipped: a sanitizer has a heap of its own\n");
	skip();
#endif
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct json_object *o = NULL;
		size_t n_names, n = 0;
		int last = 1;

		assert_int_equal(
		    json_value_object(span_of(texts[i]), &o, &n_names), OK);
		for (; last == 1 && n < 64 * 1024; n += 496)
			last =
			    exit_of(texts[i], n, json_object_to_json_string(o));
		if (last != 0)
			fail_msg("text %zu, %zu bytes: %d", i, n, last);
		assert_true(n > 496);
		json_object_put(o);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_taken),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_lenient),
	    cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
