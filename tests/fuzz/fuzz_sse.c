/* SPDX-License-Identifier: ISC */
/*
 * web/sse.c on any bytes. The input is four fields ended by LF (type, job_id
 * and status, restore_id, epoch; a NUL ends one early) and the row's data.
 * Whatever they hold, an event is three lines and an empty one, and its data a
 * JSON object that begins with our members.
 */
#undef NDEBUG
#include "web/sse.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/json_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Returns owned. A field keeps its CR; for LF the tests have their own. */
static char *
cut_field(struct span *s)
{
	const char *at = s->n > 0 ? memchr(s->p, '\n', s->n) : NULL;
	struct span field = {s->p, at == NULL ? s->n : (size_t)(at - s->p)};
	size_t used = field.n + (at == NULL ? 0 : 1);
	char *text = span_dup(field);

	assert(text != NULL);
	s->p += used;
	s->n -= used;
	return text;
}

static void
assert_event(const struct buf *out, const struct sse_event *e)
{
	const char *line = out->data, *data = strstr(out->data, "\ndata: {");
	struct json_text_iter it = {0};
	struct span key, value;
	size_t lines = 0;

	assert(strlen(out->data) == out->len);
	assert(strchr(out->data, '\r') == NULL && data != NULL);
	for (; (line = strchr(line, '\n')) != NULL; line++)
		lines++;
	assert(lines == 4);
	assert(json_text_check(span_of(data + 7), &it.rest) == OK);
	assert(json_text_next(&it, &key, &value) && span_eq_str(key, "job_id"));
	assert(json_text_next(&it, &key, &value) &&
	       span_eq_str(key, "restore_id"));
	assert(json_text_next(&it, &key, &value) && span_eq_str(key, "status"));
	while (json_text_next(&it, &key, &value)) {
		assert(!json_text_key_is(key, "job_id"));
		assert(!json_text_key_is(key, "status"));
		assert(!json_text_key_is(key, "output") ||
		       value.n <= e->inline_output);
	}
}

static void
try_id(struct span text)
{
	char back[SSE_ID_SIZE];
	struct sse_id id;

	if (!sse_id_parse(text, &id))
		return;
	sse_id_format(id.epoch, id.n, id.loss, back);
	assert(span_eq_str(text, back));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = {(const char *)data, size};
	char *type, *job_id, *restore_id, *epoch;
	struct buf out = BUF_INIT;
	struct sse_event e;

	try_id(in);
	type = cut_field(&in);
	job_id = cut_field(&in);
	restore_id = cut_field(&in);
	epoch = cut_field(&in);
	e = (struct sse_event){
	    epoch, 42, 7, type, job_id, restore_id, job_id, NULL, 0, in, 16};
	if (sse_add_event(&out, &e) == OK)
		assert_event(&out, &e);
	else
		assert(out.len == 0);
	free(type);
	free(job_id);
	free(restore_id);
	free(epoch);
	buf_done(&out);
	return 0;
}
