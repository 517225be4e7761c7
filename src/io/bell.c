/* SPDX-License-Identifier: ISC */
/*
 * Rings the bell file; io/watch hears it. Blocks no longer than a write of one
 * byte into the page cache. What else is written into it is store/mark.c's.
 */
#include "io/bell.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "io/beside.h"

enum err
bell_open(const char *db_path, struct bell *ret)
{
	int fd = beside_open(db_path, "-bell", O_RDWR | O_CREAT);

	if (fd == -1)
		return ERR_SYS;
	ret->fd = fd;
	return OK;
}

enum err
bell_find(const char *db_path, struct bell *ret)
{
	int fd = beside_open(db_path, "-bell", O_RDWR);

	if (fd == -1)
		return errno == ENOENT ? ERR_NOENT : ERR_SYS;
	ret->fd = fd;
	return OK;
}

void
bell_ring(const struct bell *b)
{
	/* What a full disk drops here, the watcher's re-checks find. */
	if (b->fd != -1 && pwrite(b->fd, "", 1, 0) == -1)
		return;
}

void
bell_close(struct bell *b)
{
	if (b->fd != -1)
		close(b->fd);
	b->fd = -1;
}
