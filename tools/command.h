/* SPDX-License-Identifier: ISC */
/*
 * The commands of the program jobwire.
 */
#ifndef JOBWIRE_COMMAND_H
#define JOBWIRE_COMMAND_H

#include <stdbool.h>

#include "auth/claims.h"
#include "base/buf.h"
#include "base/err.h"
#include "conf/settings.h"
#include "store/db.h"
#include "store/events.h"

/* What a command gets. */
struct command_line {
	const struct settings *settings;
	int n; /* arguments after the command's name */
	char **args;
	/* Flags that only some commands know; NULL when not given. */
	const char *restore_id, *expires, *provider, *state;
	const char *sub, *jti, *jobs, *ttl, *key;
	const char *gap, *idle, *origin, *ca;
	bool is_long;
};

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* Each returns its exit status and has said why on standard error when that
 * is not EXIT_DONE. */
int command_init(const struct command_line *c);
int command_url(const struct command_line *c);
int command_publish(const struct command_line *c);
int command_tail(const struct command_line *c);
int command_prune(const struct command_line *c);
int command_jobs(const struct command_line *c);
int command_token(const struct command_line *c);
int command_ticket(const struct command_line *c);
int command_stats(const struct command_line *c);
int command_doctor(const struct command_line *c);

/* Opens the settings' database, or says why not and returns NULL. Returns
 * owned (db_close). */
struct db *command_open(const struct command_line *c, enum db_mode mode);

/* Stores one event in a transaction of its own and rings the bell. Errors as
 * events_append() and db_commit(). */
CHECK_RESULT enum err command_store(
    struct db *db, const struct event_new *e, int64_t *ret_id);

/* Appends a token signed with --key, else with the secret of HS256. Errors as
 * jws_keys_load() and jwt_make(); ERR_AUTH: there is no such key. *why, a
 * sentence, may stay empty. */
CHECK_RESULT enum err command_make_token(const struct command_line *c,
    const struct claims *claims, struct buf *out, struct buf *why);

/* Print "jobwire: what: detail" and return EXIT_FAILED or EXIT_USAGE. */
int command_fail(const char *what, const char *detail);
int command_misuse(const char *what, const char *detail);

#endif
