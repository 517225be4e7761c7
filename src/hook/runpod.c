/* SPDX-License-Identifier: ISC */
/*
 * RunPod's completion call. Its body is what /status/{id} answers, and more:
 * `input` echoes the request and `webhook` is our own URL with its signature,
 * so neither is ever copied. Numbers and outputs are passed on as text. Pure.
 *
 * Sources: https://docs.runpod.io/serverless/endpoints/send-requests and
 * .../job-states; the captured body in runpod-python issue 409; rp_job.py
 * (errors) and rp_fastapi.py (the development server, which sends only
 * {"output":..}) of runpod-python.
 */
#include <stdbool.h>
#include <string.h>

#include <json.h>

#include "hook/provider.h"
#include "web/jtext.h"

enum {
	NUMBER_MAX = 32,       /* digits; a time in milliseconds has 13 */
	ID_MAX = 256,	       /* bytes; real ones have about 40 */
	ERROR_MAX = 4096,      /* bytes of an error that the page is told */
	STRUCTURE_MAX = 65536, /* bytes of an error that is taken apart */
};

static const struct {
	const char *status, *type;
} statuses[] = {
    {"IN_QUEUE", "queued"},
    {"IN_PROGRESS", "processing"},
    {"RUNNING", "processing"},
    {"COMPLETED", "completed"},
    {"FAILED", "failed"},
    {"CANCELLED", "cancelled"},
    {"TIMED_OUT", "timed_out"},
};

static const char *
type_of_status(struct span status)
{
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (span_eq_str(status, statuses[i].status))
			return statuses[i].type;
	return NULL;
}

/* The members we look at. */
enum member {
	ID,
	STATUS,
	DELAY_TIME,
	EXECUTION_TIME,
	RETRIES,
	ERROR_TEXT,
	OUTPUT,
	MEMBERS,
};

static const char *const names[MEMBERS] = {
    [ID] = "id",
    [STATUS] = "status",
    [DELAY_TIME] = "delayTime",
    [EXECUTION_TIME] = "executionTime",
    [RETRIES] = "retries",
    [ERROR_TEXT] = "error",
    [OUTPUT] = "output",
};

/* Finds them in one walk: a body may have 20 MB. What is missing has no bytes.
 * Of doubles the last counts. */
static void
find_members(struct span body, struct span found[MEMBERS])
{
	struct jtext_iter it = {.rest = body};
	struct span key, value;

	memset(found, 0, MEMBERS * sizeof(found[0]));
	while (jtext_next(&it, &key, &value))
		for (size_t i = 0; i < MEMBERS; i++)
			if (jtext_key_is(key, names[i]))
				found[i] = value;
}

static bool
is_given(struct span value)
{
	return value.n > 0 && jtext_kind(value) != JTEXT_NULL;
}

/* A member that must be a string; null counts as missing. */
static enum err
get_string(struct span value, struct buf *ret)
{
	if (!is_given(value))
		return ERR_NOENT;
	if (jtext_kind(value) != JTEXT_STRING)
		return ERR_PROTO;
	jtext_add_string_value(ret, value);
	return OK;
}

/* Begins a member of the object being written. */
static void
add_key(struct buf *out, const char *name)
{
	buf_add_str(out, out->len > 1 ? ",\"" : "\"");
	buf_add_str(out, name);
	buf_add_str(out, "\":");
}

/* Copies a number as it is written. */
static void
add_number(struct buf *out, const char *name, struct span value)
{
	if (value.n == 0 || value.n > NUMBER_MAX ||
	    jtext_kind(value) != JTEXT_NUMBER)
		return;
	add_key(out, name);
	buf_add_span(out, value);
}

/* A character cut in two ends as U+FFFD when it is quoted. */
static struct span
cut(struct span s)
{
	return (struct span){s.p, s.n < ERROR_MAX ? s.n : ERROR_MAX};
}

static bool
add_member(struct buf *out, struct json_object *from, const char *from_name,
    const char *name)
{
	struct json_object *value;

	if (!json_object_object_get_ex(from, from_name, &value) ||
	    !json_object_is_type(value, json_type_string))
		return false;
	add_key(out, name);
	jtext_add_quoted(out, cut((struct span){json_object_get_string(value),
				  (size_t)json_object_get_string_len(value)}));
	return true;
}

/* An error with a structure: what the SDK makes of an exception, with its
 * traceback, host name and worker id. Of that only type and message are for
 * the page, whatever else is in it and however broken it is. */
