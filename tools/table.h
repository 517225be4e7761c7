/* SPDX-License-Identifier: ISC */
/*
 * Rows for standard output: aligned below a heading on a terminal, else with
 * tabs and without a heading, for cut(1) and awk(1).
 */
#ifndef JOBWIRE_TABLE_H
#define JOBWIRE_TABLE_H

#include <stdbool.h>

#include "base/buf.h"

enum { TABLE_COLUMNS_MAX = 8 };

/* Zero but for the columns. */
struct table {
	int n_columns;
	struct buf cells; /* each ended by a zero byte, row by row */
	int n_cells;
	size_t widths[TABLE_COLUMNS_MAX]; /* characters */
};

/* Appends a text; its control characters become `?`, for a terminal would obey
 * them and a line feed would begin another row. */
void table_add_clean(struct buf *out, struct span text);

/* The same for JSON: escapes DEL and U+0080 to U+009F in all that is in the
 * buffer; JSON's grammar has seen to the others. */
void table_escape(struct buf *json);

/* The next cell, of the heading's row first: a clean copy of the text. */
void table_add(struct table *t, struct span text);

/* Prints all rows and frees them. False: memory was short, nothing printed. */
bool table_print(struct table *t);

#endif
