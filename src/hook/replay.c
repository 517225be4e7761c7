/* SPDX-License-Identifier: ISC */
/*
 * Makes a request of what the inbox has kept, and carries it through the steps
 * of a call: what webhook_api.c does for one that comes, but without a loop.
 */
#include "hook/replay.h"

#include <string.h>

#include "base/clock.h"
#include "hook/call.h"
#include "hook/routes.h"
#include "store/mark.h"
#include "text/percent.h"

enum { VARIABLES = 5 };

/* One variable as a web server passes it; the buffers are added to once. */
static void
set_variable(struct buf *b, const char *name, const char *value)
{
	buf_addf(b, "%s=%s", name, value != NULL ? value : "");
}

static void
add_parameter(struct buf *query, const char *name, const char *value)
{
	if (value == NULL)
		return;
	buf_addf(query, "%s=", name);
	percent_encode(query, span_of(value));
	buf_add_char(query, '&');
}

static enum err
make_request(
    const struct inbox_call *call, const char *job_id, struct request *ret)
{
	struct buf v[VARIABLES] = {BUF_INIT}, query = BUF_INIT;
	const char *envp[VARIABLES + 1] = {0};
	bool is_ok = true;
	enum err e = ERR_NOMEM;

	add_parameter(&query, "job_id", job_id != NULL ? job_id : call->job_id);
	add_parameter(&query, "restore_id", call->restore_id);
	set_variable(&v[0], "REQUEST_METHOD", call->method);
	set_variable(&v[1], "PATH_INFO", call->path);
	set_variable(&v[2], "CONTENT_TYPE", call->content_type);
	set_variable(&v[3], "HTTP_WEBHOOK_ID", call->delivery_id);
	set_variable(&v[4], "QUERY_STRING", buf_span(&query).p);
	is_ok = buf_ok(&query);
	for (size_t i = 0; i < VARIABLES; i++) {
		envp[i] = v[i].data;
		is_ok = is_ok && buf_ok(&v[i]);
	}
	/* A prefix that is none: the path is one below it already. */
	if (is_ok)
		e = request_init(ret, "/", envp);
	if (e == OK)
		ret->body = call->body;
	for (size_t i = 0; i < VARIABLES; i++)
		buf_done(&v[i]);
	buf_done(&query);
	return e;
}

static void
write_call(struct call *c, struct db *db)
{
	enum err e = db_begin(db);

	if (e == OK)
		e = c->commit.write(&c->commit, db);
	c->commit.result = mark_end(db, e);
	if (c->commit.result == OK)
		memcpy(c->commit.epoch, db_epoch(db), DB_EPOCH_SIZE);
	call_conclude(c);
}

enum err
replay_call(struct db *db, size_t inline_output, const struct inbox_call *call,
    const char *job_id, int *ret_status, struct buf *ret_body)
{
	const struct call_config cfg = {
	    .is_open = true, .inline_output = inline_output};
	const struct hook_keys no_keys = {0};
	struct request request = {0};
	struct call *c = NULL;
	enum err e;

	if (call->body.n == 0)
		return ERR_NOENT;
	e = make_request(call, job_id, &request);
	if (e != OK)
		return e;
	c = call_new(&request, &cfg, &no_keys);
	e = c == NULL ? ERR_NOMEM : OK;
	if (e == OK) {
		if (call_prepare(c, routes_find(c), clock_real_ms() / 1000))
			write_call(c, db);
		*ret_status = c->answer.status;
		buf_add_span(ret_body, buf_span(&c->answer.body));
	}
	call_free(&c);
	request_done(&request);
	return e;
}
