/* SPDX-License-Identifier: ISC */
#include "runner/http_client.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <dirent.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
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
static pthread_mutex_t names = PTHREAD_MUTEX_INITIALIZER; /* are secret */

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

static void *
end(void *arg)
{
	return arg;
}

/* libcurl's own allocations fail, too. And the thread sanitizer has a thread of
 * its own from the first one on, before any are counted. */
static int
reach_libcurl(void **state)
{
	pthread_t first;

	(void)state;
	if (pthread_create(&first, NULL, end, NULL) != 0 ||
	    pthread_join(first, NULL) != 0 || pthread_mutex_lock(&names) != 0)
		return -1;
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

/* libcurl's, for names that are no addresses: none is ever found, and that is
 * said when the test lets it, or after 10 s. */
static atomic_int n_asked, n_told;

int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
    struct addrinfo **ret)
{
	struct timespec until;

	(void)node;
	(void)service;
	(void)hints;
	(void)ret;
	n_asked++;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 10;
	if (pthread_mutex_timedlock(&names, &until) == 0)
		pthread_mutex_unlock(&names);
	n_told++;
	return EAI_NONAME;
}

static bool
is_asked_or_done(void)
{
	return n_asked > 0 || n_done > 0;
}

static int
count_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	int n = 0;

	assert_non_null(tasks);
	while (readdir(tasks) != NULL)
		n++;
	closedir(tasks);
	return n;
}

/* Of threads of libcurl's. */
static void
let_tell(int n_threads)
{
	assert_int_equal(pthread_mutex_unlock(&names), 0);
	while (count_threads() > n_threads)
		(void)sched_yield();
	n_asked = n_told = 0;
	assert_int_equal(pthread_mutex_lock(&names), 0);
}

/* A call ends in time, and the loop goes on, though nobody knows the name. */
static void
test_a_name_that_is_looked_up_for_long(void **state)
{
	struct http_request r = {.is_once = true};
	int n_threads = count_threads();
	struct http_client *c;
	struct loop *loop;

	(void)state;
#if LIBCURL_VERSION_NUM < 0x075700
	print_message("libcurl before 7.87 waits for the name\n");
	skip();
#endif
	buf_add_str(&r.url, "http://name.invalid/");
	n_done = 0;
	n_calls = 1;
	assert_int_equal(loop_new(&loop), OK);
	assert_int_equal(http_client_new(loop, 20, MAX_BODY, &c), OK);
	assert_int_equal(
	    http_client_send(c, &r, SPAN_LIT("key"), on_done, NULL), OK);
	assert_true(wait_until(loop, all_are_done));
	assert_int_equal(n_told, 0);
	http_client_free(&c);
	let_tell(n_threads);
	loop_free(&loop);
	http_request_done(&r);
}

/* Each free number, as of somebody's who opens files now. */
static void
check_nobody_writes(int n_threads)
{
	struct stat st;
	int fds[16];

	fds[0] = memfd_create("somebody's", MFD_CLOEXEC);
	assert_true(fds[0] != -1);
	for (int i = 1; i < 16; i++)
		assert_true((fds[i] = dup(fds[0])) != -1);
	let_tell(n_threads);
	assert_int_equal(fstat(fds[0], &st), 0);
	assert_int_equal(st.st_size, 0);
	for (int i = 0; i < 16; i++)
		assert_int_equal(close(fds[i]), 0);
}

/* Sends a call that waits for its name; again where its time was over before,
 * as on a busy machine. */
static void
begin_lookup(const struct http_request *r, int n_threads, struct loop **loop,
    struct http_client **c)
{
	for (;;) {
		n_done = 0;
		assert_int_equal(loop_new(loop), OK);
		assert_int_equal(http_client_new(*loop, 20, MAX_BODY, c), OK);
		assert_int_equal(
		    http_client_send(*c, r, SPAN_LIT("key"), on_done, NULL),
		    OK);
		assert_true(wait_until(*loop, is_asked_or_done));
		if (n_done == 0)
			return;
		http_client_free(c);
		let_tell(n_threads);
		loop_free(loop);
	}
}

static void
test_no_memory_while_a_name_is_looked_up(void **state)
{
	struct http_request r, named = {.is_once = true};
	int fd = listen_silently(&r), n_threads = count_threads();
	struct http_client *c;
	struct loop *loop;
	bool is_more = true;

	(void)state;
	buf_add_str(&named.url, "http://name.invalid/");
	n_calls = 2;
	for (unsigned n = 1; is_more; n++) {
		begin_lookup(&named, n_threads, &loop, &c);
		assert_int_equal(
		    http_client_send(c, &r, SPAN_LIT("key"), on_done, NULL),
		    OK);
		alloc_fail_start(n);
		assert_true(wait_until(loop, all_are_done));
		is_more = alloc_fail_stop();
		check_nobody_writes(n_threads);
		http_client_free(&c);
		loop_free(&loop);
	}
	http_request_done(&named);
	http_request_done(&r);
	assert_int_equal(close(fd), 0);
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
		    http_client_new(loop, 10, MAX_BODY, &client), OK);
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

/* What libcurl has when it is given up is not freed, and a thread of its own
 * that looks up a name is not waited for. */
const char *__tsan_default_options(void);

const char *
__tsan_default_options(void)
{
	return "report_thread_leaks=0";
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_a_name_that_is_looked_up_for_long),
	    cmocka_unit_test(test_no_memory_while_a_name_is_looked_up),
	    cmocka_unit_test(test_no_memory_and_a_call_that_follows),
	    cmocka_unit_test(test_no_memory),
	    cmocka_unit_test(test_no_memory_and_a_second_look),
	};

	return cmocka_run_group_tests(tests, reach_libcurl, NULL);
}
