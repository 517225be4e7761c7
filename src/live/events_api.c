/* SPDX-License-Identifier: ISC */
/*
 * Routes reading requests, checks their parameters and who may read; then
 * stream.c or poll.c goes on. Runs on the loop; blocks as far as reading the
 * database does.
 */
#include "live/events_api.h"

#include <stdbool.h>
#include <string.h>

#include "auth/authenticator.h"
#include "base/clock.h"
#include "job/name.h"
#include "live/cursor.h"
#include "live/early.h"
#include "live/job_json.h"
#include "live/monitoring.h"
#include "live/poll.h"
#include "live/stream.h"
#include "store/jobs.h"
#include "store/runs.h"
#include "text/decimal.h"
#include "web/accept.h"
#include "web/cors.h"
#include "web/query.h"
#include "web/refusal.h"
#include "web/sse.h"

enum {
	WAIT_MAX_S = 55, /* web servers give up after 60 s of silence */
	/* For a ticket, on others who write. The browser client begins to doubt
	 * a stream after 3 s of silence. */
	LOCK_WAIT_US = 2000 * 1000,
	/* As in hook/commit.c, for all who wait together. */
	LOCK_RETRY_MIN_US = 500,
	LOCK_RETRY_MAX_US = 1500,
};

#define METHODS "GET, HEAD, OPTIONS"

/* One request on its way through this file. */
struct call {
	struct events_api *api;
	struct exchange *x;
	const struct request *r;
	struct reader reader;
	int64_t since_us;  /* when it came, the first time */
	bool wants_stream; /* an EventSource, as far as one can tell */
};

/* --- Answers -------------------------------------------------------------- */

static void
reply(struct call *c, struct answer *a)
{
	refusal_count(&hub_config(c->api->hub)->metrics->refused, a->code);
	cors_add(&a->headers, c->api->cors_origins, c->r->origin);
	c->x->ops->answer(c->x, a);
	answer_done(a);
}

static void
refuse_as(struct call *c, const struct refusal *why)
{
	struct answer a = ANSWER_INIT;

	refusal_answer(why, &a);
	if (why->status == 405)
		answer_header(&a, "Allow", METHODS);
	reply(c, &a);
}

static void
refuse(struct call *c, int status, const char *code, const char *message)
{
	const struct refusal why = {status, code, message, NULL, 0};

	refuse_as(c, &why);
}

/* It cannot be said now. */
static void
refuse_trouble(struct call *c, enum err e)
{
	struct answer a = ANSWER_INIT;

	if (c->wants_stream)
		stream_refuse(c->api->hub, e, &a);
	else
		refusal_answer(refusal_of(REFUSAL_OF_READ, e), &a);
	reply(c, &a);
}

static void
refuse_err(struct call *c, enum err e)
{
	if (e == ERR_AUTH)
		refuse_as(c, refusal_of(REFUSAL_OF_READ, e));
	else
		refuse_trouble(c, e);
}

/* --- Parameters ----------------------------------------------------------- */

/* The jobs a request names: in its path, or as job_id=.. in its query. */
struct job_list {
	struct buf text; /* terminated names, one after the other */
	size_t starts[JOB_IDS_MAX];
	const char *ids[JOB_IDS_MAX];
	size_t n;
	bool is_bad, is_long;
};

static void
job_list_add(struct job_list *list, struct span id)
{
	if (!job_id_ok(id)) {
		list->is_bad = true;
		return;
	}
	for (size_t i = 0; i < list->n; i++)
		if (span_eq_str(id, list->text.data + list->starts[i]))
			return;
	if (list->n == JOB_IDS_MAX) {
		list->is_long = true;
		return;
	}
	list->starts[list->n++] = list->text.len;
	buf_add_span(&list->text, id);
	buf_add_char(&list->text, '\0');
	if (list->text.failed)
		list->n--;
}

static void
job_list_read(struct job_list *list, const char *path_id, const char *query)
{
	struct span rest = span_of(query);
	struct buf name = BUF_INIT, value = BUF_INIT;

	if (path_id != NULL)
		job_list_add(list, span_of(path_id));
	while (path_id == NULL && query_next(&rest, &name, &value))
		if (span_eq_str(buf_span(&name), "job_id"))
			job_list_add(list, buf_span(&value));
	list->text.failed = list->text.failed || name.failed || value.failed;
	buf_done(&name);
	buf_done(&value);
	for (size_t i = 0; i < list->n; i++)
		list->ids[i] = list->text.data + list->starts[i];
}

