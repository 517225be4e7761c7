/* SPDX-License-Identifier: ISC */
/*
 * runner/provider_answer.c on any body: what a report becomes can be stored,
 * and of a refusal nothing is said that is not plain, short and no secret.
 */
#undef NDEBUG
#include "runner/provider_answer.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "job/state.h"
#include "text/json_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEY "key"

enum { REFUSAL_MAX = 500 };

static void
assert_refusal(const struct provider_answer *r, int status)
{
	struct buf words = BUF_INIT;

	provider_answer_add_refusal(r, status, SPAN_LIT(KEY), &words);
	assert(words.len > 0 && words.len <= REFUSAL_MAX);
	assert(span_is_plain(buf_span(&words)));
	assert(strstr(words.data, KEY) == NULL);
	assert(strstr(words.data, "sig=") == NULL);
	buf_done(&words);
}

static void
try_answer(const struct provider_api *api, enum step_call call, int status,
    struct span body)
{
	struct http_answer a = {.status = status, .retry_ms = -1};
	struct provider_answer r;
	struct span value;

	buf_add_span(&a.body, body);
	assert(provider_answer_take(api, call, &a, "job-1", 64, &r) == OK);
	if (r.body.n > 0)
		assert(json_text_check(r.body, &value) == OK &&
		       json_text_kind(value) == JSON_TEXT_OBJECT);
	if (status != 200)
		assert(!r.answer.is_readable && r.event.row.type == NULL);
	if (r.event.row.type != NULL) {
		assert(strlen(r.key) == CRYPTO_SHA256_SIZE - 1);
		assert(r.answer.job == job_state_of(r.event.row.type));
		assert(json_text_check(buf_span(&r.event.data), &value) == OK);
	}
	if (api->progress != NULL && r.body.n > 0)
		(void)api->progress(r.body);
	assert_refusal(&r, status);
	provider_answer_done(&r);
	http_answer_done(&a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct provider_api *const apis[] = {
	    &runpod_api, &replicate_api};
	const struct span body = {(const char *)data, size};

	for (size_t i = 0; i < sizeof(apis) / sizeof(apis[0]); i++)
		for (int call = STEP_SUBMIT; call < STEP_CALLS; call++) {
			try_answer(apis[i], (enum step_call)call, 200, body);
			try_answer(apis[i], (enum step_call)call, 422, body);
		}
	return 0;
}
