/* SPDX-License-Identifier: ISC */
/*
 * The program that carries a node's writes into the cluster's log and applies
 * what the log has. Only wiring: relay/ does it. Blocks in relay_main().
 */
#include "app/relay.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "app/harden.h"
#include "app/relay_settings.h"
#include "app/service.h"
#include "base/log.h"
#include "relay/relay.h"

struct program_relay {
	struct settings settings;
	int argc;
	char **argv;
	struct redis_urls urls;
	struct loop *loop;
	struct relay *relay;
	bool is_failed;
};

/* Redis is reached anew with other URLs only: that needs a restart. */
static enum err
on_reload(void *arg, struct buf *message)
{
	(void)arg;
	(void)message;
	return OK;
}

static void
on_signal(void *arg, int signal)
{
	struct program_relay *p = arg;
	struct service sv = {.program = PROGRAM_RELAY,
	    .settings = &p->settings,
	    .argc = p->argc,
	    .argv = p->argv,
	    .on_reload = on_reload,
	    .arg = p};
	struct buf kept = BUF_INIT;

	if (signal == SIGUSR1) {
		service_reopen_log(&p->settings);
		return;
	}
	if (signal != SIGHUP) {
		log_info("stopping", "signal", LOG_INT(signal));
		relay_stop(p->relay);
		return;
	}
	if (service_reload(&sv, &kept) == OK)
		log_info("settings_reloaded", "needs_restart",
		    kept.len > 0 ? kept.data : NULL);
	buf_done(&kept);
}

static void
on_end(void *arg, bool is_good)
{
	struct program_relay *p = arg;

	p->is_failed = !is_good;
	loop_stop(p->loop);
}

static enum err
start(struct program_relay *p)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, 0};
	const struct settings *s = &p->settings;
	const struct relay_config cfg = {
	    .db_path = s->db,
	    .urls = &p->urls,
	    .node_id = s->node_id,
	    .key = s->cluster_key,
	    .wants_replica = s->cluster_ack == CLUSTER_ACK_REPLICA,
	    /* Programs that ring no bell are to be heard at once, too. */
	    .scope = s->inotify == INOTIFY_OFF ? WATCH_NOTHING : WATCH_FOLDER,
	    .poll_ms = s->poll,
	    .on_end = on_end,
	    .arg = p,
	};
	enum err e = loop_new(&p->loop);

	if (e == OK)
		e = loop_signals(p->loop, signals, on_signal, p);
	if (e == OK && s->hardening == HARDENING_ON)
		harden_apply(s, HARDEN_CONNECTS);
	if (e == OK)
		e = relay_new(p->loop, &cfg, &p->relay);
	if (e != OK)
		log_error("cannot_start", "error",
		    e == ERR_SYS ? strerror(errno) : err_text(e));
	return e;
}

static int
run(struct program_relay *p)
{
	enum err e = start(p);

	if (e == OK) {
		log_info(
		    "ready", "program", "jobwire-relay", "db", p->settings.db);
		e = loop_run(p->loop);
		log_info("stopped", "program", "jobwire-relay");
	}
	relay_free(&p->relay);
	loop_free(&p->loop);
	return e == OK && !p->is_failed ? EXIT_SUCCESS : EXIT_FAILURE;
}

static enum err
take_urls(struct program_relay *p)
{
	struct buf message = BUF_INIT;
	enum err e = relay_urls_load(&p->settings, &p->urls, &message);

	if (e != OK)
		log_error("bad_redis_url", "detail",
		    message.len > 0 ? message.data : err_text(e));
	buf_done(&message);
	return e;
}

int
relay_main(const char *usage, int argc, char **argv)
{
	struct program_relay p = {.argc = argc, .argv = argv};
	const struct settings *s = &p.settings;
	int n_args, status;

	status = settings_main(
	    &p.settings, PROGRAM_RELAY, usage, NULL, argc, argv, &n_args);
	if (status < 0 && n_args > 0)
		status = settings_misuse(usage);
	db_allow_remote(s->allow_remote == ALLOW_REMOTE_ON);
	if (status < 0 && take_urls(&p) != OK)
		status = EXIT_FAILURE;
	if (status < 0 && s->check)
		status = service_check(s, PROGRAM_RELAY, DB_WRITE);
	if (status < 0)
		status = run(&p);
	relay_urls_done(&p.urls);
	settings_done(&p.settings);
	return status;
}
