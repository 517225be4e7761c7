/* SPDX-License-Identifier: ISC */
/*
 * Reads answers. Their form is that of webhooks, so the provider's file in
 * src/hook does most of it, and makes the same event of them. Pure.
 */
#include "runner/provider_answer.h"

#include <string.h>

#include "text/json_text.h"

enum { REFUSAL_MAX = 500 }; /* bytes of a provider's words */

/* As a webhook's, with null in the place of NaN. */
static void
find_body(struct provider_answer *r, struct span text)
{
	if (json_text_check(text, &r->body) != OK) {
		json_text_add_finite(&r->finite, text);
		if (json_text_check(buf_span(&r->finite), &r->body) != OK)
			r->body = (struct span){0};
	}
	if (r->body.n > 0 && json_text_kind(r->body) != JSON_TEXT_OBJECT)
		r->body = (struct span){0};
}

enum err
provider_answer_take(const struct provider_api *api, enum step_call call,
    const struct http_answer *a, const char *job_id, size_t inline_output,
    struct provider_answer *ret)
{
	const struct provider *provider = provider_find(span_of(api->provider));
	const struct request none = {.method = "POST"};
	struct event_new *row = &ret->event.row;
	const char *why;
	enum err e;

	*ret = (struct provider_answer){.answer = {
					    .has_left = a->has_left,
					    .status = a->status,
					    .retry_ms = a->retry_ms,
					}};
	find_body(ret, buf_span(&a->body));
	if (!buf_ok(&ret->finite))
		return ERR_NOMEM;
	if (ret->body.n == 0 || a->status < 200 || a->status > 299)
		return OK;
	e = provider->normalise(
	    &none, ret->body, inline_output, &ret->event, &why);
	if (e != OK)
		return e == ERR_NOMEM ? e : OK;
	ret->answer.is_readable = call == STEP_SUBMIT
				      ? ret->event.external_id.len > 0
				      : row->type != NULL;
	ret->answer.is_executed =
	    api->is_executed != NULL && api->is_executed(ret->body);
	if (row->type == NULL)
		return OK;
	ret->answer.job = job_state_of(row->type);
	row->job_id = job_id;
	row->source = provider->source;
	row->delivery_key = ret->key;
	return provider_event_key(&ret->event, span_of(job_id), ret->key);
}

void
provider_answer_done(struct provider_answer *r)
{
	provider_event_done(&r->event);
	buf_done(&r->finite);
}

/* The member that services put their words into. */
static bool
find_words(struct span body, struct buf *ret)
{
	static const char *const names[] = {
	    "error", "message", "detail", "title"};
	struct span value;

	if (body.n == 0)
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (json_text_get(body, names[i], &value) &&
		    json_text_kind(value) == JSON_TEXT_STRING) {
			json_text_add_string_value(ret, value);
			return ret->len > 0;
		}
	return false;
}

static bool
has_secret(const struct buf *words, struct span key)
{
	return memmem(words->data, words->len, "sig=", 4) != NULL ||
	       (key.n > 0 &&
		   memmem(words->data, words->len, key.p, key.n) != NULL);
}

void
provider_answer_add_refusal(const struct provider_answer *r, int status,
    struct span key, struct buf *out)
{
	struct buf words = BUF_INIT;

	if (find_words(r->body, &words) && buf_ok(&words) &&
	    span_is_plain(buf_span(&words)) && !has_secret(&words, key))
		buf_add_span(out,
		    (struct span){words.data,
			words.len < REFUSAL_MAX ? words.len : REFUSAL_MAX});
	else
		buf_addf(out, "The provider refused the job: HTTP %d.", status);
	buf_done(&words);
}
