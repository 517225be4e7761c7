/* SPDX-License-Identifier: ISC */
/*
 * A job's row as a JSON object. Never blocks.
 */
#include "live/job_json.h"

#include <inttypes.h>
#include <stddef.h>

#include "base/clock.h"
#include "job/run.h"
#include "job/state.h"
#include "store/jobs.h"
#include "store/run.h"
#include "text/json_text.h"
#include "web/sse.h"

/* Each behind another member. */
static void
add_string_member(struct buf *out, const char *name, const char *value)
{
	buf_addf(out, ",\"%s\":", name);
	if (value == NULL)
		buf_add_str(out, "null");
	else
		json_text_add_quoted(out, span_of(value));
}

/* A stored JSON text; the schema does not check `output`, so we do. */
static void
add_json_member(struct buf *out, const char *name, const char *text)
{
	struct span value;

	buf_addf(out, ",\"%s\":", name);
	if (text == NULL || json_text_check(span_of(text), &value) != OK)
		buf_add_str(out, "null");
	else
		json_text_add_line(out, value);
}

static void
add_time_member(struct buf *out, const char *name, int64_t real_ms)
{
	char text[CLOCK_RFC3339_SIZE];

	clock_rfc3339(real_ms, text);
	add_string_member(out, name, real_ms == 0 ? NULL : text);
}

static void
add_run(struct buf *out, const struct run *r)
{
	if (r == NULL) {
		buf_add_str(out, ",\"run\":null");
		return;
	}
	buf_addf(out, ",\"run\":{\"run_id\":%" PRId64, r->run_id);
	add_string_member(out, "action", r->action);
	add_string_member(out, "state", run_state_name(r->state));
	buf_addf(out, ",\"attempts\":%" PRId64, r->attempts);
	add_string_member(out, "external_id", r->external_id);
	add_time_member(out, "submitted_at", r->submitted_at);
	add_time_member(out, "deadline", r->deadline);
	buf_add_char(out, '}');
}

void
job_json_add(struct buf *out, const char *epoch, const struct job *j,
    const struct run *run)
{
	char id[SSE_ID_SIZE];

	buf_add_str(out, "{\"job_id\":");
	json_text_add_quoted(out, span_of(j->job_id));
	add_string_member(out, "restore_id", j->restore_id);
	add_string_member(out, "state", job_state_name(j->state));
	add_json_member(out, "progress", j->progress);
	add_json_member(out, "output", j->output);
	add_string_member(out, "created_at", j->created_at);
	add_string_member(out, "updated_at", j->updated_at);
	add_run(out, run);
	sse_id_format(epoch, j->last_event_id, 0, id);
	buf_addf(out, ",\"last_event_id\":\"%s\"}\n", id);
}
