/* SPDX-License-Identifier: ISC */
/* web/fcgi_record.c: which heads are let in, and the records we write. */
#include "web/fcgi_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi_bytes.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- Helpers -------------------------------------------------------------- */

/* Judges on a copy that ends where its memory ends, so that ASan sees a read
 * behind it. */
static enum fcgi_verdict
scan_on(struct span bytes, struct fcgi_scan *head)
{
	unsigned char *exact = malloc(bytes.n + 1);
	enum fcgi_verdict verdict;

	assert_non_null(exact);
	memcpy(exact + 1, bytes.p, bytes.n);
	verdict = fcgi_scan_head(exact + 1, bytes.n, head);
	free(exact);
	assert_true(head->len <= bytes.n);
	return verdict;
}

static enum fcgi_verdict
scan(struct span bytes, struct fcgi_scan *ret)
{
	*ret = (struct fcgi_scan){0};
	return scan_on(bytes, ret);
}

static enum fcgi_verdict
verdict_of(const struct buf *b)
{
	struct fcgi_scan head;

	assert_true(buf_ok(b));
	return scan(buf_span(b), &head);
}

static void
add_some_pairs(struct buf *params)
{
	static char long_value[300];

	memset(long_value, 'v', sizeof(long_value));
	add_pair(params, "REQUEST_METHOD", span_of("GET"));
	add_pair(params, "QUERY_STRING", span_of(""));
	add_pair(params, "HTTP_COOKIE",
	    (struct span){long_value, sizeof(long_value)});
	add_length(params, 3, true); /* four bytes where one would do */
	add_length(params, 1, true);
	buf_add_str(params, "abcd");
	add_pair(params, "", span_of(""));
}

/* A good head: the pairs in records of `step` bytes. */
static void
add_head(struct buf *b, size_t step, size_t padding)
{
	struct buf params = BUF_INIT;

	add_some_pairs(&params);
	add_begin(b, RESPONDER, KEEP_CONN);
	add_params(b, buf_span(&params), step, padding);
	buf_done(&params);
}

/* --- Good heads ----------------------------------------------------------- */

static void
test_open(void **state)
{
	struct buf b = BUF_INIT;
	struct fcgi_scan head;

	(void)state;
	add_begin(&b, RESPONDER, 0);
	add_params(&b, SPAN_LIT(""), 1, 0);
	assert_int_equal(b.len, 24);
	assert_int_equal(scan(buf_span(&b), &head), FCGI_VERDICT_OPEN);
	assert_int_equal(head.len, 24);
	assert_int_equal(head.request_id, REQUEST_ID);
	assert_false(head.keep_conn);

	buf_reset(&b);
	add_head(&b, 65535, 0);
	assert_int_equal(scan(buf_span(&b), &head), FCGI_VERDICT_OPEN);
	assert_int_equal(head.len, b.len);
	assert_true(head.keep_conn);
	buf_done(&b);
}

/* What follows the head is not the head's, whatever it is. */
static void
test_open_with_more(void **state)
{
	struct buf b = BUF_INIT;
	struct fcgi_scan head;
	size_t len;

	(void)state;
	add_head(&b, 100, 3);
	len = b.len;
	add_record(&b, FCGI_STDIN, SPAN_LIT("body"), 4);
	buf_add_str(&b, "garbage");
	assert_int_equal(scan(buf_span(&b), &head), FCGI_VERDICT_OPEN);
	assert_int_equal(head.len, len);
	buf_done(&b);
}

/* Cut into records of any size, a length or a name over a border too; and
 * whatever has arrived of it is a good beginning. */
static void
test_every_cut(void **state)
{
	struct buf b = BUF_INIT;
	struct fcgi_scan head;

	(void)state;
	for (size_t step = 1; step < 400; step += step < 20 ? 1 : 41) {
		buf_reset(&b);
		add_head(&b, step, step % 9);
		assert_int_equal(scan(buf_span(&b), &head), FCGI_VERDICT_OPEN);
		assert_int_equal(head.len, b.len);
		for (size_t n = 0; n < b.len; n++)
			assert_int_equal(scan((struct span){b.data, n}, &head),
			    FCGI_VERDICT_MORE);
	}
	buf_done(&b);
}

