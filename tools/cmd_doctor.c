/* SPDX-License-Identifier: ISC */
/*
 * The command that looks for what is wrong: this file says in which order it is
 * looked for. The checks are in the doctor_*.c beside it. Blocks.
 */
#include <string.h>

#include "doctor.h"
#include "io/beside.h"

enum { DAY_MS = 24 * 3600 * 1000 };

static struct doctor_flags values;

static const struct opt_def flags[] = {
    {COMMAND_FLAG(struct doctor_flags, key), .metavar = "@FILE",
	.help = "private key in PEM that signs tokens"},
    {COMMAND_FLAG(struct doctor_flags, gap), .type = OPT_DURATION,
	.fallback = "1s", .min = 1, .max = DAY_MS,
	.help = "pause between the events it publishes"},
    {.name = "long",
	.offset = offsetof(struct doctor_flags, is_long),
	.programs = PROGRAM_TOOL,
	.type = OPT_FLAG,
	.help = "keep the stream silent for 65s, too"},
    {COMMAND_FLAG(struct doctor_flags, idle), .type = OPT_DURATION,
	.max = DAY_MS, .help = "the same, for another time"},
    {COMMAND_FLAG(struct doctor_flags, origin), .metavar = "ORIGIN",
	.help = "an origin whose pages shall read"},
    {COMMAND_FLAG(struct doctor_flags, ca), .metavar = "FILE",
	.help = "certificates to trust, in PEM"},
    {.name = NULL},
};

/* A base_url that nobody has set is no site. NULL: there is none. */
static const char *
find_url(const struct command_line *c)
{
	const struct opt_def *def = settings_table;

	if (c->n > 0)
		return c->args[0];
	while (strcmp(def->name, "base_url") != 0)
		def++;
	return strcmp(c->settings->base_url, def->fallback) != 0
		   ? c->settings->base_url
		   : NULL;
}

static int
run(const struct command_line *c)
{
	struct doctor d = {.c = c, .flags = &values, .url = find_url(c)};

	if (doctor_usage(&d) != EXIT_DONE)
		return EXIT_USAGE;
	beside_add(&d.file, c->settings->db, "");
	if (!buf_ok(&d.file))
		return command_fail("doctor", err_text(ERR_NOMEM));
	doctor_settings(&d);
	if (d.webhook.db != NULL)
		doctor_secrets(&d);
	doctor_runner(&d);
	doctor_lock(&d);
	doctor_database(&d);
	doctor_cluster(&d);
	doctor_folder(&d);
	doctor_runs(&d);
	doctor_machine(&d);
	doctor_sockets(&d);
	if (d.url != NULL) {
		doctor_web(&d);
		doctor_endpoints(&d);
	}
	db_close(&d.db);
	settings_done(&d.events);
	settings_done(&d.webhook);
	buf_done(&d.file);
	doctor_release_signals();
	return d.has_failed ? EXIT_FAILED : EXIT_DONE;
}

const struct command command_doctor = {
    .name = "doctor",
    .arguments = "[URL]",
    .max = 1,
    .run = run,
    .summary = "look for what is wrong, and say what mends it",
    .more = "With the URL of the site it asks the web server, too.\n",
    .flags = flags,
    .values = &values,
};
