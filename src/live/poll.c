/* SPDX-License-Identifier: ISC */
/*
 * Rows as a JSON document. Whether to answer or to wait is stream.c's business.
 * Blocks as far as hub_read_rows() does.
 */
#include "live/poll.h"

#include "job/name.h"
#include "store/jobs.h"
#include "text/json_text.h"
#include "web/sse.h"

enum {
	EVENTS_MAX = 1000, /* more are fetched with last_event_id */
	BYTES_MAX = 4 << 20,
};

struct rows {
	struct hub *hub;
	const struct losses *known;
	struct buf *out;
	size_t n;	 /* events written, resync included */
	size_t n_read;	 /* rows read */
	int64_t last_id; /* of the last row read */
	bool is_short;	 /* stopped before the end */
};

static void
begin_event(struct rows *r, const char *id, const char *type)
{
	buf_add_str(r->out, r->n++ > 0 ? ",{\"id\":" : "{\"id\":");
	json_text_add_quoted(r->out, span_of(id));
	buf_add_str(r->out, ",\"event\":");
	json_text_add_quoted(r->out, span_of(type));
	buf_add_str(r->out, ",\"data\":");
}

static bool
on_row(void *arg, const struct event_row *row)
{
	struct rows *r = arg;
	struct sse_event event = {r->hub->epoch, row->id,
	    loss_at(r->known, row->id), row->type, row->job_id, row->restore_id,
	    row->status, row->data, (size_t)r->hub->cfg.inline_output};
	struct buf data = BUF_INIT;
	char id[SSE_ID_SIZE];
	enum err e = job_type_ok(span_of(row->type))
			 ? sse_add_data(&data, &event)
			 : ERR_PROTO;

	r->n_read++;
	r->last_id = row->id;
	/* What cannot be sent is passed over, as in a stream; what only lacks
	 * memory is not: then there is no answer. */
	if (e == ERR_NOMEM)
		r->out->failed = true;
	if (e == OK) {
		sse_id_format(r->hub->epoch, row->id, event.loss, id);
		begin_event(r, id, row->type);
		buf_add_span(r->out, buf_span(&data));
		buf_add_char(r->out, '}');
	}
	buf_done(&data);
	r->is_short = r->n_read == EVENTS_MAX || r->out->len > BYTES_MAX ||
		      !buf_ok(r->out);
	return !r->is_short;
}

/* How many of the jobs have not ended. An owner's never do. */
static enum err
count_open(struct hub *h, const struct selection *sel, size_t *ret)
{
	struct job_bounds job;
	size_t n = sel->owner != NULL ? 1 : 0;
	enum err e;

	for (size_t i = 0; i < sel->n_jobs; i++) {
		e = jobs_bounds(h->db, sel->job_ids[i], &job);
		if (e != OK)
			return e;
		n += job.is_terminal ? 0 : 1;
	}
	*ret = n;
	return OK;
}

enum err
poll_fill(struct poll_page *f, struct hub *h, const struct selection *sel,
    struct answer *a)
{
	struct rows r = {.hub = h,
	    .known = &f->known,
	    .out = &a->body,
	    .last_id = f->cursor};
	char id[SSE_ID_SIZE];
	size_t n_open = 0;
	bool is_terminal;
	enum err e;

	if (h->db == NULL)
		return ERR_GONE;
	answer_json(a, 200);
	buf_add_str(r.out, "{\"events\":[");
	if (f->resync != NULL) {
		sse_id_format(h->epoch, 0, 0, id);
		begin_event(&r, id, "resync");
		buf_addf(r.out, "{\"reason\":\"%s\"}}", f->resync);
	}
	/* One snapshot: the rows and the states belong together. */
	e = db_begin_read(h->db);
	if (e == OK)
		e = hub_read_rows(h, sel, f->cursor, EVENTS_MAX, on_row, &r);
	if (e == OK)
		e = count_open(h, sel, &n_open);
	db_rollback(h->db);
	if (e != OK)
		return e;
	is_terminal = n_open == 0 && !r.is_short;
	sse_id_format(h->epoch, r.last_id, loss_at(r.known, r.last_id), id);
	buf_addf(r.out, "],\"last_event_id\":\"%s\",\"terminal\":%s}\n", id,
	    is_terminal ? "true" : "false");
	if (!buf_ok(r.out))
		return ERR_NOMEM;
	f->n_events = r.n_read;
	f->is_terminal = is_terminal;
	return OK;
}
