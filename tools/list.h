/* SPDX-License-Identifier: ISC */
/*
 * Commands that list rows of the database: a table for people, or a line of
 * JSON for each row.
 */
#ifndef JOBWIRE_LIST_H
#define JOBWIRE_LIST_H

#include <stdbool.h>

#include "base/buf.h"
#include "command.h"
#include "store/db.h"
#include "table.h"

struct list {
	bool as_json; /* then the table stays empty */
	struct table table;
};

/* Prints a row's JSON, without control characters, and a line feed; frees
 * it. */
void list_print_json(struct buf *json);

/*
 * Opens the database, lets read() print the rows or add them to the table
 * below these n headings, and prints that. Returns the command's exit status;
 * what failed has been said.
 */
int list_rows(const struct command_line *c, const char *command,
    const char *const *headings, int n,
    enum err (*read)(struct db *db, struct list *l));

#endif
