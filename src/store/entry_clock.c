/* SPDX-License-Identifier: ISC */
/*
 * A copy of the usual VFS with another clock. All else is the same code on the
 * same files, POSIX locks included, which SQLite keeps per process and not per
 * VFS. Never blocks.
 */
#include "store/entry_clock.h"

#include <stddef.h>

#include <sqlite3.h>

#include "base/clock.h"

/* Of SQLite's days, which begin at noon of November 24, 4714 BC. */
#define UNIX_EPOCH_MS INT64_C(210866760000000)

static int64_t entry_ms;

static int
current_time(sqlite3_vfs *vfs, sqlite3_int64 *ret)
{
	(void)vfs;
	*ret = UNIX_EPOCH_MS + (entry_ms != 0 ? entry_ms : clock_real_ms());
	return SQLITE_OK;
}

const char *
entry_clock_vfs(void)
{
	static sqlite3_vfs own;
	const sqlite3_vfs *usual;

	if (own.zName != NULL)
		return own.zName;
	if (sqlite3_initialize() != SQLITE_OK ||
	    (usual = sqlite3_vfs_find(NULL)) == NULL || usual->iVersion < 2)
		return NULL;
	own = *usual;
	own.pNext = NULL;
	own.zName = "jobwire-entry-clock";
	own.xCurrentTimeInt64 = current_time;
	if (sqlite3_vfs_register(&own, 0) != SQLITE_OK)
		own.zName = NULL;
	return own.zName;
}

void
entry_clock_set(int64_t real_ms)
{
	entry_ms = real_ms;
}
