/* SPDX-License-Identifier: ISC */
/*
 * For tests: writes FastCGI requests as a web server would, and as none would.
 * Knows nothing of src/web/fcgi_record.c, which it helps to test.
 */
#ifndef JOBWIRE_FCGI_BYTES_H
#define JOBWIRE_FCGI_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/buf.h"

enum { FCGI_BEGIN = 1, FCGI_ABORT = 2, FCGI_PARAMS_TYPE = 4, FCGI_STDIN = 5 };
enum { REQUEST_ID = 0x0102, RESPONDER = 1, KEEP_CONN = 1 };

/* One record; its padding is 'p' bytes. */
static inline void
add_record_of(
    struct buf *b, int id, int type, struct span content, size_t padding)
{
	const char header[8] = {1, (char)type, (char)(id >> 8), (char)id,
	    (char)(content.n >> 8), (char)content.n, (char)padding, 0};

	buf_add(b, header, sizeof(header));
	buf_add_span(b, content);
	while (padding-- > 0)
		buf_add_char(b, 'p');
}

static inline void
add_record(struct buf *b, int type, struct span content, size_t padding)
{
	add_record_of(b, REQUEST_ID, type, content, padding);
}

static inline void
add_begin(struct buf *b, int role, int flags)
{
	const char body[8] = {(char)(role >> 8), (char)role, (char)flags};

	add_record(b, FCGI_BEGIN, (struct span){body, sizeof(body)}, 0);
}

/* A length in its one byte, or in four. */
static inline void
add_length(struct buf *b, size_t n, bool is_long)
{
	if (is_long || n > 127) {
		buf_add_char(b, (char)(0x80 | (n >> 24)));
		buf_add_char(b, (char)(n >> 16));
		buf_add_char(b, (char)(n >> 8));
	}
	buf_add_char(b, (char)n);
}

static inline void
add_pair(struct buf *params, const char *name, struct span value)
{
	add_length(params, strlen(name), false);
	add_length(params, value.n, false);
	buf_add_str(params, name);
	buf_add_span(params, value);
}

/* The pairs in records of at most `step` bytes, each padded so, and the empty
 * record that ends them. */
static inline void
add_params(struct buf *b, struct span params, size_t step, size_t padding)
{
	for (size_t at = 0; at < params.n; at += step) {
		size_t n = params.n - at < step ? params.n - at : step;

		add_record(b, FCGI_PARAMS_TYPE, (struct span){params.p + at, n},
		    padding);
	}
	add_record(b, FCGI_PARAMS_TYPE, (struct span){"", 0}, 0);
}

#endif
