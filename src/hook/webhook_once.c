/* SPDX-License-Identifier: ISC */
/*
 * Serves a call without threads and queues. What it means is call.c's business;
 * blocks in webhook_once_request().
 */
#include "hook/webhook_once.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "hook/call.h"
#include "io/bell.h"
#include "io/status.h"

static void
write_call(struct hook_call *c, const struct webhook_config *cfg)
{
	struct bell bell = BELL_INIT;
	struct db_fault fault = {0};
	struct db *db = NULL;
	enum err e =
	    db_open(cfg->db_path, DB_CREATE, cfg->busy_ms, &db, &fault);

	/* A folder that is missing is a database that is. */
	c->commit.result = e == ERR_NOENT ? ERR_GONE : e;
	if (e == OK) {
		e = commit_alone(db, &c->commit);
		fault = *db_last_fault(db);
	}
	/* The health of all (io/status.h) can do without. */
	(void)!status_write(cfg->db_path, false, e == OK ? "ok" : err_text(e));
	if (c->commit.result == OK && bell_open(cfg->db_path, &bell) == OK)
		bell_ring(&bell);
	bell_close(&bell);
	call_conclude(c);
	if (c->outcome == CALL_FAILED)
		log_error("commit_failed", "path", cfg->db_path, "error",
		    err_text(c->commit.result), "sqlite", fault.text);
	db_close(&db);
}

static void
format_metrics(void *arg, struct buf *out)
{
	(void)arg;
	buf_add_str(out, "# A process per request counts nothing.\n");
}

void
webhook_once_request(void *once, struct exchange *x)
{
	const struct webhook_once *o = once;
	struct hook_config hook = {.base_url = o->cfg->base_url,
	    .api_prefix = o->cfg->api_prefix,
	    .is_open = o->cfg->is_open,
	    .inline_output = o->cfg->inline_output,
	    .cors_origins = o->cfg->cors_origins,
	    .format_metrics = format_metrics};
	struct hook_call *c = call_new(x->request, &hook, o->keys);

	if (c == NULL) {
		call_answer_memory(x);
		return;
	}
	c->x = x;
	c->began_us = clock_mono_us();
	call_set_id(c, (uint32_t)clock_real_ms(), (uint64_t)getpid());
	if (call_prepare(c, clock_real_ms() / 1000))
		write_call(c, o->cfg);
	call_answer(&c);
}
