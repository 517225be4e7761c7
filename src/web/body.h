/* SPDX-License-Identifier: ISC */
/*
 * A request body: small ones in memory, large ones in a file without a name
 * that is mapped when it is whole. Layer: web. Without this, sixteen senders
 * of 30 MiB would be a process of half a gigabyte.
 *
 * Blocks as far as writing to a file does, and that goes to the page cache.
 */
#ifndef JOBWIRE_BODY_H
#define JOBWIRE_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { BODY_MEMORY_MAX = 256 * 1024 }; /* bytes; a longer one goes to a file */

/* Bounds shared by all bodies of a server. */
struct body_limits {
	size_t each; /* bytes of one body */
	/* Bytes of all of them, in memory and in files; and of answers that
	 * wait for their clients (fcgi_out.c). */
	uint64_t all;
	const char *dir;	/* borrowed: where the files are made */
	_Atomic uint64_t *held; /* borrowed: the sum of those bytes now */
};

struct body {
	const struct body_limits *limits; /* borrowed while bytes are added */
	_Atomic uint64_t *held;		  /* borrowed until body_done() */
	struct buf memory;		  /* while it is small */
	int fd;				  /* -1, or the file of a large one */
	char *map;			  /* the file, once it is whole */
	size_t len;
	enum err err; /* the first failure; nothing is kept after it */
};

/* An empty one. */
struct body body_new(const struct body_limits *limits);

/*
 * Appends. A failure drops what there is and shows in b->err: ERR_LIMIT (longer
 * than `each`), ERR_AGAIN (`all` is used up), ERR_FULL (no space in dir),
 * ERR_SYS (no file can be made or written there), ERR_NOMEM.
 */
void body_add(struct body *b, const void *p, size_t n);

/* The whole body, borrowed until body_done(). Errors as b->err. */
CHECK_RESULT enum err body_finish(struct body *b, struct span *ret);

bool body_is_mapped(const struct body *b);

/* Frees what it holds. */
void body_done(struct body *b);

/* The bytes of a mapped body are not needed for a while: the kernel may take
 * the memory and reads them again when they are. */
void body_release_pages(struct span body, bool is_mapped);

#endif
