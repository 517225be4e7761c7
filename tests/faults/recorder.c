/* SPDX-License-Identifier: ISC */
/*
 * Preloaded into a program, writes down in order what it does to a database's
 * files: each write, truncation and sync, and each answer that promises an
 * event. powercut.py makes of it the disks that a power cut may have left.
 *
 * RECORD_DB is the path of the database, RECORD_LOG the file to write to, which
 * several processes may share. Records are in the machine's byte order:
 * struct record, then its bytes. The order is that of a lock held over the
 * operation and its record, so nothing happens between the two.
 */
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "preload.h"

enum {
	FDS = 4096,
	ANSWER_MAX = 64 << 10, /* an answer of ours is far shorter */
};

enum op {
	/* bytes: the path's part behind RECORD_DB; "/" is its folder */
	OP_OPEN = 'O',
	OP_WRITE = 'W',
	OP_TRUNCATE = 'T', /* at: the new size */
	OP_SYNC = 'S',
	OP_UNLINK = 'U', /* bytes: as of OP_OPEN */
	OP_RENAME = 'R', /* bytes: the old name, NUL, the new one */
	OP_ANSWER = 'A', /* bytes: as they are sent */
};

struct record {
	uint32_t op;
	uint32_t pid; /* with fd: which open file */
	uint32_t fd;
	uint32_t size; /* of the bytes that follow */
	uint64_t at;
};

