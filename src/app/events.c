/* SPDX-License-Identifier: ISC */
/*
 * The program that streams job events, as a daemon, as a FastCGI process of the
 * web server, or for one CGI request. Only wiring: live/ holds the streams,
 * web/ the transports, store/ the database; service.c and workers.c start and
 * stop. Blocks in events_main().
 */
#include "app/events.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/auth_settings.h"
#include "app/harden.h"
#include "app/service.h"
#include "app/workers.h"
#include "base/log.h"
#include "io/places.h"
#include "live/events_api.h"
#include "live/hub.h"
#include "web/accept.h"

enum {
	BODY_MAX = 65536, /* nothing that is read has a body */
	BUSY_MS = 20,	  /* readers of a WAL hardly ever wait; the base poll
			     tries again */
	/* The only client waits anyway, and while others open the database,
	 * too, one of them reads the WAL. */
	CGI_BUSY_MS = 2000,
	CGI_PAGE_BYTES = 256 << 10, /* a stream reads each page once */
};

struct start {
	enum program program;
	int argc; /* as main() got them */
	char **argv;
	struct settings settings;
	struct metrics *slots; /* one per worker */
	struct buf hardening;  /* as metrics */
	int listen_fd;
};

/* One worker. */
struct events {
	struct service service;
	struct authenticator authenticator;
	struct events_api api;
	struct places *places; /* NULL: max_streams is ours alone */
};

static void
on_request(void *arg, struct exchange *x)
{
	struct events *ev = arg;

	events_api_request(&ev->api, x);
}

static void
on_stop(void *arg)
{
	struct events *ev = arg;

	hub_drain(ev->api.hub);
}

static enum err
on_reload(void *arg, struct buf *message)
{
	struct events *ev = arg;
	const struct authenticator_config config =
	    auth_settings_reader(ev->service.settings);
	struct authenticator made;
	enum err e = authenticator_init(
	    &made, &config, ev->authenticator.stats, message);

	authenticator_done(e == OK ? &ev->authenticator : &made);
	if (e == OK)
		ev->authenticator = made;
	return e;
}

static enum err
load_authenticator(struct authenticator *a, const struct settings *s,
    struct authenticator_stats *stats)
{
	const struct authenticator_config config = auth_settings_reader(s);
	struct buf message = BUF_INIT;
	enum err e = authenticator_init(a, &config, stats, &message);

	if (e != OK)
		log_error("bad_jwt_key", "detail",
		    message.len > 0 ? message.data : err_text(e));
	buf_done(&message);
	return e;
}

/* Finds bad keys before there are workers that would die of them. */
static enum err
check_keys(const struct settings *s)
{
	struct authenticator_stats stats = {0};
	struct authenticator a;
	enum err e = load_authenticator(&a, s, &stats);

	authenticator_done(&a);
	return e;
}

static enum err
try_keys(void *arg, struct buf *message)
{
	const struct start *p = arg;
	const struct authenticator_config config =
	    auth_settings_reader(&p->settings);
	struct authenticator_stats stats = {0};
	struct authenticator a;
	enum err e = authenticator_init(&a, &config, &stats, message);

	authenticator_done(&a);
	return e;
}

/* In the parent of the workers: one that takes another's place begins with the
 * settings as they are now. Each worker logs its own line; where the settings
 * are bad, they only write it to the file that is there now. */
static int
signal_parent(void *arg, int signal)
{
	struct start *p = arg;
	struct service sv = {.program = p->program,
	    .settings = &p->settings,
	    .argc = p->argc,
	    .argv = p->argv,
	    .on_reload = try_keys,
	    .arg = p};
	struct buf kept = BUF_INIT;
	enum err e = ERR_GONE;

	if (signal == SIGHUP)
		e = service_reload(&sv, &kept);
	else
		service_reopen_log(&p->settings);
	buf_done(&kept);
	return e == OK ? SIGHUP : SIGUSR1;
}

static enum watch_scope
watch_scope(const struct start *p)
{
	if (p->settings.inotify == INOTIFY_OFF)
		return WATCH_NOTHING;
	return (p->program & PROGRAMS_CGI) != 0 ? WATCH_BELL : WATCH_FOLDER;
}

/* Without places a CGI program is full: it must not use up the account's
 * processes. */
static enum err
open_places(struct events *ev, const struct settings *s)
{
	enum err e = places_open(s->db, (size_t)s->max_streams, &ev->places);

	if (e != OK)
		log_error("no_places", "db", s->db, "error",
		    e == ERR_SYS ? strerror(errno) : err_text(e));
	return e;
}

