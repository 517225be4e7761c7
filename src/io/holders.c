/* SPDX-License-Identifier: ISC */
/*
 * The lock says whether, /proc says who. A lock names one process only, and
 * /proc shows the files of others only to root and to themselves. Blocks as far
 * as opening files does.
 */
#include "io/holders.h"

#include <sys/stat.h>

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"

/* What SQLite locks while a file is open in WAL mode (os.h of its source:
 * PENDING_BYTE, and SHARED_SIZE bytes two behind it). */
enum { SHARED_AT = 0x40000002, SHARED_SIZE = 510 };

/* -1: somebody whom the system does not name; 0: nobody. */
static pid_t
lock_holder(const char *db_path)
{
	struct flock lock = {.l_type = F_WRLCK,
	    .l_whence = SEEK_SET,
	    .l_start = SHARED_AT,
	    .l_len = SHARED_SIZE};
	int fd = open(db_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	pid_t pid = 0;

	if (fd == -1)
		return 0;
	if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
		pid = lock.l_pid > 0 ? lock.l_pid : -1;
	close(fd);
	return pid;
}

void
holders_add(struct buf *out, pid_t pid)
{
	struct buf name = BUF_INIT;
	char file[60];

	(void)snprintf(file, sizeof(file), "/proc/%ld/comm", (long)pid);
	if (file_read(file, 64, &name) == OK && name.len > 0)
		name.data[--name.len] = '\0'; /* a line feed */
	buf_addf(out, "process %ld (%s)", (long)pid,
	    name.len > 0 && span_is_plain(buf_span(&name)) ? name.data : "?");
	buf_done(&name);
}

static bool
has_open(const char *pid, const struct stat *db)
{
	char path[300];
	struct dirent *entry;
	struct stat file;
	bool is_found = false;
	DIR *fds;

	(void)snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	fds = opendir(path);
	if (fds == NULL)
		return false;
	while (!is_found && (entry = readdir(fds)) != NULL) {
		(void)snprintf(path, sizeof(path), "/proc/%.20s/fd/%.20s", pid,
		    entry->d_name);
		is_found = entry->d_name[0] != '.' && stat(path, &file) == 0 &&
			   file.st_dev == db->st_dev &&
			   file.st_ino == db->st_ino;
	}
	closedir(fds);
	return is_found;
}

/* The one that holds the lock comes first. */
static void
add_all(struct buf *out, const struct stat *db, pid_t first)
{
	struct dirent *entry;
	DIR *all = opendir("/proc");
	pid_t pid;

	holders_add(out, first);
	while (all != NULL && (entry = readdir(all)) != NULL) {
		pid = (pid_t)strtol(entry->d_name, NULL, 10);
		if (!isdigit((unsigned char)entry->d_name[0]) || pid == first ||
		    pid == getpid() || !has_open(entry->d_name, db))
			continue;
		buf_add_str(out, ", ");
		holders_add(out, pid);
	}
	if (all != NULL)
		closedir(all);
}

bool
holders_find(const char *db_path, struct buf *out)
{
	pid_t first = lock_holder(db_path);
	struct stat db;

	if (first == 0 || stat(db_path, &db) != 0)
		return false;
	if (first > 0)
		add_all(out, &db, first);
	else
		buf_add_str(out, "a process that the system does not name");
	return true;
}
