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
	struct settings s = {0};
	struct command_line c = {.settings = &s, .args = argv + 2};
	int status, n;

	status = settings_main(&s, PROGRAM_TOOL, "", flags, argc, argv, &n);
	db_allow_remote(s.allow_remote == ALLOW_REMOTE_ON);
	if (status < 0 && s.check) {
		status = service_check(&s, PROGRAM_TOOL, DB_READ);
	} else if (status < 0 && cmd == NULL) {
		status = command_usage(NULL);
	} else if (status < 0) {
		c.n = n - 1;
		status = run(&c, cmd);
	}
	settings_done(&s);
	return status;
}

static int
run_without_settings(const struct command *cmd, const struct opt_flags *flags,
    int argc, char **argv)
{
	struct settings s = {0};
	struct command_line c = {.settings = &s, .args = argv + 2};
	const struct opt_source src = {
	    .defs = settings_table, .program = PROGRAM_TOOL, .flags = flags};
	struct buf message = BUF_INIT;
	int status = EXIT_USAGE, n;

	if (opt_load_words(&src, &s, argc - 1, argv + 1, &n, &message) == OK) {
		c.n = n - 1;
		status = run(&c, cmd);
	} else {
		(void)fprintf(stderr, "jobwire: %s\n", buf_span(&message).p);
	}
	buf_done(&message);
	settings_done(&s);
	return status;
}

/* Finds the words behind the command's name. False: a flag of ours follows, or
 * nothing. */
static bool
find_others(struct command_line *c, const char *name, int argc, char **argv)
{
	int i = 1;

	while (argv[i] != name)
		i++;
	c->n = argc - i - 1;
	c->args = argv + i + 1;
	return c->n > 0 && *c->args[0] != '-';
}

static int
answer(int argc, char **argv)
{
	static const struct opt_def none[] = {{.name = NULL}};
	struct opt_flags flags = {.defs = none, .others = command_flags()};
	const struct opt_source src = {.defs = settings_table, .flags = &flags};
	const char *name = opt_argument(&src, argc - 1, argv + 1, 0);
	const struct command *cmd = name != NULL ? command_find(name) : NULL;
	struct command_line c = {0};
	int status;

	if (cmd != NULL && cmd->is_other && find_others(&c, name, argc, argv))
		return run(&c, cmd);
	if (opt_find_flag(&src, argc - 1, argv + 1, "help") != NULL)
		return command_explain(name);
	if (name != NULL && cmd == NULL)
		return command_unknown(name);
	if (cmd != NULL && cmd->flags != NULL) {
		flags.defs = cmd->flags;
		flags.target = cmd->values;
	}
	status = cmd != NULL && cmd->is_always
		     ? run_without_settings(cmd, &flags, argc, argv)
		     : run_with_settings(cmd, &flags, argc, argv);
	opt_done(flags.defs, flags.target);
	return status;
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
