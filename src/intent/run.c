/* SPDX-License-Identifier: ISC */
/*
 * Runs begin, are submitted, are cancelled, and change their node. Blocks on
 * the disk.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "intent/intent.h"
#include "store/cluster.h"

/* A job without an owner becomes the caller's. ERR_NOENT: there is no such job,
 * and none is to be made. */
static enum err
own_job(struct db *db, const char *job_id, const char *owner, bool is_made,
    struct intent_result *ret)
{
	const struct job_new job = {.job_id = job_id, .owner = owner};
	enum job_state state;
	bool is_new;
	enum err e;

	if (owner == NULL)
		return OK;
	e = jobs_state(db, job_id, &state);
	if (e == OK && state == JOB_NO_STATE && !is_made)
		e = ERR_NOENT;
	if (e != OK)
		return e;
	e = jobs_register(db, &job, &is_new);
	return e == ERR_EXISTS ? intent_refuse(ret, INTENT_JOB_FORBIDDEN) : e;
}

/* The run of a call that was made before. It may be gone with its job. */
static enum err
tell_again(struct db *db, struct intent_result *ret)
{
	struct run run = {0};
	enum err e = runs_get(db, ret->first_id, &run);

	ret->run_id = ret->first_id;
	if (e == OK && run.restore_id != NULL)
		snprintf(ret->restore_id, sizeof(ret->restore_id), "%s",
		    run.restore_id);
	run_done(&run);
	return e == ERR_NOENT ? OK : e;
}

static enum err
start(struct db *db, const struct intent_start *s, struct intent_result *ret)
{
	const struct run_new run = {
	    .job_id = s->job_id,
	    .action = s->action,
	    .endpoint = s->endpoint,
	    .restore_id = s->restore_id,
	    .spare_restore_id = s->spare_restore_id,
	    .input = s->input,
	    .policy = s->policy,
	};
	struct run_started started;
	enum err e = runs_start(db, &run, &started);

	if (e == ERR_EXISTS)
		return intent_refuse(ret, INTENT_JOB_RUNNING);
	if (e != OK)
		return e;
	ret->run_id = ret->first_id = started.run_id;
	snprintf(
	    ret->restore_id, sizeof(ret->restore_id), "%s", started.restore_id);
	return intent_remember(db, s->key, s->request, ret);
}

enum err
intent_apply_start(struct db *db, const void *intent, struct intent_result *ret)
{
	const struct intent_start *s = intent;
	enum err e;

	if (s->job_id == NULL || s->endpoint == NULL ||
	    s->spare_restore_id == NULL)
		return ERR_PROTO;
	e = own_job(db, s->job_id, s->owner, true, ret);
	if (e == OK)
		e = intent_recall(db, s->key, s->request, ret);
	if (e != OK)
		return e;
	return ret->is_duplicate ? tell_again(db, ret) : start(db, s, ret);
}

enum err
intent_apply_cancel(
    struct db *db, const void *intent, struct intent_result *ret)
{
	const struct intent_cancel *c = intent;
	struct run_cancelled cancelled;
	enum err e;

	if (c->job_id == NULL)
		return ERR_PROTO;
	e = own_job(db, c->job_id, c->owner, false, ret);
	if (e == OK)
		e = runs_cancel(db, c->job_id, &cancelled);
	if (e == ERR_NOENT)
		return intent_refuse(ret, INTENT_NO_RUN);
	if (e == OK) {
		ret->run_id = cancelled.run_id;
		ret->is_over = cancelled.is_over;
	}
	return e;
}

/* --- In a cluster --------------------------------------------------------- */

enum err
intent_prove(struct db *db, const char *job_id, const char *external_id)
{
	struct intent_submitted submitted = {.external_id = external_id};
	struct run run = {0};
	enum err e;

	if (cluster_entry_origin(db) == NULL)
		return OK;
	e = runs_doubted(db, job_id, &run);
	if (e == OK) {
		submitted.run = runs_ref(&run);
		submitted.submitted_at = submitted.next_at = clock_real_ms();
		e = intent_post(db, INTENT_SUBMITTED, &submitted);
	}
	run_done(&run);
	return e == ERR_NOENT ? OK : e;
}

enum err
intent_apply_submitted(
    struct db *db, const void *intent, struct intent_result *ret)
{
	const struct intent_submitted *s = intent;
	struct run run = {0};
	enum err e = runs_find(db, &s->run, &run);

	(void)ret;
	/* What proved it first is as good. */
	if (e == OK && (run.state == RUN_ENDED || (run.state == RUN_SUBMITTED &&
						      run.external_id != NULL)))
		e = ERR_NOENT;
	if (e == OK && s->external_id != NULL) {
		free(run.external_id);
		run.external_id = strdup(s->external_id);
		e = run.external_id != NULL ? OK : ERR_NOMEM;
	}
	if (e == OK) {
		run.submitted_at = s->submitted_at;
		run.deadline = s->deadline;
		run.next_at = s->next_at;
		e = runs_submitted(db, &run);
	}
	run_done(&run);
	return e == ERR_NOENT ? OK : e;
}

enum err
intent_apply_take(struct db *db, const void *intent, struct intent_result *ret)
{
	const struct intent_take *t = intent;
	struct run run = {0};
	enum err e;

	if (t->node_id == NULL)
		return ERR_PROTO;
	e = runs_find(db, &t->run, &run);
	if (e == ERR_NOENT || (e == OK && run.state == RUN_ENDED))
		e = intent_refuse(ret, INTENT_NO_RUN);
	if (e == OK)
		e = runs_take(db, run.run_id, t->node_id);
	if (e == OK && strcmp(t->node_id, db_node_id(db)) == 0) {
		/* It may have been on its way to the provider. */
		if (run.state != RUN_SUBMITTED) {
			run.state = RUN_UNKNOWN;
			run.deadline = 0;
		}
		run.next_at = clock_real_ms();
		e = run_save(db, &run);
	}
	ret->run_id = run.run_id;
	run_done(&run);
	return e;
}
