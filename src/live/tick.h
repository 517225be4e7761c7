/* SPDX-License-Identifier: ISC */
/*
 * Deadlines in ticks of CLOCK_MONOTONIC, so that thousands of clients wake the
 * loop a few times a second and not thousands of times. 32 bits of them last
 * for 17 years. Layer: live, pure.
 */
#ifndef JOBWIRE_TICK_H
#define JOBWIRE_TICK_H

#include <stdint.h>

enum { TICK_US = 128 * 1000 };

/* The first one that begins not before so long after that moment. */
static inline uint32_t
tick_after(int64_t now_us, int64_t ms)
{
	int64_t tick = (now_us + ms * 1000) / TICK_US + 1;

	return tick < UINT32_MAX ? (uint32_t)tick : UINT32_MAX;
}

/* When it begins, CLOCK_MONOTONIC. */
static inline int64_t
tick_us(uint32_t tick)
{
	return (int64_t)tick * TICK_US;
}

static inline uint32_t
tick_first(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

#endif
