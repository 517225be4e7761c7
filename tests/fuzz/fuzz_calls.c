/* SPDX-License-Identifier: ISC */
/*
 * The calls of the writing half on any method, path and body of somebody who
 * has a publish key, up to where the database would be asked: one is ready, or
 * has an answer. An input is `METHOD PATH[?QUERY]`, a line feed, and the body.
 */
#undef NDEBUG
#include "hook/routes.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/json_text.h"
#include "text/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEY "a-publish-key-of-tests"

enum { NOW_S = 1764000000 };

/* Returns owned. What a web server passes has no NUL. */
static char *
text_of(struct span s)
{
	char *text = span_dup(s);

	assert(text != NULL);
	return text;
}

static void
assert_answer(struct call *c, bool is_ready)
{
	struct span body = buf_span(&c->answer.body), value;

	assert(is_ready == c->is_ready);
	if (is_ready) {
		assert(c->handler != NULL && c->commit.write != NULL);
		return;
	}
	assert(c->answer.status >= 200 && c->answer.status < 600);
	assert(buf_ok(&c->answer.headers));
	assert(body.n == 0 || json_text_check(body, &value) == OK);
}

static void
try_call(const struct request *r)
{
	static const struct call_config cfg = {.base_url = "https://h",
	    .api_prefix = "/api/v1",
	    .inline_output = 64,
	    .actions = "restore=abc",
	    .max_input = 1000};
	static struct hook_keys keys;
	struct buf message = BUF_INIT;
	struct call *c;

	if (keys.publish.n == 0) {
		assert(secrets_load(KEY, &keys.publish, &message) == OK);
		assert(secrets_load(KEY, &keys.url, &message) == OK);
	}
	c = call_new(r, &cfg, &keys);
	assert(c != NULL);
	call_set_id(c, 1, 2);
	assert_answer(c, call_prepare(c, routes_find(c), NOW_S));
	(void)call_plain_route(c);
	call_free(&c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char variables[] = "HTTP_AUTHORIZATION=Bearer " KEY;
	struct span body = {(const char *)data, size};
	struct span head = span_cut(&body, '\n');
	struct span method = span_cut(&head, ' ');
	struct span route = span_cut(&head, '?');
	char *texts[] = {text_of(method), text_of(route), text_of(head)};

	try_call(&(struct request){.method = texts[0],
	    .route = texts[1],
	    .query = texts[2],
	    .content_type = "application/json",
	    .content_length = "",
	    .accept = "",
	    .authorization = "Bearer " KEY,
	    .cookie = "",
	    .origin = "",
	    .last_event_id = "",
	    .remote_user = "",
	    .remote_addr = "",
	    .variables = {variables, sizeof(variables)},
	    .body = body});
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		free(texts[i]);
	return 0;
}