/* In pieces of every size, each judged when it comes, a head is what it is in
 * one. */
static void
test_pieces(void **state)
{
	struct fcgi_scan at_once, head;
	struct buf b = BUF_INIT;
	enum fcgi_verdict verdict;
	size_t n;

	(void)state;
	add_head(&b, 7, 3);
	assert_int_equal(scan(buf_span(&b), &at_once), FCGI_VERDICT_OPEN);
	for (size_t piece = 1; piece <= b.len; piece++) {
		head = (struct fcgi_scan){0};
		for (n = piece; n < b.len; n += piece)
			assert_int_equal(
			    scan_on((struct span){b.data, n}, &head),
			    FCGI_VERDICT_MORE);
		verdict = scan_on(buf_span(&b), &head);
		assert_int_equal(verdict, FCGI_VERDICT_OPEN);
		assert_int_equal(head.len, at_once.len);
		assert_int_equal(head.request_id, at_once.request_id);
		assert_int_equal(head.keep_conn, at_once.keep_conn);
		assert_int_equal(head.padding, at_once.padding);
	}
	/* What was judged is passed over: of it nothing need be there. */
	head = (struct fcgi_scan){0};
	assert_int_equal(scan_on((struct span){b.data, b.len - 1}, &head),
	    FCGI_VERDICT_MORE);
	assert_true(head.len > b.len - 16);
	assert_int_equal(scan_on(buf_span(&b), &head), FCGI_VERDICT_OPEN);
	buf_done(&b);
}

/* Of BEGIN_REQUEST it is another matter: see test_fcgi_head.c. */
static void
test_padding(void **state)
{
	struct buf b = BUF_INIT;
	struct fcgi_scan head;

	(void)state;
	add_begin(&b, RESPONDER, 0);
	add_record(&b, FCGI_PARAMS_TYPE, SPAN_LIT("\1\1ab"), 255);
	add_record(&b, FCGI_PARAMS_TYPE, SPAN_LIT(""), 255);
	assert_int_equal(scan(buf_span(&b), &head), FCGI_VERDICT_OPEN);
	assert_int_equal(head.len, b.len);
	assert_int_equal(head.padding, 255);
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(
		    scan((struct span){b.data, n}, &head), FCGI_VERDICT_MORE);
	buf_done(&b);
}

static void
test_role(void **state)
{
	static const int roles[] = {0, 2, 3, 4, 0x0100, 0x0101, 0xffff};
	struct buf b = BUF_INIT;
	struct fcgi_scan head;

	(void)state;
	for (size_t i = 0; i < COUNT(roles); i++) {
		buf_reset(&b);
		add_begin(&b, roles[i], KEEP_CONN);
		assert_int_equal(verdict_of(&b), FCGI_VERDICT_MORE);
		add_params(&b, SPAN_LIT("\1\1ab"), 3, 0);
		assert_int_equal(scan(buf_span(&b), &head), FCGI_VERDICT_ROLE);
		assert_int_equal(head.len, b.len);
		assert_int_equal(head.request_id, REQUEST_ID);
		assert_true(head.keep_conn);
	}
	buf_done(&b);
}

/* --- Refused -------------------------------------------------------------- */

static void
test_refuse_beginning(void **state)
{
	const struct span beginnings[] = {
	    SPAN_LIT("G"), /* one byte is enough */
	    SPAN_LIT("GET / HTTP/1.1\r\n"), SPAN_LIT("\0"),
	    SPAN_LIT("\2\1\0\1\0\10\0\0"),	 /* version 2 */
	    SPAN_LIT("\1\11\0\0\0\0\0\0"),	 /* GET_VALUES */
	    SPAN_LIT("\1\1\0\0\0\10\0\0"),	 /* request id 0 */
	    SPAN_LIT("\1\4\0\1\0\10\0\0"),	 /* PARAMS first */
	    SPAN_LIT("\1\2\0\1\0\0\0\0"),	 /* ABORT first */
	    SPAN_LIT("\1\5\0\1\0\0\0\0"),	 /* STDIN first */
	    SPAN_LIT("\1\1\0\1\0\7\0\1"),	 /* BEGIN of 7 bytes */
	    SPAN_LIT("\1\1\0\1\0\11\0\0"),	 /* of 9 */
	    SPAN_LIT("\1\1\0\1\1\10\0\0"),	 /* of 264 */
	    SPAN_LIT("\1\1\0\1\0\0\10\0"),	 /* of 0 and padding */
	    SPAN_LIT("\26\3\1\2\0\1\0\1\374\3"), /* TLS */
	};
	struct fcgi_scan head;

	(void)state;
	for (size_t i = 0; i < COUNT(beginnings); i++)
		if (scan(beginnings[i], &head) != FCGI_VERDICT_REFUSE)
			fail_msg("beginning %zu was not refused", i);
}

