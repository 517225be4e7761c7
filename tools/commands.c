/* SPDX-License-Identifier: ISC */
/*
 * The commands and their flags as tables, and the help that is made of them.
 * Flags that all commands have are settings: conf/settings.c.
 */
#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/near.h"
#include "command.h"
#include "job/name.h"

static const struct command commands[] = {
    {"init", COMMAND_INIT, "", 0, 0, command_init, "make the database",
	"Brings an older database up to date. Prints its epoch.\n"},
    {"url", COMMAND_URL, "[JOB]", 0, 1, command_url,
	"print a signed webhook URL",
	"Without a job: for calls that name the job in their body.\n"},
    {"publish", COMMAND_PUBLISH, "JOB TYPE [JSON | @FILE | -]", 2, 3,
	command_publish, "store an event, print its id",
	"TYPE is queued, processing, progress, completed, failed, cancelled,\n"
	"timed_out or a name of your own. The data is an object of at most\n"
	"1 MiB: as an argument, in a file, or on standard input with -\n"},
    {"tail", COMMAND_TAIL, "[JOB...]", 0, JOB_IDS_MAX, command_tail,
	"print events as they come",
	"With jobs, at most 64: their stored events first.\n"},
    {"jobs", COMMAND_JOBS, "", 0, 0, command_jobs,
	"list jobs, the latest change first",
	"Time of the change, state, job, progress, owner and error: aligned\n"
	"on a terminal, else separated by tabs.\n"},
    {"show", COMMAND_SHOW, "JOB", 1, 1, command_show,
	"print all about a job, and its last 10 events", ""},
    {"delete", COMMAND_DELETE, "JOB", 1, 1, command_delete,
	"remove a job and its events", "Without asking back.\n"},
    {"token", COMMAND_TOKEN, "mint | revoke | check [TOKEN | -]", 1, 2,
	command_token,
	"make a token for who may read, take one back, or check one",
	"mint --sub S [--jobs a,b] [--ttl 1h] [--key @FILE]\n"
	"revoke --jti J, or --sub S: all of S so far\n"
	"check says which rule a token breaks, with status 1; without TOKEN\n"
	"it is read from standard input\n"},
    {"ticket", COMMAND_TICKET, "", 0, 0, command_ticket,
	"make a ticket: works once, for 30 seconds", ""},
    {"prune", COMMAND_PRUNE, "", 0, 0, command_prune,
	"remove what retention does not keep", ""},
    {"stats", COMMAND_STATS, "", 0, 0, command_stats,
	"count jobs, events and bytes", ""},
    {"doctor", COMMAND_DOCTOR, "[URL]", 0, 1, command_doctor,
	"look for what is wrong, and say what mends it",
	"With the URL of the site it asks the web server, too.\n"},
    {"help", COMMAND_HELP, "[COMMAND]", 0, 1, command_help, "explain a command",
	""},
    {"version", COMMAND_VERSION, "", 0, 0, command_version, "print the version",
	""},
};

#define FLAG(m) .name = #m, .offset = offsetof(struct command_line, m)

