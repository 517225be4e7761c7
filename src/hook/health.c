/* SPDX-License-Identifier: ISC */
/*
 * For those who watch the responder: can it write, and what has it done.
 */
#include "hook/call.h"

static void
answer_health(struct hook_call *c, enum err e)
{
	c->outcome = CALL_IGNORED;
	answer_json(&c->answer, e == OK ? 200 : 503);
	buf_addf(&c->answer.body, "{\"status\":\"%s\",\"database\":\"%s\"}\n",
	    e == OK ? "ok" : "failing", e == OK ? "ok" : err_text(e));
}

/* While all goes well a look costs nothing. In trouble only writing tells
 * whether it is over, also when no webhook comes. */
bool
health_prepare(struct hook_call *c)
{
	if (c->cfg->stats == NULL || c->cfg->stats->is_failing)
		return true;
	answer_health(c, OK);
	return false;
}

enum err
health_write(struct hook_call *c, struct db *db)
{
	(void)c;
	return db_probe(db);
}

void
health_conclude(struct hook_call *c)
{
	answer_health(c, c->commit.result);
}

bool
metrics_prepare(struct hook_call *c)
{
	c->outcome = CALL_IGNORED;
	answer_header(&c->answer, "Content-Type",
	    "text/plain; version=0.0.4; charset=utf-8");
	answer_header(&c->answer, "Cache-Control", "no-store");
	c->cfg->format_metrics(c->cfg->arg, &c->answer.body);
	return false;
}
