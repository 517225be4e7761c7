/* SPDX-License-Identifier: ISC */
/*
 * The commands of the program jobwire.
 */
#ifndef JOBWIRE_COMMAND_H
#define JOBWIRE_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/near.h"
#include "conf/opt.h"
#include "conf/settings.h"
#include "store/db.h"
#include "intent/intent.h"

/* What a command gets. */
struct command_line {
	const struct settings *settings;
	int n; /* arguments after the command's name */
	char **args;
};

/* Each is in the file cmd_NAME.c. */
struct command {
	const char *name;
	const char *arguments; /* as its usage shows them */
	int min, max;	       /* how many of them */
	/* Returns the exit status and has said why on standard error when that
	 * is not EXIT_DONE. */
	int (*run)(const struct command_line *c);
	const char *summary;	     /* one line */
	const char *more;	     /* lines, for its help alone; NULL: none */
	const struct opt_def *flags; /* its own; NULL: none */
	void *values;		     /* their target; zeroed */
	bool is_always;		     /* answered whatever the settings are */
	bool is_other; /* another program's face: its arguments, flags too, are
			  not ours; args has both our names before them */
};

/* The beginning of a row of `flags`. */
#define COMMAND_FLAG(values, member)                                           \
	.name = #member, .offset = offsetof(values, member),                   \
	.programs = PROGRAM_TOOL

extern const struct command command_backup, command_cluster, command_completion,
    command_delete, command_doctor, command_inbox, command_init, command_jobs,
    command_prune, command_publish, command_reload, command_restore,
    command_run, command_runs, command_show, command_simulate, command_stats,
    command_tail, command_ticket, command_token, command_top, command_url;

/* NULL: there is none. */
const struct command *command_find(const char *name);

/* All of them, from 0, in the order in which --help names them; NULL: no
 * more. */
const struct command *command_at(size_t i);

/* The flags of all commands, for opt_flags. */
const struct opt_def *const *command_flags(void);

/* Prints help on standard output; on all commands: NULL. Returns the exit
 * status, for there may be no such command. */
int command_explain(const char *name);

/* Prints the usage on standard error. NULL: of all commands. Returns
 * EXIT_USAGE, as does the second, which says that there is no such command. */
int command_usage(const struct command *cmd);
int command_unknown(const char *name);

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* The settings of that program, called `name`, with the same file, database and
 * prefix. *ret is settings_done() by the caller in any case; *message says why
 * they cannot be read. Errors as settings_load(). */
CHECK_RESULT enum err command_settings_of(const struct command_line *c,
    enum program program, const char *name, struct settings *ret,
    struct buf *message);

/* Opens the settings' database, or says why not and returns NULL. Returns
 * owned (db_close). */
struct db *command_open(const struct command_line *c, enum db_mode mode);

/* db_end(), and rings the bell when that is OK. */
CHECK_RESULT enum err command_end(struct db *db, enum err e);

/* command_end() after intent_write(). In a cluster it waits then for what comes
 * of it: ret->seq is not 0 where that is not known after cluster_wait. Errors
 * as intent_write(). */
CHECK_RESULT enum err command_end_written(
    struct db *db, enum err e, struct intent_result *ret);

/* intent_write() in a transaction of its own, and that. */
CHECK_RESULT enum err command_write(struct db *db, enum intent_kind kind,
    const void *intent, struct intent_result *ret);

/* SIGHUP, SIGINT and SIGTERM wait until they are released; then the process
 * ends by one that came. For what looks for pending ones itself. */
void command_hold_signals(void);
void command_release_signals(void);

/* Print "jobwire: what: detail" and return EXIT_FAILED or EXIT_USAGE. */
int command_fail(const char *what, const char *detail);
int command_misuse(const char *what, const char *detail);

/* The second for near->text, which is none of the names that were offered: it
 * also says which of them is near enough to be meant. */
int command_misuse_near(const char *what, const struct near *near);

/* command_fail() with what the connection's last failure was, or e. */
int command_fail_db(const char *what, const struct db *db, enum err e);

#endif
