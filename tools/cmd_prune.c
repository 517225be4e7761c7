/* SPDX-License-Identifier: ISC */
/*
 * jobwire prune: removes what retention does not keep.
 */
#include <inttypes.h>
#include <stdio.h>

#include "command.h"
#include "store/inspect.h"
#include "intent/retention.h"

static struct values {
	bool dry_run;
} values;

static const struct opt_def flags[] = {
    {COMMAND_FLAG(struct values, dry_run), .type = OPT_FLAG,
	.help = "only count what would be removed"},
    {.name = NULL},
};

/* What goes is found here and deleted by all nodes, when the log says so. */
static int
prune_cluster(
    const struct command_line *c, struct db *db, const struct retention *keep)
{
	struct retention_done done = {0};
	bool has_more;
	enum err e = retention_step_clustered(
	    db, keep, intent_post_retention, &done, &has_more);

	db_close(&db);
	if (e != OK)
		return command_fail("prune", err_text(e));
	(void)puts(c->settings->json ? "{\"pending\":true}"
				     : "handed to the cluster's log");
	return EXIT_DONE;
}

static int
run(const struct command_line *c)
{
	const struct settings *s = c->settings;
	const struct retention keep = {
	    s->keep_days, s->keep_progress, s->keep_events};
	struct retention_done done = {0};
	struct db *db = command_open(c, values.dry_run ? DB_READ : DB_WRITE);
	bool has_more = !values.dry_run;
	enum err e = OK;

	if (db == NULL)
		return EXIT_FAILED;
	if (!values.dry_run && db_is_clustered(db))
		return prune_cluster(c, db, &keep);
	if (values.dry_run)
		e = inspect_prunable(db, &keep, &done);
	while (e == OK && has_more)
		e = retention_step(db, &keep, &done, &has_more);
	if (e != OK)
		(void)command_fail_db("prune", db, e);
	else if (c->settings->json)
		(void)printf("{\"events\":%" PRIu64 ",\"jobs\":%" PRIu64 "}\n",
		    done.events, done.jobs);
	else
		(void)printf("%" PRIu64 " events and %" PRIu64
			     " jobs %sremoved\n",
		    done.events, done.jobs, values.dry_run ? "would be " : "");
	db_close(&db);
	return e == OK ? EXIT_DONE : EXIT_FAILED;
}

const struct command command_prune = {
    .name = "prune",
    .arguments = "",
    .run = run,
    .summary = "remove what retention does not keep",
    .flags = flags,
    .values = &values,
};
