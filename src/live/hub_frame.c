/* SPDX-License-Identifier: ISC */
/*
 * A row as all clients are sent it. Never blocks.
 */
#include "job/state.h"
#include "live/hub.h"
#include "web/sse.h"

static enum frame_effect
effect_of(const char *type)
{
	enum job_state state = job_state_of(type);

	if (job_state_is_end(state))
		return FRAME_ENDS;
	return state != JOB_NO_STATE ? FRAME_OPENS : FRAME_NEUTRAL;
}

static enum err
hub_add_event(struct hub *h, const struct event_row *row, int64_t loss,
    struct buf *out, bool *ret_is_skipped)
{
	struct sse_event e = {hub_epoch(h), row->id, loss, row->type,
	    row->job_id, row->restore_id, row->status, row->origin, row->seq,
	    row->data, (size_t)hub_config(h)->inline_output};
	enum err err = sse_add_event(out, &e);

	*ret_is_skipped = err == ERR_PROTO || err == ERR_LIMIT;
	if (!*ret_is_skipped)
		return err;
	hub_note_skipped(h, row->id, err);
	sse_add_id(out, hub_epoch(h), row->id, loss);
	return buf_ok(out) ? OK : ERR_NOMEM;
}

enum err
hub_make_frame(struct hub *h, const struct event_row *row, int64_t loss,
    struct frame **ret)
{
	struct buf body = BUF_INIT;
	bool is_skipped;
	enum err e = hub_add_event(h, row, loss, &body, &is_skipped);

	if (e == OK)
		e = frame_new(&body, row->id, effect_of(row->type), ret);
	buf_done(&body);
	if (e != OK)
		return e;
	(*ret)->is_skipped = is_skipped;
	(*ret)->floor = row->floor;
	return OK;
}
