/* SPDX-License-Identifier: ISC */
/*
 * Jobs and events as several commands print them. Pure.
 */
#include "output.h"

#include <inttypes.h>

#include "base/clock.h"
#include "job/state.h"
#include "table.h"
#include "text/json_text.h"
#include "web/sse.h"

void
output_add_value(struct buf *out, const char *json)
{
	if (json == NULL)
		return;
	if (json_text_kind(span_of(json)) == JSON_TEXT_STRING)
		json_text_add_string_value(out, span_of(json));
	else
		json_text_add_line(out, span_of(json));
}

void
output_add_text(struct buf *out, const char *name, const char *text)
{
	buf_addf(out, ",\"%s\":", name);
	if (text != NULL)
		json_text_add_quoted(out, span_of(text));
	else
		buf_add_str(out, "null");
}

void
output_add_json(struct buf *out, const char *name, const char *json)
{
	buf_addf(out, ",\"%s\":", name);
	if (json != NULL)
		json_text_add_line(out, span_of(json));
	else
		buf_add_str(out, "null");
}

void
output_add_job(struct buf *out, const struct job *j)
{
	buf_add_str(out, "{\"job_id\":");
	json_text_add_quoted(out, span_of(j->job_id));
	output_add_text(out, "state", job_state_name(j->state));
	output_add_text(out, "updated_at", j->updated_at);
	output_add_json(out, "progress", j->progress);
	output_add_text(out, "owner", j->owner);
	output_add_json(out, "error", j->error);
}

static void
add_time(struct buf *out, const char *name, int64_t ms)
{
	char text[CLOCK_RFC3339_SIZE];

	if (ms != 0)
		clock_rfc3339(ms, text);
	output_add_text(out, name, ms != 0 ? text : NULL);
}

void
output_add_run(struct buf *out, const struct run *r)
{
	buf_addf(out, "{\"run_id\":%" PRId64, r->run_id);
	output_add_text(out, "job_id", r->job_id);
	output_add_text(out, "action", r->action);
	output_add_text(out, "endpoint", r->endpoint);
	output_add_text(out, "state", run_state_name(r->state));
	buf_addf(out, ",\"attempts\":%" PRId64, r->attempts);
	output_add_text(out, "external_id", r->external_id);
	output_add_text(out, "restore_id", r->restore_id);
	buf_addf(out, ",\"cancel_wanted\":%s",
	    r->cancel_wanted != RUN_CANCEL_NOT ? "true" : "false");
	add_time(out, "created_at", r->created_at);
	add_time(out, "submitted_at", r->submitted_at);
	add_time(out, "next_at", r->next_at);
	add_time(out, "deadline", r->deadline);
	add_time(out, "ended_at", r->ended_at);
	output_add_text(out, "error", r->error);
	buf_add_char(out, '}');
}

static void
add_field(struct buf *out, const char *text)
{
	table_add_clean(out, span_of(text));
	buf_add_char(out, '\t');
}

void
output_add_event(struct buf *out, const struct command_line *c,
    const struct db *db, const struct event_row *row)
{
	char id[SSE_ID_SIZE];
	struct buf data = BUF_INIT;
	struct sse_event e = {db_epoch(db), row->id, 0, row->type, row->job_id,
	    row->restore_id, row->status, row->origin, row->seq, row->data,
	    (size_t)c->settings->inline_output};

	sse_id_format(e.epoch, row->id, 0, id);
	if (sse_add_data(&data, &e) != OK)
		buf_add_str(&data, "null");
	if (c->settings->json) {
		buf_addf(out, "{\"id\":\"%s\",\"event\":", id);
		json_text_add_quoted(out, span_of(row->type));
		buf_add_str(out, ",\"created_at\":");
		json_text_add_quoted(out, span_of(row->created_at));
		buf_add_str(out, ",\"data\":");
		buf_add_span(out, buf_span(&data));
		buf_add_char(out, '}');
	} else {
		add_field(out, row->created_at);
		add_field(out, id);
		add_field(out, row->job_id);
		add_field(out, row->type);
		table_escape(&data);
		buf_add_span(out, buf_span(&data));
		buf_add_char(out, '\n');
	}
	out->failed = out->failed || !buf_ok(&data);
	buf_done(&data);
}
