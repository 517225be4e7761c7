/* SPDX-License-Identifier: ISC */
/*
 * For those who watch the responder: can it write, and what has it done.
 */
#include "hook/call.h"

/* The writer has to look: only it knows whether its file is still there. While
 * it waits for a lock, what it knows is answered at once. */
bool
health_prepare(struct hook_call *c)
{
	const struct commit_stats *stats = c->cfg->stats;

	c->commit.is_look = true;
	if (stats == NULL || stats->locked_since_us == 0)
		return true;
	c->commit.result = stats->state;
	health_conclude(c);
	return false;
}

/* A process for one request knows nothing yet. */
enum err
health_write(struct hook_call *c, struct db *db)
{
	return commit_look(
	    db, c->cfg->stats == NULL ? ERR_BUSY : c->cfg->stats->state);
}

void
health_conclude(struct hook_call *c)
{
	enum err e = c->commit.result;

	c->outcome = CALL_LOOKED;
	answer_json(&c->answer, e == OK ? 200 : 503);
	buf_addf(&c->answer.body, "{\"status\":\"%s\",\"database\":\"%s\"}\n",
	    e == OK ? "ok" : "failing", e == OK ? "ok" : err_text(e));
}

bool
metrics_prepare(struct hook_call *c)
{
	c->outcome = CALL_LOOKED;
	answer_header(&c->answer, "Content-Type",
	    "text/plain; version=0.0.4; charset=utf-8");
	answer_header(&c->answer, "Cache-Control", "no-store");
	c->cfg->format_metrics(c->cfg->arg, &c->answer.body);
	return false;
}
