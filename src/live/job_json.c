/* SPDX-License-Identifier: ISC */
/*
 * A job's row as a JSON object. Never blocks.
 */
#include "live/job_json.h"

#include <stddef.h>

#include "job/state.h"
#include "store/jobs.h"
#include "text/json_text.h"
#include "web/sse.h"

static void
add_string_member(struct buf *out, const char *name, const char *value)
{
	buf_addf(out, "\"%s\":", name);
	if (value == NULL)
		buf_add_str(out, "null");
	else
		json_text_add_quoted(out, span_of(value));
	buf_add_char(out, ',');
}

/* A stored JSON text; the schema does not check `output`, so we do. */
static void
add_json_member(struct buf *out, const char *name, const char *text)
{
	struct span value;

	buf_addf(out, "\"%s\":", name);
	if (text == NULL || json_text_check(span_of(text), &value) != OK)
		buf_add_str(out, "null");
	else
		json_text_add_line(out, value);
	buf_add_char(out, ',');
}

void
job_json_add(struct buf *out, const char *epoch, const struct job *j)
{
	char id[SSE_ID_SIZE];

	buf_add_char(out, '{');
	add_string_member(out, "job_id", j->job_id);
	add_string_member(out, "restore_id", j->restore_id);
	add_string_member(out, "state", job_state_name(j->state));
	add_json_member(out, "progress", j->progress);
	add_json_member(out, "output", j->output);
	add_string_member(out, "created_at", j->created_at);
	add_string_member(out, "updated_at", j->updated_at);
	sse_id_format(epoch, j->last_event_id, 0, id);
	buf_addf(out, "\"last_event_id\":\"%s\"}\n", id);
}
