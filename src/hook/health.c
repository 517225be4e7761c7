/* SPDX-License-Identifier: ISC */
/*
 * For those who watch the responder: can it write, and what has it done.
 */
#include "hook/call.h"

/* At once, as far as it is known. */
bool
health_prepare(struct hook_call *c)
{
	if (c->cfg->look == NULL)
		return true;
	c->commit.result = c->cfg->look(c->cfg->arg);
	health_conclude(c);
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
