/* SPDX-License-Identifier: ISC */
/*
 * Growing byte buffers and spans. Knows nothing of what the bytes mean;
 * escaping and encoding are done by whoever appends. Never blocks.
 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUF_FIRST_SIZE = 64 };

void
buf_done(struct buf *b)
{
	free(b->data);
	*b = (struct buf)BUF_INIT;
}

void
buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->data != NULL)
		b->data[0] = '\0';
}

enum { MOVED_MAX = 4096 };

/*
 * For tests: the content is elsewhere after each append, and zeros stand where
 * it was, so that who kept a pointer over an append finds that out, and not
 * only at the lengths at which a buffer grows. Larger ones move when they grow:
 * to copy them for each byte would take for ever. That memory is missing for
 * this is no failure of the append: hence not malloc(), which tests let fail.
 */
static void
buf_move(struct buf *b, bool has_grown)
{
#ifdef JOBWIRE_MOVING_BUF
	char *data = NULL;

	if (b->cap <= MOVED_MAX || has_grown)
		data = aligned_alloc(1, b->cap);
	if (data == NULL)
		return;
	memcpy(data, b->data, b->len + 1);
	explicit_bzero(b->data, b->cap);
	free(b->data);
	b->data = data;
#else
	(void)b;
	(void)has_grown;
#endif
}

void
buf_reserve(struct buf *b, size_t extra)
{
	size_t need, cap;
	char *data;

	if (b->failed)
		return;
	if (extra > SIZE_MAX / 2 - b->len - 1) {
		b->failed = true;
		return;
	}
	need = b->len + extra + 1;
	if (need <= b->cap) {
		buf_move(b, false);
		return;
	}
	cap = b->cap == 0 ? BUF_FIRST_SIZE : b->cap * 2;
	if (cap < need)
		cap = need;
	data = realloc(b->data, cap);
	if (data == NULL) {
		b->failed = true;
		return;
	}
	data[b->len] = '\0';
	b->data = data;
	b->cap = cap;
	buf_move(b, true);
}

void
buf_add(struct buf *b, const void *p, size_t n)
{
	if (n == 0)
		return;
	buf_reserve(b, n);
	if (b->failed)
		return;
	memcpy(b->data + b->len, p, n);
	b->len += n;
	b->data[b->len] = '\0';
}

void
buf_add_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void
buf_add_span(struct buf *b, struct span s)
{
	buf_add(b, s.p, s.n);
}

void
buf_add_char(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void
buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->failed = true;
		return;
	}
	buf_reserve(b, (size_t)n);
	if (b->failed)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

bool
buf_ok(const struct buf *b)
{
	return !b->failed;
}

struct span
buf_span(const struct buf *b)
{
	return (struct span){b->data == NULL ? "" : b->data, b->len};
}

char *
buf_take(struct buf *b)
{
	char *text = NULL;

	buf_reserve(b, 0);
	if (!b->failed) {
		text = b->data;
		b->data = NULL;
	}
	buf_done(b);
	return text;
}

bool
span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool
span_eq_str(struct span a, const char *s)
{
	return span_eq(a, span_of(s));
}

struct span
span_of(const char *s)
{
	return s == NULL ? (struct span){"", 0} : (struct span){s, strlen(s)};
}

bool
span_is_plain(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return true;
}

char *
span_dup(struct span s)
{
	char *copy = malloc(s.n + 1);

	if (copy == NULL)
		return NULL;
	if (s.n > 0)
		memcpy(copy, s.p, s.n);
	copy[s.n] = '\0';
	return copy;
}