static void
add_structured_error(struct buf *out, const struct buf *text)
{
	struct json_object *inner =
	    text->len <= STRUCTURE_MAX ? json_tokener_parse(text->data) : NULL;
	bool is_object = json_object_is_type(inner, json_type_object);

	if (is_object)
		(void)add_member(out, inner, "error_type", "error_type");
	if (!is_object || !add_member(out, inner, "error_message", "error")) {
		add_key(out, "error");
		buf_add_str(out, "\"The worker reported an error.\"");
	}
	json_object_put(inner);
}

/* `error` is mostly a string: a message, or JSON text. */
static void
add_error(struct buf *out, struct span value)
{
	struct buf text = BUF_INIT;
	size_t i;

	if (jtext_kind(value) == JTEXT_STRING)
		jtext_add_string_value(&text, value);
	else
		buf_add_span(&text, value);
	out->failed = out->failed || text.failed;
	if (!text.failed) {
		i = text.len > 0 ? strspn(text.data, " \t\r\n") : 0;
		if (i < text.len &&
		    (text.data[i] == '{' || text.data[i] == '[')) {
			add_structured_error(out, &text);
		} else {
			add_key(out, "error");
			jtext_add_quoted(out, cut(buf_span(&text)));
		}
	}
	buf_done(&text);
}

static void
add_output(struct buf *out, struct span value, size_t inline_output,
    struct span *ret_kept)
{
	if (value.n <= inline_output) {
		add_key(out, "output");
		jtext_add_line(out, value);
	} else {
		add_key(out, "output_omitted");
		buf_add_str(out, "true");
		*ret_kept = value;
	}
}

static void
add_data(struct hook_event *e, const struct span found[MEMBERS],
    size_t inline_output)
{
	buf_add_char(&e->data, '{');
	if (e->external_id.len > 0) {
		add_key(&e->data, "external_id");
		jtext_add_quoted(&e->data, buf_span(&e->external_id));
	}
	for (size_t i = DELAY_TIME; i <= RETRIES; i++)
		add_number(&e->data, names[i], found[i]);
	if (is_given(found[ERROR_TEXT]))
		add_error(&e->data, found[ERROR_TEXT]);
	if (found[OUTPUT].n > 0)
		add_output(&e->data, found[OUTPUT], inline_output, &e->output);
	buf_add_char(&e->data, '}');
}

/*
 * RunPod sends no delivery id. A call sent again repeats all of these; a
 * /retry that fails once more has other times. The development server sends
 * none of them: there the whole body has to tell.
 */
static void
add_identity(struct hook_event *e, struct span body,
    const struct span found[MEMBERS], struct span status)
{
	buf_add_span(&e->identity, buf_span(&e->external_id));
	buf_add_char(&e->identity, '\n');
	buf_add_span(&e->identity, status);
	for (size_t i = DELAY_TIME; i <= RETRIES; i++) {
		buf_add_char(&e->identity, '\n');
		buf_add_span(&e->identity, found[i]);
	}
	if (e->external_id.len == 0)
		buf_add_span(&e->identity, body);
}

enum err
runpod_normalise(const struct request *r, struct span body,
    size_t inline_output, struct hook_event *ret, const char **why)
{
	(void)r;
	struct span found[MEMBERS];
	struct buf status = BUF_INIT;
	enum err e;

	find_members(body, found);
	e = get_string(found[ID], &ret->external_id);
	if (e == ERR_PROTO || ret->external_id.len > ID_MAX) {
		*why = "The member id must be a string of at most 256 bytes.";
		e = ERR_PROTO;
		goto out;
	}
	e = get_string(found[STATUS], &status);
	if (e == ERR_PROTO) {
		*why = "The member status must be a string.";
		goto out;
	}
	/* Without memory for it, a status must not read as an unknown one. */
	if (!buf_ok(&status)) {
		e = ERR_NOMEM;
		goto out;
	}
	if (e == OK)
		ret->type = type_of_status(buf_span(&status));
	else
		ret->type =
		    is_given(found[ERROR_TEXT]) ? "failed" : "completed";
	e = OK;
	if (ret->type == NULL)
		goto out;
	add_data(ret, found, inline_output);
	add_identity(ret, body, found, buf_span(&status));
	if (!buf_ok(&ret->data) || !buf_ok(&ret->identity) ||
	    !buf_ok(&ret->external_id))
		e = ERR_NOMEM;
out:
	buf_done(&status);
	return e;
}
