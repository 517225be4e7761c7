/* SPDX-License-Identifier: ISC */
/*
 * web/fcgi_record.c on any bytes a peer may send, in one piece and in many:
 * what it opens lies within them, is a good beginning at every earlier byte,
 * means the same whatever follows, and libfcgi finds in it what stands in it,
 * takes all of it and nothing else.
 */
#undef NDEBUG
#include "web/fcgi_record.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "web/fcgi_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_same(const struct fcgi_scan *a, const struct fcgi_scan *b)
{
	return a->len == b->len && a->request_id == b->request_id &&
	       a->keep_conn == b->keep_conn && a->padding == b->padding;
}

/* In pieces of a size the same is found, and no later than it can be. */
static void
try_pieces(const uint8_t *data, size_t size, size_t piece,
    const struct fcgi_scan *whole, enum fcgi_verdict verdict)
{
	struct fcgi_scan head = {0};
	enum fcgi_verdict now = FCGI_VERDICT_MORE;
	size_t n = 0;

	while (now == FCGI_VERDICT_MORE && n < size) {
		n = size - n < piece ? size : n + piece;
		now = fcgi_scan_head(data, n, &head);
		assert(head.len <= n);
	}
	if (now == FCGI_VERDICT_LARGE || now == FCGI_VERDICT_REFUSE) {
		assert(verdict == FCGI_VERDICT_LARGE ||
		       verdict == FCGI_VERDICT_REFUSE);
		return;
	}
	assert(now == verdict);
	assert(is_same(&head, whole));
	assert(now == FCGI_VERDICT_MORE || n - head.len < piece);
}

/* Nothing behind a head has a say in it, nor is it read: ASan looks on. */
static void
try_exact(const uint8_t *data, const struct fcgi_scan *whole,
    enum fcgi_verdict verdict)
{
	unsigned char *exact = malloc(whole->len);
	struct fcgi_scan head = {0};

	assert(exact != NULL);
	memcpy(exact, data, whole->len);
	assert(fcgi_scan_head(exact, whole->len, &head) == verdict);
	assert(is_same(&head, whole));
	free(exact);
}

/* The content of all PARAMS records of an open head. */
static void
add_content(struct buf *out, const uint8_t *data, size_t len)
{
	struct fcgi_record r = {0};

	for (size_t at = 0; at < len; at += r.content_len + r.padding_len) {
		assert(fcgi_parse_header(data + at, &r));
		at += FCGI_RECORD_HEADER_LEN;
		if (r.type == FCGI_RECORD_PARAMS)
			buf_add(out, data + at, r.content_len);
	}
	assert(buf_ok(out));
}

static size_t
take_length(const struct buf *b, size_t *at)
{
	const uint8_t *p = (const uint8_t *)b->data + *at;

	*at += *p < 128 ? 1 : 4;
	return *p < 128 ? *p
			: (size_t)(*p & 127) << 24 | (size_t)p[1] << 16 |
			      (size_t)p[2] << 8 | p[3];
}

/* The method as an environment would give it: the first `NAME=VALUE` that
 * begins so, up to a NUL. */
static void
find_method(struct buf *ret, const uint8_t *data, size_t len)
{
	static const char name[] = "REQUEST_METHOD=";
	struct buf content = BUF_INIT, entry = BUF_INIT;
	size_t at = 0, name_len, value_len;

	add_content(&content, data, len);
	while (at < content.len) {
		name_len = take_length(&content, &at);
		value_len = take_length(&content, &at);
		buf_reset(&entry);
		buf_add(&entry, content.data + at, name_len);
		buf_add_char(&entry, '=');
		buf_add(&entry, content.data + at + name_len, value_len);
		at += name_len + value_len;
		if (strncmp(entry.data, name, sizeof(name) - 1) == 0) {
			buf_add_str(ret, entry.data + sizeof(name) - 1);
			break;
		}
	}
	assert(buf_ok(&entry) && buf_ok(ret));
	buf_done(&content);
	buf_done(&entry);
}

static void
try_libfcgi(const uint8_t *data, const struct fcgi_scan *head)
{
	static struct fcgi_parser parser = FCGI_PARSER_INIT;
	static bool has_parser;
	struct buf method = BUF_INIT;
	struct request r;
	char byte;

	if (!has_parser) {
		assert(fcgi_parser_init(&parser) == OK);
		has_parser = true;
	}
	assert(fcgi_parser_read(&parser, data, head, "/api/v1", &r) == OK);
	assert(read(parser.in, &byte, 1) == -1); /* it is empty */
	find_method(&method, data, head->len);
	assert(span_eq_str(buf_span(&method), r.method));
	buf_done(&method);
	request_done(&r);
}

/* A body of these bytes, sent from any of its framed bytes on. */
static void
try_frame(const uint8_t *data, size_t size)
{
	const struct span body = {(const char *)data, size};
	const size_t total = fcgi_framed_len(size);
	struct fcgi_frame f;
	struct fcgi_record r;
	size_t len = 0;

	if (size == 0)
		return;
	fcgi_frame(&f, 1, body, data[0] % total);
	for (size_t i = 0; i < f.n; i++)
		len += f.iov[i].iov_len;
	assert(len > 0 && len <= total - data[0] % total);
	fcgi_frame(&f, 1, body, 0);
	assert(fcgi_parse_header(f.headers[0], &r) &&
	       r.type == FCGI_RECORD_STDOUT);
	assert(r.content_len == f.iov[1].iov_len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fcgi_scan head = {0};
	enum fcgi_verdict verdict = fcgi_scan_head(data, size, &head);

	if (verdict == FCGI_VERDICT_OPEN || verdict == FCGI_VERDICT_ROLE) {
		assert(head.len >= 24 && head.len <= size);
		assert(
		    head.len <= FCGI_RECORD_HEAD_MAX && head.request_id != 0);
		try_exact(data, &head, verdict);
	}
	try_pieces(data, size, 1, &head, verdict);
	try_pieces(data, size, size % 41 + 2, &head, verdict);
	if (verdict == FCGI_VERDICT_OPEN)
		try_libfcgi(data, &head);
	try_frame(data, size);
	return 0;
}
