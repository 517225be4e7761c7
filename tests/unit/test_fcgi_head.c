/* SPDX-License-Identifier: ISC */
/* web/fcgi_head.c: heads through libfcgi. */
#include "web/fcgi_head.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/clock.h"
#include "fcgi_bytes.h"
#include "io/loop.h"
#include "web/fcgi_record.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PREFIX "/api/v1"

enum { LIBFCGI_BUFFER = 8192 }; /* what it reads at once */

static struct fcgi_parser parser = FCGI_PARSER_INIT;
static struct fcgi_scan opened;

/* --- Helpers -------------------------------------------------------------- */

static void
add_common(struct buf *params)
{
	add_pair(params, "REQUEST_METHOD", span_of("GET"));
	add_pair(params, "REQUEST_URI", span_of(PREFIX "/events/7?a=b"));
	add_pair(params, "REMOTE_ADDR", span_of("192.0.2.1"));
}

/* n bytes that tell where they stand. */
static void
add_counting(struct buf *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_add_char(b, (char)('a' + (i * 7 + i / 26) % 26));
}

/* A head of len bytes in all: its query, which is made for it, is long. */
static void
make_head(struct buf *head, struct buf *query, size_t len)
{
	struct buf params = BUF_INIT;
	size_t without;

	buf_reset(head);
	buf_reset(query);
	add_common(&params);
	/* BEGIN, header of PARAMS, empty PARAMS; lengths and the name. */
	without = 16 + 8 + params.len + 8 + 1 + 4 + strlen("QUERY_STRING");
	assert_true(len >= without + 128);
	add_counting(query, len - without);
	add_pair(&params, "QUERY_STRING", buf_span(query));
	add_begin(head, RESPONDER, 0);
	add_params(head, buf_span(&params), 65535, 0);
	assert_true(buf_ok(head) && buf_ok(query));
	assert_int_equal(head->len, len);
	buf_done(&params);
}

/* Only what the scan accepts is given to libfcgi. */
static void
assert_opens(const struct buf *head)
{
	opened = (struct fcgi_scan){0};
	assert_int_equal(fcgi_scan_head((const unsigned char *)head->data,
			     head->len, &opened),
	    FCGI_VERDICT_OPEN);
	assert_int_equal(opened.len, head->len);
}

/* With what the scan found, or as if it had found all of it. */
static enum err
read_head(const struct buf *head, struct request *ret)
{
	if (opened.len != head->len)
		opened = (struct fcgi_scan){.len = head->len};
	return fcgi_parser_read(
	    &parser, (const unsigned char *)head->data, &opened, PREFIX, ret);
}

/* Not a byte is left for the next head, and nothing blocks. */
static void
assert_pipe_is_empty(void)
{
	char byte;

	assert_int_equal(read(parser.in, &byte, 1), -1);
	assert_int_equal(errno, EAGAIN);
}

static void
assert_read(const struct buf *head, const char *query)
{
	struct request r;

	assert_opens(head);
	assert_int_equal(read_head(head, &r), OK);
	assert_string_equal(r.method, "GET");
	assert_string_equal(r.route, "/events/7");
	assert_string_equal(r.remote_addr, "192.0.2.1");
	assert_string_equal(r.query, query);
	assert_int_equal(r.body.n, 0);
	request_done(&r);
	assert_pipe_is_empty();
}

static int
open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

/* --- Parameters ----------------------------------------------------------- */

static void
test_fields(void **state)
{
	static const struct {
		const char *name, *value;
	} sent[] = {
	    {"REQUEST_METHOD", "POST"},
	    {"REQUEST_URI", PREFIX "/webhooks/runpod-completion?x=1"},
	    {"QUERY_STRING", "job_id=1&sig=%41"},
	    {"CONTENT_TYPE", "application/json"},
	    {"CONTENT_LENGTH", "17"},
	    {"HTTP_ACCEPT", "text/event-stream"},
	    {"HTTP_AUTHORIZATION", "Bearer a=b"},
	    {"HTTP_COOKIE", "a=b; c=d"},
	    {"HTTP_ORIGIN", "https://example.org"},
	    {"HTTP_LAST_EVENT_ID", "7f3a09c1-42"},
	    {"HTTP_IDEMPOTENCY_KEY", "k"},
	    {"REMOTE_USER", "alice"},
	    {"REMOTE_ADDR", "192.0.2.1"},
	    {"HTTP_X_OTHER", "="},
	    {"SERVER_NAME", ""},
	};
	struct buf params = BUF_INIT, head = BUF_INIT;
	struct request r;

	(void)state;
	for (size_t i = 0; i < COUNT(sent); i++)
		add_pair(&params, sent[i].name, span_of(sent[i].value));
	add_begin(&head, RESPONDER, KEEP_CONN);
	add_params(&head, buf_span(&params), 65535, 0);
	assert_opens(&head);
	assert_int_equal(read_head(&head, &r), OK);
	assert_string_equal(r.method, "POST");
	assert_string_equal(r.route, "/webhooks/runpod-completion");
	assert_string_equal(r.query, "job_id=1&sig=%41");
	assert_string_equal(r.content_type, "application/json");
	assert_string_equal(r.content_length, "17");
	assert_string_equal(r.accept, "text/event-stream");
	assert_string_equal(r.authorization, "Bearer a=b");
	assert_string_equal(r.cookie, "a=b; c=d");
	assert_string_equal(r.origin, "https://example.org");
	assert_string_equal(r.last_event_id, "7f3a09c1-42");
	assert_string_equal(request_header(&r, "idempotency-key"), "k");
	assert_string_equal(request_header(&r, "x-other"), "=");
	assert_string_equal(request_header(&r, "webhook-id"), "");
	assert_string_equal(r.remote_user, "alice");
	assert_string_equal(r.remote_addr, "192.0.2.1");
	request_done(&r);
	buf_done(&params);
	buf_done(&head);
}

