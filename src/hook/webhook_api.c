/* SPDX-License-Identifier: ISC */
/*
 * Carries calls from the loop to the writer, the long ones by way of a thread;
 * counts them. What a call means is in the files of the handlers (routes.h);
 * call.c answers and logs it.
 */
#include "hook/webhook_api.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/container_of.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/queue.h"
#include "hook/call_inbox.h"
#include "hook/cluster_health.h"
#include "hook/provider.h"
#include "hook/routes.h"
#include "hook/run_metrics.h"
#include "io/sheet.h"
#include "io/status.h"
#include "store/checkpoint.h"
#include "web/body.h"
#include "web/refusal_count.h"

enum {
	/* Bytes. A longer body is parsed on a thread, or all others would wait
	 * for it: this one takes about half a millisecond. */
	SHORT_MAX = 64 << 10,
	TICK_US = 1000000,
	/* From two thirds on the WAL is copied beside the commits; a disk that
	 * does not keep up with them makes them wait here. What is left of
	 * DB_WAL_BYTES takes a usual batch. */
	WAL_LIMIT_BYTES = 6 << 20,
};

/* Keys, with all that hold them: whoever has them in force, and each call that
 * came meanwhile. Taken and dropped on the loop's thread only. */
struct key_set {
	struct hook_keys keys;
	size_t n_holders;
};

struct webhook_api {
	struct webhook_config cfg;
	struct loop *loop;
	struct committer *committer;
	struct pending *pending;
	struct queue work; /* to the parsing threads */
	struct queue done; /* back to the loop */
	pthread_t workers[WEBHOOK_WORKERS_MAX];
	size_t n_workers;
	struct key_set *keys; /* in force */
	struct timer tick;
	enum err told; /* the state that the status file has */
	int64_t told_us;
	uint32_t run_id; /* these two make request ids */
	uint64_t n_calls;
	size_t n_held;
	uint64_t outcomes[CALL_OUTCOMES];
	/* Of all calls, and of webhooks whose sender is known. */
	struct refusal_counts refused, refused_signed;
	struct histogram latency[PROVIDERS_MAX];
	int64_t shown_us;	  /* when the sheet was written */
	bool said_secret;	  /* the missing secret was logged */
	struct call_inbox *inbox; /* NULL: none */
};

static void
drop_keys(struct key_set *set)
{
	if (set == NULL || --set->n_holders > 0)
		return;
	hook_keys_done(&set->keys);
	free(set);
}

static struct key_set *
keys_of(const struct call *c)
{
	return container_of((uintptr_t)c->keys, struct key_set, keys);
}

/* Once, a refusal that comes of a missing secret is explained. */
static void
explain_refusal(struct webhook_api *api, const char *code)
{
	if (api->said_secret || strcmp(code, "webhook_secret_missing") != 0)
		return;
	api->said_secret = true;
	log_error("webhook_secret_missing", "hint",
	    "set webhook_secret (16 bytes or more), and standard_secret or "
	    "fal_jwks for senders that sign; or write webhook_auth = none to "
	    "take unsigned webhooks");
}

static void
note_refusal(struct webhook_api *api, const struct call *c)
{
	const char *code = c->answer.code;

	if (code == NULL)
		return;
	explain_refusal(api, code);
	refusal_count(&api->refused, code);
	if (c->is_signed)
		refusal_count(&api->refused_signed, code);
}

static void
note_latency(struct webhook_api *api, const struct call *c)
{
	const struct provider *p;

	for (size_t i = 0; (p = provider_at(i)) != NULL; i++)
		if (p == c->provider)
			histogram_add(
			    &api->latency[i], clock_mono_us() - c->began_us);
}

/* Counts the call and answers it. */
static void
finish(struct webhook_api *api, struct call *c)
{
	struct key_set *keys = keys_of(c);

	api->n_held--;
	api->outcomes[c->outcome]++;
	note_refusal(api, c);
	note_latency(api, c);
	call_inbox_note(api->inbox, c);
	call_answer(&c);
	drop_keys(keys);
}

/* Where it cannot be told, the reading half calls us away. */
static void
tell_state(struct webhook_api *api)
{
	enum err state = committer_stats(api->committer)->state;
	int64_t now_us = loop_now_us(api->loop);

	if (api->told_us != 0 && api->told == state &&
	    now_us - api->told_us < STATUS_EVERY_MS * 1000LL)
		return;
	if (status_write(api->cfg.db_path, !api->cfg.is_brief,
		state == OK ? "ok" : err_text(state)) == OK) {
		api->told = state;
		api->told_us = now_us;
	}
}

