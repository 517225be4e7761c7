/* SPDX-License-Identifier: ISC */
/*
 * The program that takes webhooks, as a daemon, as a FastCGI process of the web
 * server, or for one CGI request. Only wiring: hook/ turns calls into rows,
 * web/ is the transport. Blocks in webhook_main().
 */
#include "app/webhook.h"

#include <stdlib.h>

#include "app/auth_settings.h"
#include "app/harden.h"
#include "app/service.h"
#include "base/log.h"
#include "hook/webhook_api.h"

enum { COMMIT_BUSY_MS = 5000 }; /* below what senders wait for an answer */

struct webhook {
	struct service service;
	struct transport_stats stats;
	struct webhook_config cfg;
	struct webhook_api *api;
	struct hook_keys keys; /* until the api has them */
	struct buf hardening;  /* as metrics */
	struct authenticator_stats authenticator_stats;
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
	const struct hook_keys_config config = auth_settings_hook(s);
	enum err e = hook_keys_load(
	    &config, &w->authenticator_stats, &w->keys, &message);

	if (e != OK)
		log_error("bad_secret", "detail",
		    message.len > 0 ? message.data : err_text(e));
	else if (w->keys.url.n == 0 && s->webhook_auth == WEBHOOK_AUTH_SIGNED)
		log_warn("webhook_secret_missing", "hint",
		    "webhooks at URLs that we would have to sign are refused: "
		    "set webhook_secret (16 bytes or more), or write "
		    "webhook_auth = none");
	buf_done(&message);
	return e;
}

static enum err
on_reload(void *arg, struct buf *message)
{
	struct webhook *w = arg;
	const struct hook_keys_config config =
	    auth_settings_hook(w->service.settings);
	struct hook_keys keys = {0};
	enum err e =
	    hook_keys_load(&config, &w->authenticator_stats, &keys, message);

	if (e == OK)
		e = webhook_api_set_keys(w->api, &keys);
	hook_keys_done(&keys);
	return e;
}

static void
configure(struct webhook *w, enum program program, struct settings *s, int argc,
    char **argv)
{
	w->service = (struct service){.program = program,
	    .settings = s,
	    .argc = argc,
	    .argv = argv,
	    .stats = &w->stats,
	    .max_body = (size_t)s->max_body,
	    .on_request = on_request,
	    .on_reload = on_reload,
	    .arg = w};
	w->cfg = (struct webhook_config){
	    .calls = {.base_url = s->base_url,
		.api_prefix = s->api_prefix,
		.cors_origins = s->cors_origins,
		.is_open = s->webhook_auth == WEBHOOK_AUTH_NONE,
		.inline_output = (size_t)s->inline_output,
		.actions = s->runpod_actions,
		.are_starters_owners = s->start_auth == START_AUTH_OWNER,
		.max_input = (size_t)s->max_input},
	    .db_path = s->db,
	    .transport = &w->stats,
	    .authenticator = &w->authenticator_stats,
	    .workers = (size_t)s->workers,
	    .max_calls = (size_t)s->max_calls,
	    .inbox = s->inbox,
	    .keep_days = s->keep_days,
	    .busy_ms = COMMIT_BUSY_MS,
	    .cluster_wait_ms = s->cluster_wait,
	    .leaves_wal = s->checkpoint == CHECKPOINT_OFF,
	    .is_brief = (program & PROGRAMS_CGI) != 0,
	};
}

static enum err
start_api(struct webhook *w)
{
	struct db_fault fault = {0};
	enum err e;

	harden_add_metrics(&w->hardening, "webhook");
	w->cfg.metrics = w->hardening.data;
	e = webhook_api_start(
	    w->service.loop, &w->cfg, &w->keys, &w->api, &fault);
	if (e != OK)
		service_log_fault(e, &fault);
	return e;
}

static int
run(struct webhook *w, const struct settings *s)
{
	int fd, status = EXIT_FAILURE;

	if (service_listen(s, w->service.program, &fd) == OK &&
	    service_start(&w->service, fd) == OK && start_api(w) == OK)
		status = service_run(&w->service, "jobwire-webhook");
	webhook_api_stop(&w->api);
	service_done(&w->service);
	buf_done(&w->hardening);
	return status;
}

int
webhook_main(enum program program, const char *usage, int argc, char **argv)
{
	struct settings s = {0};
	struct webhook w = {0};
	int n_args, status;

	status = settings_main(&s, program, usage, NULL, argc, argv, &n_args);
	if (status < 0 && n_args > 0)
		status = settings_misuse(usage);
	db_allow_remote(s.allow_remote == ALLOW_REMOTE_ON);
	if (status < 0 && load_keys(&w, &s) != OK)
		status = EXIT_FAILURE;
	if (status < 0 && s.check)
		status = service_check(&s, program, DB_WRITE);
	if (status < 0) {
		configure(&w, program, &s, argc, argv);
		status = run(&w, &s);
	}
	hook_keys_done(&w.keys);
	settings_done(&s);
	return status;
}