/* The first header after BEGIN that is not this request's PARAMS. */
static void
test_refuse_record(void **state)
{
	static const struct {
		int id, type;
	} records[] = {
	    {REQUEST_ID, FCGI_BEGIN},
	    {REQUEST_ID, FCGI_ABORT},
	    {REQUEST_ID, FCGI_STDIN},
	    {REQUEST_ID, 9},
	    {REQUEST_ID, 0},
	    {REQUEST_ID, 255},
	    {REQUEST_ID + 1, FCGI_PARAMS_TYPE},
	    {REQUEST_ID & 0xff, FCGI_PARAMS_TYPE},
	    {0, 9},
	    {0, FCGI_PARAMS_TYPE},
	};
	struct buf b = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < COUNT(records); i++) {
		buf_reset(&b);
		add_begin(&b, RESPONDER, 0);
		add_record(&b, FCGI_PARAMS_TYPE, SPAN_LIT("\1\1ab"), 0);
		add_record_of(
		    &b, records[i].id, records[i].type, SPAN_LIT(""), 0);
		if (verdict_of(&b) != FCGI_VERDICT_REFUSE)
			fail_msg("record %zu was not refused", i);
	}
	buf_reset(&b);
	add_begin(&b, RESPONDER, 0);
	buf_add_str(&b, "\2\4\1\2xxxx"); /* version 2 */
	assert_int_equal(verdict_of(&b), FCGI_VERDICT_REFUSE);
	buf_done(&b);
}

/* Pairs whose lengths promise more than there is, or leave a rest. */
static void
test_refuse_lengths(void **state)
{
	const struct span params[] = {
	    SPAN_LIT("\1"),	       /* no value length */
	    SPAN_LIT("\1\1a"),	       /* value missing */
	    SPAN_LIT("\1\1abc"),       /* a rest of one byte */
	    SPAN_LIT("\2\0a"),	       /* half a name */
	    SPAN_LIT("\0\0\0"),	       /* a rest again */
	    SPAN_LIT("\200"),	       /* length cut at 1 */
	    SPAN_LIT("\200\0"),	       /* at 2 */
	    SPAN_LIT("\200\0\0"),      /* at 3 */
	    SPAN_LIT("\200\0\0\1"),    /* no value length */
	    SPAN_LIT("\1\200\0\0"),    /* value length cut */
	    SPAN_LIT("\1\200\0\0\1a"), /* value missing */
	    SPAN_LIT("\377\377\377\377\377\377\377\377"), /* 4 GiB in all */
	    SPAN_LIT("\1\377\377\377\377ab"),
	    SPAN_LIT("\377\377\377\377\1ab"),
	};
	struct buf b = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < COUNT(params); i++)
		for (size_t step = 1; step <= params[i].n; step++) {
			buf_reset(&b);
			add_begin(&b, RESPONDER, 0);
			add_params(&b, params[i], step, step % 3);
			if (verdict_of(&b) != FCGI_VERDICT_REFUSE)
				fail_msg("params %zu in records of %zu were "
					 "not refused",
				    i, step);
		}
	buf_done(&b);
}

/* --- The limit ------------------------------------------------------------ */

