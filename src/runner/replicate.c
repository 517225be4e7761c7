/* SPDX-License-Identifier: ISC */
/*
 * Replicate's predictions. An endpoint is the version of a model. Its answers
 * have the form of its webhooks, which hook/provider_replicate.c reads. Pure.
 *
 * Source: https://replicate.com/docs/reference/http
 */
#include "runner/provider_api.h"
#include "text/json_text.h"
#include "text/percent.h"

static void
add_url(struct http_request *r, const char *url, const char *external_id)
{
	buf_add_str(&r->url, url);
	buf_add_str(&r->url, "/predictions");
	if (external_id == NULL)
		return;
	buf_add_char(&r->url, '/');
	percent_encode(&r->url, span_of(external_id));
}

static void
submit(
    const char *url, const struct provider_job *job, struct http_request *ret)
{
	struct buf *b = &ret->body;

	add_url(ret, url, NULL);
	ret->is_post = ret->is_once = true;
	buf_add_str(b, "{\"version\":");
	json_text_add_quoted(b, job->endpoint);
	buf_add_str(b, ",\"input\":");
	buf_add_span(b, job->input);
	if (job->webhook.n > 0) {
		buf_add_str(b, ",\"webhook\":");
		json_text_add_quoted(b, job->webhook);
		buf_add_str(b, ",\"webhook_events_filter\":"
			       "[\"start\",\"completed\"]");
	}
	buf_add_char(b, '}');
}

static void
status(const char *url, const char *endpoint, const char *external_id,
    struct http_request *ret)
{
	(void)endpoint;
	add_url(ret, url, external_id);
}

static void
cancel(const char *url, const char *endpoint, const char *external_id,
    struct http_request *ret)
{
	status(url, endpoint, external_id, ret);
	buf_add_str(&ret->url, "/cancel");
	ret->is_post = true;
}

const struct provider_api replicate_api = {
    .provider = "replicate",
    .submit = submit,
    .status = status,
    .cancel = cancel,
};
