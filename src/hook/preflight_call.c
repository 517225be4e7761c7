/* SPDX-License-Identifier: ISC */
/*
 * OPTIONS of what pages call: what a browser asks before a page of another
 * origin may. Never blocks.
 */
#include "hook/routes.h"
#include "web/cors.h"

static bool
prepare(struct call *c)
{
	static const char methods[] = "POST, OPTIONS";

	c->answer.status = 204;
	answer_header(&c->answer, "Allow", methods);
	cors_add_preflight(&c->answer.headers, c->cfg->cors_origins,
	    c->request->origin, methods,
	    request_header(c->request, "access-control-request-headers"));
	c->outcome = CALL_LOOKED;
	return false;
}

const struct call_handler preflight_call = {.prepare = prepare};
