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
#include <errno.h>
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

/* Has it no memory any more? Its parent has not asked for its end yet. */
static bool
has_ended(pid_t pid)
{
	struct buf text = BUF_INIT;
	char path[60];
	bool is_empty;

	(void)snprintf(path, sizeof(path), "/proc/%ld/statm", (long)pid);
	is_empty = file_read(path, 256, &text) == OK && text.len > 1 &&
		   text.data[0] == '0' && text.data[1] == ' ';
	buf_done(&text);
	return is_empty;
}

bool
holders_has_open(pid_t pid, const struct stat *file, bool *ret_hidden)
{
	char path[300];
	struct dirent *entry;
	struct stat st;
	bool is_found = false;
	DIR *fds;

	(void)snprintf(path, sizeof(path), "/proc/%ld/fd", (long)pid);
	fds = opendir(path);
	/* What has ended has nothing open, but only root may see that. */
	*ret_hidden = fds == NULL && (errno == EACCES || errno == EPERM) &&
		      !has_ended(pid);
	while (fds != NULL && !is_found && (entry = readdir(fds)) != NULL) {
		(void)snprintf(path, sizeof(path), "/proc/%ld/fd/%.20s",
		    (long)pid, entry->d_name);
		is_found = entry->d_name[0] != '.' && stat(path, &st) == 0 &&
			   st.st_dev == file->st_dev &&
			   st.st_ino == file->st_ino;
	}
	if (fds != NULL)
		closedir(fds);
	return is_found;
}

/* The one that holds the lock comes first. */
static void
add_all(struct buf *out, const struct stat *db, pid_t first)
{
	struct dirent *entry;
	DIR *all = opendir("/proc");
	bool is_hidden;
	pid_t pid;

	holders_add(out, first);
	while (all != NULL && (entry = readdir(all)) != NULL) {
		pid = (pid_t)strtol(entry->d_name, NULL, 10);
		if (!isdigit((unsigned char)entry->d_name[0]) || pid == first ||
		    pid == getpid() || !holders_has_open(pid, db, &is_hidden))
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