/* Does the list stand, and may the request read every job on it? Answers when
 * not. */
static bool
job_list_check(struct call *c, const struct job_list *list)
{
	enum err e = list->text.failed ? ERR_NOMEM : OK;

	if (list->is_bad) {
		refuse_as(c, &refusal_bad_job_id);
		return false;
	}
	if (list->is_long) {
		refuse(c, 400, "too_many_jobs",
		    "One stream carries at most 64 jobs.");
		return false;
	}
	for (size_t i = 0; i < list->n && e == OK; i++)
		e = reader_check_job(
		    &c->reader, hub_db(c->api->hub), list->ids[i]);
	if (e == OK && list->n == 0 && reader_owner(&c->reader) == NULL) {
		refuse(c, 403, "owner_unknown",
		    "A stream of all jobs of an owner needs an authenticated "
		    "owner; name the jobs with job_id=");
		return false;
	}
	if (e != OK)
		refuse_err(c, e);
	return e == OK;
}

/* The form of the answer. ERR_PROTO: none that this client takes; ERR_NOMEM. */
static enum err
choose_form(const struct request *r, bool *ret_json)
{
	enum accept json = accept_find(r->accept, "application/json");
	enum accept sse = accept_find(r->accept, "text/event-stream");
	struct buf format = BUF_INIT;
	enum err e = OK;

	if (query_get(span_of(r->query), "format", &format)) {
		json = span_eq_str(buf_span(&format), "json") ? ACCEPT_NAMED
							      : ACCEPT_NOT;
		sse = span_eq_str(buf_span(&format), "sse") ? ACCEPT_NAMED
							    : ACCEPT_NOT;
	}
	if (!buf_ok(&format))
		e = ERR_NOMEM;
	else if (json == ACCEPT_NOT && sse == ACCEPT_NOT)
		e = ERR_PROTO;
	buf_done(&format);
	*ret_json = json > sse;
	return e;
}

/* wait=SECONDS, 0 to WAIT_MAX_S; 0 when missing. ERR_PROTO, ERR_NOMEM. */
static enum err
read_wait(const struct request *r, int64_t *ret_ms)
{
	struct buf text = BUF_INIT;
	int64_t n = 0;
	enum err e = OK;

	if (query_get(span_of(r->query), "wait", &text) &&
	    (decimal_read(buf_span(&text), &n) != OK || n > WAIT_MAX_S))
		e = ERR_PROTO;
	if (!buf_ok(&text))
		e = ERR_NOMEM;
	buf_done(&text);
	*ret_ms = n * 1000;
	return e;
}

/* Last-Event-ID; or last_event_id, as the JSON form calls it; or lastEventId,
 * which event-source-polyfill and reconnecting-eventsource send. */
static struct span
last_event_id(const struct request *r, struct buf *scratch)
{
	if (*r->last_event_id != '\0')
		return span_of(r->last_event_id);
	/* The second would forget that the first had no memory. */
	if (!query_get(span_of(r->query), "last_event_id", scratch) &&
	    buf_ok(scratch))
		(void)query_get(span_of(r->query), "lastEventId", scratch);
	return buf_span(scratch);
}

/* --- Routes --------------------------------------------------------------- */

static void
open_events(struct call *c, const struct job_list *jobs, bool wants_json,
    int64_t wait_ms)
{
	struct buf id = BUF_INIT, beat = BUF_INIT, headers = BUF_INIT;
	struct waiter_request req = {
	    .sel = {jobs->ids, jobs->n, NULL},
	    .last_event_id = last_event_id(c->r, &id),
	    .wait_ms = wait_ms,
	    .session = c->reader.has_session ? &c->reader.session : NULL,
	};

	if (jobs->n == 0)
		req.sel.owner = reader_owner(&c->reader);
	req.wants_beat_event =
	    query_get(span_of(c->r->query), "heartbeat", &beat) &&
	    span_eq_str(buf_span(&beat), "event");
	cors_add(&headers, c->api->cors_origins, c->r->origin);
	req.headers = buf_span(&headers);
	if (id.failed || beat.failed || headers.failed)
		refuse_err(c, ERR_NOMEM);
	else if (wants_json)
		poll_open(c->api->hub, c->x, &req);
	else
		stream_open(c->api->hub, c->x, &req);
	buf_done(&id);
	buf_done(&beat);
	buf_done(&headers);
}