static void
on_known(struct pending_item *item)
{
	struct call *c = container_of(item, struct call, pending);

	if (c->written.refusal != INTENT_ACCEPTED)
		c->commit.result = c->written.refusal == INTENT_INVALID
				       ? ERR_PROTO
				       : ERR_EXISTS;
	call_conclude(c);
	finish(c->carrier, c);
}

static void
on_committed(struct commit_item *item)
{
	struct call *c = container_of(item, struct call, commit);
	struct webhook_api *api = c->carrier;

	if (api->cfg.is_brief)
		tell_state(api);
	if (c->commit.result == OK && call_is_pending(c)) {
		c->pending.result = &c->written;
		c->pending.on_done = on_known;
		pending_add(api->pending, &c->pending);
		return;
	}
	call_conclude(c);
	finish(api, c);
}

static bool
is_full(const struct webhook_api *api)
{
	return api->n_held > api->cfg.max_calls;
}

static void
refuse_overload(struct webhook_api *api, struct call *c)
{
	(void)call_refuse_as(c, refusal_of(REFUSAL_OF_BODY, ERR_AGAIN));
	finish(api, c);
}

/* It is prepared. What need not wait is answered however many do: who watches
 * us has to see it. */
static void
go_on(struct webhook_api *api, struct call *c)
{
	c->commit.on_done = on_committed;
	if (!c->is_ready)
		finish(api, c);
	else if (is_full(api))
		refuse_overload(api, c);
	else
		committer_push(api->committer, &c->commit);
}

static void *
run_worker(void *arg)
{
	struct webhook_api *api = arg;
	struct queue_list list = STAILQ_HEAD_INITIALIZER(list);
	struct call *c;

	while (queue_pop(&api->work, &list, 1, true) > 0) {
		c = (struct call *)(void *)STAILQ_FIRST(&list);
		STAILQ_REMOVE_HEAD(&list, link);
		call_prepare(c, routes_find(c), clock_real_ms() / 1000);
		body_release_pages(
		    c->request->body, c->request->is_body_mapped);
		queue_push(&api->done, &c->link);
		loop_wake(api->loop);
	}
	return NULL;
}

static void
on_wake(void *arg)
{
	struct webhook_api *api = arg;
	struct queue_list list = STAILQ_HEAD_INITIALIZER(list);
	struct call *c;

	(void)queue_pop(&api->done, &list, SIZE_MAX, false);
	while (!STAILQ_EMPTY(&list)) {
		c = (struct call *)(void *)STAILQ_FIRST(&list);
		STAILQ_REMOVE_HEAD(&list, link);
		go_on(api, c);
	}
}

/* Only of a POST the body is read. */
static bool
is_long(const struct request *r)
{
	return r->body.n > SHORT_MAX && strcmp(r->method, "POST") == 0;
}

void
webhook_api_request(void *arg, struct exchange *x)
{
	struct webhook_api *api = arg;
	struct call *c =
	    call_new(x->request, &api->cfg.calls, &api->keys->keys);

	if (c == NULL) {
		api->outcomes[CALL_FAILED]++;
		call_answer_memory(x);
		return;
	}
	api->keys->n_holders++;
	api->n_held++;
	c->carrier = api;
	c->x = x;
	c->began_us = clock_mono_us();
	call_set_id(c, api->run_id, ++api->n_calls);
	if (api->n_workers == 0 || !is_long(x->request)) {
		call_prepare(c, routes_find(c), clock_real_ms() / 1000);
		go_on(api, c);
	} else if (is_full(api)) {
		refuse_overload(api, c);
	} else {
		queue_push(&api->work, &c->link);
	}
}

enum err
webhook_api_set_keys(struct webhook_api *api, struct hook_keys *keys)
{
	struct key_set *set = malloc(sizeof(*set));

	if (set == NULL)
		return ERR_NOMEM;
	*set = (struct key_set){*keys, 1};
	*keys = (struct hook_keys){0};
	drop_keys(api->keys);
	api->keys = set;
	api->said_secret = false;
	return OK;
}

