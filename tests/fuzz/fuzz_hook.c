/* SPDX-License-Identifier: ISC */
/*
 * hook/payload.c and every provider's file on any JSON object: what becomes of
 * it is an event that the database and a stream can take, and what is kept of
 * the body lies within it.
 */
#undef NDEBUG
#include "hook/provider.h"
#include "hook/redact.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "job/name.h"
#include "job/state.h"
#include "text/utf8.h"
#include "text/json_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	INLINE = 64,
	EXTERNAL_ID_MAX = 256,
	/* An error and its type of 4096 bytes, each of which may become six,
	 * ids and numbers, and the output. */
	DATA_MAX = 2 * 6 * 4096 + 6 * EXTERNAL_ID_MAX + 8192,
};

static void
assert_within(struct span part, struct span whole)
{
	struct span value;

	if (part.n == 0)
		return;
	assert(part.p > whole.p && part.p + part.n < whole.p + whole.n);
	assert(json_text_check(part, &value) == OK && value.n == part.n);
}

static void
assert_utf8(const struct buf *text)
{
	struct buf again = BUF_INIT;

	utf8_add(&again, buf_span(text));
	assert(span_eq(buf_span(&again), buf_span(text)));
	buf_done(&again);
}

static void
assert_event(const struct provider_event *e, struct span body)
{
	struct span value;

	assert(job_state_of(e->row.type) != JOB_NO_STATE ||
	       strcmp(e->row.type, JOB_PROGRESS) == 0);
	assert(json_text_check(buf_span(&e->data), &value) == OK);
	assert(json_text_kind(value) == JSON_TEXT_OBJECT &&
	       value.n == e->data.len);
	assert(e->data.len <= DATA_MAX);
	assert_utf8(&e->data);
	assert(json_text_get(value, "output_omitted", &value) ==
	       (e->row.output.n > 0));
	assert_within(e->row.output, body);
	assert_within(e->row.error, body);
	assert(e->external_id.len <= EXTERNAL_ID_MAX);
	assert_utf8(&e->external_id);
	assert(
	    e->input_job_id.len == 0 || job_id_ok(buf_span(&e->input_job_id)));
	assert(e->identity[0].n > 0);
}

static void
try_provider(const char *name, struct span body)
{
	const struct request r = {.body = body};
	struct provider_event e = {0};
	const char *why = NULL;
	enum err err;

	err =
	    provider_find(span_of(name))->normalise(&r, body, INLINE, &e, &why);
	assert(err == OK || (err == ERR_PROTO && why != NULL));
	if (err == OK && e.row.type != NULL)
		assert_event(&e, body);
	provider_event_done(&e);
}

/* What is kept of it is an object, too, and nothing more has to go. */
static void
try_redact(struct span body)
{
	struct buf once = BUF_INIT, twice = BUF_INIT;
	struct span value;

	redact_body(&once, body);
	assert(json_text_check(buf_span(&once), &value) == OK);
	assert(json_text_kind(value) == JSON_TEXT_OBJECT);
	redact_body(&twice, buf_span(&once));
	assert(span_eq(buf_span(&once), buf_span(&twice)));
	buf_done(&once);
	buf_done(&twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {
	    "runpod-completion", "replicate", "fal", "standard"};
	struct span body = {(const char *)data, size};

	if (json_text_check(body, &body) != OK ||
	    json_text_kind(body) != JSON_TEXT_OBJECT)
		return 0;
	try_redact(body);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		try_provider(names[i], body);
	return 0;
}
