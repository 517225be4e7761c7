/* SPDX-License-Identifier: ISC */
/*
 * Makes one allocation of the program under test fail. For tests only; a test
 * that includes it is linked with
 *   -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc
 * Allocations inside shared libraries are not reached, but for SQLite's where
 * alloc_fail_reach_sqlite() was called first. SQLite may do without what it was
 * refused: then the result is OK though is_more.
 *
 *   for (n = 1, is_more = true; is_more; n++) {
 *           alloc_fail_start(n);
 *           e = thing_under_test();
 *           is_more = alloc_fail_stop();
 *           assert_int_equal(e, is_more ? ERR_NOMEM : OK);
 *   }
 */
#ifndef JOBWIRE_ALLOC_FAIL_H
#define JOBWIRE_ALLOC_FAIL_H

#include <stdbool.h>
#include <stddef.h>

#include <sqlite3.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static unsigned alloc_fail_countdown; /* 0: nothing fails */
static bool alloc_fail_has_failed;

static inline bool
alloc_fail_now(void)
{
	if (alloc_fail_countdown == 0 || --alloc_fail_countdown > 0)
		return false;
	alloc_fail_has_failed = true;
	return true;
}

void *
__wrap_malloc(size_t size)
{
	return alloc_fail_now() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return alloc_fail_now() ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *p, size_t size)
{
	return alloc_fail_now() ? NULL : __real_realloc(p, size);
}

/* The n-th allocation from now fails (n >= 1). */
static inline void
alloc_fail_start(unsigned n)
{
	alloc_fail_countdown = n;
	alloc_fail_has_failed = false;
}

/* No more failures; did one happen? */
static inline bool
alloc_fail_stop(void)
{
	alloc_fail_countdown = 0;
	return alloc_fail_has_failed;
}

static sqlite3_mem_methods alloc_fail_sqlite; /* as SQLite has them */

static inline void *
alloc_fail_sqlite_malloc(int size)
{
	return alloc_fail_now() ? NULL : alloc_fail_sqlite.xMalloc(size);
}

static inline void *
alloc_fail_sqlite_realloc(void *p, int size)
{
	return alloc_fail_now() ? NULL : alloc_fail_sqlite.xRealloc(p, size);
}

/* The setup of a group of tests: SQLite's allocations count, too, all of them:
 * without the memory of its own that it gives small ones from. 0, or -1 when
 * SQLite was used before. */
static inline int
alloc_fail_reach_sqlite(void **state)
{
	sqlite3_mem_methods methods;

	(void)state;
	if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &alloc_fail_sqlite) !=
	    SQLITE_OK)
		return -1;
	methods = alloc_fail_sqlite;
	methods.xMalloc = alloc_fail_sqlite_malloc;
	methods.xRealloc = alloc_fail_sqlite_realloc;
	return sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) == SQLITE_OK &&
		       sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) ==
			   SQLITE_OK
		   ? 0
		   : -1;
}

#endif
