/* SPDX-License-Identifier: ISC */
/*
 * A file beside the database in which programs say what came of a SIGHUP, for
 * `jobwire reload`, which waits for it. Layer: io.
 *
 * The file is there only while somebody waits. Each process adds one line:
 *
 *   PID reloaded NAME, NAME       settings that need a restart; mostly none
 *   PID kept WHY                  nothing has changed
 */
#ifndef JOBWIRE_RELOAD_NOTE_H
#define JOBWIRE_RELOAD_NOTE_H

#include <stdbool.h>

#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

enum { RELOAD_NOTE_LINE_MAX = 1024 };

/* Adds this process's line, when somebody waits for one; text is cut where it
 * is long, and what cannot be written is not missed. Blocks no longer than the
 * page cache. */
void reload_note_add(const char *db_path, bool is_reloaded, struct span text);

/* For who waits: makes the file anew, empty. ERR_SYS with errno. */
CHECK_RESULT enum err reload_note_begin(const char *db_path);

/* Appends to *ret what a process has said, without its number ("reloaded", or
 * "kept WHY", as valid UTF-8 with control characters as they came); false:
 * nothing yet. */
bool reload_note_find(const char *db_path, pid_t pid, struct buf *ret);

void reload_note_end(const char *db_path);

#endif
