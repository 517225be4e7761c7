/* SPDX-License-Identifier: ISC */
/*
 * web/fcgi_gate.c on any bytes a peer may send: what it opens lies within
 * them, is a good beginning at every earlier byte, means the same whatever
 * follows, and libfcgi finds in it what stands in it.
 */
#undef NDEBUG
#include "web/fcgi_gate.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "web/fcgi_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Judging takes as long as the head is, so of a long one not every byte. */
enum { PREFIXES_MAX = 600 };

static void
try_prefixes(const uint8_t *data, size_t len)
{
	const size_t step = len / PREFIXES_MAX + 1;
	struct gate_head head;

	for (size_t n = 0; n < len; n += step)
		assert(gate_scan(data, n, &head) == GATE_MORE);
	assert(gate_scan(data, len - 1, &head) == GATE_MORE);
}

/* Nothing behind a head has a say in it, nor is it read: ASan looks on. */
static void
try_exact(const uint8_t *data, const struct gate_head *whole,
    enum gate_verdict verdict)
{
	unsigned char *exact = malloc(whole->len);
	struct gate_head head = {0};

	assert(exact != NULL);
	memcpy(exact, data, whole->len);
	assert(gate_scan(exact, whole->len, &head) == verdict);
	assert(head.len == whole->len);
	assert(head.request_id == whole->request_id);
	assert(head.keep_conn == whole->keep_conn);
	free(exact);
}

/* The content of all PARAMS records of an open head. */
static void
add_content(struct buf *out, const uint8_t *data, size_t len)
{
	struct gate_record r = {0};

	for (size_t at = 0; at < len; at += r.content_len + r.padding_len) {
		assert(gate_parse_header(data + at, &r));
		at += GATE_HEADER_LEN;
		if (r.type == GATE_PARAMS)
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
try_libfcgi(const uint8_t *data, size_t len)
{
	static struct fcgi_parser parser = FCGI_PARSER_INIT;
	static bool has_parser;
	struct buf method = BUF_INIT;
	struct request r;

	if (!has_parser) {
		assert(fcgi_parser_init(&parser) == OK);
		has_parser = true;
	}
	assert(fcgi_parser_read(&parser, data, len, "/api/v1", &r) == OK);
	find_method(&method, data, len);
	assert(span_eq_str(buf_span(&method), r.method));
	buf_done(&method);
	request_done(&r);
}

/* A body of these bytes, sent from any of its framed bytes on. */
static void
try_frame(const uint8_t *data, size_t size)
{
	const struct span body = {(const char *)data, size};
	const size_t total = gate_framed_len(size);
	struct gate_frame f;
	struct gate_record r;
	size_t len = 0;

	if (size == 0)
		return;
	gate_frame(&f, 1, body, data[0] % total);
	for (size_t i = 0; i < f.n; i++)
		len += f.iov[i].iov_len;
	assert(len > 0 && len <= total - data[0] % total);
	gate_frame(&f, 1, body, 0);
	assert(gate_parse_header(f.headers[0], &r) && r.type == GATE_STDOUT);
	assert(r.content_len == f.iov[1].iov_len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gate_head head = {0};
	enum gate_verdict verdict = gate_scan(data, size, &head);

	if (verdict == GATE_OPEN || verdict == GATE_ROLE) {
		assert(head.len >= 24 && head.len <= size);
		assert(head.len <= GATE_HEAD_MAX && head.request_id != 0);
		try_prefixes(data, head.len);
		try_exact(data, &head, verdict);
	} else {
		assert(head.len == 0);
	}
	if (verdict == GATE_OPEN)
		try_libfcgi(data, head.len);
	try_frame(data, size);
	return 0;
}
