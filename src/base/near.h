/* SPDX-License-Identifier: ISC */
/*
 * Which of the known names did somebody mean who mistyped one? Layer: base.
 * Pure.
 */
#ifndef JOBWIRE_NEAR_H
#define JOBWIRE_NEAR_H

#include <stddef.h>

enum { NEAR_TEXT_MAX = 64 }; /* longer texts are near to nothing */

/* How many letters must be added, left out, changed or swapped with their
 * neighbour to make b of a; more than any limit for longer texts. */
size_t near_distance(const char *a, const char *b);

/* A search: set `text` (borrowed), offer all names, then read `best`. */
struct near {
	const char *text;
	const char *best; /* the nearest name offered, borrowed; NULL: none is
			     near enough to be what was meant */
	size_t distance;
};

void near_offer(struct near *n, const char *name);

#endif
