/* SPDX-License-Identifier: ISC */
/*
 * From a body's members to an event, for all providers. Their own files say
 * which member is which. Nothing of a body gets into an event but what is
 * copied here by name: bodies echo requests and our signed URL. Pure.
 */
#include "hook/payload.h"

#include <string.h>
#include <strings.h>

#include "job/name.h"
#include "job/state.h"
#include "text/json_text.h"
#include "text/json_value.h"

enum {
	NUMBER_MAX = 32,  /* digits; a time in milliseconds has 13 */
	ERROR_MAX = 4096, /* bytes of an error that the page is told */
};

/* What the services call the states of a job, beside the names that we have for
 * them. */
static const struct {
	const char *word;
	enum job_state state;
} words[] = {
    {"in_queue", JOB_QUEUED},
    {"pending", JOB_QUEUED},
    {"starting", JOB_PROCESSING},
    {"started", JOB_PROCESSING},
    {"in_progress", JOB_PROCESSING},
    {"running", JOB_PROCESSING},
    {"succeeded", JOB_COMPLETED},
    {"success", JOB_COMPLETED},
    {"ok", JOB_COMPLETED},
    {"error", JOB_FAILED},
    {"canceled", JOB_CANCELLED},
    {"aborted", JOB_CANCELLED},
    {"timeout", JOB_TIMED_OUT},
};

static bool
is_word(struct span given, const char *word)
{
	return strlen(word) == given.n &&
	       strncasecmp(word, given.p, given.n) == 0;
}

static const char *
type_of_status(struct span status)
{
	const char *dot =
	    status.n == 0 ? NULL : memrchr(status.p, '.', status.n);
	struct span word = status;

	if (dot != NULL)
		word = (struct span){
		    dot + 1, (size_t)(status.p + status.n - dot - 1)};
	for (enum job_state state = JOB_QUEUED; state < JOB_STATES; state++)
		if (is_word(word, job_state_name(state)))
			return job_state_name(state);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (is_word(word, words[i].word))
			return job_state_name(words[i].state);
	return is_word(word, JOB_PROGRESS) ? JOB_PROGRESS : NULL;
}

void
payload_find(struct span object, const struct payload_member *wanted, size_t n)
{
	struct json_text_iter it = {.rest = object};
	struct span key, value;

	while (json_text_next(&it, &key, &value))
		for (size_t i = 0; i < n; i++)
			if (json_text_key_is(key, wanted[i].name))
				*wanted[i].value = value;
}

bool
payload_is_given(struct span value)
{
	return value.n > 0 && json_text_kind(value) != JSON_TEXT_NULL;
}

static enum err
read_id(struct span value, struct buf *ret)
{
	if (!payload_is_given(value))
		return OK;
	if (json_text_kind(value) != JSON_TEXT_STRING)
		return ERR_PROTO;
	json_text_add_string_value(ret, value);
	/* What follows a NUL would be lost: another job's id. */
	return job_label_ok(buf_span(ret)) ? OK : ERR_PROTO;
}

static enum err
read_status(struct span value, const char **ret_type)
{
	struct buf status = BUF_INIT;
	enum err e = OK;

	if (!payload_is_given(value))
		return OK;
	if (json_text_kind(value) != JSON_TEXT_STRING)
		return ERR_PROTO;
	json_text_add_string_value(&status, value);
	/* Without memory for it, a status must not read as an unknown one. */
	if (buf_ok(&status))
		*ret_type = type_of_status(buf_span(&status));
	else
		e = ERR_NOMEM;
	buf_done(&status);
	return e;
}

enum err
payload_begin(
    const struct payload *m, struct provider_event *ret, const char **why)
{
	enum err e = read_id(m->id, &ret->external_id);

	if (e != OK) {
		*why = "The job's id must be a string of at most 256 bytes "
		       "without control characters.";
		return e;
	}
	e = read_status(m->status, &ret->row.type);
	if (e == ERR_PROTO)
		*why = "The job's status must be a string.";
	if (e != OK || ret->row.type == NULL)
		return e;
	buf_add_char(&ret->data, '{');
	if (ret->external_id.len > 0) {
		payload_add_key(&ret->data, SPAN_LIT("external_id"));
		json_text_add_quoted(&ret->data, buf_span(&ret->external_id));
	}
	return OK;
}

void
payload_add_key(struct buf *data, struct span name)
{
	if (data->len > 0 && data->data[data->len - 1] != '{')
		buf_add_char(data, ',');
	buf_add_char(data, '"');
	buf_add_span(data, name);
	buf_add_str(data, "\":");
}