/* A head of exactly len bytes, all but the last two records in one. */
static void
add_head_of(struct buf *b, size_t len)
{
	struct buf params = BUF_INIT, value = BUF_INIT;
	size_t n = len - 16 - 8 - 8 - 8 - 16; /* for the value */

	while (value.len < n)
		buf_add_char(&value, 'v');
	add_length(&params, 8, true);
	add_length(&params, n, true);
	buf_add_str(&params, "NAMENAME");
	buf_add_span(&params, buf_span(&value));
	add_begin(b, RESPONDER, 0);
	add_params(b, buf_span(&params), params.len / 2 + 1, 0);
	assert_int_equal(b->len, len);
	buf_done(&params);
	buf_done(&value);
}

static void
test_limit(void **state)
{
	struct buf b = BUF_INIT;
	struct fcgi_scan head;

	(void)state;
	add_head_of(&b, FCGI_RECORD_HEAD_MAX);
	assert_int_equal(scan(buf_span(&b), &head), FCGI_VERDICT_OPEN);
	assert_int_equal(head.len, FCGI_RECORD_HEAD_MAX);
	for (size_t n = FCGI_RECORD_HEAD_MAX - 20; n < FCGI_RECORD_HEAD_MAX;
	     n++)
		assert_int_equal(
		    scan((struct span){b.data, n}, &head), FCGI_VERDICT_MORE);
	for (size_t more = 1; more <= 20; more++) {
		buf_reset(&b);
		add_head_of(&b, FCGI_RECORD_HEAD_MAX + more);
		assert_int_equal(verdict_of(&b), FCGI_VERDICT_LARGE);
		/* As far as one look into the socket goes. */
		assert_int_equal(
		    scan((struct span){b.data, FCGI_RECORD_HEAD_MAX}, &head),
		    FCGI_VERDICT_LARGE);
	}
	buf_done(&b);
}

/* A header that promises too much is not waited for. */
static void
test_limit_is_seen_early(void **state)
{
	static char content[40000];
	const struct span half = {content, sizeof(content)};
	struct buf b = BUF_INIT;
	struct fcgi_scan head;

	(void)state;
	add_begin(&b, RESPONDER, 0);
	add_record(&b, FCGI_PARAMS_TYPE, half, 0);
	assert_int_equal(verdict_of(&b), FCGI_VERDICT_MORE);
	add_record(&b, FCGI_PARAMS_TYPE, half, 0);
	assert_int_equal(scan((struct span){b.data, 24 + half.n + 8}, &head),
	    FCGI_VERDICT_LARGE);
	assert_int_equal(scan((struct span){b.data, 24 + half.n + 7}, &head),
	    FCGI_VERDICT_MORE);
	buf_done(&b);
}

/* --- What we write -------------------------------------------------------- */

static void
test_header(void **state)
{
	unsigned char p[FCGI_RECORD_HEADER_LEN];
	struct fcgi_record r = {0};

	(void)state;
	fcgi_format_header(p, FCGI_RECORD_STDOUT, 0xabcd, 0xfff8);
	assert_memory_equal(p, "\1\6\xab\xcd\xff\xf8\0\0", 8);
	assert_true(fcgi_parse_header(p, &r));
	assert_int_equal(r.type, FCGI_RECORD_STDOUT);
	assert_int_equal(r.request_id, 0xabcd);
	assert_int_equal(r.content_len, 0xfff8);
	assert_int_equal(r.padding_len, 0);
	p[0] = 2;
	assert_false(fcgi_parse_header(p, &r));
	assert_true(fcgi_parse_header(
	    (const unsigned char *)"\1\5\0\7\0\2\xff\xee", &r));
	assert_int_equal(r.type, FCGI_RECORD_STDIN);
	assert_int_equal(r.content_len, 2);
	assert_int_equal(r.padding_len, 255);
}

static void
test_end(void **state)
{
	unsigned char p[FCGI_RECORD_END_LEN];

	(void)state;
	memset(p, 'x', sizeof(p));
	fcgi_format_end(p, 0x0102, FCGI_RECORD_REQUEST_COMPLETE);
	assert_memory_equal(p,
	    "\1\6\1\2\0\0\0\0"
	    "\1\3\1\2\0\10\0\0"
	    "\0\0\0\0\0\0\0\0",
	    sizeof(p));
	fcgi_format_end(p, 0x0102, FCGI_RECORD_UNKNOWN_ROLE);
	assert_memory_equal(p + 16, "\0\0\0\0\3\0\0\0", 8);
}

