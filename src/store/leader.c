/* SPDX-License-Identifier: ISC */
/*
 * One leader for each database, by a lock that ends with its process. Blocks on
 * the disk.
 */
#include "store/leader.h"

#include <sys/file.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/beside.h"

enum { BUSY_MS = 500 };

void
leader_release(struct leader *l)
{
	db_close(&l->db);
	if (l->lock_fd != -1)
		close(l->lock_fd);
	l->lock_fd = -1;
}

static enum err
take_lock(struct leader *l)
{
	if (l->lock_fd == -1)
		l->lock_fd =
		    beside_open(l->db_path, l->suffix, O_RDWR | O_CREAT);
	if (l->lock_fd == -1)
		return ERR_SYS;
	if (flock(l->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return OK;
	return errno == EWOULDBLOCK ? ERR_AGAIN : ERR_SYS;
}

enum err
leader_take(struct leader *l, struct db_fault *fault)
{
	enum err e, lock;
	int reason;

	if (l->db != NULL && db_has_moved(l->db))
		leader_release(l);
	if (l->db != NULL)
		return OK;
	lock = take_lock(l);
	reason = errno;
	if (lock == ERR_AGAIN)
		return lock;
	/* What is wrong with the database is the better thing to say. */
	e = db_open(l->db_path, l->mode, BUSY_MS, &l->db, fault);
	if (e == OK && lock != OK) {
		snprintf(fault->text, sizeof(fault->text), "%.100s%s: %s",
		    l->db_path, l->suffix, strerror(reason));
		db_close(&l->db);
		return lock;
	}
	return e;
}

bool
leader_has_news(struct leader *l, bool is_base)
{
	return l->db == NULL || db_changed(l->db) ||
	       (is_base && db_has_moved(l->db));
}
