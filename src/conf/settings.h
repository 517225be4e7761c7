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
	PROGRAM_RELAY = 64,	  /* jobwire-relay */
	PROGRAMS_CGI = PROGRAM_EVENTS_CGI | PROGRAM_WEBHOOK_CGI,
};

enum webhook_auth { WEBHOOK_AUTH_SIGNED, WEBHOOK_AUTH_NONE };
enum events_auth {
	EVENTS_AUTH_JOB_ID,
	EVENTS_AUTH_JWT,
	EVENTS_AUTH_TICKET,
	EVENTS_AUTH_SERVER,
};
enum cluster_ack { CLUSTER_ACK_LOCAL, CLUSTER_ACK_REPLICA };
enum resubmit { RESUBMIT_NEVER, RESUBMIT_ALWAYS };
enum start_auth { START_AUTH_KEY, START_AUTH_OWNER };
enum jwt_alg { JWT_ALG_HS256, JWT_ALG_RS256, JWT_ALG_ES256 };
enum inotify_use { INOTIFY_AUTO, INOTIFY_OFF };
enum checkpoint_use { CHECKPOINT_ON, CHECKPOINT_OFF };
enum allow_remote { ALLOW_REMOTE_OFF, ALLOW_REMOTE_ON };
enum hardening { HARDENING_ON, HARDENING_OFF };

/* Strings are owned by this structure and NULL when unset. */
struct settings {
	/* Of the command line alone. */
	bool help, version; /* say it and exit */
	bool check;	    /* check and show the settings, then exit */
	bool json;	    /* the command line prints JSON */
	bool once;	    /* the runner does what is due, then exits */
	/* Where things are. */
	char *config;	   /* the file that all this was read from */
	char *db;	   /* path of the database */
	int allow_remote;  /* enum allow_remote */
	char *socket;	   /* path, or HOST:PORT */
	char *socket_mode; /* octal digits */
	char *api_prefix;  /* what every path begins with: "/api/v1" */
	char *base_url;	   /* scheme, host and port, without a path */
	char *spool;	   /* folder of bodies too large for memory */
	int64_t workers;   /* processes (events) or threads (webhook) */
	int log_level;	   /* enum log_level */
	char *log_file;	   /* path; NULL: standard error as it is */
	int hardening;	   /* enum hardening */
	/* Who may write. Secrets are values or `@FILE`. */
	int webhook_auth; /* enum webhook_auth */
	char *webhook_secret, *publish_keys, *standard_secret; /* lists */
	char *fal_jwks;					       /* path */
	int64_t max_body;     /* bytes of one request body */
	int64_t max_bodies;   /* bytes of all that are held at once */
	int64_t max_calls;    /* that may wait for their turn */
	int64_t body_timeout; /* ms */
	int64_t inbox;	      /* refused calls that are kept; 0: none */
	/* Who may read. */
	int events_auth;		 /* enum events_auth */
	int jwt_alg;			 /* enum jwt_alg */
	char *jwt_key;			 /* secret or public keys */
	char *jwt_issuer, *jwt_audience; /* what tokens must say */
	char *jwt_cookie;		 /* name of a cookie */
	char *cors_origins;		 /* list, by commas */
	int64_t max_tickets;		 /* unused ones of a subject; 0: any */
	/* Runs. */
	char *runpod_actions;		       /* list of NAME=ENDPOINT */
	char *runpod_key;		       /* `@FILE` */
	char *runpod_url;		       /* where RunPod's API is */
	int64_t run_deadline, reconcile_after; /* ms */
	int64_t submit_for, unknown_for;       /* ms */
	int resubmit;			       /* enum resubmit */
	int64_t runner_rate;		       /* calls per second */
	int64_t runner_parallel;	       /* calls at once */
	int64_t runner_timeout;		       /* ms of one call */
	int start_auth;			       /* enum start_auth */
	int64_t max_input; /* bytes of a request that starts a job */
	/* A cluster. */
	int64_t cluster_wait; /* ms */
	char *redis_url;      /* list of URLs, or `@FILE` */
	char *node_id;	      /* this node's name */
	char *cluster_key;    /* prefix of the keys in Redis */
	int cluster_ack;      /* enum cluster_ack */
	/* Streams. */
	int64_t heartbeat, lifetime;  /* ms */
	int64_t retry_min, retry_max; /* ms; of a client's reconnecting */
	int64_t max_streams;	      /* per process; of CGI, in all */
	int64_t lag_timeout;	      /* ms that a client may be behind */
	int64_t drain;		      /* ms from a stop to the end */
	int64_t inline_output;	      /* bytes of an output in an event */
	/* The database. */
	int64_t keep_days;		    /* of finished jobs */
	int64_t keep_progress, keep_events; /* events per job */
	int64_t poll;			    /* ms between looks */
	int inotify;			    /* enum inotify_use */
	int checkpoint;			    /* enum checkpoint_use */
};

extern const struct opt_def settings_table[];

/*
 * Finds the configuration file (--config, JOBWIRE_CONFIG, else the default
 * where it exists: /etc/jobwire/jobwire.conf, of a CGI program jobwire.conf in
 * the folder above the one that holds it), loads everything; s->config names
 * the file where there is one. A CGI program is then in the folder of that
 * file, existing or not: relative paths begin there. flags: those that this
 * program has beside the settings; NULL: none. argc/argv as main() got them;
 * the arguments that are no flags end up in argv[1..*ret_argc]. Errors as
 * opt_load(), and ERR_NOENT where /proc does not tell a CGI program its own
 * place; settings_done() afterwards in every case.
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