static void
add_inbox(const struct call_inbox_stats *s, struct buf *out)
{
	metric_head(out, "inbox_calls_total", "counter",
	    "Refused calls, kept for the operator or passed over because they "
	    "came too fast.");
	buf_addf(out,
	    "jobwire_inbox_calls_total{outcome=\"kept\"} %" PRIu64 "\n"
	    "jobwire_inbox_calls_total{outcome=\"passed_over\"} %" PRIu64 "\n",
	    s->kept, s->passed_over);
}

static void
add_calls(const struct webhook_api *api, struct buf *out)
{
	const struct provider *p;

	metric_head(
	    out, "calls_total", "counter", "Inbound calls, by outcome.");
	for (size_t i = 0; i < CALL_OUTCOMES; i++)
		buf_addf(out,
		    "jobwire_calls_total{outcome=\"%s\"} %" PRIu64 "\n",
		    call_outcome_names[i], api->outcomes[i]);
	refusal_counts_add(out, "calls_refused_total",
	    "Calls refused or failed, by code.", &api->refused);
	refusal_counts_add(out, "webhooks_refused_total",
	    "Webhooks refused whose signature was good, by code.",
	    &api->refused_signed);
	metric_head(out, "webhook_seconds", "histogram",
	    "From a whole webhook to its answer, by service.");
	for (size_t i = 0; (p = provider_at(i)) != NULL; i++)
		metric_add_histogram_of(out, "webhook_seconds", "provider",
		    p->name, &api->latency[i]);
	if (api->inbox != NULL)
		add_inbox(call_inbox_stats(api->inbox), out);
}

static void
add_commits(const struct webhook_api *api, struct buf *out)
{
	const struct commit_stats *s = committer_stats(api->committer);

	metric_add(
	    out, "commits_total", "counter", "Transactions.", s->commits);
	metric_add(out, "commit_items_total", "counter",
	    "Calls that were committed in them.", s->items);
	metric_add(out, "commit_failures_total", "counter",
	    "Transactions that failed.", s->failures);
	metric_add_histogram(out, "commit_seconds",
	    "What transactions took, waiting for other writers included.",
	    &s->commit);
	metric_add(out, "commit_failing", "gauge",
	    "1 while the database cannot be written.", s->state != OK);
}

static void
add_transport(const struct webhook_api *api, struct buf *out)
{
	const struct transport_stats *t = api->cfg.transport;

	metric_add(out, "webhook_connections_open", "gauge",
	    "FastCGI connections that are open.", t->open);
	metric_add(out, "webhook_body_bytes", "gauge",
	    "Bytes of bodies, and of answers that clients are slow to take.",
	    t->body_bytes);
	metric_add(out, "webhook_requests_refused_total", "counter",
	    "Heads that were not let in, and answers that there was no room "
	    "for.",
	    t->refused);
	metric_add(out, "webhook_requests_timed_out_total", "counter",
	    "Connections that took too long to send or to read.", t->timed_out);
}

static void
add_authentication(const struct webhook_api *api, struct buf *out)
{
	metric_head(out, "webhook_auth_failures_total", "counter",
	    "Calls whose token was not accepted, by the rule.");
	for (size_t i = 0; i < TOKEN_RULES; i++)
		buf_addf(out,
		    "jobwire_webhook_auth_failures_total{rule=\"%s\"} "
		    "%" PRIu64 "\n",
		    token_rule_texts[i].name,
		    (uint64_t)api->cfg.authenticator->failures[i]);
	metric_add(out, "webhook_tickets_refused_total", "counter",
	    "Tickets not given because max_tickets were unused.",
	    api->cfg.authenticator->tickets_refused);
}

/* n_waiting: calls that wait for a thread or for their commit. */
static void
add_metrics(const struct webhook_api *api, size_t n_waiting, struct buf *out)
{
	add_calls(api, out);
	add_commits(api, out);
	add_transport(api, out);
	metric_add(out, "webhook_calls_waiting", "gauge",
	    "Calls that wait for a thread or for their commit.", n_waiting);
	add_authentication(api, out);
	buf_add_span(out, span_of(api->cfg.metrics));
	run_metrics_add(out, committer_db(api->committer));
	cluster_health_add(out, committer_db(api->committer));
}

static const char *
cluster(void *arg)
{
	const struct webhook_api *api = arg;

	return cluster_health_name(committer_db(api->committer));
}

static void
format_metrics(void *arg, struct buf *out)
{
	const struct webhook_api *api = arg;

	if (api->cfg.is_brief)
		buf_add_str(out, "# A process per request counts nothing.\n");
	else /* All but the one that asks. */
		add_metrics(api, api->n_held - 1, out);
}

