/* SPDX-License-Identifier: ISC */
/*
 * The file is written over in its place, by one pwrite(2): a rename would need
 * room, and numbers matter most when the disk is full. So its room is taken
 * when it is made. A checksum stands before the text; who reads while it is
 * written sees that it is another's, and reads again. Blocks on the page cache.
 */
#include "io/sheet.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/beside.h"

enum {
	HEAD_SIZE = 49,
	FILE_SIZE = HEAD_SIZE + SHEET_MAX,
	READS = 4, /* a sum that is wrong so often is no writer's doing */
};

/* FNV-1a. */
static uint64_t
checksum(struct span text)
{
	uint64_t sum = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < text.n; i++)
		sum =
		    (sum ^ (unsigned char)text.p[i]) * UINT64_C(1099511628211);
	return sum;
}

/* Room that a full disk takes nobody away any more. */
static enum err
reserve(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);

	if (size >= FILE_SIZE)
		return OK;
	return posix_fallocate(fd, 0, FILE_SIZE) == 0 ? OK : ERR_SYS;
}

enum err
sheet_write(const char *db_path, const char *suffix, struct span text)
{
	struct buf all = BUF_INIT;
	enum err e = ERR_SYS;
	int fd = -1;

	if (text.n > SHEET_MAX)
		return ERR_LIMIT;
	buf_addf(&all, "%-20" PRId64 " %-10zu %016" PRIx64 "\n",
	    clock_real_ms(), text.n, checksum(text));
	buf_add_span(&all, text);
	if (buf_ok(&all))
		fd = beside_open(db_path, suffix, O_WRONLY | O_CREAT);
	if (fd != -1 && reserve(fd) == OK &&
	    pwrite(fd, all.data, all.len, 0) == (ssize_t)all.len)
		e = OK;
	if (fd != -1)
		(void)close(fd);
	buf_done(&all);
	return e;
}

/* The text among n bytes of the file. ERR_AGAIN: it is being written. */
static enum err
take(const char *file, size_t n, int64_t now_ms, struct span *ret)
{
	struct span text = {file + HEAD_SIZE, 0};
	int64_t at_ms;
	uint64_t sum;

	if (n < HEAD_SIZE ||
	    sscanf(file, "%20" SCNd64 " %10zu %16" SCNx64, &at_ms, &text.n,
		&sum) != 3 ||
	    at_ms < 0 || now_ms - at_ms >= SHEET_AWAY_MS)
		return ERR_NOENT;
	if (text.n > n - HEAD_SIZE || checksum(text) != sum)
		return ERR_AGAIN;
	*ret = text;
	return OK;
}

static enum err
read_once(int fd, int64_t now_ms, char *file, struct buf *out)
{
	ssize_t n = pread(fd, file, FILE_SIZE, 0);
	struct span text;
	enum err e;

	if (n < 0)
		return ERR_NOENT;
	file[n] = '\0';
	e = take(file, (size_t)n, now_ms, &text);
	if (e == OK)
		buf_add_span(out, text);
	return e;
}

enum err
sheet_read(
    const char *db_path, const char *suffix, int64_t now_ms, struct buf *out)
{
	int fd = beside_open(db_path, suffix, O_RDONLY);
	char *file = malloc(FILE_SIZE + 1);
	enum err e = file == NULL ? ERR_NOMEM : ERR_AGAIN;

	for (int i = 0; fd != -1 && i < READS && e == ERR_AGAIN; i++)
		e = read_once(fd, now_ms, file, out);
	if (fd != -1)
		(void)close(fd);
	free(file);
	return e == ERR_AGAIN ? ERR_NOENT : e;
}