static void
test_no_params(void **state)
{
	struct buf head = BUF_INIT;
	struct request r;

	(void)state;
	add_begin(&head, RESPONDER, 0);
	add_params(&head, SPAN_LIT(""), 1, 0);
	assert_opens(&head);
	assert_int_equal(read_head(&head, &r), OK);
	assert_string_equal(r.method, "");
	assert_string_equal(r.route, "");
	request_done(&r);
	buf_done(&head);
}

/* Lengths in four bytes, for long names and values and for short ones. */
static void
test_long_lengths(void **state)
{
	struct buf params = BUF_INIT, head = BUF_INIT, text = BUF_INIT;

	(void)state;
	add_counting(&text, 200);
	add_pair(&params, text.data, span_of("a long name"));
	add_length(&params, strlen("REQUEST_METHOD"), true);
	add_length(&params, 3, true);
	buf_add_str(&params, "REQUEST_METHODGET");
	add_pair(&params, "REQUEST_URI", span_of(PREFIX "/events/7"));
	add_pair(&params, "REMOTE_ADDR", span_of("192.0.2.1"));
	add_pair(&params, "", span_of("no name"));
	add_pair(&params, "QUERY_STRING", buf_span(&text));
	for (size_t step = 1; step < 300; step += 13) {
		buf_reset(&head);
		add_begin(&head, RESPONDER, 0);
		add_params(&head, buf_span(&params), step, step % 9);
		assert_read(&head, text.data);
	}
	buf_done(&params);
	buf_done(&head);
	buf_done(&text);
}

/* The first of two counts, as for every getenv(). */
static void
test_doubles(void **state)
{
	struct buf params = BUF_INIT, head = BUF_INIT;

	(void)state;
	add_common(&params);
	add_pair(&params, "QUERY_STRING", span_of("first"));
	add_pair(&params, "QUERY_STRING", span_of("second"));
	add_begin(&head, RESPONDER, 0);
	add_params(&head, buf_span(&params), 65535, 0);
	assert_read(&head, "first");
	buf_done(&params);
	buf_done(&head);
}

/* --- Sizes ---------------------------------------------------------------- */

/* Where one reading of libfcgi ends and the next begins. */
static void
test_boundaries(void **state)
{
	struct buf head = BUF_INIT, query = BUF_INIT;

	(void)state;
	for (size_t k = 1; k <= 4; k++)
		for (size_t d = 0; d <= 32; d++) {
			make_head(&head, &query, k * LIBFCGI_BUFFER + d - 16);
			assert_read(&head, query.data);
		}
	buf_done(&head);
	buf_done(&query);
}

/* The same with a record's header, and its padding, on the border. */
static void
test_boundaries_of_records(void **state)
{
	struct buf params = BUF_INIT, head = BUF_INIT, query = BUF_INIT;

	(void)state;
	add_common(&params);
	add_counting(&query, 9000);
	add_pair(&params, "QUERY_STRING", buf_span(&query));
	for (size_t d = 0; d <= 32; d++) {
		buf_reset(&head);
		add_begin(&head, RESPONDER, 0);
		add_params(&head, buf_span(&params),
		    LIBFCGI_BUFFER - 16 - 8 - 16 + d, 7);
		assert_read(&head, query.data);
	}
	buf_done(&params);
	buf_done(&head);
	buf_done(&query);
}

static void
test_largest(void **state)
{
	struct buf head = BUF_INIT, query = BUF_INIT;

	(void)state;
	make_head(&head, &query, FCGI_RECORD_HEAD_MAX);
	assert_read(&head, query.data);
	buf_done(&head);
	buf_done(&query);
}

