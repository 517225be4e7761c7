/* SPDX-License-Identifier: ISC */
/*
 * Start, stop and wiring of a responder. What it answers is given by the
 * program. Blocks in service_run().
 */
#include "app/service.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/harden.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/container_of.h"
#include "base/file.h"
#include "base/log.h"
#include "intent/retention.h"
#include "io/reload_note.h"
#include "io/sock.h"
#include "store/checkpoint.h"

enum {
	JANITOR_INTERVAL_MS = 1000,
	WAL_LIMIT_BYTES = 7 << 20, /* more than the webhook writer's own, or
				      both would want the lock at once */
	/* Without another connection open, whoever opens the database reads
	 * the WAL whole: so does each CGI process. */
	CGI_WAL_LIMIT_BYTES = 1 << 20,
	EXIT_GRACE_MS = 500, /* after drain, whatever is still open */
};

void
service_log_fault(enum err e, const struct db_fault *fault)
{
	log_error("database_unusable", "error", err_text(e), "detail",
	    fault->text[0] != '\0' ? fault->text : NULL);
}

void
service_reopen_log(const struct settings *s)
{
	if (s->log_file != NULL && log_open(s->log_file) != OK)
		log_warn("log_file_kept", "path", s->log_file, "error",
		    strerror(errno));
}

/* Those that are in systemd's folder: it copies them when the service starts,
 * so that a new key is seen by the next one alone. */
static void
add_copied_keys(const struct service *sv, struct buf *kept)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");

	for (const struct opt_def *d = settings_table;
	     folder != NULL && d->name != NULL; d++) {
		const char *const *value = (const char *const *)(const void
			*)((const char *)sv->settings + d->offset);

		if (d->secret && (d->programs & sv->program) != 0 &&
		    *value != NULL && strstr(*value, folder) != NULL)
			buf_addf(kept, "%s%s (a copy of systemd's)",
			    kept->len > 0 ? ", " : "", d->name);
	}
}

enum err
service_reload(struct service *sv, struct buf *ret_kept)
{
	struct buf message = BUF_INIT, kept = BUF_INIT;
	struct settings now = {0};
	int n_args;
	enum err e;

	service_reopen_log(sv->settings);
	e = settings_load(
	    &now, sv->program, NULL, sv->argc, sv->argv, &n_args, &message);
	if (e == OK) {
		opt_swap(
		    settings_table, sv->program, sv->settings, &now, &kept);
		e = sv->on_reload(sv->arg, &message);
		if (e != OK) {
			buf_reset(&kept);
			opt_swap(settings_table, sv->program, sv->settings,
			    &now, &kept);
		}
	}
	if (e == OK) {
		add_copied_keys(sv, &kept);
		buf_add_span(ret_kept, buf_span(&kept));
	} else if (message.len == 0) {
		buf_add_str(&message, err_text(e));
	}
	if (e != OK)
		log_error("keys_kept", "detail", buf_span(&message).p);
	reload_note_add(
	    sv->settings->db, e == OK, buf_span(e == OK ? &kept : &message));
	log_set_level((enum log_level)sv->settings->log_level);
	settings_done(&now);
	buf_done(&kept);
	buf_done(&message);
	return e;
}

static void
on_hangup(struct service *sv)
{
	struct buf kept = BUF_INIT;

	if (service_reload(sv, &kept) == OK)
		log_info("keys_reloaded", "needs_restart",
		    kept.len > 0 ? kept.data : NULL);
	buf_done(&kept);
}

int
service_check(const struct settings *s, enum program program, enum db_mode mode)
{
	struct buf text = BUF_INIT;
	struct db_fault fault = {0};
	struct db *db = NULL;
	enum err e = db_open(s->db, mode, 1000, &db, &fault);

	opt_show(settings_table, program, s, &text);
	if (e == OK)
		buf_addf(&text, "database: ok, epoch %s\n", db_epoch(db));
	else if (e == ERR_NOENT && (program & PROGRAMS_CGI) != 0)
		buf_add_str(
		    &text, "database: none yet, the first request makes it\n");
	else
		buf_addf(&text, "database: %s\n",
		    fault.text[0] != '\0' ? fault.text : err_text(e));
	if (buf_ok(&text))
		(void)fwrite(text.data, 1, text.len, stdout);
	buf_done(&text);
	db_close(&db);
	return e == OK || (e == ERR_NOENT && (program & PROGRAMS_CGI) != 0)
		   ? EXIT_SUCCESS
		   : EXIT_FAILURE;
}

static void
on_idle(void *arg)
{
	struct service *sv = arg;

	loop_stop(sv->loop);
}

static void
on_request(void *arg, struct exchange *x)
{
	struct service *sv = arg;

	sv->on_request(sv->arg, x);
}

static void
on_deadline(struct timer *t)
{
	struct service *sv = container_of(t, struct service, deadline);

	log_warn("stop_cut_short", "connections", LOG_INT(sv->stats->open));
	loop_stop(sv->loop);
}

