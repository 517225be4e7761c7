/* SPDX-License-Identifier: ISC */
/*
 * The database, for the one process that is its runner. Layer: runner.
 */
#ifndef JOBWIRE_LEADER_H
#define JOBWIRE_LEADER_H

#include "base/err.h"
#include "store/db.h"

struct leader {
	const char *db_path; /* borrowed */
	struct db *db;	     /* NULL: not open */
	int lock_fd;	     /* -1: no lock */
};

#define LEADER_INIT(path)                                                      \
	{                                                                      \
		.db_path = (path), .lock_fd = -1                               \
	}

/*
 * Takes the lock beside the database and opens it, where that is not done
 * already; a file that was replaced is let go of before. ERR_AGAIN: another
 * process is the runner. Other errors as db_open(), or ERR_SYS for the lock's
 * file, with *fault. Waits for nobody but a short while for other writers.
 */
CHECK_RESULT enum err leader_take(struct leader *l, struct db_fault *fault);

/* Closes all; accepts one that has taken nothing. */
void leader_release(struct leader *l);

#endif
