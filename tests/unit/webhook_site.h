/* SPDX-License-Identifier: ISC */
/* What the tests of hook/webhook_call.c share: a site with keys, and one call
 * that no transport brought. */
#ifndef JOBWIRE_WEBHOOK_SITE_H
#define JOBWIRE_WEBHOOK_SITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hook/routes.h"
#include "hook/webhook_call.h"
#include "text/json_text.h"
#include "web/query.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ROUTE "/webhooks/runpod-completion"
#define BODY                                                                   \
	"{\"id\":\"ext-1\",\"status\":\"COMPLETED\",\"delayTime\":1,"          \
	"\"executionTime\":2,\"output\":{\"a\":1},"                            \
	"\"input\":{\"prompt\":\"PRIVATE\"},"                                  \
	"\"webhook\":\"https://h/?sig=SECRET\"}"

enum { NOW = 1764000000 };

/* What every test has: keys, and one call with one request. */
struct site {
	struct hook_keys keys;
	struct call_config cfg;
	struct request request;
	struct buf query;
	struct call *d;
};

static inline struct webhook_call *
webhook(const struct site *s)
{
	return s->d->state;
}

static inline int
set_up(void **state)
{
	struct site *s = calloc(1, sizeof(*s));
	struct buf message = BUF_INIT;

	assert_non_null(s);
	assert_int_equal(
	    secrets_load("the-first-secret-of-two,the-other-secret-of-two",
		&s->keys.url, &message),
	    OK);
	s->cfg = (struct call_config){.inline_output = 64};
	s->request = (struct request){.method = "POST",
	    .route = ROUTE,
	    .query = "",
	    .content_type = "application/json",
	    .body = SPAN_LIT(BODY)};
	*state = s;
	return 0;
}

static inline int
tear_down(void **state)
{
	struct site *s = *state;

	call_free(&s->d);
	assert_null(s->d);
	call_free(&s->d);
	hook_keys_done(&s->keys);
	buf_done(&s->query);
	free(s);
	return 0;
}

/* Signs the request's URL. */
static inline void
sign(struct site *s, const char *provider, const char *job_id,
    const char *restore_id, int64_t exp)
{
	const struct url_claim claim = {
	    provider, span_of(job_id), span_of(restore_id), exp};

	buf_reset(&s->query);
	assert_int_equal(
	    url_signature_add(&s->keys.url, &claim, &s->query), OK);
	s->request.query = s->query.data;
}

static inline void
sign_well(struct site *s)
{
	sign(s, "runpod-completion", "job-1", "R/1", NOW + 60);
}

static inline bool
prepare(struct site *s)
{
	call_free(&s->d);
	s->d = call_new(&s->request, &s->cfg, &s->keys);
	assert_non_null(s->d);
	return call_prepare(s->d, routes_find(s->d), NOW);
}

/* Nothing a sender or a reader of the answer should not see. */
static inline void
assert_discreet(const struct site *s)
{
	static const char *const words[] = {
	    "SECRET", "PRIVATE", "webhook=", "sig=", "prompt", "secret-of"};
	struct buf all = BUF_INIT;

	answer_format(&s->d->answer, false, &all);
	assert_true(buf_ok(&all));
	for (size_t i = 0; i < COUNT(words); i++)
		if (strstr(all.data, words[i]) != NULL)
			fail_msg("\"%s\" is in %s", words[i], all.data);
	buf_done(&all);
}

/* The call's answer is that refusal, and well-formed. */
static inline void
assert_answer(const struct site *s, int status, const char *code)
{
	const struct answer *a = &s->d->answer;
	struct span body, error, value;
	struct buf text = BUF_INIT;

	assert_int_equal(json_text_check(buf_span(&a->body), &body), OK);
	assert_true(json_text_get(body, "error", &error));
	assert_true(json_text_get(error, "code", &value));
	json_text_add_string_value(&text, value);
	if (a->status != status || strcmp(buf_span(&text).p, code) != 0)
		fail_msg("%d %s, not %d %s", a->status, buf_span(&text).p,
		    status, code);
	assert_true(json_text_get(error, "message", &value));
	assert_true(json_text_kind(value) == JSON_TEXT_STRING && value.n > 10);
	buf_done(&text);
	assert_discreet(s);
}

static inline void
assert_refused(struct site *s, int status, const char *code)
{
	assert_false(prepare(s));
	assert_answer(s, status, code);
}

static inline void
assert_accepted(struct site *s)
{
	if (!prepare(s))
		fail_msg("refused: %s", buf_span(&s->d->answer.body).p);
	assert_int_equal(s->d->answer.body.len, 0);
}

static inline bool
has_header(const struct site *s, const char *line)
{
	return strstr(buf_span(&s->d->answer.headers).p, line) != NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