/* Nothing of a long head is left in the short one after it. */
static void
test_short_after_long(void **state)
{
	struct buf head = BUF_INIT, query = BUF_INIT;
	struct request r;

	(void)state;
	for (int i = 0; i < 3; i++) {
		make_head(&head, &query, 20000);
		assert_read(&head, query.data);
		buf_reset(&head);
		add_begin(&head, RESPONDER, 0);
		add_params(&head, SPAN_LIT("\16\3REQUEST_METHODPUT"), 5, 0);
		assert_int_equal(read_head(&head, &r), OK);
		assert_string_equal(r.method, "PUT");
		assert_string_equal(r.query, "");
		request_done(&r);
	}
	buf_done(&head);
	buf_done(&query);
}

static void
test_many_params(void **state)
{
	struct buf params = BUF_INIT, head = BUF_INIT;

	(void)state;
	for (int i = 0; i < 20000; i++)
		buf_add(&params, "\1\0x", 3);
	add_common(&params);
	add_pair(&params, "QUERY_STRING", span_of("last"));
	add_begin(&head, RESPONDER, 0);
	add_params(&head, buf_span(&params), 65535, 0);
	assert_read(&head, "last");
	buf_done(&params);
	buf_done(&head);
}

static void
test_padding(void **state)
{
	struct buf params = BUF_INIT, head = BUF_INIT;

	(void)state;
	add_common(&params);
	add_pair(&params, "QUERY_STRING", span_of("q"));
	for (size_t padding = 0; padding < 256; padding += 17) {
		buf_reset(&head);
		add_begin(&head, RESPONDER, 0);
		add_params(&head, buf_span(&params), 40, padding);
		head.len -= 8;
		add_record(&head, FCGI_PARAMS_TYPE, SPAN_LIT(""), padding);
		assert_read(&head, "q");
	}
	buf_done(&params);
	buf_done(&head);
}

/*
 * libfcgi forgets the padding of BEGIN_REQUEST and takes it for records: it
 * finds no parameters, or whatever was hidden there (GET_VALUES among it, which
 * overflows a buffer of its own). Such a head is either not opened or read
 * right.
 */
static void
test_padding_of_begin(void **state)
{
	struct buf params = BUF_INIT, head = BUF_INIT;

	(void)state;
	add_common(&params);
	add_pair(&params, "QUERY_STRING", span_of("q"));
	for (size_t padding = 1; padding < 256; padding += 127) {
		buf_reset(&head);
		add_record(
		    &head, FCGI_BEGIN, SPAN_LIT("\0\1\0\0\0\0\0\0"), padding);
		add_params(&head, buf_span(&params), 65535, 0);
		opened = (struct fcgi_scan){0};
		if (fcgi_scan_head((const unsigned char *)head.data, head.len,
			&opened) == FCGI_VERDICT_OPEN)
			assert_read(&head, "q");
	}
	buf_done(&params);
	buf_done(&head);
}

/* The last record ends at the border of a reading, with its padding behind. */
static void
test_padding_behind_a_boundary(void **state)
{
	struct buf head = BUF_INIT, query = BUF_INIT;

	(void)state;
	for (size_t d = 0; d <= 16; d++)
		for (size_t padding = 0; padding < 256; padding += 85) {
			make_head(&head, &query, LIBFCGI_BUFFER + d - 8);
			head.len -= 8;
			add_record(
			    &head, FCGI_PARAMS_TYPE, SPAN_LIT(""), padding);
			assert_read(&head, query.data);
		}
	buf_done(&head);
	buf_done(&query);
}

/* An environment's strings end at NUL, whatever the scan counted: what stands
 * behind it is nobody's variable. */
static void
test_nul(void **state)
{
	struct buf params = BUF_INIT, head = BUF_INIT;
	struct request r;

	(void)state;
	add_pair(&params, "QUERY_STRING",
	    SPAN_LIT("a=b\0REMOTE_USER=root\0\13\4REMOTE_USERroot"));
	add_pair(&params, "HTTP_COOKIE", SPAN_LIT("\0c"));
	buf_add(&params, "\15\1REMOTE\0_USER=x", 16);
	add_common(&params);
	add_begin(&head, RESPONDER, 0);
	add_params(&head, buf_span(&params), 65535, 0);
	assert_opens(&head);
	assert_int_equal(read_head(&head, &r), OK);
	assert_string_equal(r.query, "a=b");
	assert_string_equal(r.cookie, "");
	assert_string_equal(r.remote_user, "");
	assert_string_equal(r.method, "GET");
	request_done(&r);
	assert_pipe_is_empty();
	buf_done(&params);
	buf_done(&head);
}

/* --- Failures ------------------------------------------------------------- */

/* What the scan would never accept: refused at once (libfcgi's own way of
 * closing waits for two seconds), and the next request is as good as ever. */
