/* SPDX-License-Identifier: ISC */
/*
 * The bell: a small file beside the database (`<db>-bell`) that our own
 * writers touch after a commit, so that watchers look at the very moment the
 * commit is visible. Layer: io. To ring it is to write into it, whatever it
 * is: the first byte means nothing, and what follows is store/mark.h's. A bell
 * that is missing costs latency only.
 */
#ifndef JOBWIRE_BELL_H
#define JOBWIRE_BELL_H

#include "base/err.h"

struct bell {
	int fd; /* -1 when closed */
};

#define BELL_INIT                                                              \
	{                                                                      \
		-1                                                             \
	}

/* Opens or creates `<db_path>-bell`; root gives it to the database's owner.
 * ERR_SYS. */
CHECK_RESULT enum err bell_open(const char *db_path, struct bell *ret);
/* The same, and creates none. ERR_NOENT: there is none; ERR_SYS. */
CHECK_RESULT enum err bell_find(const char *db_path, struct bell *ret);
/* One pwrite(2) of one byte; harmless on a closed bell. */
void bell_ring(const struct bell *b);
void bell_close(struct bell *b);

#endif
