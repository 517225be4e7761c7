/* SPDX-License-Identifier: ISC */
/*
 * Every setting of every program, in one table. Layer: conf (above base only).
 */
#ifndef JOBWIRE_SETTINGS_H
#define JOBWIRE_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "conf/opt.h"

/* Where settings are, but for CGI programs, when nobody says so. */
#define SETTINGS_FILE "/etc/jobwire/jobwire.conf"

enum program {
	PROGRAM_EVENTS = 1,	  /* jobwire-events */
	PROGRAM_WEBHOOK = 2,	  /* jobwire-webhook */
	PROGRAM_TOOL = 4,	  /* jobwire */
	PROGRAM_EVENTS_CGI = 8,	  /* events.cgi */
	PROGRAM_WEBHOOK_CGI = 16, /* webhook.cgi */
	PROGRAM_RUNNER = 32,	  /* jobwire-runner */
	PROGRAMS_CGI = PROGRAM_EVENTS_CGI | PROGRAM_WEBHOOK_CGI,
};

enum webhook_auth { WEBHOOK_AUTH_SIGNED, WEBHOOK_AUTH_NONE };
enum events_auth {
	EVENTS_AUTH_JOB_ID,
	EVENTS_AUTH_JWT,
	EVENTS_AUTH_TICKET,
	EVENTS_AUTH_SERVER,
};
enum resubmit { RESUBMIT_NEVER, RESUBMIT_ALWAYS };
enum start_auth { START_AUTH_KEY, START_AUTH_OWNER };
enum jwt_alg { JWT_ALG_HS256, JWT_ALG_RS256, JWT_ALG_ES256 };
enum inotify_use { INOTIFY_AUTO, INOTIFY_OFF };
enum allow_remote { ALLOW_REMOTE_OFF, ALLOW_REMOTE_ON };
enum hardening { HARDENING_ON, HARDENING_OFF };

/* Durations in milliseconds, sizes in bytes. Strings are owned by this
 * structure and NULL when unset. The comments on each are in settings.c. */
struct settings {
	bool help, version, check, json, once;
	char *config;
	char *db;
	int allow_remote;
	char *socket;
	char *socket_mode;
	int64_t workers;
	char *api_prefix;
	char *base_url;
	int log_level;
	int webhook_auth;
	char *webhook_secret;
	char *fal_jwks;
	char *standard_secret;
	char *publish_keys;
	char *runpod_actions;
	char *runpod_key, *runpod_url;
	int64_t run_deadline, reconcile_after, submit_for, unknown_for;
	int resubmit;
	int64_t runner_rate, runner_parallel, runner_timeout;
	int start_auth;
	int64_t max_input;
	int64_t max_body, max_bodies;
	int64_t max_calls;
	char *spool;
	int64_t body_timeout;
	int events_auth;
	int jwt_alg;
	char *jwt_key;
	char *jwt_issuer, *jwt_audience;
	char *jwt_cookie;
	int64_t max_tickets;
	char *cors_origins;
	int64_t heartbeat;
	int64_t lifetime;
	int64_t retry_min, retry_max;
	int64_t max_streams;
	int64_t lag_timeout;
	int64_t drain;
	int64_t inline_output;
	int64_t keep_days, keep_progress, keep_events;
	int64_t poll;
	int inotify;
	int hardening;
};

extern const struct opt_def settings_table[];

/*
 * Finds the configuration file (--config, JOBWIRE_CONFIG, else the default
 * where it exists: /etc/jobwire/jobwire.conf, of a CGI program jobwire.conf in
 * the folder above the one that holds it), loads everything; s->config names
 * the file where there is one. A CGI program is then in the folder of that
 * file, existing or not: relative paths begin there. flags: those that this
 * program has beside the settings; NULL: none. argc/argv as main() got them;
 * the arguments that
 * are no flags end up in argv[1..*ret_argc]. Errors as opt_load();
 * settings_done() afterwards in every case.
 */
CHECK_RESULT enum err settings_load(struct settings *s, enum program program,
    const struct opt_flags *flags, int argc, char **argv, int *ret_argc,
    struct buf *message);

void settings_done(struct settings *s);

/* Did a web server start this program for one CGI request? */
bool settings_is_cgi(enum program program);

/*
 * settings_load() for a program's main(), passing over the arguments of a CGI
 * request: sets the log level, answers --help and --version (with `usage`, the
 * text before the flags) and reports errors. Returns -1 when the program shall
 * go on, else the exit status it shall end with (0, or 2 for bad usage).
 */
int settings_main(struct settings *s, enum program program, const char *usage,
    const struct opt_flags *flags, int argc, char **argv, int *ret_argc);

/* For arguments that a program does not take: prints its usage on standard
 * error and returns the exit status for that, 2. */
int settings_misuse(const char *usage);

#endif