static void
test_refused(void **state)
{
	struct buf head = BUF_INIT, good = BUF_INIT, query = BUF_INIT;
	int64_t began_us = clock_mono_us();
	struct request r;
	int before;

	(void)state;
	make_head(&good, &query, 400);
	assert_read(&good, query.data);
	before = open_descriptors();
	for (int i = 0; i < 3; i++) {
		buf_reset(&head);
		add_begin(&head, 7 + i, 0); /* role */
		add_params(&head, SPAN_LIT("\1\1ab"), 9, 0);
		assert_int_equal(read_head(&head, &r), ERR_PROTO);
		buf_reset(&head);
		add_begin(&head, RESPONDER, 0);
		add_params(&head, SPAN_LIT("\1\11ab"), 9, 0); /* length */
		assert_int_equal(read_head(&head, &r), ERR_PROTO);
		assert_read(&good, query.data);
	}
	assert_int_equal(open_descriptors(), before);
	assert_true(clock_mono_us() - began_us < 1000 * 1000);
	buf_done(&head);
	buf_done(&good);
	buf_done(&query);
}

static void
test_no_memory(void **state)
{
	struct buf head = BUF_INIT, query = BUF_INIT;
	struct request r;
	bool is_more = true;
	enum err e;

	(void)state;
	make_head(&head, &query, 9000);
	for (unsigned n = 1; is_more; n++) {
		alloc_fail_start(n);
		e = read_head(&head, &r);
		is_more = alloc_fail_stop();
		assert_int_equal(e, is_more ? ERR_NOMEM : OK);
	}
	request_done(&r);
	assert_read(&head, query.data);
	buf_done(&head);
	buf_done(&query);
}

/* A parser that was closed, and one that never was open, open themselves. */
static void
test_done(void **state)
{
	struct buf head = BUF_INIT, query = BUF_INIT;
	int before = open_descriptors();

	(void)state;
	fcgi_parser_done(&parser);
	fcgi_parser_done(&parser);
	assert_int_equal(open_descriptors(), before - 2);
	make_head(&head, &query, 300);
	assert_read(&head, query.data);
	assert_int_equal(open_descriptors(), before);
	buf_done(&head);
	buf_done(&query);
}

/* Users with very many pipes get small ones, which would hold no long head. */
static void
test_small_pipe(void **state)
{
	struct buf head = BUF_INIT, query = BUF_INIT;
	struct request r;

	(void)state;
	assert_int_equal(fcntl(parser.out, F_SETPIPE_SZ, 4096), 4096);
	make_head(&head, &query, FCGI_RECORD_HEAD_MAX);
	assert_opens(&head);
	assert_int_equal(read_head(&head, &r), ERR_SYS);
	/* The next one has a new pipe, of the right size. */
	assert_read(&head, query.data);
	assert_true(fcntl(parser.out, F_GETPIPE_SZ) >= FCGI_RECORD_HEAD_MAX);
	buf_done(&head);
	buf_done(&query);
}

/* --- Signals -------------------------------------------------------------- */

/* FCGX_Init() put a handler of its own in the place of SIG_IGN. */
static void
test_signals(void **state)
{
	static const int signals[] = {SIGTERM, 0};
	struct sigaction action;
	struct loop *loop;
	sigset_t before;

	(void)state;
	assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &before), 0);
	assert_int_equal(sigaction(SIGPIPE, NULL, &action), 0);
	assert_ptr_not_equal(action.sa_handler, SIG_IGN);
	assert_int_equal(loop_new(&loop), OK);
	assert_int_equal(loop_signals(loop, signals, NULL, NULL), OK);
	assert_int_equal(sigaction(SIGPIPE, NULL, &action), 0);
	assert_ptr_equal(action.sa_handler, SIG_IGN);
	loop_free(&loop);
	assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
}

static int
set_up(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	return fcgi_parser_init(&parser) == OK ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	fcgi_parser_done(&parser);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_fields),
	    cmocka_unit_test(test_no_params),
	    cmocka_unit_test(test_long_lengths),
	    cmocka_unit_test(test_doubles),
	    cmocka_unit_test(test_boundaries),
	    cmocka_unit_test(test_boundaries_of_records),
	    cmocka_unit_test(test_largest),
	    cmocka_unit_test(test_short_after_long),
	    cmocka_unit_test(test_many_params),
	    cmocka_unit_test(test_padding),
	    cmocka_unit_test(test_padding_of_begin),
	    cmocka_unit_test(test_padding_behind_a_boundary),
	    cmocka_unit_test(test_nul),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_no_memory),
	    cmocka_unit_test(test_done),
	    cmocka_unit_test(test_small_pipe),
	    cmocka_unit_test(test_signals),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