/* The whole of it, written without fcgi_frame(). */
static void
frame_by_hand(struct buf *out, struct span body)
{
	buf_reset(out);
	for (size_t at = 0; at < body.n; at += FCGI_RECORD_CONTENT_MAX) {
		size_t n = body.n - at < FCGI_RECORD_CONTENT_MAX
			       ? body.n - at
			       : FCGI_RECORD_CONTENT_MAX;

		add_record(
		    out, FCGI_RECORD_STDOUT, (struct span){body.p + at, n}, 0);
	}
	assert_true(buf_ok(out));
}

/* What fcgi_frame() gives from there is what stands there, up to its end or to
 * the end of the last record it can hold. */
static void
assert_frame(struct span body, const struct buf *whole, size_t from)
{
	struct fcgi_frame f;
	size_t at = from;

	fcgi_frame(&f, REQUEST_ID, body, from);
	assert_in_range(f.n, 1, FCGI_FRAME_RECORDS * 2);
	for (size_t i = 0; i < f.n; i++) {
		assert_true(f.iov[i].iov_len > 0);
		assert_true(f.iov[i].iov_len <= whole->len - at);
		assert_memory_equal(
		    f.iov[i].iov_base, whole->data + at, f.iov[i].iov_len);
		at += f.iov[i].iov_len;
	}
	if (at < whole->len) {
		assert_int_equal(
		    at % (FCGI_RECORD_CONTENT_MAX + FCGI_RECORD_HEADER_LEN), 0);
		assert_true(at - from > (size_t)(FCGI_FRAME_RECORDS - 1) *
					    (FCGI_RECORD_CONTENT_MAX +
						FCGI_RECORD_HEADER_LEN));
	}
}

static void
test_frame(void **state)
{
	static const size_t sizes[] = {1, 7, 65527, 65528, 65529, 65536, 131055,
	    131056, 131057, 16 * 65528 - 1, 16 * 65528, 16 * 65528 + 1,
	    17 * 65528 + 5};
	static const size_t step =
	    FCGI_RECORD_CONTENT_MAX + FCGI_RECORD_HEADER_LEN;
	char *bytes = malloc(18 * 65528);
	struct buf whole = BUF_INIT;

	(void)state;
	assert_non_null(bytes);
	for (size_t i = 0; i < 18 * 65528; i++)
		bytes[i] = (char)(i * 31 + i / 65528);
	assert_int_equal(fcgi_framed_len(0), 0);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		const struct span body = {bytes, sizes[i]};

		frame_by_hand(&whole, body);
		assert_int_equal(fcgi_framed_len(body.n), whole.len);
		for (size_t at = 0; at < whole.len; at += step)
			for (size_t d = 0; d < 20 && at + d < whole.len; d++) {
				assert_frame(body, &whole, at + d);
				if (at > d)
					assert_frame(body, &whole, at - d);
			}
		for (size_t d = 1; d < 20 && d <= whole.len; d++)
			assert_frame(body, &whole, whole.len - d);
	}
	buf_done(&whole);
	free(bytes);
}

static void
test_frame_every_byte(void **state)
{
	static const char text[] =
	    "id: 7f3a09c1-1\nevent: queued\ndata: {}\n\n";
	const struct span body = SPAN_LIT(text);
	struct buf whole = BUF_INIT;

	(void)state;
	frame_by_hand(&whole, body);
	for (size_t from = 0; from < whole.len; from++)
		assert_frame(body, &whole, from);
	buf_done(&whole);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_open),
	    cmocka_unit_test(test_open_with_more),
	    cmocka_unit_test(test_every_cut),
	    cmocka_unit_test(test_pieces),
	    cmocka_unit_test(test_padding),
	    cmocka_unit_test(test_role),
	    cmocka_unit_test(test_refuse_beginning),
	    cmocka_unit_test(test_refuse_record),
	    cmocka_unit_test(test_refuse_lengths),
	    cmocka_unit_test(test_limit),
	    cmocka_unit_test(test_limit_is_seen_early),
	    cmocka_unit_test(test_header),
	    cmocka_unit_test(test_end),
	    cmocka_unit_test(test_frame),
	    cmocka_unit_test(test_frame_every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
