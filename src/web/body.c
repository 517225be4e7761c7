/* SPDX-License-Identifier: ISC */
/*
 * Keeps bodies. Reads nothing from a peer (the transports do) and knows no
 * JSON.
 */
#include "web/body.h"

#include <sys/mman.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct body
body_new(const struct body_limits *limits)
{
	return (struct body){.limits = limits, .held = limits->held, .fd = -1};
}

void
body_done(struct body *b)
{
	*b->held -= b->len;
	if (b->map != NULL)
		(void)munmap(b->map, b->len);
	if (b->fd != -1)
		(void)close(b->fd);
	buf_done(&b->memory);
	b->map = NULL;
	b->fd = -1;
	b->len = 0;
}

/* A file that has no name, so that a crash leaves nothing behind. */
static int
open_file(const char *dir)
{
	char path[4096];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd != -1 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd;
	snprintf(path, sizeof(path), "%s/jobwire-body-XXXXXX", dir);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd != -1)
		(void)unlink(path);
	return fd;
}

static enum err
write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return errno == ENOSPC || errno == EDQUOT ? ERR_FULL
								  : ERR_SYS;
		p += done;
		n -= (size_t)done;
	}
	return OK;
}

/* The small body has become a large one. */
static enum err
move_to_file(struct body *b)
{
	enum err e;

	b->fd = open_file(b->limits->dir);
	if (b->fd == -1)
		return errno == ENOSPC ? ERR_FULL : ERR_SYS;
	e = write_all(b->fd, b->memory.data, b->memory.len);
	buf_done(&b->memory);
	return e;
}

static enum err
append(struct body *b, const void *p, size_t n)
{
	enum err e = OK;

	if (b->fd == -1 && b->len + n > BODY_MEMORY_MAX)
		e = move_to_file(b);
	if (e == OK && b->fd != -1)
		return write_all(b->fd, p, n);
	if (e == OK)
		buf_add(&b->memory, p, n);
	return e == OK && !buf_ok(&b->memory) ? ERR_NOMEM : e;
}

void
body_add(struct body *b, const void *p, size_t n)
{
	if (b->err != OK)
		return;
	if (n > b->limits->each - b->len)
		b->err = ERR_LIMIT;
	else if (*b->held + n > b->limits->all)
		b->err = ERR_AGAIN;
	else
		b->err = append(b, p, n);
	if (b->err != OK) {
		body_done(b);
		return;
	}
	b->len += n;
	*b->held += n;
}

enum err
body_finish(struct body *b, struct span *ret)
{
	void *map;

	if (b->err != OK)
		return b->err;
	if (b->fd == -1) {
		*ret = buf_span(&b->memory);
		return OK;
	}
	map = mmap(NULL, b->len, PROT_READ, MAP_PRIVATE, b->fd, 0);
	if (map == MAP_FAILED)
		return ERR_NOMEM;
	b->map = map;
	(void)close(b->fd);
	b->fd = -1;
	*ret = (struct span){b->map, b->len};
	return OK;
}

bool
body_is_mapped(const struct body *b)
{
	return b->map != NULL;
}

void
body_release_pages(struct span body, bool is_mapped)
{
	if (is_mapped)
		(void)madvise((void *)(uintptr_t)body.p, body.n, MADV_DONTNEED);
}
