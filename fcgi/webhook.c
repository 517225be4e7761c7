/* SPDX-License-Identifier: ISC */
/*
 * jobwire-webhook: the FastCGI responder that takes webhooks. Only wiring:
 * hook/ turns calls into rows, web/ is the transport.
 */
#include <stdlib.h>

#include "app/service.h"
#include "base/log.h"
#include "conf/settings.h"
#include "hook/webhook_api.h"

static const char usage[] =
    "usage: jobwire-webhook [--config FILE] [--socket PATH|HOST:PORT] ...\n"
    "Takes webhooks and stores them as job events, as a FastCGI responder.\n"
    "Answers 200 only when the event is on the disk. Listens on descriptor 0\n"
    "when that is a socket, on LISTEN_FDS, or on --socket.\n";

enum { COMMIT_BUSY_MS = 5000 }; /* below what senders wait for an answer */

struct webhook {
	struct service service;
	struct fcgi_stats stats;
	struct webhook_api *api;
	struct hook_keys keys; /* until the api has them */
};

static void
on_request(void *arg, struct exchange *x)
{
	struct webhook *w = arg;

	webhook_api_request(w->api, x);
}

static enum err
load_keys(struct webhook *w, const struct settings *s)
{
	struct buf message = BUF_INIT;
	enum err e = hook_keys_load(s, &w->keys, &message);

	if (e != OK)
		log_error("bad_secret", "detail",
		    message.len > 0 ? message.data : err_text(e));
	else if (w->keys.url.n == 0 && s->webhook_auth == WEBHOOK_AUTH_SIGNED)
		log_warn("webhook_secret_missing", "hint",
		    "all webhooks are refused: set webhook_secret (16 bytes or "
		    "more), or write webhook_auth = none");
	buf_done(&message);
	return e;
}

static enum err
start_api(struct webhook *w, const struct settings *s)
{
	struct webhook_config cfg = {
	    .db_path = s->db,
	    .base_url = s->base_url,
	    .api_prefix = s->api_prefix,
	    .transport = &w->stats,
	    .is_open = s->webhook_auth == WEBHOOK_AUTH_NONE,
	    .inline_output = (size_t)s->inline_output,
	    /* One more, so that a long body never has the last of them. */
	    .workers = (size_t)s->workers + 1,
	    .busy_ms = COMMIT_BUSY_MS,
	};
	struct db_fault fault = {0};
	enum err e =
	    webhook_api_start(w->service.loop, &cfg, &w->keys, &w->api, &fault);

	if (e != OK)
		service_log_fault(e, &fault);
	return e;
}

static int
run(struct webhook *w, const struct settings *s)
{
	int fd, status = EXIT_FAILURE;

	if (service_listen(s, PROGRAM_WEBHOOK, &fd) == OK &&
	    service_start(&w->service, fd) == OK && start_api(w, s) == OK)
		status = service_run(&w->service, "jobwire-webhook");
	webhook_api_stop(&w->api);
	service_done(&w->service);
	return status;
}

int
main(int argc, char **argv)
{
	struct settings s = {0};
	struct webhook w = {0};
	int n_args, status;

	status = settings_main(&s, PROGRAM_WEBHOOK, usage, argc, argv, &n_args);
	if (status < 0 && n_args > 0)
		status = settings_misuse(usage);
	if (status < 0 && load_keys(&w, &s) != OK)
		status = EXIT_FAILURE;
	if (status < 0 && s.check)
		status = service_check(&s, PROGRAM_WEBHOOK, DB_WRITE);
	if (status < 0) {
		w.service.program = PROGRAM_WEBHOOK;
		w.service.settings = &s;
		w.service.stats = &w.stats;
		w.service.max_body = (size_t)s.max_body;
		w.service.on_request = on_request;
		w.service.arg = &w;
		status = run(&w, &s);
	}
	hook_keys_done(&w.keys);
	settings_done(&s);
	return status;
}
