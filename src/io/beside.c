/* SPDX-License-Identifier: ISC */
/*
 * Follows symbolic links to the database, and opens what stands beside it.
 */
#include "io/beside.h"

#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

void
beside_add(struct buf *out, const char *db_path, const char *suffix)
{
	char *file = realpath(db_path, NULL);

	buf_addf(out, "%s%s", file != NULL ? file : db_path, suffix);
	free(file);
}

void
beside_add_folder(struct buf *out, const char *db_path)
{
	struct buf file = BUF_INIT;

	beside_add(&file, db_path, "");
	out->failed = out->failed || !buf_ok(&file);
	file_add_folder(out, buf_span(&file).p);
	buf_done(&file);
}

/* SQLite does the same with -wal. What root leaves here could be written by
 * nobody else. */
static void
give_to_owner(int fd, const char *db_path)
{
	struct stat db;

	if (geteuid() != 0 || stat(db_path, &db) != 0 ||
	    fchown(fd, db.st_uid, db.st_gid) != 0)
		return;
}

int
beside_open(const char *db_path, const char *suffix, int flags)
{
	struct buf path = BUF_INIT;
	int fd = -1;

	beside_add(&path, db_path, suffix);
	errno = ENOMEM;
	/* A symbolic link here could lead us to any other file. */
	if (buf_ok(&path))
		fd = open(path.data,
		    flags | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK,
		    0660);
	buf_done(&path);
	if (fd != -1 && (flags & O_ACCMODE) != O_RDONLY)
		give_to_owner(fd, db_path);
	return fd;
}

bool
beside_sync(const char *path)
{
	struct buf folder = BUF_INIT;
	bool is_synced;
	int fd = -1;

	beside_add_folder(&folder, path);
	errno = ENOMEM;
	if (buf_ok(&folder))
		fd = open(folder.data, O_RDONLY | O_CLOEXEC);
	is_synced = fd != -1 && fsync(fd) == 0;
	if (fd != -1)
		close(fd);
	buf_done(&folder);
	return is_synced;
}
