/* SPDX-License-Identifier: ISC */
/*
 * Makes one allocation of the program under test fail. For tests only; a test
 * that includes it is linked with
 *   -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc
 * Allocations inside shared libraries are not reached.
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

#endif
