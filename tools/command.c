/* SPDX-License-Identifier: ISC */
/*
 * What the commands share: the database, and how they say what is wrong.
 */
#include "command.h"

#include <signal.h>
#include <stdio.h>

#include "store/mark.h"

int
command_fail(const char *what, const char *detail)
{
	(void)fprintf(stderr, "jobwire: %s: %s\n", what, detail);
	return EXIT_FAILED;
}

int
command_fail_db(const char *what, const struct db *db, enum err e)
{
	const char *text = db_last_fault(db)->text;

	return command_fail(what, *text != '\0' ? text : err_text(e));
}

int
command_misuse(const char *what, const char *detail)
{
	(void)command_fail(what, detail);
	return EXIT_USAGE;
}

int
command_misuse_near(const char *what, const struct near *near)
{
	bool is_near = near->best != NULL;

	(void)fprintf(stderr, "jobwire: %s: %s%s%s%s\n", what, near->text,
	    is_near ? "; did you mean " : "", is_near ? near->best : "",
	    is_near ? "?" : "");
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

enum err
command_end(struct db *db, enum err e)
{
	e = db_end(db, e);
	if (e == OK)
		mark_ring(db);
	return e;
}

static void
mask_signals(int how)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigprocmask(how, &set, NULL);
}

void
command_hold_signals(void)
{
	mask_signals(SIG_BLOCK);
}

void
command_release_signals(void)
{
	mask_signals(SIG_UNBLOCK);
}

enum err
command_write(struct db *db, enum intent_kind kind, const void *intent,
    struct intent_result *ret)
{
	enum err e = db_begin(db);

	if (e == OK)
		e = intent_write(db, kind, intent, ret);
	return command_end(db, e);
}

enum err
command_settings_of(const struct command_line *c, enum program program,
    const char *name, struct settings *ret, struct buf *message)
{
	const struct settings *ours = c->settings;
	char *argv[8] = {(char *)(uintptr_t)name, (char *)(uintptr_t) "--db",
	    ours->db, (char *)(uintptr_t) "--api-prefix", ours->api_prefix};
	int argc = 5, rest;

	if (ours->config != NULL) {
		argv[argc++] = (char *)(uintptr_t) "--config";
		argv[argc++] = ours->config;
	}
	return settings_load(ret, program, NULL, argc, argv, &rest, message);
}
