/* SPDX-License-Identifier: ISC */
/*
 * How a stream ends: with its resources given back, its client told, and for
 * JSON with the answer that it waited for. When it does is stream.c's business.
 * Runs on the loop; an answer blocks as far as reading the database does.
 */
#include "live/stream.h"

#include <stdlib.h>

#include "live/poll.h"
#include "live/expiry.h"

/* --- Ends ----------------------------------------------------------------- */

void
stream_free(struct stream *s)
{
	free(s->json);
	free(s->expiry);
	free(s);
}

void
stream_release(struct stream *s, enum stream_end why)
{
	struct hub *h = s->hub;

	for (uint32_t i = 0; i < s->n_subs; i++)
		hub_unsubscribe(h, &s->subs[i]);
	hub_unqueue(h, s);
	timer_cancel(h->loop, &s->x->timer);
	frame_unref(&s->pending);
	if (h->cfg.places != NULL)
		places_give(h->cfg.places, s->place);
	TAILQ_REMOVE(&h->streams, s, link);
	if (s->lag_due != 0)
		h->stats->lagging--;
	if (s->json != NULL) {
		h->stats->waiting--;
	} else {
		h->stats->open--;
		h->stats->closed[why]++;
	}
	stream_free(s);
}

void
stream_drop(struct stream *s, enum stream_end why)
{
	struct exchange *x = s->x;

	stream_release(s, why);
	x->ops->drop(x);
}

void
stream_abandon(struct stream *s)
{
	stream_drop(s, STREAM_DRAINED);
}

void
stream_finish(struct stream *s, enum stream_end why)
{
	struct exchange *x = s->x;
	struct buf retry = BUF_INIT;
	size_t progress = 0;
	enum sent sent = s->pending == NULL ? SENT_ALL : SENT_PART;

	if (sent == SENT_ALL && why != STREAM_COMPLETED) {
		buf_addf(&retry, "retry: %lld\n",
		    (long long)hub_draw_retry_ms(s->hub));
		if (buf_ok(&retry))
			sent = x->ops->send(x, buf_span(&retry), &progress);
		buf_done(&retry);
	}
	stream_release(s, why);
	if (sent == SENT_ALL)
		x->ops->end(x);
	else
		x->ops->drop(x);
}

/* --- JSON ----------------------------------------------------------------- */

struct selection
stream_selection(const struct stream *s, const char **job_ids)
{
	if (s->has_owner)
		return (struct selection){.owner = s->subs[0].topic->name};
	for (uint32_t i = 0; i < s->n_subs; i++)
		job_ids[i] = s->subs[i].topic->name;
	return (struct selection){.job_ids = job_ids, .n_jobs = s->n_subs};
}

void
stream_answer_json(struct stream *s, bool is_over)
{
	const char *job_ids[JOB_IDS_MAX];
	struct selection sel = stream_selection(s, job_ids);
	struct exchange *x = s->x;
	struct poll_page form = {
	    .cursor = s->cursor,
	    .resync = s->json->resync,
	    .known = s->known,
	};
	struct answer a = ANSWER_INIT;
	enum err e = poll_fill(&form, s->hub, &sel, &a);

	s->is_current = true;
	is_over = is_over || s->json->resync != NULL;
	if (e == OK && form.n_events == 0 && !form.is_terminal && !is_over) {
		answer_done(&a);
		return;
	}
	if (e != OK)
		refusal_answer(refusal_of(REFUSAL_OF_READ, e), &a);
	buf_add_str(&a.headers, s->json->headers);
	stream_release(s, STREAM_COMPLETED);
	x->ops->answer(x, &a);
	answer_done(&a);
}

void
stream_dismiss(struct stream *s, enum err e)
{
	struct exchange *x = s->x;
	struct answer a = ANSWER_INIT;
	struct refusal why;

	if (s->json == NULL) {
		stream_finish(
		    s, e == ERR_EXPIRED ? STREAM_EXPIRED : STREAM_REVOKED);
		return;
	}
	session_explain(e, &why);
	refusal_answer(&why, &a);
	buf_add_str(&a.headers, s->json->headers);
	stream_release(s, STREAM_COMPLETED);
	x->ops->answer(x, &a);
	answer_done(&a);
}
