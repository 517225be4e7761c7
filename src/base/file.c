/* SPDX-License-Identifier: ISC */
/*
 * Reads small files whole: configuration, keys, data of an event. Databases are
 * never opened here, because closing a descriptor of one drops SQLite's locks
 * on it. Blocks on the disk.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static enum err
read_all(int fd, size_t max, struct buf *content)
{
	char chunk[4096];
	ssize_t n;

	for (;;) {
		n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ERR_SYS;
		if (n == 0)
			return buf_ok(content) ? OK : ERR_NOMEM;
		if ((size_t)n > max - content->len)
			return ERR_LIMIT;
		buf_add(content, chunk, (size_t)n);
	}
}

enum err
file_read_fd(int fd, size_t max, struct buf *ret)
{
	struct buf content = BUF_INIT;
	enum err e = read_all(fd, max, &content);
	int saved_errno = errno;

	if (e == OK)
		buf_add_span(ret, buf_span(&content));
	if (e == OK && !buf_ok(ret))
		e = ERR_NOMEM;
	buf_done(&content);
	errno = saved_errno;
	return e;
}

enum err
file_read(const char *path, size_t max, struct buf *ret)
{
	/* Of a FIFO, open(2) itself would wait for somebody who writes. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int saved_errno;
	enum err e;

	if (fd == -1)
		return ERR_SYS;
	(void)fcntl(fd, F_SETFL, O_RDONLY);
	e = file_read_fd(fd, max, ret);
	saved_errno = errno;
	close(fd);
	errno = saved_errno;
	return e;
}

void
file_add_folder(struct buf *out, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		buf_add_char(out, '.');
	else if (slash == path)
		buf_add_char(out, '/');
	else
		buf_add(out, path, (size_t)(slash - path));
}
