/* SPDX-License-Identifier: ISC */
/*
 * How the writing half is, in a small file beside the database (`<db>-writer`)
 * for the reading half. Layer: io.
 *
 * No row says it, for a database that cannot be written is what it has to tell.
 */
#ifndef JOBWIRE_STATUS_H
#define JOBWIRE_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum {
	STATUS_TEXT_SIZE = 64,
	STATUS_EVERY_MS = 3000, /* how often a daemon writes it, at least */
	STATUS_AWAY_MS = 10000, /* from when on one that is silent is away */
};

struct status {
	bool is_daemon; /* it goes on writing this for as long as it lives */
	int64_t at_ms;	/* CLOCK_REALTIME */
	char text[STATUS_TEXT_SIZE]; /* "ok", or what is wrong */
};

/* Writes it, as of now; text is cut to the size. Nothing is synced. ERR_SYS. */
CHECK_RESULT enum err status_write(
    const char *db_path, bool is_daemon, const char *text);

/* The last one; "away" where a daemon has been silent for STATUS_AWAY_MS at
 * now_ms. ERR_NOENT: there is none that can be read. */
CHECK_RESULT enum err status_read(
    const char *db_path, int64_t now_ms, struct status *ret);

#endif
