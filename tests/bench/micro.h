/* SPDX-License-Identifier: ISC */
/*
 * What the instruction counts are made of: a case is a hot path, driven through
 * the functions that the programs call. See docs/benchmarks.md.
 *
 * Nothing here may depend on the time, on chance or on addresses: the same
 * build must count the same twice.
 */
#ifndef JOBWIRE_MICRO_H
#define JOBWIRE_MICRO_H

#include <stdbool.h>

#include "store/db.h"

struct micro_case {
	const char *name;
	unsigned n;	      /* operations in a run */
	void (*set_up)(void); /* not counted */
	void (*run)(void);    /* run once to warm up, once to be counted */
};

/* Each table ends with a case without a name. */
extern const struct micro_case micro_auth[], micro_hook[], micro_live[],
    micro_web[];

enum { MICRO_NOW = 1790000100 }; /* seconds since 1970; what time it is */

/* Ends the program, with what was expected, unless it is true. */
void micro_must(bool is_true, const char *what);

/* A new database in a folder that is removed at the end, and its path. */
struct db *micro_database(const char **ret_path);

#endif