static enum err
start_hub(struct events *ev, const struct start *p, struct metrics *slot)
{
	const struct settings *s = &p->settings;
	bool is_cgi = (p->program & PROGRAMS_CGI) != 0;
	struct hub_config cfg = {
	    .db_path = s->db,
	    .heartbeat_ms = s->heartbeat,
	    .lifetime_ms = s->lifetime,
	    .retry_min_ms = s->retry_min,
	    .retry_max_ms = s->retry_max,
	    .max_streams = s->max_streams,
	    .lag_timeout_ms = s->lag_timeout,
	    .drain_ms = s->drain,
	    .inline_output = s->inline_output,
	    .poll_ms = s->poll,
	    .watch = watch_scope(p),
	    .db_mode = is_cgi ? DB_CREATE : DB_READ,
	    .busy_ms = is_cgi ? CGI_BUSY_MS : BUSY_MS,
	    .cluster_wait_ms = s->cluster_wait,
	    .metrics = slot,
	};
	enum err e = OK;

	if (is_cgi)
		db_limit_memory(CGI_PAGE_BYTES);
	if (is_cgi && open_places(ev, s) != OK)
		cfg.max_streams = 0;
	cfg.places = ev->places;
	e = hub_new(ev->service.loop, &cfg, &ev->api.hub);
	if (e != OK)
		log_error("cannot_start", "error", err_text(e));
	return e;
}

static int
work(void *arg, size_t index)
{
	struct start *p = arg;
	struct settings *s = &p->settings;
	struct metrics *slot = &p->slots[index];
	struct events ev = {
	    .service = {.program = p->program,
		.settings = s,
		.argc = p->argc,
		.argv = p->argv,
		.stats = &slot->fcgi,
		.max_body = BODY_MAX,
		.on_stop = on_stop,
		.on_reload = on_reload,
		.on_request = on_request,
		.arg = &ev},
	    .api = {.authenticator = &ev.authenticator,
		.cors_origins = s->cors_origins,
		.slots = p->slots,
		.n_slots = (size_t)s->workers,
		.metrics = p->hardening.data},
	};
	int status = EXIT_FAILURE;

	if (load_authenticator(&ev.authenticator, s, &slot->authenticator) ==
		OK &&
	    service_start(&ev.service, p->listen_fd) == OK &&
	    start_hub(&ev, p, slot) == OK)
		status = service_run(&ev.service, "jobwire-events");
	hub_free(&ev.api.hub);
	authenticator_done(&ev.authenticator);
	places_close(&ev.places);
	service_done(&ev.service);
	return status;
}

/* Finds a bad database before there are workers that would die of it. */
static enum err
check_database(const struct settings *s)
{
	struct db_fault fault = {0};
	struct db *db = NULL;
	enum err e = db_open(s->db, DB_READ, 1000, &db, &fault);
	const char *remote = NULL;

	if (e == OK && s->allow_remote == ALLOW_REMOTE_OFF)
		remote = db_is_remote(s->db);
	if (e != OK)
		service_log_fault(e, &fault);
	else if (remote != NULL)
		log_warn("database_remote", "filesystem", remote, "hint",
		    "put it on a local disk: SQLite's locks and shared memory "
		    "do not hold here");
	db_close(&db);
	return e;
}

/* In the parent of the workers, which have their own. */
static void
close_socket(void *arg)
{
	struct start *p = arg;

	(void)close(p->listen_fd);
}

static int
run(struct start *p)
{
	size_t n = (size_t)p->settings.workers;
	int status = EXIT_FAILURE;

	if ((p->program != PROGRAM_EVENTS ||
		check_database(&p->settings) == OK) &&
	    service_listen(&p->settings, p->program, &p->listen_fd) == OK &&
	    metrics_new(n, &p->slots) == OK) {
		harden_add_metrics(&p->hardening, "events");
		status = workers_run(
		    n, p->slots, work, signal_parent, close_socket, p);
	}
	metrics_free(&p->slots, n);
	buf_done(&p->hardening);
	return status;
}

/* A mistake in the settings is mended while clients wait: to one that gives up
 * for good on an error status, "not now" is said. */
static void
say_later(void)
{
	const char *accept = getenv("HTTP_ACCEPT");

	if (accept_find(accept, "text/event-stream") == ACCEPT_NAMED)
		(void)fputs("Content-Type: text/event-stream\r\n"
			    "Cache-Control: no-store\r\n\r\n"
			    "retry: 30000\n: This server is not set up.\n",
		    stdout);
}

int
events_main(enum program program, const char *usage, int argc, char **argv)
{
	struct start p = {
	    .program = program, .argc = argc, .argv = argv, .listen_fd = -1};
	int n_args, status;

	status = settings_main(
	    &p.settings, program, usage, NULL, argc, argv, &n_args);
	if (status < 0 && n_args > 0)
		status = settings_misuse(usage);
	db_allow_remote(p.settings.allow_remote == ALLOW_REMOTE_ON);
	if (status < 0 && check_keys(&p.settings) != OK)
		status = EXIT_FAILURE;
	if (status > 0 && settings_is_cgi(program))
		say_later();
	if (status < 0 && p.settings.check)
		status = service_check(&p.settings, program, DB_READ);
	if (status < 0)
		status = run(&p);
	settings_done(&p.settings);
	return status;
}