const struct opt_def command_flags[] = {
    {FLAG(restore_id), .programs = COMMAND_URL, .metavar = "ID",
	.help = "comes back in the job's events"},
    {FLAG(expires), .programs = COMMAND_URL, .metavar = "TIME",
	.help = "how long the URL is good (24h)"},
    {FLAG(provider), .programs = COMMAND_URL, .metavar = "NAME",
	.help = "the service that calls (runpod-completion)"},
    {.name = "custom",
	.offset = offsetof(struct command_line, is_custom),
	.type = OPT_FLAG,
	.programs = COMMAND_PUBLISH,
	.help = "store a type that looks like a mistyped one"},
    {FLAG(state), .programs = COMMAND_JOBS, .metavar = "STATE",
	.help = "only jobs in this state"},
    {FLAG(limit), .type = OPT_INT, .fallback = "1000", .min = 1, .max = 1000000,
	.programs = COMMAND_JOBS, .help = "how many jobs"},
    {FLAG(sub), .programs = COMMAND_TOKEN | COMMAND_TICKET, .metavar = "NAME",
	.help = "who may read"},
    {FLAG(jti), .programs = COMMAND_TOKEN, .metavar = "ID",
	.help = "the token to take back"},
    {FLAG(jobs), .programs = COMMAND_TOKEN | COMMAND_TICKET, .metavar = "LIST",
	.help = "further jobs that may be read: a,b"},
    {FLAG(ttl), .programs = COMMAND_TOKEN | COMMAND_TICKET, .metavar = "TIME",
	.help = "how long it is good (1h)"},
    {FLAG(key), .programs = COMMAND_TOKEN | COMMAND_DOCTOR, .metavar = "@FILE",
	.help = "private key in PEM that signs tokens"},
    {FLAG(gap), .programs = COMMAND_DOCTOR, .metavar = "TIME",
	.help = "pause between the events it publishes (1s)"},
    {.name = "long",
	.offset = offsetof(struct command_line, is_long),
	.type = OPT_FLAG,
	.programs = COMMAND_DOCTOR,
	.help = "keep the stream silent for 65s, too"},
    {FLAG(idle), .programs = COMMAND_DOCTOR, .metavar = "TIME",
	.help = "the same, for another time"},
    {FLAG(origin), .programs = COMMAND_DOCTOR, .metavar = "ORIGIN",
	.help = "an origin whose pages shall read"},
    {FLAG(ca), .programs = COMMAND_DOCTOR, .metavar = "FILE",
	.help = "certificates to trust, in PEM"},
    {.name = "dry_run",
	.offset = offsetof(struct command_line, is_dry_run),
	.type = OPT_FLAG,
	.programs = COMMAND_PRUNE,
	.help = "only count what would be removed"},
    {.name = NULL},
};

enum { N_COMMANDS = sizeof(commands) / sizeof(commands[0]) };

const struct command *
command_find(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/* Only the usage, or all about it. NULL: of all commands. */
static void
add_help(struct buf *out, const struct command *cmd, bool is_whole)
{
	if (cmd == NULL) {
		buf_add_str(out, "usage: jobwire [options] COMMAND ...\n");
		for (size_t i = 0; i < N_COMMANDS; i++)
			buf_addf(out, "  %-10s %s\n", commands[i].name,
			    commands[i].summary);
		buf_add_str(
		    out, "Exit status: 0 done, 1 failed, 2 wrong usage.\n");
		if (is_whole)
			opt_help(settings_table, PROGRAM_TOOL, out);
		return;
	}
	buf_addf(out, "usage: jobwire [options] %s%s%s\n", cmd->name,
	    *cmd->arguments != '\0' ? " " : "", cmd->arguments);
	if (!is_whole)
		return;
	buf_addf(out, "%c%s.\n%s", toupper(*cmd->summary), cmd->summary + 1,
	    cmd->more);
	opt_help(command_flags, cmd->bit, out);
	buf_add_str(out, "All commands have --db, --config, --json and more: "
			 "jobwire --help\n");
}

int
command_explain(const char *name)
{
	const struct command *cmd = name != NULL ? command_find(name) : NULL;
	struct buf out = BUF_INIT;

	if (name != NULL && cmd == NULL)
		return command_unknown(name);
	add_help(&out, cmd, true);
	(void)fputs(buf_span(&out).p, stdout);
	buf_done(&out);
	return EXIT_DONE;
}

int
command_help(const struct command_line *c)
{
	return command_explain(c->n > 0 ? c->args[0] : NULL);
}

int
command_usage(const struct command *cmd)
{
	struct buf out = BUF_INIT;

	add_help(&out, cmd, false);
	(void)fputs(buf_span(&out).p, stderr);
	buf_done(&out);
	return EXIT_USAGE;
}

int
command_unknown(const char *name)
{
	struct near near = {.text = name};

	for (size_t i = 0; i < N_COMMANDS; i++)
		near_offer(&near, commands[i].name);
	(void)command_misuse_near("no such command", &near);
	return command_usage(NULL);
}
