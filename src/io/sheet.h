/* SPDX-License-Identifier: ISC */
/*
 * A text of one process for others, in a file beside the database: numbers of
 * the writing half and of the janitor, which the reading half hands out with
 * its own. Layer: io.
 *
 * It holds for SHEET_AWAY_MS, so who writes one does so again each
 * SHEET_EVERY_MS. Nothing is synced.
 */
#ifndef JOBWIRE_SHEET_H
#define JOBWIRE_SHEET_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum {
	SHEET_MAX = 64 << 10, /* bytes of a text */
	SHEET_EVERY_MS = 3000,
	SHEET_AWAY_MS = 10000,
};

/* The suffixes of those that there are. */
#define SHEET_WEBHOOK "-metrics-webhook" /* of jobwire-webhook */
#define SHEET_JANITOR "-metrics-janitor" /* of whoever is the janitor */

/* Writes the text, as of now. One process writes a file. ERR_LIMIT: it is too
 * long; ERR_SYS. Blocks no longer than the page cache. */
CHECK_RESULT enum err sheet_write(
    const char *db_path, const char *suffix, struct span text);

/* Appends the last one. ERR_NOENT: there is none that can be read, or it is
 * older than SHEET_AWAY_MS at now_ms (CLOCK_REALTIME); ERR_NOMEM. Blocks on the
 * file, which is in the page cache mostly. */
CHECK_RESULT enum err sheet_read(
    const char *db_path, const char *suffix, int64_t now_ms, struct buf *out);

#endif