static void
on_signal(void *arg, int signal)
{
	struct service *sv = arg;
	int64_t wait_ms = sv->settings->drain + EXIT_GRACE_MS;

	if (signal == SIGHUP || signal == SIGUSR1) {
		if (signal == SIGUSR1)
			service_reopen_log(sv->settings);
		else if (sv->cgi == NULL)
			on_hangup(sv);
		return;
	}
	if (sv->cgi != NULL) { /* mostly, nobody reads the answer any more */
		sv->is_cut_short = true;
		loop_stop(sv->loop);
		return;
	}
	if (sv->deadline.slot != 0) { /* a second signal: now */
		loop_stop(sv->loop);
		return;
	}
	log_info("stopping", "signal", LOG_INT(signal), "connections",
	    LOG_INT(sv->stats->open));
	if (timer_set(sv->loop, &sv->deadline,
		clock_mono_us() + wait_ms * 1000) != OK)
		loop_stop(sv->loop);
	if (sv->on_stop != NULL)
		sv->on_stop(sv->arg);
	fcgi_server_stop(sv->server, sv->settings->drain);
}

/* The soft limit is low for the sake of select(2), which nothing here uses. */
static void
raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static const int our_signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, 0};

enum err
service_listen(const struct settings *s, enum program program, int *ret_fd)
{
	mode_t mode = (mode_t)strtoul(s->socket_mode, NULL, 8);
	struct buf message = BUF_INIT;
	sigset_t set;
	enum err e;

	(void)sigemptyset(&set);
	for (const int *sig = our_signals; *sig != 0; sig++)
		(void)sigaddset(&set, *sig);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	raise_descriptors();
	e = sock_listen(s->socket, mode, ret_fd, &message);
	if (e == ERR_NOENT && settings_is_cgi(program)) {
		*ret_fd = -1;
		e = OK;
	}
	if (e != OK)
		log_error("cannot_listen", "detail",
		    message.len > 0 ? message.data : err_text(e));
	else if ((program & PROGRAMS_CGI) == 0 && s->hardening == HARDENING_ON)
		harden_apply(s, HARDEN_ANSWERS);
	buf_done(&message);
	return e;
}

/* Nobody else may be there to make it. Should it fail, the database will say
 * what is missing. */
static void
make_folder(const char *db_path)
{
	struct buf folder = BUF_INIT;

	file_add_folder(&folder, db_path);
	if (buf_ok(&folder))
		(void)mkdir(folder.data, 0700);
	buf_done(&folder);
}

enum err
service_start(struct service *sv, int listen_fd)
{
	const struct settings *s = sv->settings;
	struct transport_config cfg = {
	    .prefix = s->api_prefix,
	    .body = {sv->max_body, (uint64_t)s->max_bodies, s->spool,
		&sv->stats->body_bytes},
	    .body_timeout_ms = s->body_timeout,
	    .send_timeout_ms = s->lag_timeout,
	    .stats = sv->stats,
	    .on_request = on_request,
	    .on_idle = on_idle,
	    .arg = sv,
	};
	enum err e = loop_new(&sv->loop);

	sv->deadline.on_due = on_deadline;
	if ((sv->program & PROGRAMS_CGI) != 0)
		make_folder(s->db);
	if (e == OK && listen_fd == -1)
		e = cgi_new(sv->loop, (const char *const *)environ,
		    STDIN_FILENO, STDOUT_FILENO, &cfg, &sv->cgi);
	else if (e == OK)
		e = fcgi_server_new(sv->loop, listen_fd, &cfg, &sv->server);
	/* After FCGX_Init(), which replaces handlers. */
	if (e == OK)
		e = loop_signals(sv->loop, our_signals, on_signal, sv);
	if (e != OK)
		log_error("cannot_start", "error",
		    e == ERR_SYS ? strerror(errno) : err_text(e));
	return e;
}

static void
on_janitor_fault(void *arg, const struct db_fault *fault)
{
	(void)arg;
	if (fault == NULL)
		log_info("janitor_recovered", "detail", "maintenance goes on");
	else
		log_warn("janitor_failing", "code", LOG_INT(fault->code),
		    "detail", fault->text);
}

/* After the answer: nobody waits for this process any more. */
static int
run_cgi(struct service *sv, const struct janitor_config *cfg)
{
	enum err e = loop_run(sv->loop);

	if (e != OK)
		log_error("failed", "error", err_text(e));
	else if (!sv->is_cut_short)
		janitor_step(cfg);
	return e == OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
service_run(struct service *sv, const char *name)
{
	const struct settings *s = sv->settings;
	struct janitor_config cfg = {
	    .post = intent_post_retention,
	    .db_path = s->db,
	    .keep = {s->keep_days, s->keep_progress, s->keep_events},
	    .wal_limit_bytes =
		sv->cgi != NULL ? CGI_WAL_LIMIT_BYTES : WAL_LIMIT_BYTES,
	    .wal_bytes = sv->cgi != NULL ? 0 : DB_WAL_BYTES,
	    .interval_ms = JANITOR_INTERVAL_MS,
	    .on_fault = on_janitor_fault,
	    .arg = sv,
	};
	enum err e;

	if (s->checkpoint == CHECKPOINT_OFF) {
		cfg.wal_limit_bytes = CHECKPOINT_NEVER;
		cfg.wal_bytes = 0;
	}
	if (sv->cgi != NULL)
		return run_cgi(sv, &cfg);
	e = janitor_start(&cfg, &sv->janitor);
	if (e == OK) {
		log_info("ready", "program", name, "db", s->db);
		e = loop_run(sv->loop);
	}
	if (e != OK)
		log_error("failed", "error", err_text(e));
	log_info("stopped", "program", name);
	return e == OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

void
service_done(struct service *sv)
{
	janitor_stop(&sv->janitor);
	fcgi_server_free(&sv->server);
	cgi_free(&sv->cgi);
	loop_free(&sv->loop);
}
