/* SPDX-License-Identifier: ISC */
#include "runner/http_client.h"

#include <sys/socket.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <curl/curl.h>

#include "alloc_fail.h"
#include "wait_loop.h"

enum { MAX_BODY = 1000 };

/* What libcurl 7.88 leaves behind cannot be freed. */
const char *__lsan_default_suppressions(void);
const char *
__lsan_default_suppressions(void)
{
	return "leak:libcurl";
}

static int n_done, n_calls;

static void
on_done(void *arg, struct http_answer *a)
{
	(void)arg;
	n_done++;
	assert_int_equal(a->status, 0);
	http_answer_done(a);
}

static bool
all_are_done(void)
{
	return n_done == n_calls;
}

static char *
copy_text(const char *text)
{
	size_t n = strlen(text) + 1;
	char *copy = __wrap_malloc(n);

	return copy == NULL ? NULL : memcpy(copy, text, n);
}

/* A server that takes connections and never answers. */
static int
listen_silently(struct http_request *r)
{
	struct sockaddr_in at = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd != -1);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, n), 0);
	assert_int_equal(listen(fd, 100), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
	*r = (struct http_request){.is_post = true, .is_once = true};
	buf_addf(&r->url, "http://127.0.0.1:%d/", (int)ntohs(at.sin_port));
	buf_add_str(&r->body, "{}");
	return fd;
}

/* libcurl's own allocations fail, too. */
static int
reach_libcurl(void **state)
{
	(void)state;
	return curl_global_init_mem(CURL_GLOBAL_DEFAULT, __wrap_malloc, free,
		   __wrap_realloc, copy_text, __wrap_calloc) == CURLE_OK
		   ? 0
		   : -1;
}

/* Whatever allocation fails while calls are under way, each of them ends: in
 * time, and once. */
static void
fail_each(int calls, int timeout_ms)
{
	struct http_client *c;
	struct http_request r;
	struct loop *loop;
	bool is_more = true;
	int fd = listen_silently(&r);

	n_calls = calls;
	for (unsigned n = 1; is_more; n++) {
		n_done = 0;
		assert_int_equal(loop_new(&loop), OK);
		assert_int_equal(
		    http_client_new(loop, timeout_ms, MAX_BODY, &c), OK);
		for (int i = 0; i < calls; i++)
			assert_int_equal(http_client_send(c, &r,
					     SPAN_LIT("key"), on_done, NULL),
			    OK);
		alloc_fail_start(n);
		assert_true(wait_until(loop, all_are_done));
		is_more = alloc_fail_stop();
		http_client_free(&c);
		loop_free(&loop);
	}
	http_request_done(&r);
	assert_int_equal(close(fd), 0);
}

static void
test_no_memory(void **state)
{
	(void)state;
	fail_each(3, 30);
}

/* After 200 ms libcurl looks at a connection again that it is making. */
static void
test_no_memory_and_a_second_look(void **state)
{
	(void)state;
	fail_each(1, 230);
}

static struct http_client *client;
static struct http_request *silent;
static int n_ends[5]; /* of each call */

/* The first and the third are followed by another. */
static void
on_end(void *arg, struct http_answer *a)
{
	int *n = arg;

	(*n)++;
	http_answer_done(a);
	if (n != &n_ends[0] && n != &n_ends[2])
		return;
	n_calls++;
	if (http_client_send(client, silent, SPAN_LIT("key"), on_end,
		&n_ends[n_calls - 1]) != OK)
		n_ends[n_calls - 1]++;
}

static bool
all_have_ended(void)
{
	n_done = 0;
	for (int i = 0; i < n_calls; i++) {
		assert_true(n_ends[i] <= 1);
		n_done += n_ends[i];
	}
	return n_done == n_calls;
}

/* Where calls have ended just before an allocation fails for another, in
 * whatever order libcurl takes them, and their end begins new ones. */
static void
test_no_memory_and_a_call_that_follows(void **state)
{
	struct http_request r, none = {.is_once = true};
	struct loop *loop;
	bool is_more = true;
	int fd = listen_silently(&r);

	(void)state;
	silent = &r;
	buf_add_str(&none.url, "none://127.0.0.1/");
	for (unsigned n = 1; is_more; n++) {
		memset(n_ends, 0, sizeof(n_ends));
		n_calls = 3;
		assert_int_equal(loop_new(&loop), OK);
		assert_int_equal(
		    http_client_new(loop, 30, MAX_BODY, &client), OK);
		for (int i = 0; i < n_calls; i++)
			assert_int_equal(
			    http_client_send(client, i != 1 ? &none : &r,
				SPAN_LIT("key"), on_end, &n_ends[i]),
			    OK);
		alloc_fail_start(n);
		assert_true(wait_until(loop, all_have_ended));
		is_more = alloc_fail_stop();
		http_client_free(&client);
		loop_free(&loop);
	}
	http_request_done(&none);
	http_request_done(&r);
	assert_int_equal(close(fd), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_no_memory_and_a_call_that_follows),
	    cmocka_unit_test(test_no_memory),
	    cmocka_unit_test(test_no_memory_and_a_second_look),
	};

	return cmocka_run_group_tests(tests, reach_libcurl, NULL);
}
