/* SPDX-License-Identifier: ISC */
/*
 * The program that submits jobs, as a daemon or for what is due now. Only
 * wiring: runner/ does it. Blocks in runner_main().
 */
#include "app/runner.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "app/harden.h"
#include "app/service.h"
#include "base/clock.h"
#include "base/container_of.h"
#include "base/log.h"
#include "io/loop.h"
#include "runner/runner.h"

enum {
	KEY_MIN = 8,	     /* bytes of an API key */
	STOP_GRACE_MS = 500, /* after runner_timeout */
};

struct program_runner {
	struct settings settings;
	int argc;
	char **argv;
	struct work_keys keys; /* until the runner has them */
	struct loop *loop;
	struct runner *runner;
	struct timer deadline; /* after a signal to stop */
	enum err result;
};

static enum err
load_keys(const struct settings *s, struct work_keys *ret, struct buf *message)
{
	struct work_keys keys = {0};
	enum err e;

	if (s->runpod_key == NULL) {
		buf_add_str(message, "runpod_key is not set");
		return ERR_NOENT;
	}
	e = secrets_load_min(s->runpod_key, KEY_MIN, &keys.provider, message);
	if (e == OK && !span_is_plain(keys.provider.keys[0])) {
		buf_addf(message, "%s: a key is one line of text",
		    s->runpod_key + 1);
		e = ERR_PROTO;
	}
	if (e == OK)
		e = secrets_load(s->webhook_secret, &keys.url, message);
	if (e == OK)
		*ret = keys;
	else
		work_keys_done(&keys);
	return e;
}

static enum err
on_reload(void *arg, struct buf *message)
{
	struct program_runner *p = arg;
	struct work_keys keys;
	enum err e = load_keys(&p->settings, &keys, message);

	if (e == OK)
		runner_set_keys(p->runner, &keys);
	return e;
}

static void
on_hangup(struct program_runner *p)
{
	struct service sv = {.program = PROGRAM_RUNNER,
	    .settings = &p->settings,
	    .argc = p->argc,
	    .argv = p->argv,
	    .on_reload = on_reload,
	    .arg = p};
	struct buf kept = BUF_INIT;

	if (service_reload(&sv, &kept) == OK)
		log_info("keys_reloaded", "needs_restart",
		    kept.len > 0 ? kept.data : NULL);
	buf_done(&kept);
}

static void
on_deadline(struct timer *t)
{
	struct program_runner *p =
	    container_of(t, struct program_runner, deadline);

	log_warn("stop_cut_short", "detail",
	    "what was being submitted is unknown now");
	loop_stop(p->loop);
}

static void
on_signal(void *arg, int signal)
{
	struct program_runner *p = arg;
	int64_t wait_ms = p->settings.runner_timeout + STOP_GRACE_MS;

	if (signal == SIGHUP) {
		on_hangup(p);
		return;
	}
	if (signal == SIGUSR1) {
		service_reopen_log(&p->settings);
		return;
	}
	if (p->deadline.slot != 0 || /* a second signal: now */
	    timer_set(p->loop, &p->deadline,
		clock_mono_us() + wait_ms * 1000) != OK) {
		loop_stop(p->loop);
		return;
	}
	log_info("stopping", "signal", LOG_INT(signal));
	runner_stop(p->runner);
}

static void
on_idle(void *arg, enum err e)
{
	struct program_runner *p = arg;

	p->result = e;
	loop_stop(p->loop);
}

static enum err
start(struct program_runner *p)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, 0};
	const struct settings *s = &p->settings;
	const struct runner_config cfg = {
	    .work = {.api = &runpod_api,
		.url = s->runpod_url,
		.actions = s->runpod_actions,
		.site = {s->base_url, s->api_prefix},
		.rules = {s->run_deadline, s->reconcile_after, s->submit_for,
		    s->unknown_for, s->resubmit == RESUBMIT_ALWAYS},
		.inline_output = (size_t)s->inline_output},
	    .db_path = s->db,
	    .scope = s->inotify == INOTIFY_OFF ? WATCH_NOTHING : WATCH_BELL,
	    .poll_ms = s->poll,
	    .rate = s->runner_rate,
	    .parallel = s->runner_parallel,
	    .timeout_ms = s->runner_timeout,
	    .is_once = s->once,
	    .on_idle = on_idle,
	    .arg = p,
	};
	enum err e = loop_new(&p->loop);

	p->deadline.on_due = on_deadline;
	if (e == OK)
		e = loop_signals(p->loop, signals, on_signal, p);
	if (e == OK && s->hardening == HARDENING_ON)
		harden_apply(s, HARDEN_CONNECTS);
	if (e == OK)
		e = runner_new(p->loop, &cfg, &p->keys, &p->runner);
	if (e != OK)
		log_error("cannot_start", "error",
		    e == ERR_SYS ? strerror(errno) : err_text(e));
	return e;
}

static int
run(struct program_runner *p)
{
	enum err e = start(p);

	if (e == OK) {
		if (p->keys.url.n == 0 && p->settings.webhook_secret == NULL)
			log_warn("webhook_secret_missing", "hint",
			    "jobs are submitted without a webhook, so each end "
			    "is heard of late: set webhook_secret");
		log_info(
		    "ready", "program", "jobwire-runner", "db", p->settings.db);
		e = loop_run(p->loop);
		log_info("stopped", "program", "jobwire-runner");
	}
	runner_free(&p->runner);
	loop_free(&p->loop);
	return e == OK && p->result == OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static enum err
take_keys(struct program_runner *p)
{
	struct buf message = BUF_INIT;
	enum err e = load_keys(&p->settings, &p->keys, &message);

	if (e != OK)
		log_error("bad_secret", "detail",
		    message.len > 0 ? message.data : err_text(e));
	buf_done(&message);
	return e;
}

int
runner_main(const char *usage, int argc, char **argv)
{
	struct program_runner p = {.argc = argc, .argv = argv};
	const struct settings *s = &p.settings;
	int n_args, status;

	status = settings_main(
	    &p.settings, PROGRAM_RUNNER, usage, NULL, argc, argv, &n_args);
	if (status < 0 && n_args > 0)
		status = settings_misuse(usage);
	db_allow_remote(s->allow_remote == ALLOW_REMOTE_ON);
	if (status < 0 && take_keys(&p) != OK)
		status = EXIT_FAILURE;
	if (status < 0 && s->check)
		status = service_check(s, PROGRAM_RUNNER, DB_WRITE);
	if (status < 0)
		status = run(&p);
	work_keys_done(&p.keys);
	settings_done(&p.settings);
	return status;
}
