/* SPDX-License-Identifier: ISC */
/*
 * jobwire-events: the FastCGI responder that streams job events. Only wiring:
 * live/ holds the streams, web/ the transport, store/ the database, app/ the
 * start and the workers.
 */
#include <stdlib.h>
#include <unistd.h>

#include "app/service.h"
#include "app/workers.h"
#include "base/log.h"
#include "conf/settings.h"
#include "live/events_api.h"
#include "live/hub.h"

static const char usage[] =
    "usage: jobwire-events [--config FILE] [--socket PATH|HOST:PORT] ...\n"
    "Streams job events from the database to browsers, as a FastCGI\n"
    "responder. Listens on descriptor 0 when that is a socket, on LISTEN_FDS,\n"
    "or on --socket.\n";

enum { BODY_MAX = 65536 }; /* nothing that is read has a body */

struct start {
	struct settings settings;
	struct metrics *slots; /* one per worker */
	int listen_fd;
};

/* One worker. */
struct events {
	struct service service;
	struct events_api api;
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
start_hub(struct events *ev, const struct settings *s, struct metrics *slot)
{
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
	    .watch = s->inotify == INOTIFY_AUTO ? WATCH_FOLDER : WATCH_NOTHING,
	    .metrics = slot,
	};
	enum err e = hub_new(ev->service.loop, &cfg, &ev->api.hub);

	if (e != OK)
		log_error("cannot_start", "error", err_text(e));
	return e;
}

static int
work(void *arg, size_t index)
{
	struct start *p = arg;
	const struct settings *s = &p->settings;
	struct metrics *slot = &p->slots[index];
	struct events ev = {
	    .service = {.settings = s,
		.stats = &slot->fcgi,
		.max_body = BODY_MAX,
		.on_stop = on_stop,
		.on_request = on_request,
		.arg = &ev},
	    .api = {.auth = (enum events_auth)s->events_auth,
		.cors_origins = s->cors_origins,
		.slots = p->slots,
		.n_slots = (size_t)s->workers},
	};
	int status = EXIT_FAILURE;

	if (service_start(&ev.service, p->listen_fd) == OK &&
	    start_hub(&ev, s, slot) == OK)
		status = service_run(&ev.service, "jobwire-events");
	hub_free(&ev.api.hub);
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

	if (e != OK)
		service_log_fault(e, &fault);
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

	if (check_database(&p->settings) == OK &&
	    service_listen(&p->settings, &p->listen_fd) == OK &&
	    metrics_new(n, &p->slots) == OK)
		status = workers_run(n, p->slots, work, close_socket, p);
	metrics_free(&p->slots, n);
	return status;
}

int
main(int argc, char **argv)
{
	struct start p = {.listen_fd = -1};
	int n_args, status;

	status = settings_main(
	    &p.settings, PROGRAM_EVENTS, usage, argc, argv, &n_args);
	if (status < 0 && n_args > 0)
		status = settings_misuse(usage);
	if (status < 0 && p.settings.check)
		status = service_check(&p.settings, PROGRAM_EVENTS, DB_READ);
	if (status < 0)
		status = run(&p);
	settings_done(&p.settings);
	return status;
}