/* HEAD: what GET would begin with, without opening a stream. */
static void
answer_head(struct call *c, bool is_json)
{
	struct answer a = ANSWER_INIT;

	if (is_json)
		answer_json(&a, 200);
	else
		buf_add_str(&a.headers, SSE_HEADERS);
	reply(c, &a);
}

static void
handle_events(struct call *c, const char *path_id)
{
	struct job_list jobs = {0};
	bool wants_json;
	int64_t wait_ms;
	enum err form = choose_form(c->r, &wants_json);
	enum err wait = read_wait(c->r, &wait_ms);

	job_list_read(&jobs, path_id, c->r->query);
	if (form == ERR_NOMEM || wait == ERR_NOMEM)
		refuse_trouble(c, ERR_NOMEM);
	else if (form != OK)
		refuse(c, 406, "not_acceptable",
		    "This path gives text/event-stream or application/json.");
	else if (wait != OK)
		refuse(c, 400, "bad_wait",
		    "wait is a whole number of seconds from 0 to 55.");
	else if (!job_list_check(c, &jobs))
		; /* answered */
	else if (strcmp(c->r->method, "HEAD") == 0)
		answer_head(c, wants_json);
	else
		open_events(c, &jobs, wants_json, wait_ms);
	buf_done(&jobs.text);
}

/* And its newest run; *ret_run has the number 0 where there is none. */
static enum err
read_job(
    struct db *db, const char *job_id, struct job *ret, struct run *ret_run)
{
	enum err e = db == NULL ? ERR_GONE : jobs_get(db, job_id, ret);

	if (e != OK)
		return e;
	e = runs_of_job(db, job_id, ret_run);
	return e == ERR_NOENT ? OK : e;
}

static void
handle_job(struct call *c, const char *path_id)
{
	struct hub *h = c->api->hub;
	struct answer a = ANSWER_INIT;
	struct job job = {0};
	struct run run = {0};
	enum err e;

	if (path_id == NULL || !job_id_ok(span_of(path_id))) {
		refuse_as(c, &refusal_bad_job_id);
		return;
	}
	e = reader_check_job(&c->reader, hub_db(h), path_id);
	if (e == OK)
		e = read_job(hub_db(h), path_id, &job, &run);
	if (e == OK) {
		answer_json(&a, 200);
		job_json_add(
		    &a.body, hub_epoch(h), &job, run.run_id == 0 ? NULL : &run);
		reply(c, &a);
	} else if (e == ERR_NOENT) {
		refuse(c, 404, "unknown_job", "There is no such job.");
	} else {
		refuse_err(c, e);
	}
	job_done(&job);
	run_done(&run);
}

static void
handle_health(struct call *c, const char *path_id)
{
	struct answer a = ANSWER_INIT;

	(void)path_id;
	monitoring_health(c->api->hub, c->r->query, &a);
	reply(c, &a);
}

static void
handle_metrics(struct call *c, const char *path_id)
{
	struct answer a = ANSWER_INIT;

	(void)path_id;
	monitoring_metrics(c->api->slots, c->api->n_slots, c->api->metrics,
	    hub_config(c->api->hub)->db_path, &a);
	reply(c, &a);
}

static void
handle_options(struct call *c)
{
	struct answer a = ANSWER_INIT;

	a.status = 204;
	answer_header(&a, "Allow", METHODS);
	cors_add_preflight(&a.headers, c->api->cors_origins, c->r->origin,
	    METHODS, request_header(c->r, "access-control-request-headers"));
	c->x->ops->answer(c->x, &a);
	answer_done(&a);
}

static const struct route {
	const char *path;
	bool is_open; /* without authentication */
	void (*get)(struct call *c, const char *path_id);
} routes[] = {
    {"/events", false, handle_events},
    {"/jobs", false, handle_job},
    {"/healthz", true, handle_health},
    {"/metrics", true, handle_metrics},
};

/* The route, and what stands behind its slash (NULL: nothing). */
static const struct route *
find_route(const char *path, const char **ret_id)
{
	size_t n;

	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		n = strlen(routes[i].path);
		if (strncmp(path, routes[i].path, n) != 0)
			continue;
		*ret_id = path[n] == '/' ? path + n + 1 : NULL;
		if (path[n] == '\0' || (path[n] == '/' && !routes[i].is_open))
			return &routes[i];
	}
	return NULL;
}

