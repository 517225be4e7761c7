/* SPDX-License-Identifier: ISC */
/*
 * Places as byte-range locks. Who needs one, and what is done without, is
 * decided in live. Blocks as far as opening a file does.
 */
#include "io/places.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "io/beside.h"

struct places {
	int fd;
	size_t n;
	bool is_ours[]; /* our own locks do not keep ourselves out */
};

enum err
places_open(const char *db_path, size_t n, struct places **ret)
{
	struct places *p = calloc(1, sizeof(*p) + n * sizeof(p->is_ours[0]));
	struct buf path = BUF_INIT;
	enum err e = ERR_NOMEM;

	beside_add(&path, db_path, "-places");
	if (p == NULL || !buf_ok(&path))
		goto out;
	e = ERR_SYS;
	p->n = n;
	/* As the bell's: a link must not lead elsewhere. */
	p->fd = open(path.data,
	    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0660);
	if (p->fd == -1)
		goto out;
	*ret = p;
	p = NULL;
	e = OK;
out:
	free(p);
	buf_done(&path);
	return e;
}

void
places_close(struct places **p)
{
	if (*p == NULL)
		return;
	(void)close((*p)->fd);
	free(*p);
	*p = NULL;
}

static int
lock_byte(const struct places *p, size_t place, short type)
{
	struct flock lock = {.l_type = type,
	    .l_whence = SEEK_SET,
	    .l_start = (off_t)place,
	    .l_len = 1};

	return fcntl(p->fd, F_OFD_SETLK, &lock);
}

enum err
places_take(struct places *p, size_t *ret)
{
	/* From a random one on: those in front are mostly taken. */
	size_t place = (size_t)random_between(0, (int64_t)p->n - 1);

	for (size_t i = 0; i < p->n; i++, place = (place + 1) % p->n) {
		if (p->is_ours[place])
			continue;
		if (lock_byte(p, place, F_WRLCK) == 0) {
			p->is_ours[place] = true;
			*ret = place;
			return OK;
		}
		if (errno != EAGAIN && errno != EACCES)
			return ERR_SYS;
	}
	return ERR_FULL;
}

void
places_give(struct places *p, size_t place)
{
	p->is_ours[place] = false;
	/* Cannot fail; if it did, the process' end would give it back. */
	(void)lock_byte(p, place, F_UNLCK);
}
