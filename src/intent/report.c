/* SPDX-License-Identifier: ISC */
/*
 * A provider's report: whose job it is about, and whether it still counts.
 * Blocks on the disk.
 */
#include <string.h>

#include "intent/intent.h"
#include "store/cluster.h"
#include "store/unclaimed.h"

static void
set_job(struct intent_result *ret, const char *job_id)
{
	size_t n = strlen(job_id);

	/* A longer one is no job's. */
	if (n < sizeof(ret->job_id))
		memcpy(ret->job_id, job_id, n + 1);
}

/* The one that is named, else that registered with the external id, else the
 * one that the job's input names. ERR_NOENT: none of them. */
static enum err
find_job(
    struct db *db, const struct intent_report *r, struct intent_result *ret)
{
	struct buf found = BUF_INIT;
	const char *job_id = r->row.job_id;
	enum err e = OK;

	if (job_id == NULL && r->external_id != NULL) {
		e = jobs_find_external(db, r->external_id, &found);
		if (e == OK)
			job_id = found.data;
		else if (e == ERR_NOENT)
			e = OK;
	}
	if (job_id == NULL)
		job_id = r->input_job_id;
	if (e == OK && job_id != NULL)
		set_job(ret, job_id);
	buf_done(&found);
	return e == OK && ret->job_id[0] == '\0' ? ERR_NOENT : e;
}

/* In a cluster all of them become events with one entry of the log. */
static enum err
check_room(struct db *db, const char *external_id)
{
	int64_t n = 0;
	enum err e = OK;

	if (cluster_entry_origin(db) != NULL)
		e = unclaimed_count(db, external_id, &n);
	return e == OK && n > INTENT_EVENTS_MAX ? ERR_LIMIT : e;
}

/* Nobody has said yet whose this is. */
static enum err
keep(struct db *db, const struct intent_report *r, struct intent_result *ret)
{
	enum err e;

	if (r->external_id == NULL)
		return ERR_PROTO;
	e = unclaimed_keep(db, r->external_id, &r->row, &ret->is_duplicate);
	ret->is_unclaimed = !ret->is_duplicate;
	/* What comes again is no more than there was. */
	return e == OK && ret->is_unclaimed ? check_room(db, r->external_id)
					    : e;
}

/* A late report may neither change a job that is past it nor speak of a run
 * that began after the one that it is about. */
static enum err
store(struct db *db, const struct intent_report *r, struct intent_result *ret)
{
	struct event_new row = r->row;
	enum job_state state;
	bool is_late = false;
	enum err e;

	row.job_id = ret->job_id;
	e = runs_report(
	    db, row.job_id, r->external_id, row.restore_id, &is_late);
	if (e == OK && !is_late)
		e = intent_prove(db, row.job_id, r->external_id);
	if (e == OK)
		e = jobs_state(db, row.job_id, &state);
	if (e != OK)
		return e;
	if (!is_late && job_state_admits(state, job_state_of(row.type))) {
		e = events_append(db, &row, &ret->first_id, &ret->is_duplicate);
		ret->is_new = !ret->is_duplicate;
		return e;
	}
	e = events_find(db, row.source, row.delivery_key, &ret->first_id);
	ret->is_duplicate = e == OK;
	return e == ERR_NOENT ? OK : e;
}

/* A run whose end its job has passed already ends all the same. */
static enum err
end_run(struct db *db, const struct intent_report *r)
{
	struct run run = {0};
	enum err e;

	if (!job_state_is_end(job_state_of(r->row.type)))
		return OK;
	e = runs_find(db, &r->run, &run);
	if (e == OK)
		e = runs_end(db, run.run_id, r->row.type);
	run_done(&run);
	return e == ERR_NOENT ? OK : e;
}

enum err
intent_apply_report(
    struct db *db, const void *intent, struct intent_result *ret)
{
	const struct intent_report *r = intent;
	enum err e;

	if (r->row.type == NULL || r->row.source == NULL ||
	    r->row.delivery_key == NULL)
		return ERR_PROTO;
	e = find_job(db, r, ret);
	if (e == ERR_NOENT)
		return keep(db, r, ret);
	if (e == OK)
		e = store(db, r, ret);
	if (e == OK && (r->run.run_id > 0 || r->run.origin != NULL))
		e = end_run(db, r);
	return e;
}
