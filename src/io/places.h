/* SPDX-License-Identifier: ISC */
/*
 * So many places for all processes that share a database: a process that opens
 * a stream takes one and gives it back, at its end without doing anything.
 * Layer: io.
 *
 * A place is a lock on one byte of `<db>-places`, so nothing has to be cleaned
 * up after a process that died. The locks are those of an open file (fcntl(2),
 * F_OFD_SETLK): closing another descriptor, as SQLite may do at any time, does
 * not drop them, and closing this file drops none of SQLite's, which are on
 * others.
 */
#ifndef JOBWIRE_PLACES_H
#define JOBWIRE_PLACES_H

#include <stddef.h>

#include "base/err.h"

struct places;

/* Opens or makes `<db_path>-places`. Returns owned (places_close). ERR_SYS,
 * ERR_NOMEM. */
CHECK_RESULT enum err places_open(
    const char *db_path, size_t n, struct places **ret);

/* Gives back what is still taken. Accepts NULL. */
void places_close(struct places **p);

/* ERR_FULL: all n are taken. ERR_SYS. Never waits. */
CHECK_RESULT enum err places_take(struct places *p, size_t *ret);
void places_give(struct places *p, size_t place);

#endif
