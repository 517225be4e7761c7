/* SPDX-License-Identifier: ISC */
/*
 * One event, and several under an idempotency key. Blocks on the disk.
 */
#include <stdio.h>
#include <string.h>

#include "intent/intent.h"
#include "store/idempotency.h"

static enum err
has_ended(struct db *db, const struct run_ref *ref, bool *ret)
{
	struct run run = {0};
	enum err e = runs_find(db, ref, &run);

	*ret = e == ERR_NOENT || run.state == RUN_ENDED;
	run_done(&run);
	return e == ERR_NOENT ? OK : e;
}

enum err
intent_apply_event(struct db *db, const void *intent, struct intent_result *ret)
{
	const struct intent_event *v = intent;
	bool is_over = false;
	enum err e = OK;

	if (v->row.job_id == NULL || v->row.type == NULL)
		return ERR_PROTO;
	if (v->run.origin != NULL)
		e = has_ended(db, &v->run, &is_over);
	if (e != OK || is_over)
		return e;
	e = events_append(db, &v->row, &ret->first_id, &ret->is_duplicate);
	ret->n_events = 1;
	return e == OK ? jobs_state_after(db, ret->first_id, &ret->state) : e;
}

static enum err
append_all(struct db *db, const struct intent_publication *p,
    struct intent_result *ret)
{
	bool is_duplicate;
	int64_t id = 0;
	enum err e = OK;

	for (size_t i = 0; i < p->n_entries && e == OK; i++) {
		const struct event_new event = {
		    .job_id = p->job_id,
		    .type = p->entries[i].type,
		    .data = p->entries[i].data,
		};

		e = event.type == NULL
			? ERR_PROTO
			: events_append(db, &event, &id, &is_duplicate);
		/* One writer at a time: they follow one another. */
		if (i == 0)
			ret->first_id = id;
	}
	ret->n_events = (int64_t)p->n_entries;
	return e;
}

enum err
intent_apply_publication(
    struct db *db, const void *intent, struct intent_result *ret)
{
	const struct intent_publication *p = intent;
	enum err e;

	if (p->job_id == NULL || p->n_entries == 0)
		return ERR_PROTO;
	e = intent_recall(db, p->key, p->request, ret);
	if (e == OK && !ret->is_duplicate) {
		e = append_all(db, p, ret);
		if (e == OK)
			e = intent_remember(db, p->key, p->request, ret);
	}
	if (e != OK)
		return e;
	return jobs_state_after(
	    db, ret->first_id + ret->n_events - 1, &ret->state);
}

/* --- Keys ----------------------------------------------------------------- */

enum err
intent_recall(struct db *db, const char *key, const char *request,
    struct intent_result *ret)
{
	struct idempotency_record found;
	enum err e;

	if (key == NULL)
		return OK;
	e = idempotency_find(db, key, &found);
	if (e != OK)
		return e == ERR_NOENT ? OK : e;
	if (request == NULL || strcmp(found.request, request) != 0)
		return intent_refuse(ret, INTENT_KEY_REUSED);
	ret->first_id = found.first_id;
	ret->n_events = found.n_events;
	ret->is_duplicate = true;
	return OK;
}

enum err
intent_remember(struct db *db, const char *key, const char *request,
    const struct intent_result *r)
{
	struct idempotency_record record = {
	    .first_id = r->first_id, .n_events = r->n_events};

	if (key == NULL)
		return OK;
	snprintf(record.request, sizeof(record.request), "%s",
	    request != NULL ? request : "");
	return idempotency_add(db, key, &record);
}
