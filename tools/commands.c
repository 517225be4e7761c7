/* SPDX-License-Identifier: ISC */
/*
 * The list of the commands, and the help that is made of it. Flags that all
 * commands have are settings: conf/settings.c.
 */
#include <ctype.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/near.h"
#include "command.h"

static int explain(const struct command_line *c);

static int
say_version(const struct command_line *c)
{
	char *argv[] = {NULL, (char *)(uintptr_t) "--version", NULL};
	struct settings s;
	int n;

	(void)c;
	return settings_main(&s, PROGRAM_TOOL, "", NULL, 2, argv, &n);
}

static const struct command command_help = {
    .name = "help",
    .arguments = "[COMMAND]",
    .max = 1,
    .run = explain,
    .summary = "explain a command",
    .is_always = true,
};

static const struct command command_version = {
    .name = "version",
    .arguments = "",
    .run = say_version,
    .summary = "print the version",
    .is_always = true,
};

/* In the order in which --help names them. */
static const struct command *const commands[] = {&command_init, &command_url,
    &command_publish, &command_tail, &command_jobs, &command_show,
    &command_delete, &command_runs, &command_run, &command_inbox,
    &command_token, &command_ticket, &command_cluster, &command_prune,
    &command_backup, &command_restore, &command_stats, &command_reload,
    &command_top, &command_doctor, &command_simulate, &command_completion,
    &command_help, &command_version};

enum { N_COMMANDS = sizeof(commands) / sizeof(commands[0]) };

const struct command *
command_at(size_t i)
{
	return i < N_COMMANDS ? commands[i] : NULL;
}

const struct command *
command_find(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

const struct opt_def *const *
command_flags(void)
{
	static const struct opt_def *tables[N_COMMANDS + 1];
	size_t n = 0;

	for (size_t i = 0; i < N_COMMANDS; i++)
		if (commands[i]->flags != NULL)
			tables[n++] = commands[i]->flags;
	return tables;
}

/* Only the usage, or all about it. NULL: of all commands. */
static void
add_help(struct buf *out, const struct command *cmd, bool is_whole)
{
	if (cmd == NULL) {
		buf_add_str(out, "usage: jobwire [options] COMMAND ...\n");
		for (size_t i = 0; i < N_COMMANDS; i++)
			buf_addf(out, "  %-10s %s\n", commands[i]->name,
			    commands[i]->summary);
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
	    cmd->more != NULL ? cmd->more : "");
	if (cmd->flags != NULL)
		opt_help(cmd->flags, PROGRAM_TOOL, out);
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

static int
explain(const struct command_line *c)
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
		near_offer(&near, commands[i]->name);
	(void)command_misuse_near("no such command", &near);
	return command_usage(NULL);
}
