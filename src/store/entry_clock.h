/* SPDX-License-Identifier: ISC */
/*
 * The clock of a connection that applies a log: while an entry is applied,
 * 'now' in any SQL, in defaults and triggers too, is the entry's time, so that
 * all nodes write the same. Layer: store. One thread of a process has it.
 */
#ifndef JOBWIRE_ENTRY_CLOCK_H
#define JOBWIRE_ENTRY_CLOCK_H

#include <stdint.h>

/* The name of an SQLite VFS: the usual one, but for the time. NULL: SQLite has
 * not started. Registers it when it is first asked for. */
const char *entry_clock_vfs(void);

/* From now on it is that time (ms since 1970); 0: the real one again. */
void entry_clock_set(int64_t real_ms);

#endif
