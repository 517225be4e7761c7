/* SPDX-License-Identifier: ISC */
/* The writing path: calls from the request to the answer, with their SQL. */
#include <stdio.h>
#include <string.h>

#include "hook/routes.h"
#include "micro.h"

#define PUBLISH_KEY "a-publish-key-of-the-benchmark"
#define RUNPOD "runpod-completion"

enum { CALLS = 32 }; /* in a run, and at most in a batch */

static const char completed[] =
    "{\"delayTime\":4736,\"executionTime\":157,"
    "\"id\":\"e4616554-495e-4e66-838b-c55f2ea7ecbc-e1\","
    "\"input\":{\"id\":\"Hello World\",\"tasks\":[{\"id\":\"Hello World\","
    "\"token\":\"\",\"type\":\"test_success\"}]},"
    "\"output\":{\"results\":[{\"success\":true}]},"
    "\"status\":\"COMPLETED\",\"webhook\":\"https://webhook.site/XXXX\"}";
static const char progress[] =
    "{\"type\":\"progress\",\"data\":{\"progress\":40}}";

static struct hook_keys keys;
static const struct call_config cfg = {.base_url = "https://jobs.example",
    .api_prefix = "/api/v1",
    .inline_output = 4096};
static struct db *db;
/* For the run that warms up, and the one that is counted. */
static struct request requests[2 * CALLS];
static struct call *calls[CALLS];
static unsigned next;

static void
set_up(void)
{
	struct buf message = BUF_INIT;
	const char *path;

	db = micro_database(&path);
	micro_must(secrets_load("a-webhook-key-of-the-benchmark", &keys.url,
		       &message) == OK &&
		       secrets_load(PUBLISH_KEY, &keys.publish, &message) == OK,
	    "keys can be loaded");
}

static struct request *
add_request(unsigned i, const char *route, const char *body)
{
	requests[i] = (struct request){.method = "POST",
	    .route = route,
	    .query = "",
	    .content_type = "application/json",
	    .content_length = "",
	    .accept = "",
	    .authorization = "",
	    .cookie = "",
	    .origin = "",
	    .last_event_id = "",
	    .remote_user = "",
	    .remote_addr = "127.0.0.1",
	    .body = span_of(body)};
	return &requests[i];
}

/* A completion of a job of its own, each. */
static void
set_up_webhooks(void)
{
	static struct buf queries[2 * CALLS];
	char job[16];

	set_up();
	for (unsigned i = 0; i < 2 * CALLS; i++) {
		snprintf(job, sizeof(job), "job-%05u", i);
		const struct url_claim claim = {
		    RUNPOD, span_of(job), span_of(""), MICRO_NOW + 60};

		micro_must(
		    url_signature_add(&keys.url, &claim, &queries[i]) == OK,
		    "a URL can be signed");
		add_request(i, "/webhooks/" RUNPOD, completed)->query =
		    queries[i].data;
	}
}

static void
set_up_publications(void)
{
	static char routes[2 * CALLS][32];

	set_up();
	for (unsigned i = 0; i < 2 * CALLS; i++) {
		snprintf(routes[i], sizeof(routes[i]), "/jobs/job-%05u/events",
		    i % CALLS);
		add_request(i, routes[i], progress)->authorization =
		    "Bearer " PUBLISH_KEY;
	}
}

/* As the writing program: prepared, committed together, answered. */
static void
serve(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		calls[i] = call_new(&requests[next++], &cfg, &keys);
		micro_must(
		    calls[i] != NULL && call_prepare(calls[i],
					    routes_find(calls[i]), MICRO_NOW),
		    "a call can be prepared");
	}
	micro_must(db_begin(db) == OK, "a transaction begins");
	for (unsigned i = 0; i < n; i++)
		micro_must(calls[i]->handler->write(calls[i], db) == OK,
		    "a call can be written");
	micro_must(db_commit(db) == OK, "it is committed");
	for (unsigned i = 0; i < n; i++) {
		calls[i]->commit.result = OK;
		memcpy(calls[i]->commit.epoch, db_epoch(db), DB_EPOCH_SIZE);
		call_conclude(calls[i]);
		micro_must(calls[i]->outcome == CALL_STORED &&
			       calls[i]->answer.status / 100 == 2,
		    "a call is stored");
		call_free(&calls[i]);
	}
}

static void
run_alone(void)
{
	for (unsigned i = 0; i < CALLS; i++)
		serve(1);
}

static void
run_together(void)
{
	serve(CALLS);
}

const struct micro_case micro_hook[] = {
    {"webhook_alone", CALLS, set_up_webhooks, run_alone},
    {"webhook_of_32", CALLS, set_up_webhooks, run_together},
    {"publication_alone", CALLS, set_up_publications, run_alone},
    {"publication_of_32", CALLS, set_up_publications, run_together},
    {NULL, 0, NULL, NULL},
};
