/* SPDX-License-Identifier: ISC */
/*
 * RunPod's endpoints: /run, /status/ID, /cancel/ID. Its answers have the form
 * of its webhooks, which hook/provider_runpod.c reads. Pure.
 *
 * Source: https://docs.runpod.io/serverless/endpoints/operation-reference
 */
#include "runner/provider_api.h"
#include "text/json_text.h"
#include "text/percent.h"

static void
add_url(struct http_request *r, const char *url, struct span endpoint,
    const char *operation, const char *external_id)
{
	buf_add_str(&r->url, url);
	buf_add_char(&r->url, '/');
	percent_encode(&r->url, endpoint);
	buf_add_str(&r->url, operation);
	percent_encode(&r->url, span_of(external_id));
}

static void
submit(
    const char *url, const struct provider_job *job, struct http_request *ret)
{
	struct buf *b = &ret->body;

	add_url(ret, url, job->endpoint, "/run", NULL);
	ret->is_post = ret->is_once = true;
	buf_add_str(b, "{\"input\":");
	buf_add_span(b, job->input);
	if (job->webhook.n > 0) {
		buf_add_str(b, ",\"webhook\":");
		json_text_add_quoted(b, job->webhook);
	}
	if (job->policy.n > 0) {
		buf_add_str(b, ",\"policy\":");
		buf_add_span(b, job->policy);
	}
	buf_add_char(b, '}');
}

static void
status(const char *url, const char *endpoint, const char *external_id,
    struct http_request *ret)
{
	add_url(ret, url, span_of(endpoint), "/status/", external_id);
}

static void
cancel(const char *url, const char *endpoint, const char *external_id,
    struct http_request *ret)
{
	add_url(ret, url, span_of(endpoint), "/cancel/", external_id);
	ret->is_post = true;
}

static bool
is_executed(struct span body)
{
	struct span value;

	return json_text_get(body, "executionTime", &value) &&
	       json_text_kind(value) == JSON_TEXT_NUMBER;
}

static struct span
progress(struct span body)
{
	struct span value = {0};

	if (!json_text_get(body, "output", &value) ||
	    json_text_kind(value) == JSON_TEXT_NULL)
		value = (struct span){0};
	return value;
}

const struct provider_api runpod_api = {
    .provider = "runpod-completion",
    .submit = submit,
    .status = status,
    .cancel = cancel,
    .is_executed = is_executed,
    .progress = progress,
};
