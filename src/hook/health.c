/* SPDX-License-Identifier: ISC */
/*
 * For those who watch the responder: can it write, and what has it done.
 */
#include "hook/call.h"

/* The writer has to look: only it knows whether its file is still there. */
bool
health_prepare(struct hook_call *c)
{
	(void)c;
	return true;
}

/* While all goes well an empty transaction tells a missing or locked database
 * and costs no fsync. In trouble only writing tells whether it is over, also
 * when no webhook comes. */
enum err
health_write(struct hook_call *c, struct db *db)
{
	const struct commit_stats *stats = c->cfg->stats;

	return stats == NULL || stats->is_failing ? db_probe(db) : OK;
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