static void handle(void *arg, struct exchange *x, int64_t since_us);

/* Its ticket cannot be taken, for others write. Does it wait? Then the exchange
 * is taken, and comes again. */
static bool
wait_for_lock(struct call *c)
{
	struct hub *h = c->api->hub;
	struct early_queue *q = hub_early(h);
	int64_t now_us = clock_mono_us(), end_us = c->since_us + LOCK_WAIT_US;
	int64_t due_us = now_us + random_between(LOCK_RETRY_MIN_US,
				      LOCK_RETRY_MAX_US * (1 + (int64_t)q->n));

	if (due_us > end_us) /* where thousands wait */
		due_us = end_us;
	return now_us < end_us && !hub_is_draining(h) &&
	       early_park(q, c->x, INT64_MAX, due_us, c->since_us, handle,
		   c->api) == OK;
}

/* Lets the request in, or answers it, or lets it wait. */
static bool
authenticate(struct call *c)
{
	struct refusal why;
	enum err e =
	    authenticator_identify(c->api->authenticator, hub_db(c->api->hub),
		c->r, clock_real_ms() / 1000, &c->reader, &why);

	if (e == ERR_AUTH)
		refuse_as(c, &why);
	else if (e != OK && !(e == ERR_AGAIN && wait_for_lock(c)))
		refuse_trouble(c, e);
	if (e == ERR_READONLY) /* of who takes tickets */
		hub_reopen_later(c->api->hub);
	return e == OK;
}

/* --- Requests that come too early ----------------------------------------- */

/* Does it need what the log has still to bring: events up to *ret_id, or 0 and
 * its ticket? Before it is authenticated, which uses the ticket up. */
static bool
is_early(struct call *c, bool is_about_events, int64_t *ret_id)
{
	struct buf id = BUF_INIT;
	bool is_ahead = false;

	*ret_id = 0;
	/* What fails here is told when it is answered. */
	if (is_about_events &&
	    cursor_is_ahead(
		c->api->hub, last_event_id(c->r, &id), &is_ahead, ret_id) != OK)
		is_ahead = false;
	buf_done(&id);
	return is_ahead || authenticator_lacks_ticket(c->api->authenticator,
			       c->r, clock_real_ms() / 1000);
}

/* Does it wait? Then the exchange is taken, and comes again. */
static bool
wait_for_log(struct call *c, bool is_about_events)
{
	struct hub *h = c->api->hub;
	int64_t until_us = c->since_us + hub_config(h)->cluster_wait_ms * 1000;
	int64_t id;

	if (hub_db(h) == NULL || !db_is_clustered(hub_db(h)))
		return false;
	return clock_mono_us() < until_us && !hub_is_draining(h) &&
	       is_early(c, is_about_events, &id) &&
	       early_park(hub_early(h), c->x, id, until_us, c->since_us, handle,
		   c->api) == OK;
}

/* --- Requests ------------------------------------------------------------- */

void
events_api_request(struct events_api *api, struct exchange *x)
{
	handle(api, x, clock_mono_us());
}

static void
handle(void *arg, struct exchange *x, int64_t since_us)
{
	struct call c = {
	    .api = arg, .x = x, .r = x->request, .since_us = since_us};
	const char *path_id = NULL;
	const struct route *route = find_route(c.r->route, &path_id);
	bool wants_json;

	if (c.r->body_error != OK) {
		refuse_as(&c, refusal_of(REFUSAL_OF_BODY, c.r->body_error));
		return;
	}
	if (route == NULL) {
		refuse_as(&c, &refusal_not_found);
		return;
	}
	c.wants_stream = route->get == handle_events &&
			 choose_form(c.r, &wants_json) == OK && !wants_json;
	if (strcmp(c.r->method, "OPTIONS") == 0)
		handle_options(&c);
	else if (strcmp(c.r->method, "GET") != 0 &&
		 strcmp(c.r->method, "HEAD") != 0)
		refuse(&c, 405, "method_not_allowed",
		    "This path is read with GET.");
	else if (!route->is_open &&
		 wait_for_log(&c, route->get == handle_events))
		return;
	else if (route->is_open || authenticate(&c))
		route->get(&c, path_id);
	reader_done(&c.reader);
}
