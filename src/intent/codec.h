/* SPDX-License-Identifier: ISC */
/*
 * Structures to JSON objects and back, by a table of their members. Layer:
 * intent, private to it. Texts pass unchanged, also those that are JSON
 * themselves: they are strings here, so that no number is ever read.
 */
#ifndef JOBWIRE_CODEC_H
#define JOBWIRE_CODEC_H

#include <sys/queue.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

enum codec_type {
	CODEC_TEXT,    /* const char *; NULL: left out */
	CODEC_SPAN,    /* struct span; empty: left out */
	CODEC_ARRAY,   /* char[size]; "": left out */
	CODEC_INT,     /* int64_t; 0: left out */
	CODEC_BOOL,    /* bool; false: left out */
	CODEC_ENTRIES, /* struct intent_entry *, and size_t at `size` */
};

struct codec_member {
	const char *name;
	enum codec_type type;
	size_t at;   /* in the structure */
	size_t size; /* see the types */
};

struct codec_text; /* its own */

/* What a decoded structure points into; begins as zeros. */
struct codec_memory {
	SLIST_HEAD(, codec_text) texts;
};

void codec_memory_done(struct codec_memory *m);

/* Appends the object. Without memory *out says so. */
void codec_encode(const struct codec_member *members, size_t n,
    const void *from, struct buf *out);

/*
 * Reads one. What it has none of stays as it is in *to; members nobody knows
 * are passed over. ERR_PROTO: it is no object, or a member has another type, or
 * a name has a NUL in it; ERR_NOMEM. *to is of use until codec_memory_done(),
 * and after OK only.
 */
CHECK_RESULT enum err codec_decode(const struct codec_member *members, size_t n,
    struct span object, struct codec_memory *m, void *to);

#endif
