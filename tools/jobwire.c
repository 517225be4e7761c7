/* SPDX-License-Identifier: ISC */
/*
 * jobwire: the command line. This file finds the command and its flags; the
 * commands are in the cmd_*.c beside it.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "app/service.h"
#include "command.h"

static const char usage[] =
    "usage: jobwire [--config FILE] [--db FILE] COMMAND ...\n"
    "  init                       make the database\n"
    "  url [JOB] [--restore-id R] [--expires 24h] "
    "[--provider runpod-completion]\n"
    "                             print a signed webhook URL\n"
    "  publish JOB TYPE [JSON]    store an event\n"
    "  tail [JOB...]              print events as they come\n"
    "  jobs [--state S]           list jobs, newest change first\n"
    "  token mint --sub S [--jobs a,b] [--ttl 1h] [--key @FILE]\n"
    "                             make a token for who may read\n"
    "  token revoke --jti J | --sub S\n"
    "                             take back a token, or all of S so far\n"
    "  ticket --sub S [--jobs a,b] [--ttl 1h]\n"
    "                             make a ticket: works once, for 30 seconds\n"
    "  prune                      remove what retention does not keep\n"
    "  stats                      count jobs, events and bytes\n"
    "  doctor [URL] [--gap 1s] [--long | --idle 65s] [--origin O] [--ca FILE]\n"
    "                             look for what is wrong, and say what mends "
    "it\n"
    "Exit status: 0 done, 1 failed, 2 wrong usage.\n";

static const struct {
	const char *name;
	int min, max; /* arguments */
	int (*run)(const struct command_line *c);
} commands[] = {
    {"init", 0, 0, command_init},
    {"url", 0, 1, command_url},
    {"publish", 2, 3, command_publish},
    {"tail", 0, 64, command_tail},
    {"jobs", 0, 0, command_jobs},
    {"token", 1, 1, command_token},
    {"ticket", 0, 0, command_ticket},
    {"prune", 0, 0, command_prune},
    {"stats", 0, 0, command_stats},
    {"doctor", 0, 1, command_doctor},
};

/* These belong to commands, so they are not in the table of settings. */
static const struct flag {
	const char *name;
	size_t offset; /* of its value in struct command_line */
	const char *commands;
} flags[] = {
    {"--restore-id", offsetof(struct command_line, restore_id), "url"},
    {"--expires", offsetof(struct command_line, expires), "url"},
    {"--provider", offsetof(struct command_line, provider), "url"},
    {"--state", offsetof(struct command_line, state), "jobs"},
    {"--sub", offsetof(struct command_line, sub), "token ticket"},
    {"--jti", offsetof(struct command_line, jti), "token"},
    {"--jobs", offsetof(struct command_line, jobs), "token ticket"},
    {"--ttl", offsetof(struct command_line, ttl), "token ticket"},
    {"--key", offsetof(struct command_line, key), "token doctor"},
    {"--gap", offsetof(struct command_line, gap), "doctor"},
    {"--idle", offsetof(struct command_line, idle), "doctor"},
    {"--origin", offsetof(struct command_line, origin), "doctor"},
    {"--ca", offsetof(struct command_line, ca), "doctor"},
};
enum { N_FLAGS = sizeof(flags) / sizeof(flags[0]) };

int
command_fail(const char *what, const char *detail)
{
	(void)fprintf(stderr, "jobwire: %s: %s\n", what, detail);
	return EXIT_FAILED;
}

int
command_misuse(const char *what, const char *detail)
{
	(void)command_fail(what, detail);
	return EXIT_USAGE;
}

struct db *
command_open(const struct command_line *c, enum db_mode mode)
{
	enum { WAIT_MS = 5000 };
	struct db_fault fault = {0};
	struct db *db = NULL;
	enum err e = db_open(c->settings->db, mode, WAIT_MS, &db, &fault);

	if (e != OK)
		(void)command_fail("database",
		    fault.text[0] != '\0' ? fault.text : err_text(e));
	return e == OK ? db : NULL;
}

/* Takes each `--name VALUE` and `--name=VALUE` out of argv; the last one counts.
 * False: one has no value. */
static bool
take_flag(int *argc, char **argv, const char *name, const char **ret_value)
{
	size_t n = strlen(name);
	int used;

	for (int i = 1; i < *argc;) {
		if (strncmp(argv[i], name, n) != 0 ||
		    (argv[i][n] != '=' && argv[i][n] != '\0')) {
			i++;
			continue;
		}
		used = argv[i][n] == '=' ? 1 : 2;
		if (i + used > *argc)
			return false;
		*ret_value = used == 1 ? argv[i] + n + 1 : argv[i + 1];
		memmove(argv + i, argv + i + used,
		    (size_t)(*argc - i - used + 1) * sizeof(*argv));
		*argc -= used;
	}
	return true;
}

/* The same for a flag without a value: was it there? */
static bool
take_switch(int *argc, char **argv, const char *name)
{
	for (int i = 1; i < *argc; i++)
		if (strcmp(argv[i], name) == 0) {
			memmove(argv + i, argv + i + 1,
			    (size_t)(*argc - i) * sizeof(*argv));
			*argc -= 1;
			return true;
		}
	return false;
}

static const char **
flag_value(struct command_line *c, const struct flag *f)
{
	return (const char **)(void *)((char *)c + f->offset);
}

/* A flag that is given and does nothing would be taken for one that works. */
static const struct flag *
find_foreign_flag(struct command_line *c, const char *command)
{
	for (size_t i = 0; i < N_FLAGS; i++)
		if (*flag_value(c, &flags[i]) != NULL &&
		    strstr(flags[i].commands, command) == NULL)
			return &flags[i];
	return NULL;
}

static int
run(struct command_line *c, const char *name)
{
	const struct flag *foreign = find_foreign_flag(c, name);
	bool is_known = false;

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, name) == 0) {
			is_known = true;
			if (foreign != NULL)
				return command_misuse(foreign->name,
				    "not a flag of this command");
			if (c->n >= commands[i].min && c->n <= commands[i].max)
				return commands[i].run(c);
		}
	if (!is_known)
		(void)command_fail("no such command", name);
	(void)fputs(usage, stderr);
	return EXIT_USAGE;
}

int
main(int argc, char **argv)
{
	struct settings s = {0};
	struct command_line c = {.settings = &s};
	int status;

	for (size_t i = 0; i < N_FLAGS; i++)
		if (!take_flag(
			&argc, argv, flags[i].name, flag_value(&c, &flags[i])))
			return command_misuse(flags[i].name, "needs a value");
	c.is_long = take_switch(&argc, argv, "--long");
	status = settings_main(&s, PROGRAM_TOOL, usage, argc, argv, &c.n);
	if (status < 0 && s.check)
		status = service_check(&s, PROGRAM_TOOL, DB_READ);
	if (status < 0 && c.n == 0) {
		(void)fputs(usage, stderr);
		status = EXIT_USAGE;
	}
	if (status < 0) {
		c.n--;
		c.args = argv + 2;
		status = run(&c, argv[1]);
	}
	settings_done(&s);
	/* What asked for a token must not go on with half of one. */
	if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_DONE)
		status = command_fail("standard output", "not all was written");
	return status;
}
