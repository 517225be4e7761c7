/* SPDX-License-Identifier: ISC */
/*
 * The commands of the program jobwire.
 */
#ifndef JOBWIRE_COMMAND_H
#define JOBWIRE_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/near.h"
#include "conf/settings.h"
#include "store/db.h"
#include "store/events.h"

/* What a command gets. */
struct command_line {
	const struct settings *settings;
	int n; /* arguments after the command's name */
	char **args;
	/* Flags that only some commands know, by the table command_flags; NULL
	 * when not given. Owned. */
	char *restore_id, *expires, *provider, *state;
	char *sub, *jti, *jobs, *ttl, *key;
	char *gap, *idle, *origin, *ca;
	int64_t limit;
	bool is_long, is_custom, is_dry_run;
};

/* A bit per command, for the table of flags. */
enum {
	COMMAND_INIT = 1 << 0,
	COMMAND_URL = 1 << 1,
	COMMAND_PUBLISH = 1 << 2,
	COMMAND_TAIL = 1 << 3,
	COMMAND_JOBS = 1 << 4,
	COMMAND_TOKEN = 1 << 5,
	COMMAND_TICKET = 1 << 6,
	COMMAND_PRUNE = 1 << 7,
	COMMAND_STATS = 1 << 8,
	COMMAND_DOCTOR = 1 << 9,
	COMMAND_HELP = 1 << 10,
	COMMAND_VERSION = 1 << 11,
	COMMAND_SHOW = 1 << 12,
	COMMAND_DELETE = 1 << 13,
};

struct command {
	const char *name;
	unsigned bit;	       /* in `programs` of command_flags */
	const char *arguments; /* as its usage shows them */
	int min, max;	       /* how many of them */
	int (*run)(const struct command_line *c);
	const char *summary; /* one line */
	const char *more;    /* lines, for its help alone */
};

extern const struct opt_def command_flags[];

/* NULL: there is none. */
const struct command *command_find(const char *name);

/* Prints help on standard output; on all commands: NULL. Returns the exit
 * status, for there may be no such command. */
int command_explain(const char *name);

/* Prints the usage on standard error. NULL: of all commands. Returns
 * EXIT_USAGE, as does the second, which says that there is no such command. */
int command_usage(const struct command *cmd);
int command_unknown(const char *name);

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* Each returns its exit status and has said why on standard error when that
 * is not EXIT_DONE. */
int command_init(const struct command_line *c);
int command_url(const struct command_line *c);
int command_publish(const struct command_line *c);
int command_tail(const struct command_line *c);
int command_prune(const struct command_line *c);
int command_jobs(const struct command_line *c);
int command_show(const struct command_line *c);
int command_delete(const struct command_line *c);
int command_token(const struct command_line *c);
int command_ticket(const struct command_line *c);
int command_stats(const struct command_line *c);
int command_doctor(const struct command_line *c);
int command_help(const struct command_line *c);
int command_version(const struct command_line *c);

/* Opens the settings' database, or says why not and returns NULL. Returns
 * owned (db_close). */
struct db *command_open(const struct command_line *c, enum db_mode mode);

/* Stores one event in a transaction of its own and rings the bell. Errors as
 * events_append() and db_commit(). */
CHECK_RESULT enum err command_store(
    struct db *db, const struct event_new *e, int64_t *ret_id);

/* Print "jobwire: what: detail" and return EXIT_FAILED or EXIT_USAGE. */
int command_fail(const char *what, const char *detail);
int command_misuse(const char *what, const char *detail);

/* The second for near->text, which is none of the names that were offered: it
 * also says which of them is near enough to be meant. */
int command_misuse_near(const char *what, const struct near *near);

/* command_fail() with what the connection's last failure was, or e. */
int command_fail_db(const char *what, const struct db *db, enum err e);

#endif