static const char *db_path;
static size_t db_path_len;
static int log_fd = -1;
static bool is_ours[FDS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void
start(void)
{
	const char *log = getenv("RECORD_LOG");

	db_path = getenv("RECORD_DB");
	if (log == NULL || db_path == NULL)
		return;
	/* Some programs, Redis for one, write over their environment. */
	db_path = strdup(db_path);
	if (db_path == NULL)
		abort();
	db_path_len = strlen(db_path);
	log_fd =
	    REAL(open)(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (log_fd == -1)
		abort();
}

static void
enter(void)
{
	pthread_mutex_lock(&lock);
	if (flock(log_fd, LOCK_EX) != 0)
		abort();
}

static void
leave(void)
{
	(void)flock(log_fd, LOCK_UN);
	pthread_mutex_unlock(&lock);
}

static void
note(enum op op, int fd, uint64_t at, const void *bytes, size_t size)
{
	struct record r = {
	    op, (uint32_t)getpid(), (uint32_t)fd, (uint32_t)size, at};
	struct iovec iov[2] = {
	    {&r, sizeof(r)}, {(void *)(uintptr_t)bytes, size}};

	if (REAL(writev)(log_fd, iov, 2) != (ssize_t)(sizeof(r) + size))
		abort();
}

static bool
is_recorded(int fd)
{
	return log_fd != -1 && fd >= 0 && fd < FDS && is_ours[fd];
}

/* Behind the database's path; NULL: none of its files, or its shared memory,
 * which a power cut takes. */
static const char *
suffix_of(const char *path)
{
	size_t folder_len = strlen(path);
	const char *suffix;

	if (log_fd == -1)
		return NULL;
	if (folder_len < db_path_len && db_path[folder_len] == '/' &&
	    strchr(db_path + folder_len + 1, '/') == NULL &&
	    memcmp(path, db_path, folder_len) == 0)
		return "/";
	if (strncmp(path, db_path, db_path_len) != 0)
		return NULL;
	suffix = path + db_path_len;
	return strcmp(suffix, "-shm") == 0 ? NULL : suffix;
}

static int
opened(int fd, const char *path, int flags)
{
	const char *suffix = suffix_of(path);

	if (fd < 0 || fd >= FDS)
		return fd;
	is_ours[fd] = suffix != NULL;
	if (suffix == NULL)
		return fd;
	enter();
	note(OP_OPEN, fd, 0, suffix, strlen(suffix));
	if ((flags & O_TRUNC) != 0)
		note(OP_TRUNCATE, fd, 0, NULL, 0);
	leave();
	return fd;
}

#define MODE_OF(flags, mode)                                                   \
	do {                                                                   \
		va_list args;                                                  \
		va_start(args, flags);                                         \
		(mode) = ((flags)&O_CREAT) != 0 ? va_arg(args, mode_t) : 0;    \
		va_end(args);                                                  \
	} while (0)

int
open(const char *path, int flags, ...)
{
	mode_t mode;

	MODE_OF(flags, mode);
	return opened(REAL(open)(path, flags, mode), path, flags);
}

int
open64(const char *path, int flags, ...)
{
	mode_t mode;

	MODE_OF(flags, mode);
	return opened(REAL(open64)(path, flags, mode), path, flags);
}

int
openat(int folder, const char *path, int flags, ...)
{
	mode_t mode;

	MODE_OF(flags, mode);
	return opened(REAL(openat)(folder, path, flags, mode), path, flags);
}

int
close(int fd)
{
	if (fd >= 0 && fd < FDS)
		is_ours[fd] = false;
	return REAL(close)(fd);
}

static ssize_t
written(int fd, ssize_t n, const void *bytes, off64_t at)
{
	if (n > 0)
		note(OP_WRITE, fd, (uint64_t)at, bytes, (size_t)n);
	leave();
	return n;
}

ssize_t
pwrite(int fd, const void *bytes, size_t n, off_t at)
{
	if (!is_recorded(fd))
		return REAL(pwrite)(fd, bytes, n, at);
	enter();
	return written(fd, REAL(pwrite)(fd, bytes, n, at), bytes, at);
}

ssize_t
pwrite64(int fd, const void *bytes, size_t n, off64_t at)
{
	if (!is_recorded(fd))
		return REAL(pwrite64)(fd, bytes, n, at);
	enter();
	return written(fd, REAL(pwrite64)(fd, bytes, n, at), bytes, at);
}

ssize_t
write(int fd, const void *bytes, size_t n)
{
	off64_t at;

	if (!is_recorded(fd))
		return REAL(write)(fd, bytes, n);
	enter();
	at = lseek64(fd, 0, SEEK_CUR);
	return written(fd, REAL(write)(fd, bytes, n), bytes, at);
}

static int
truncated(int fd, int result, off64_t size)
{
	if (result == 0)
		note(OP_TRUNCATE, fd, (uint64_t)size, NULL, 0);
	leave();
	return result;
}

int
ftruncate(int fd, off_t size)
{
	if (!is_recorded(fd))
		return REAL(ftruncate)(fd, size);
	enter();
	return truncated(fd, REAL(ftruncate)(fd, size), size);
}

int
ftruncate64(int fd, off64_t size)
{
	if (!is_recorded(fd))
		return REAL(ftruncate64)(fd, size);
	enter();
	return truncated(fd, REAL(ftruncate64)(fd, size), size);
}

static int
synced(int fd, int result)
{
	if (result == 0)
		note(OP_SYNC, fd, 0, NULL, 0);
	leave();
	return result;
}

int
fsync(int fd)
{
	if (!is_recorded(fd))
		return REAL(fsync)(fd);
	enter();
	return synced(fd, REAL(fsync)(fd));
}

int
fdatasync(int fd)
{
	if (!is_recorded(fd))
		return REAL(fdatasync)(fd);
	enter();
	return synced(fd, REAL(fdatasync)(fd));
}

int
unlink(const char *path)
{
	const char *suffix = suffix_of(path);
	int result;

	if (suffix == NULL)
		return REAL(unlink)(path);
	enter();
	result = REAL(unlink)(path);
	if (result == 0)
		note(OP_UNLINK, -1, 0, suffix, strlen(suffix));
	leave();
	return result;
}

static int
renamed(int result, const char *from, const char *to)
{
	const char *old = suffix_of(from), *new = suffix_of(to);
	char names[2 * PATH_MAX];
	int n;

	if (result == 0 && old != NULL && new != NULL) {
		n = snprintf(names, sizeof(names), "%s%c%s", old, '\0', new);
		note(OP_RENAME, -1, 0, names, (size_t)n);
	}
	leave();
	return result;
}

int
rename(const char *from, const char *to)
{
	if (log_fd == -1)
		return REAL(rename)(from, to);
	enter();
	return renamed(REAL(rename)(from, to), from, to);
}

int
renameat2(
    int folder, const char *from, int to_folder, const char *to, unsigned flags)
{
	if (log_fd == -1)
		return REAL(renameat2)(folder, from, to_folder, to, flags);
	enter();
	return renamed(
	    REAL(renameat2)(folder, from, to_folder, to, flags), from, to);
}

/* Before it is sent: nobody can have it earlier than it is promised. */
ssize_t
sendmsg(int fd, const struct msghdr *msg, int flags)
{
	static char answer[ANSWER_MAX];
	size_t n = 0;

	if (log_fd == -1)
		return REAL(sendmsg)(fd, msg, flags);
	enter();
	for (size_t i = 0; i < msg->msg_iovlen; i++) {
		const struct iovec *part = &msg->msg_iov[i];

		if (part->iov_len > sizeof(answer) - n)
			break;
		memcpy(answer + n, part->iov_base, part->iov_len);
		n += part->iov_len;
	}
	if (memmem(answer, n, "\"event_id", 9) != NULL ||
	    memmem(answer, n, "\"run_id", 7) != NULL)
		note(OP_ANSWER, fd, 0, answer, n);
	leave();
	return REAL(sendmsg)(fd, msg, flags);
}
