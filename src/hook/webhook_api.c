/* SPDX-License-Identifier: ISC */
/*
 * Carries deliveries between the loop, the workers and the writer, and logs
 * one line about each. What a delivery means is delivery.c's business. The
 * loop's part never blocks.
 */
#include "hook/webhook_api.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/queue.h"
#include "hook/delivery.h"

enum {
	QUEUE_MAX = 4096, /* deliveries in flight; more are answered 503 */
};

struct webhook_api {
	struct webhook_config cfg;
	struct loop *loop;
	struct queue work; /* to the workers */
	struct queue done; /* back to the loop; never full, never closed */
	struct committer *committer;
	pthread_t workers[WEBHOOK_WORKERS_MAX];
	size_t n_workers;
	bool said_secret; /* the missing secret was logged */
};

/* To the loop, from any thread. */
static void
hand_back(struct delivery *d)
{
	struct webhook_api *api = d->api;

	(void)queue_push(&api->done, &d->link);
	loop_wake(api->loop);
}

static struct delivery *
delivery_of_commit(struct commit_item *item)
{
	return (struct delivery *)(void *)((char *)item -
					   offsetof(struct delivery, commit));
}

static void
on_committed(struct commit_item *item)
{
	struct delivery *d = delivery_of_commit(item);

	delivery_conclude(d);
	hand_back(d);
}

static void
work_on(struct webhook_api *api, struct delivery *d)
{
	if (!delivery_prepare(d, &api->cfg, clock_real_ms() / 1000)) {
		hand_back(d);
		return;
	}
	d->commit.on_done = on_committed;
	if (!committer_push(api->committer, &d->commit)) {
		d->commit.result = ERR_BUSY;
		on_committed(&d->commit);
	}
}

static void *
run_worker(void *arg)
{
	struct webhook_api *api = arg;
	struct queue_list list = STAILQ_HEAD_INITIALIZER(list);
	struct delivery *d;

	while (queue_pop(&api->work, &list, 1, true) > 0) {
		d = (struct delivery *)(void *)STAILQ_FIRST(&list);
		STAILQ_REMOVE_HEAD(&list, link);
		work_on(api, d);
	}
	return NULL;
}

/* One line per request. Neither the query (it holds the signature) nor the
 * body (it holds the whole URL) may stand in it. */
static void
log_answer(struct webhook_api *api, const struct delivery *d)
{
	const struct request *r = d->request;

	log_info("request", "method", r->method, "route", r->route, "status",
	    LOG_INT(d->answer.status), "job_id",
	    d->job_id.len > 0 ? d->job_id.data : NULL, "type", d->event.type,
	    "duplicate", d->commit.is_duplicate ? "yes" : NULL, "peer",
	    r->remote_addr, "us", LOG_INT(clock_mono_us() - d->began_us));
	if (api->cfg.keys->n == 0 && !api->cfg.is_open && !api->said_secret) {
		api->said_secret = true;
		log_error("webhook_secret_missing", "hint",
		    "set webhook_secret (16 bytes or more), or write "
		    "webhook_auth = none to take unsigned webhooks");
	}
}

static void
on_wake(void *arg)
{
	struct webhook_api *api = arg;
	struct queue_list list = STAILQ_HEAD_INITIALIZER(list);
	struct delivery *d;

	(void)queue_pop(&api->done, &list, QUEUE_MAX, false);
	while (!STAILQ_EMPTY(&list)) {
		d = (struct delivery *)(void *)STAILQ_FIRST(&list);
		STAILQ_REMOVE_HEAD(&list, link);
		log_answer(api, d); /* the request goes with the answer */
		d->x->ops->answer(d->x, &d->answer);
		delivery_free(&d);
	}
}

static void
answer_full(struct exchange *x, const char *code)
{
	struct answer a = ANSWER_INIT;

	answer_error(&a, 503, code, "The server is overloaded; send it again.");
	answer_header(&a, "Retry-After", "2");
	x->ops->answer(x, &a);
	answer_done(&a);
}

void
webhook_api_request(void *arg, struct exchange *x)
{
	struct webhook_api *api = arg;
	struct delivery *d = calloc(1, sizeof(*d));

	if (d == NULL) {
		answer_full(x, "out_of_memory");
		return;
	}
	d->api = api;
	d->x = x;
	d->request = x->request;
	d->answer = (struct answer)ANSWER_INIT;
	d->began_us = clock_mono_us();
	if (!queue_push(&api->work, &d->link)) {
		delivery_free(&d);
		answer_full(x, "overloaded");
	}
}

enum err
webhook_api_start(struct loop *loop, const struct webhook_config *cfg,
    struct webhook_api **ret, struct db_fault *fault)
{
	struct committer_config commit = {
	    cfg->db_path, cfg->busy_ms, QUEUE_MAX};
	struct webhook_api *api = calloc(1, sizeof(*api));
	enum err e;

	if (api == NULL)
		return ERR_NOMEM;
	api->cfg = *cfg;
	api->loop = loop;
	if (queue_init(&api->work, QUEUE_MAX) != OK ||
	    queue_init(&api->done, 0) != OK) {
		free(api);
		return ERR_SYS;
	}
	e = loop_on_wake(loop, on_wake, api);
	if (e == OK)
		e = committer_start(&commit, &api->committer, fault);
	while (e == OK && api->n_workers < cfg->workers) {
		if (pthread_create(&api->workers[api->n_workers], NULL,
			run_worker, api) != 0)
			e = ERR_SYS;
		else
			api->n_workers++;
	}
	if (e != OK) {
		webhook_api_stop(&api);
		return e;
	}
	*ret = api;
	return OK;
}

void
webhook_api_stop(struct webhook_api **webhook_api)
{
	struct webhook_api *api = *webhook_api;
	struct queue_list list = STAILQ_HEAD_INITIALIZER(list);
	struct delivery *d;

	if (api == NULL)
		return;
	queue_close(&api->work);
	for (size_t i = 0; i < api->n_workers; i++)
		(void)pthread_join(api->workers[i], NULL);
	committer_stop(&api->committer);
	while (queue_pop(&api->done, &list, 1, false) > 0) {
		d = (struct delivery *)(void *)STAILQ_FIRST(&list);
		STAILQ_REMOVE_HEAD(&list, link);
		delivery_free(&d);
	}
	queue_done(&api->work);
	queue_done(&api->done);
	free(api);
	*webhook_api = NULL;
}
