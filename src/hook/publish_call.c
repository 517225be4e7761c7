/* SPDX-License-Identifier: ISC */
/*
 * POST /jobs/{job_id}/events: what workers publish, one event or several, all
 * or none, and at most once under an idempotency key. Only the writing blocks.
 */
#include <stdlib.h>
#include <string.h>

#include "hook/idempotency_key.h"
#include "hook/routes.h"
#include "job/name.h"
#include "job/state.h"
#include "text/json_text.h"
#include "web/sse.h"

enum { EVENTS_MAX = INTENT_EVENTS_MAX };

/* Offsets, because the text moves while it grows. */
struct entry {
	size_t type, data, data_len; /* data_len 0: none */
};

struct publish_call {
	struct buf text; /* all types, terminated, and data on one line */
	struct entry entries[EVENTS_MAX];
	size_t n;
	struct idempotency_key key;
};

static bool
take_type(struct call *c, struct publish_call *p, struct span event)
{
	struct span value;
	size_t start = p->text.len, len;

	if (json_text_get(event, "type", &value) &&
	    json_text_kind(value) == JSON_TEXT_STRING) {
		json_text_add_string_value(&p->text, value);
		len = p->text.len - start;
		buf_add_char(&p->text, '\0');
		if (!buf_ok(&p->text))
			return call_refuse_memory(c);
		if (job_type_ok((struct span){p->text.data + start, len}))
			return true;
	}
	return call_refuse(c, 400, "bad_type",
	    "The member type must be a-z, then up to 63 of a-z 0-9 _ . - and "
	    "none of jobwire's own.");
}

static bool
take_data(struct call *c, struct publish_call *p, struct span event)
{
	struct span value;
	size_t start = p->text.len;

	if (!json_text_get(event, "data", &value) ||
	    json_text_kind(value) == JSON_TEXT_NULL)
		return true;
	if (json_text_kind(value) != JSON_TEXT_OBJECT)
		return call_refuse(c, 400, "bad_payload",
		    "The member data must be an object.");
	json_text_add_line(&p->text, value);
	if (p->text.len - start > SSE_DATA_MAX)
		return call_refuse(c, 413, "data_too_large",
		    "The data of an event has at most 1 MiB.");
	p->entries[p->n].data = start;
	p->entries[p->n].data_len = p->text.len - start;
	return true;
}

static bool
take_event(struct call *c, struct publish_call *p, struct span event)
{
	if (json_text_kind(event) != JSON_TEXT_OBJECT)
		return call_refuse(
		    c, 400, "bad_payload", "An event must be a JSON object.");
	if (p->n == EVENTS_MAX)
		return call_refuse(c, 413, "too_many_events",
		    "One request carries at most 100 events.");
	p->entries[p->n].type = p->text.len;
	if (!take_type(c, p, event) || !take_data(c, p, event))
		return false;
	p->n++;
	return true;
}

static bool
take_events(struct call *c, struct publish_call *p)
{
	struct json_text_iter it = {0};
	struct span body, key, value;

	if (!call_take_json(c, NULL, &body))
		return false;
	if (json_text_kind(body) != JSON_TEXT_ARRAY) {
		if (!take_event(c, p, body))
			return false;
	} else {
		it.rest = body;
		while (json_text_next(&it, &key, &value))
			if (!take_event(c, p, value))
				return false;
	}
	if (p->n == 0)
		return call_refuse(c, 400, "bad_payload",
		    "The array must hold at least one event.");
	return buf_ok(&p->text) ? true : call_refuse_memory(c);
}

static bool
prepare(struct call *c)
{
	struct publish_call *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return call_refuse_memory(c);
	c->state = p;
	if (!call_take_publisher(c) || !call_take_job_id(c) ||
	    !take_events(c, p) ||
	    !idempotency_key_take(c, (struct span){0}, &p->key))
		return false;
	c->type = p->text.data + p->entries[0].type;
	c->commit.weight = p->text.len;
	return true;
}

static enum err
write_events(struct call *c, struct db *db)
{
	const struct publish_call *p = c->state;
	struct intent_entry entries[EVENTS_MAX];
	const struct intent_publication publication = {
	    .job_id = c->job_id.data,
	    .entries = entries,
	    .n_entries = p->n,
	    .key = idempotency_key_text(&p->key),
	    .request = p->key.request,
	};
	const char *text = p->text.data;

	for (size_t i = 0; i < p->n; i++) {
		const struct entry *e = &p->entries[i];

		entries[i] = (struct intent_entry){
		    text + e->type, {text + e->data, e->data_len}};
	}
	return intent_write(db, INTENT_PUBLICATION, &publication, &c->written);
}

static void
conclude(struct call *c)
{
	const struct intent_result *r = &c->written;
	struct buf *b = &c->answer.body;
	char id[SSE_ID_SIZE];
	int status;

	if (c->commit.result != OK) {
		call_answer_trouble(c);
		return;
	}
	status = call_take_outcome(c, r->is_duplicate ? 200 : 201,
	    r->is_duplicate ? CALL_DUPLICATE : CALL_STORED);
	answer_json(&c->answer, status);
	if (call_is_pending(c)) {
		buf_add_str(b, "{\"event_ids\":null,\"state\":null");
		call_end_object(c);
		return;
	}
	buf_add_str(b, "{\"event_ids\":[");
	for (int64_t i = 0; i < r->n_events; i++) {
		sse_id_format(c->commit.epoch, r->first_id + i, 0, id);
		buf_addf(b, "%s\"%s\"", i > 0 ? "," : "", id);
	}
	buf_add_str(b, "],\"state\":");
	if (r->state != JOB_NO_STATE)
		json_text_add_quoted(b, span_of(job_state_name(r->state)));
	else
		buf_add_str(b, "null");
	call_end_object(c);
}

static void
done(struct call *c)
{
	struct publish_call *p = c->state;

	buf_done(&p->text);
	free(p);
}

const struct call_handler publish_call = {
    .prepare = prepare,
    .write = write_events,
    .conclude = conclude,
    .done = done,
};
