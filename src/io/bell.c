/* SPDX-License-Identifier: ISC */
/*
 * Rings the bell file; io/watch hears it. Blocks no longer than a write of one
 * byte into the page cache; nothing is synced, for the bell holds no data.
 */
#include "io/bell.h"

#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/buf.h"
#include "io/beside.h"

/* SQLite does the same with -wal. What root leaves here could be rung by nobody
 * else, and then events are only found by the base poll. */
static void
give_to_owner(int fd, const char *db_path)
{
	struct stat db;

	if (geteuid() != 0 || stat(db_path, &db) != 0 ||
	    fchown(fd, db.st_uid, db.st_gid) != 0)
		return;
}

enum err
bell_open(const char *db_path, struct bell *ret)
{
	struct buf path = BUF_INIT;
	int fd = -1;

	beside_add(&path, db_path, "-bell");
	errno = ENOMEM;
	/* A symbolic link here could lead the byte into any other file. */
	if (buf_ok(&path))
		fd = open(path.data,
		    O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY,
		    0660);
	buf_done(&path);
	if (fd == -1)
		return ERR_SYS;
	give_to_owner(fd, db_path);
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
