/* SPDX-License-Identifier: ISC */
/*
 * A growing byte buffer with a sticky failure. Layer: base.
 *
 * Appending never returns an error: a failed allocation sets `failed`, later
 * appends do nothing, and the caller tests once at the end with buf_ok(). So a
 * formatter of twenty appends has one error branch.
 *
 * An append may move the content: nothing that points into a buffer outlives
 * one. Keep an offset instead. With JOBWIRE_MOVING_BUF, as in all tests, each
 * append does move it.
 */
#ifndef JOBWIRE_BUF_H
#define JOBWIRE_BUF_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes that somebody else owns. Not terminated. */
struct span {
	const char *p;
	size_t n;
};

struct buf {
	char *data; /* owned; NULL while empty; data[len] is always '\0' */
	size_t len;
	size_t cap;
	bool failed; /* an append did not fit in memory */
};

#define BUF_INIT                                                               \
	{                                                                      \
		0                                                              \
	}
#define SPAN_LIT(s) ((struct span){(s), sizeof(s) - 1})

/* Frees the storage and leaves an empty buffer. Accepts an empty one. */
void buf_done(struct buf *b);

/* Forgets the content and the failure, keeps the storage. */
void buf_reset(struct buf *b);

/* Room for `extra` further bytes, or sets `failed`. */
void buf_reserve(struct buf *b, size_t extra);

void buf_add(struct buf *b, const void *p, size_t n);
void buf_add_str(struct buf *b, const char *s);
void buf_add_span(struct buf *b, struct span s);
void buf_add_char(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* True while every append so far succeeded. */
bool buf_ok(const struct buf *b);

/* Content as a span; valid until the next append. */
struct span buf_span(const struct buf *b);

/* Returns owned: the terminated content (free() it), leaving *b empty; NULL
 * when an append failed. An empty buffer gives "". */
char *buf_take(struct buf *b);

bool span_eq(struct span a, struct span b);
bool span_eq_str(struct span a, const char *s);
struct span span_of(const char *s); /* NULL gives the empty span */

/* True without control characters of ASCII, NUL among them: such a text reads
 * the same as a C string and in every log. */
bool span_is_plain(struct span s);

/* Returns owned: a terminated copy, NULL without memory. */
char *span_dup(struct span s);

#endif