void
payload_add_number(struct buf *data, struct span name, struct span value)
{
	if (value.n == 0 || value.n > NUMBER_MAX ||
	    json_text_kind(value) != JSON_TEXT_NUMBER)
		return;
	payload_add_key(data, name);
	buf_add_span(data, value);
}

void
payload_add_delivery_id(
    const struct request *r, struct span body, struct provider_event *ret)
{
	const struct span id = span_of(standard_header(r, "id"));

	provider_event_identify(ret, id.n > 0 ? id : body);
}

/* A character cut in two ends as U+FFFD when it is quoted. */
static struct span
cut(struct span s)
{
	return (struct span){s.p, s.n < ERROR_MAX ? s.n : ERROR_MAX};
}

static bool
add_text(struct buf *out, struct json_object *from, const char *from_name,
    const char *name)
{
	struct span text;

	if (!json_value_string(json_object_object_get(from, from_name), &text))
		return false;
	payload_add_key(out, span_of(name));
	json_text_add_quoted(out, cut(text));
	return true;
}

/* An error with a structure, such as RunPod's SDK makes of an exception, with
 * its traceback, host name and worker id. Of that only type and message are
 * for the page, whatever else is in it and however broken it is. */
static void
add_structured_error(struct buf *out, const struct buf *text)
{
	struct json_object *inner = NULL;
	enum err e = json_value_lenient(buf_span(text), &inner);
	bool is_object = e == OK;

	out->failed = out->failed || e == ERR_NOMEM;
	if (is_object && !add_text(out, inner, "error_type", "error_type"))
		(void)add_text(out, inner, "type", "error_type");
	if (!is_object || (!add_text(out, inner, "error_message", "error") &&
			      !add_text(out, inner, "message", "error"))) {
		payload_add_key(out, SPAN_LIT("error"));
		buf_add_str(out, "\"The worker reported an error.\"");
	}
	json_object_put(inner);
}

/* An error is mostly a string: a message, or JSON text. */
static void
add_error(struct buf *out, struct span value)
{
	struct buf text = BUF_INIT;
	size_t i;

	if (json_text_kind(value) == JSON_TEXT_STRING)
		json_text_add_string_value(&text, value);
	else
		buf_add_span(&text, value);
	out->failed = out->failed || text.failed;
	if (!text.failed) {
		i = text.len > 0 ? strspn(text.data, " \t\r\n") : 0;
		if (i < text.len &&
		    (text.data[i] == '{' || text.data[i] == '[')) {
			add_structured_error(out, &text);
		} else {
			payload_add_key(out, SPAN_LIT("error"));
			json_text_add_quoted(out, cut(buf_span(&text)));
		}
	}
	buf_done(&text);
}

static void
add_output(struct provider_event *e, struct span value, size_t inline_output)
{
	if (value.n <= inline_output) {
		payload_add_key(&e->data, SPAN_LIT("output"));
		json_text_add_line(&e->data, value);
	} else {
		payload_add_key(&e->data, SPAN_LIT("output_omitted"));
		buf_add_str(&e->data, "true");
		e->row.output = value;
	}
}

/* Only a text that can be a job's id: a request may hold anything by that
 * name. */
static void
add_input_job_id(struct provider_event *e, struct span input)
{
	struct span value;

	if (!json_text_get(input, "job_id", &value) ||
	    json_text_kind(value) != JSON_TEXT_STRING)
		return;
	json_text_add_string_value(&e->input_job_id, value);
	if (buf_ok(&e->input_job_id) && !job_id_ok(buf_span(&e->input_job_id)))
		buf_reset(&e->input_job_id);
}

enum err
payload_end(
    const struct payload *m, size_t inline_output, struct provider_event *ret)
{
	if (payload_is_given(m->error)) {
		add_error(&ret->data, m->error);
		ret->row.error = m->error;
	}
	/* null is the result of a job that completed, and of any other says
	 * that there is none: an earlier part of it must stay. */
	if (payload_is_given(m->output) ||
	    (m->output.n > 0 && job_state_of(ret->row.type) == JOB_COMPLETED))
		add_output(ret, m->output, inline_output);
	buf_add_char(&ret->data, '}');
	ret->row.data = buf_span(&ret->data);
	add_input_job_id(ret, m->input);
	return buf_ok(&ret->data) && buf_ok(&ret->external_id) &&
		       buf_ok(&ret->input_job_id)
		   ? OK
		   : ERR_NOMEM;
}
