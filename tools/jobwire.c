/* SPDX-License-Identifier: ISC */
/*
 * jobwire: the command line. This file finds the command and its flags; the
 * commands are in the cmd_*.c beside it.
 */
#include <stdint.h>
#include <stdio.h>

#include "app/service.h"
#include "command.h"

static int
run(struct command_line *c, const struct command *cmd)
{
	if (c->n >= cmd->min && c->n <= cmd->max)
		return cmd->run(c);
	(void)command_fail(cmd->name,
	    c->n < cmd->min ? "too few arguments" : "too many arguments");
	return command_usage(cmd);
}

/* With the settings: these must be good. */
static int
run_with_settings(const struct command *cmd, const struct opt_flags *flags,
    int argc, char **argv)
{
	struct command_line *c = flags->target;
	struct settings s = {0};
	int status;

	c->settings = &s;
	status = settings_main(&s, PROGRAM_TOOL, "", flags, argc, argv, &c->n);
	db_allow_remote(s.allow_remote == ALLOW_REMOTE_ON);
	if (status < 0 && s.check) {
		status = service_check(&s, PROGRAM_TOOL, DB_READ);
	} else if (status < 0 && c->n == 0) {
		status = command_usage(NULL);
	} else if (status < 0) {
		c->n--;
		c->args = argv + 2;
		status = cmd != NULL ? run(c, cmd) : command_unknown(argv[1]);
	}
	settings_done(&s);
	opt_done(command_flags, c);
	return status;
}

int
command_version(const struct command_line *c)
{
	char *argv[] = {NULL, (char *)(uintptr_t) "--version", NULL};
	struct settings s;
	int n;

	(void)c;
	return settings_main(&s, PROGRAM_TOOL, "", NULL, 2, argv, &n);
}

/* Help and version are answered whatever the settings are. */
static int
run_without_settings(
    const struct command *cmd, struct opt_flags *flags, int argc, char **argv)
{
	struct command_line *c = flags->target;
	struct settings s = {0};
	const struct opt_source src = {
	    .defs = settings_table, .program = PROGRAM_TOOL, .flags = flags};
	struct buf message = BUF_INIT;
	int status;

	if (opt_load_words(&src, &s, argc - 1, argv + 1, &c->n, &message) !=
	    OK) {
		(void)fprintf(stderr, "jobwire: %s\n", buf_span(&message).p);
		status = EXIT_USAGE;
	} else {
		c->n--;
		c->args = argv + 2;
		status = run(c, cmd);
	}
	buf_done(&message);
	settings_done(&s);
	opt_done(command_flags, c);
	return status;
}

static int
answer(int argc, char **argv)
{
	struct command_line c = {0};
	struct opt_flags flags = {command_flags, ~0u, &c};
	const struct opt_source src = {.defs = settings_table, .flags = &flags};
	const char *name = opt_argument(&src, argc - 1, argv + 1, 0);
	const struct command *cmd = name != NULL ? command_find(name) : NULL;

	if (opt_find_flag(&src, argc - 1, argv + 1, "help") != NULL)
		return command_explain(name);
	if (cmd != NULL)
		flags.program = cmd->bit;
	if (cmd != NULL && (cmd->bit & (COMMAND_HELP | COMMAND_VERSION)) != 0)
		return run_without_settings(cmd, &flags, argc, argv);
	return run_with_settings(cmd, &flags, argc, argv);
}

int
main(int argc, char **argv)
{
	int status = answer(argc, argv);

	/* What asked for a token must not go on with half of one. */
	if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_DONE)
		status = command_fail("standard output", "not all was written");
	return status;
}
