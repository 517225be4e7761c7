/* SPDX-License-Identifier: ISC */
/*
 * What is past its time goes on every node at the same place of the log, so
 * that floors are the same everywhere. Blocks on the disk.
 */
#include "intent/retention.h"

#include <stdio.h>

#include "intent/intent.h"
#include "text/span.h"

enum err
intent_post_retention(struct db *db, const struct retention_batch *batch,
    const struct retention *keep)
{
	const struct intent_retention retention = {
	    .job_ids = buf_span(&batch->job_ids),
	    .before = batch->before,
	    .progress = keep->progress,
	    .events = keep->events,
	    .keys_before =
		*batch->keys_before != '\0' ? batch->keys_before : NULL,
	    .unclaimed_before = *batch->unclaimed_before != '\0'
				    ? batch->unclaimed_before
				    : NULL,
	};

	return intent_post(db, INTENT_RETENTION, &retention);
}

enum err
intent_apply_retention(
    struct db *db, const void *intent, struct intent_result *ret)
{
	const struct intent_retention *r = intent;
	const struct retention keep = {
	    .progress = r->progress, .events = r->events};
	struct span rest = r->job_ids, id;
	char job_id[JOB_ID_MAX + 1];
	enum err e = OK;

	(void)ret;
	/* Nobody keeps none at all: it is left out. */
	if (rest.n > 0 && (r->progress == 0 || r->events == 0))
		return ERR_PROTO;
	while (e == OK && rest.n > 0) {
		id = span_cut(&rest, ',');
		(void)snprintf(job_id, sizeof(job_id), "%.*s", (int)id.n, id.p);
		e = retention_apply(db, job_id, r->before, &keep);
	}
	if (e == OK && r->keys_before != NULL)
		e = retention_apply_keys(db, r->keys_before);
	if (e == OK && r->unclaimed_before != NULL)
		e = retention_apply_unclaimed(db, r->unclaimed_before);
	return e;
}
