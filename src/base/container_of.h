/* SPDX-License-Identifier: ISC */
/*
 * From a member to what embeds it: a callback is given its timer, and wants
 * whose timer it is. Layer: base.
 */
#ifndef JOBWIRE_CONTAINER_OF_H
#define JOBWIRE_CONTAINER_OF_H

#include <stddef.h>

/* p points to the `member` of a `type`. */
#define container_of(p, type, member)                                          \
	((type *)(void *)((char *)(p)-offsetof(type, member)))

#endif
