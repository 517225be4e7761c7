/* SPDX-License-Identifier: ISC */
/*
 * POST /jobs/{job_id}/events: what workers publish, one event or several, all
 * or none, and at most once under an idempotency key. Only the writing blocks.
 */
#include <stdlib.h>
#include <string.h>

#include "auth/crypto.h"
#include "hook/routes.h"
#include "job/name.h"
#include "job/state.h"
#include "store/events.h"
#include "store/idempotency.h"
#include "store/jobs.h"
#include "text/json_text.h"
#include "web/sse.h"

enum {
	EVENTS_MAX = 100,
	KEY_MAX_BYTES = 255,
};

/* Offsets, because the text moves while it grows. */
struct entry {
	size_t type, data, data_len; /* data_len 0: none */
};

struct publish_call {
	struct buf text; /* all types, terminated, and data on one line */
	struct entry entries[EVENTS_MAX];
	size_t n;
	char key[CRYPTO_SHA256_SIZE];	 /* "": no Idempotency-Key */
	struct idempotency_record given; /* what the key stands for */
	enum job_state state;		 /* of the job after them */
	bool is_repeated;
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

/* The key as stored: a digest, with the job in it, so that two jobs do not
 * share keys and no client's secret lies in the table. */
static bool
take_key(struct call *c, struct publish_call *p)
{
	struct span key =
	    span_of(request_header(c->request, "idempotency-key"));
	const struct span parts[] = {buf_span(&c->job_id), SPAN_LIT("\n"), key};
	enum err e;

	if (key.n == 0)
		return true;
	if (key.n > KEY_MAX_BYTES)
		return call_refuse(c, 400, "bad_idempotency_key",
		    "An Idempotency-Key has at most 255 bytes.");
	e = crypto_sha256_of(parts, sizeof(parts) / sizeof(parts[0]), p->key);
	if (e == OK)
		e = crypto_sha256(c->request->body, p->given.request);
	return e == OK || call_refuse_memory(c);
}

static bool
prepare(struct call *c)
{
	struct publish_call *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return call_refuse_memory(c);
	c->state = p;
	if (!call_take_publisher(c) || !call_take_job_id(c) ||
	    !take_events(c, p) || !take_key(c, p))
		return false;
	c->type = p->text.data + p->entries[0].type;
	c->commit.weight = p->text.len;
	p->given.n_events = (int64_t)p->n;
	return true;
}

/* Has the key been used? ERR_EXISTS: for something else. */
static enum err
find_key(struct publish_call *p, struct db *db)
{
	struct idempotency_record found;
	enum err e = idempotency_find(db, p->key, &found);

	if (e != OK)
		return e == ERR_NOENT ? OK : e;
	if (strcmp(found.request, p->given.request) != 0)
		return ERR_EXISTS;
	p->given = found;
	p->is_repeated = true;
	return OK;
}

static enum err
append_all(struct call *c, struct publish_call *p, struct db *db)
{
	const char *text = p->text.data;
	bool is_duplicate;
	int64_t id = 0;
	enum err e = OK;

	for (size_t i = 0; i < p->n && e == OK; i++) {
		const struct event_new event = {
		    .job_id = c->job_id.data,
		    .type = text + p->entries[i].type,
		    .data = {text + p->entries[i].data, p->entries[i].data_len},
		};

		e = events_append(db, &event, &id, &is_duplicate);
		/* One writer at a time: they follow one another. */
		if (i == 0)
			p->given.first_id = id;
	}
	return e;
}

static enum err
write_rows(struct call *c, struct db *db)
{
	struct publish_call *p = c->state;
	enum err e = OK;

	p->is_repeated = false;
	if (*p->key != '\0')
		e = find_key(p, db);
	if (e == OK && !p->is_repeated) {
		e = append_all(c, p, db);
		if (e == OK && *p->key != '\0')
			e = idempotency_add(db, p->key, &p->given);
	}
	return e == OK
		   ? jobs_state_after(db,
			 p->given.first_id + p->given.n_events - 1, &p->state)
		   : e;
}

static void
conclude(struct call *c)
{
	const struct publish_call *p = c->state;
	struct buf *b = &c->answer.body;
	char id[SSE_ID_SIZE];

	if (c->commit.result == ERR_EXISTS) {
		(void)call_refuse(c, 422, "idempotency_key_reused",
		    "This Idempotency-Key stood for another request.");
		return;
	}
	if (c->commit.result != OK) {
		call_answer_trouble(c);
		return;
	}
	c->outcome = p->is_repeated ? CALL_DUPLICATE : CALL_STORED;
	answer_json(&c->answer, p->is_repeated ? 200 : 201);
	buf_add_str(b, "{\"event_ids\":[");
	for (int64_t i = 0; i < p->given.n_events; i++) {
		sse_id_format(c->commit.epoch, p->given.first_id + i, 0, id);
		buf_addf(b, "%s\"%s\"", i > 0 ? "," : "", id);
	}
	buf_add_str(b, "],\"state\":");
	if (p->state != JOB_NO_STATE)
		json_text_add_quoted(b, span_of(job_state_name(p->state)));
	else
		buf_add_str(b, "null");
	buf_add_str(b, "}\n");
}

static void
done(struct call *c)
{
	struct publish_call *p = c->state;

	buf_done(&p->text);
	free(p);
}

const struct call_handler publish_call = {prepare, write_rows, conclude, done};
