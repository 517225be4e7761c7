/* SPDX-License-Identifier: ISC */
/*
 * What the commands share: the database, and how they say what is wrong.
 */
#include "command.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "store/mark.h"
#include "store/outbox.h"

/* Of the command that runs. */
static int64_t cluster_wait_ms;

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

	cluster_wait_ms = c->settings->cluster_wait;
	if (e != OK)
		(void)command_fail("database",
		    fault.text[0] != '\0' ? fault.text : err_text(e));
	return e == OK ? db : NULL;
}

enum err
command_end(struct db *db, enum err e)
{
	return mark_end(db, e);
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

/* Asks again and again: who types a command hears no bell. */
static enum err
await_result(struct db *db, struct intent_result *ret)
{
	const struct timespec pause = {0, 5000000};
	int64_t end_us = clock_mono_us() + cluster_wait_ms * 1000;
	struct buf text = BUF_INIT;
	enum err e;

	while ((e = outbox_result(db, ret->seq, &text)) == ERR_AGAIN &&
	       clock_mono_us() < end_us)
		nanosleep(&pause, NULL);
	if (e == OK)
		e = intent_read_result(buf_span(&text), ret);
	buf_done(&text);
	return e == ERR_AGAIN || e == ERR_NOENT ? OK : e;
}

enum err
command_end_written(struct db *db, enum err e, struct intent_result *ret)
{
	e = command_end(db, e);
	if (e != OK || ret->seq == 0)
		return e;
	e = await_result(db, ret);
	if (e != OK || ret->refusal == INTENT_ACCEPTED)
		return e;
	return ret->refusal == INTENT_INVALID ? ERR_PROTO : ERR_EXISTS;
}

enum err
command_write(struct db *db, enum intent_kind kind, const void *intent,
    struct intent_result *ret)
{
	enum err e = db_begin(db);

	if (e == OK)
		e = intent_write(db, kind, intent, ret);
	return command_end_written(db, e, ret);
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
