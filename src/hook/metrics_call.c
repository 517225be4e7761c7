/* SPDX-License-Identifier: ISC */
/*
 * GET /webhooks/metrics. The numbers are webhook_api.c's, and those of runs
 * come from run_metrics.c.
 */
#include "hook/routes.h"

static bool
prepare(struct call *c)
{
	c->outcome = CALL_LOOKED;
	answer_header(&c->answer, "Content-Type",
	    "text/plain; version=0.0.4; charset=utf-8");
	answer_header(&c->answer, "Cache-Control", "no-store");
	c->cfg->format_metrics(c->cfg->arg, &c->answer.body);
	return false;
}

const struct call_handler metrics_call = {.prepare = prepare};