/* For the reading half, which hands out all metrics in one place. Where it
 * cannot be told, it says that we are not there. */
static void
show_metrics(struct webhook_api *api)
{
	int64_t now_us = loop_now_us(api->loop);
	struct buf out = BUF_INIT;

	if (api->shown_us != 0 &&
	    now_us - api->shown_us < SHEET_EVERY_MS * 1000LL)
		return;
	add_metrics(api, api->n_held, &out);
	if (buf_ok(&out) &&
	    sheet_write(api->cfg.db_path, SHEET_WEBHOOK, buf_span(&out)) == OK)
		api->shown_us = now_us;
	buf_done(&out);
}

static enum err
look(void *arg)
{
	struct webhook_api *api = arg;

	return committer_look(api->committer);
}

static void
on_tick(struct timer *t)
{
	struct webhook_api *api = container_of(t, struct webhook_api, tick);

	(void)committer_look(api->committer);
	tell_state(api);
	show_metrics(api);
	if (api->inbox != NULL)
		call_inbox_flush(api->inbox);
	/* A timer that is due has a place in the heap. */
	(void)!timer_set(api->loop, t, loop_now_us(api->loop) + TICK_US);
}

static enum err
start_committer(struct webhook_api *api, struct db_fault *fault)
{
	struct committer_config cfg = {
	    .loop = api->loop,
	    .db_path = api->cfg.db_path,
	    .busy_ms = api->cfg.busy_ms,
	    .wal_limit_bytes =
		api->cfg.leaves_wal ? CHECKPOINT_NEVER : WAL_LIMIT_BYTES,
	    .is_brief = api->cfg.is_brief,
	};

	return committer_start(&cfg, &api->committer, fault);
}

/* What only makes sense for who lives on. */
static enum err
start_threads(struct webhook_api *api)
{
	enum err e = loop_on_wake(api->loop, on_wake, api);

	while (e == OK && api->n_workers < api->cfg.workers) {
		if (pthread_create(&api->workers[api->n_workers], NULL,
			run_worker, api) != 0)
			e = ERR_SYS;
		else
			api->n_workers++;
	}
	api->tick.on_due = on_tick;
	if (e == OK)
		e = timer_set(api->loop, &api->tick, clock_mono_us());
	return e;
}

enum err
webhook_api_start(struct loop *loop, const struct webhook_config *cfg,
    struct hook_keys *keys, struct webhook_api **ret, struct db_fault *fault)
{
	struct webhook_api *api = calloc(1, sizeof(*api));
	enum err e;

	if (api == NULL)
		return ERR_NOMEM;
	api->cfg = *cfg;
	api->cfg.calls.look = cfg->is_brief ? NULL : look;
	api->cfg.calls.format_metrics = format_metrics;
	api->cfg.calls.cluster = cluster;
	api->cfg.calls.arg = api;
	api->loop = loop;
	if (queue_init(&api->work) != OK || queue_init(&api->done) != OK) {
		free(api);
		return ERR_SYS;
	}
	if (cfg->inbox > 0)
		api->inbox =
		    call_inbox_new(cfg->db_path, cfg->inbox, cfg->keep_days);
	/* Tells two runs apart. */
	api->run_id = (uint32_t)random_between(0, UINT32_MAX);
	e = pending_start(
	    &(struct pending_config){loop, cfg->db_path, cfg->cluster_wait_ms},
	    &api->pending);
	if (e == OK)
		e = start_committer(api, fault);
	if (e == OK && !cfg->is_brief)
		e = start_threads(api);
	if (e == OK)
		e = webhook_api_set_keys(api, keys);
	if (e == OK)
		*ret = api;
	else
		webhook_api_stop(&api);
	return e;
}

void
webhook_api_stop(struct webhook_api **webhook_api)
{
	struct webhook_api *api = *webhook_api;

	if (api == NULL)
		return;
	timer_cancel(api->loop, &api->tick);
	queue_close(&api->work);
	for (size_t i = 0; i < api->n_workers; i++)
		(void)pthread_join(api->workers[i], NULL);
	if (api->committer != NULL)
		on_wake(api);
	committer_stop(&api->committer);
	pending_stop(&api->pending);
	call_inbox_free(&api->inbox);
	queue_done(&api->work);
	queue_done(&api->done);
	drop_keys(api->keys);
	free(api);
	*webhook_api = NULL;
}
