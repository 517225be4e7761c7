/* SPDX-License-Identifier: ISC */
/*
 * The database, for the one process that does a certain work on it: the runner,
 * the relay. Layer: store.
 */
#ifndef JOBWIRE_LEADER_H
#define JOBWIRE_LEADER_H

#include <stdbool.h>

#include "base/err.h"
#include "store/db.h"

struct leader {
	const char *db_path; /* borrowed */
	const char *suffix;  /* of the lock's file: "-runner" */
	enum db_mode mode;
	struct db *db; /* NULL: not open */
	int lock_fd;   /* -1: no lock */
};

#define LEADER_INIT(path, lock_suffix, db_mode)                                \
	{                                                                      \
		.db_path = (path), .suffix = (lock_suffix), .mode = (db_mode), \
		.lock_fd = -1                                                  \
	}

/*
 * Takes the lock beside the database and opens it, where that is not done
 * already; a file that was replaced is let go of before. ERR_AGAIN: another
 * process is the leader. Other errors as db_open(), or ERR_SYS for the lock's
 * file, with *fault. Waits for nobody but a short while for other writers.
 */
CHECK_RESULT enum err leader_take(struct leader *l, struct db_fault *fault);

/* Has another one written, or does the leader lack its database? is_base: also
 * when the file was replaced. For watch_config.on_look. */
bool leader_has_news(struct leader *l, bool is_base);

/* Closes all; accepts one that has taken nothing. */
void leader_release(struct leader *l);

#endif
