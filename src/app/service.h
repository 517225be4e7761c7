/* SPDX-License-Identifier: ISC */
/*
 * What the long-lived programs share: from settings to a running loop and back
 * to a clean exit. Layer: app (above all others; below the programs).
 */
#ifndef JOBWIRE_SERVICE_H
#define JOBWIRE_SERVICE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "conf/settings.h"
#include "io/loop.h"
#include "store/janitor.h"
#include "web/cgi.h"
#include "web/fcgi.h"

struct service {
	enum program program; /* set by the program, as are: */
	struct settings *settings;
	int argc; /* with argv, as main() got them: for SIGHUP */
	char **argv;
	struct transport_stats *stats;
	size_t max_body; /* bytes of a request body */
	struct loop *loop;
	struct fcgi_server *server; /* one of these two */
	struct cgi *cgi;
	struct janitor *janitor;
	bool is_cut_short;     /* a CGI process was told to end */
	struct timer deadline; /* after a signal to stop */
	/* Set by the program; called once, when it shall finish what it has
	 * within settings->drain. May be NULL. */
	void (*on_stop)(void *arg);
	/* SIGHUP: load the keys that the settings name now. All are good, or
	 * those from before stay: an error, with *message. */
	enum err (*on_reload)(void *arg, struct buf *message);
	void (*on_request)(void *arg, struct exchange *x);
	void *arg;
};

/*
 * --check: shows the settings and opens the database for `mode`. Returns the
 * exit status.
 */
int service_check(
    const struct settings *s, enum program program, enum db_mode mode);

/*
 * Finds or makes the listening socket; -1 is that of a process that answers its
 * one CGI request instead. Logs what fails. Blocks the signals below
 * before: from when somebody can connect, a signal to stop waits for
 * service_run() and is lost neither to libfcgi's handlers nor to the default.
 * Raises the process's limit of descriptors as far as it may.
 * Where the settings say so, a program that is not a CGI program has then given
 * up what app/harden.h says. Call before there are threads.
 */
CHECK_RESULT enum err service_listen(
    const struct settings *s, enum program program, int *ret_fd);

/*
 * Makes the loop and the FastCGI server on listen_fd (takes it), or the CGI
 * transport on standard input and output; takes the signals (SIGTERM and SIGINT
 * stop, SIGHUP reloads, SIGUSR1 opens log_file again). A CGI program's database
 * gets its folder where that is missing. Logs what fails. service_done() in any
 * case.
 */
CHECK_RESULT enum err service_start(struct service *sv, int listen_fd);

/* Starts the janitor, says that it is ready, and turns until it is stopped. For
 * a CGI request: turns until that is over, then does a step of the janitor's.
 * Returns the exit status. Blocks. */
int service_run(struct service *sv, const char *name);

void service_done(struct service *sv);

/*
 * Opens log_file again, then reads the settings again, from where they came:
 * those that can change in a running program do, when on_reload() takes them.
 * *ret_kept gets the names of others that have changed and need a restart, and
 * of keys that systemd has copied at the start (LoadCredential=). On failure
 * all stay as they were, and the reason is logged. Who waits for the outcome
 * (io/reload_note.h) is told it. Needs program, settings, argc, argv, on_reload
 * and arg only. Blocks on the files.
 */
CHECK_RESULT enum err service_reload(struct service *sv, struct buf *ret_kept);

/* Opens the file that lines are logged to again, after it was moved away; where
 * that fails they go where they went, and one says why. Blocks on the disk. */
void service_reopen_log(const struct settings *s);

/* Logs why the database could not be opened. */
void service_log_fault(enum err e, const struct db_fault *fault);

#endif
