/* SPDX-License-Identifier: ISC */
/*
 * What all lists have in common. Blocks on the disk.
 */
#include "list.h"

#include <stdio.h>

void
list_print_json(struct buf *json)
{
	buf_add_char(json, '\n');
	table_escape(json);
	if (buf_ok(json))
		(void)fwrite(json->data, 1, json->len, stdout);
	buf_done(json);
}

int
list_rows(const struct command_line *c, const char *command,
    const char *const *headings, int n,
    enum err (*read)(struct db *db, struct list *l))
{
	struct list l = {c->settings->json, {.n_columns = n}};
	struct db *db = command_open(c, DB_READ);
	enum err e;

	if (db == NULL)
		return EXIT_FAILED;
	for (int i = 0; i < n; i++)
		table_add(&l.table, span_of(headings[i]));
	e = read(db, &l);
	if (!table_print(&l.table) && e == OK)
		e = ERR_NOMEM;
	if (e != OK)
		(void)command_fail_db(command, db, e);
	db_close(&db);
	return e == OK ? EXIT_DONE : EXIT_FAILED;
}
