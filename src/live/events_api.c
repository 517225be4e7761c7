/* SPDX-License-Identifier: ISC */
/*
 * Routes reading requests, checks their parameters and who may read. Streams
 * and their JSON form are begun in stream_open.c. Runs on the loop; blocks as
 * far as reading the database does.
 */
#include "live/events_api.h"

#include <stdbool.h>
#include <string.h>

#include "auth/authenticator.h"
#include "base/clock.h"
#include "text/decimal.h"
#include "io/status.h"
#include "job/name.h"
#include "live/poll.h"
#include "live/stream.h"
#include "store/jobs.h"
#include "web/accept.h"
#include "web/cors.h"
#include "text/json_text.h"
#include "web/query.h"
#include "web/refusal.h"
#include "web/sse.h"

enum { WAIT_MAX_S = 55 }; /* web servers give up after 60 s of silence */

#define METHODS "GET, HEAD, OPTIONS"

/* One request on its way through this file. */
struct call {
	struct events_api *api;
	struct exchange *x;
	const struct request *r;
	struct reader reader;
	bool wants_stream; /* an EventSource, as far as one can tell */
};

/* --- Answers -------------------------------------------------------------- */

static void
reply(struct call *c, struct answer *a)
{
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
	struct stream_request req = {.wants_json = false};
	struct buf headers = BUF_INIT;

	if (c->wants_stream) {
		cors_add(&headers, c->api->cors_origins, c->r->origin);
		req.headers = buf_span(&headers);
		stream_refuse(c->api->hub, c->x, &req, e);
		buf_done(&headers);
	} else {
		refuse_as(c, refusal_of(REFUSAL_OF_READ, e));
	}
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
		e = reader_check_job(&c->reader, c->api->hub->db, list->ids[i]);
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

/* Last-Event-ID, or one of the two query parameters that polyfills use. */
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
open_stream(struct call *c, const struct job_list *jobs, bool wants_json,
    int64_t wait_ms)
{
	struct buf id = BUF_INIT, beat = BUF_INIT, headers = BUF_INIT;
	struct stream_request req = {
	    .sel = {jobs->ids, jobs->n, NULL},
	    .last_event_id = last_event_id(c->r, &id),
	    .wants_json = wants_json,
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

	if (is_json) {
		answer_json(&a, 200);
	} else {
		answer_header(
		    &a, "Content-Type", "text/event-stream; charset=utf-8");
		answer_header(&a, "Cache-Control", "no-cache, no-transform");
		answer_header(&a, "X-Accel-Buffering", "no");
	}
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
		open_stream(c, &jobs, wants_json, wait_ms);
	buf_done(&jobs.text);
}

static void
add_string_member(struct buf *b, const char *name, const char *value)
{
	buf_addf(b, "\"%s\":", name);
	if (value == NULL)
		buf_add_str(b, "null");
	else
		json_text_add_quoted(b, span_of(value));
	buf_add_char(b, ',');
}

/* A stored JSON text; the schema does not check `output`, so we do. */
static void
add_json_member(struct buf *b, const char *name, const char *text)
{
	struct span value;

	buf_addf(b, "\"%s\":", name);
	if (text == NULL || json_text_check(span_of(text), &value) != OK)
		buf_add_str(b, "null");
	else
		json_text_add_line(b, value);
	buf_add_char(b, ',');
}

static void
add_job(struct buf *b, const char *epoch, const struct job *j)
{
	char id[SSE_ID_SIZE];

	buf_add_char(b, '{');
	add_string_member(b, "job_id", j->job_id);
	add_string_member(b, "restore_id", j->restore_id);
	add_string_member(b, "state", job_state_name(j->state));
	add_json_member(b, "progress", j->progress);
	add_json_member(b, "output", j->output);
	add_string_member(b, "created_at", j->created_at);
	add_string_member(b, "updated_at", j->updated_at);
	sse_id_format(epoch, j->last_event_id, 0, id);
	buf_addf(b, "\"last_event_id\":\"%s\"}\n", id);
}

static void
handle_job(struct call *c, const char *path_id)
{
	struct hub *h = c->api->hub;
	struct answer a = ANSWER_INIT;
	struct job job = {0};
	enum err e;

	if (path_id == NULL || !job_id_ok(span_of(path_id))) {
		refuse_as(c, &refusal_bad_job_id);
		return;
	}
	e = reader_check_job(&c->reader, h->db, path_id);
	if (e == OK)
		e = h->db == NULL ? ERR_GONE : jobs_get(h->db, path_id, &job);
	if (e == OK) {
		answer_json(&a, 200);
		add_job(&a.body, h->epoch, &job);
		reply(c, &a);
	} else if (e == ERR_NOENT) {
		refuse(c, 404, "unknown_job", "There is no such job.");
	} else {
		refuse_err(c, e);
	}
	job_done(&job);
}

/* Is the health asked of the whole installation? */
static bool
wants_all(const struct request *r)
{
	struct buf all = BUF_INIT;
	bool is_wanted = query_get(span_of(r->query), "all", &all) &&
			 span_eq_str(buf_span(&all), "1");

	buf_done(&all);
	return is_wanted;
}

/* How the writing half is, by its own word. True: it is well. */
static bool
add_writer(struct buf *b, const char *db_path)
{
	struct status s = {.text = "away"};
	char at[CLOCK_RFC3339_SIZE];
	bool is_known = status_read(db_path, clock_real_ms(), &s) == OK;

	buf_add_str(b, ",\"writer\":");
	json_text_add_quoted(b, span_of(s.text));
	clock_rfc3339(s.at_ms, at);
	buf_add_str(b, ",\"writer_at\":");
	if (is_known)
		json_text_add_quoted(b, span_of(at));
	else
		buf_add_str(b, "null");
	return strcmp(s.text, "ok") == 0;
}

/* For load balancers: can streams be served? And where that is asked, can all
 * the rest? */
static void
handle_health(struct call *c, const char *path_id)
{
	const struct hub *h = c->api->hub;
	bool can_read = hub_is_well(h), is_well = can_read;
	struct buf writer = BUF_INIT;
	struct answer a = ANSWER_INIT;

	(void)path_id;
	if (wants_all(c->r))
		is_well = add_writer(&writer, h->cfg.db_path) && can_read;
	answer_json(&a, is_well ? 200 : 503);
	buf_addf(&a.body,
	    "{\"status\":\"%s\",\"database\":\"%s\",\"watcher\":\"%s\","
	    "\"lagging\":%llu",
	    is_well ? "ok" : "failing", can_read ? "ok" : "unavailable",
	    h->cfg.metrics->watch.is_blind ? "polling" : "inotify",
	    (unsigned long long)h->stats->lagging);
	buf_add_span(&a.body, buf_span(&writer));
	buf_add_str(&a.body, "}\n");
	a.body.failed = a.body.failed || writer.failed;
	buf_done(&writer);
	reply(c, &a);
}

static void
handle_metrics(struct call *c, const char *path_id)
{
	struct answer a = ANSWER_INIT;

	(void)path_id;
	answer_header(
	    &a, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
	answer_header(&a, "Cache-Control", "no-store");
	metrics_format(c->api->slots, c->api->n_slots, &a.body);
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

/* Lets the request in, or answers it. */
static bool
authenticate(struct call *c)
{
	struct refusal why;
	enum err e = authenticator_identify(c->api->authenticator,
	    c->api->hub->db, c->r, clock_real_ms() / 1000, &c->reader, &why);

	if (e == ERR_AUTH)
		refuse_as(c, &why);
	else if (e != OK)
		refuse_trouble(c, e);
	return e == OK;
}

void
events_api_request(struct events_api *api, struct exchange *x)
{
	struct call c = {.api = api, .x = x, .r = x->request};
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
	else if (route->is_open || authenticate(&c))
		route->get(&c, path_id);
	reader_done(&c.reader);
}
