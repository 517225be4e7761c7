/* SPDX-License-Identifier: ISC */
/*
 * What is read and written for a run before a call and after it. Layer: runner.
 * Both within the caller's transaction; they block on the disk.
 */
#ifndef JOBWIRE_WORK_H
#define JOBWIRE_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/secrets.h"
#include "base/err.h"
#include "hook/urls.h"
#include "runner/http_client.h"
#include "runner/provider_api.h"
#include "runner/step.h"
#include "store/db.h"

/* What all runs have in common. */
struct work_config {
	const struct provider_api *api;
	const char *url; /* of the provider; borrowed, as are: */
	const char *actions;
	struct urls_site site; /* where its webhooks come to */
	struct step_rules rules;
	size_t inline_output;
};

/* Read again at SIGHUP. */
struct work_keys {
	struct secrets provider; /* the first is sent */
	struct secrets url;	 /* webhook_secret; n may be 0: no webhook */
};

void work_keys_done(struct work_keys *k); /* wipes the bytes */

/* One call for one run. */
struct work {
	enum step_call call; /* STEP_NOTHING: none is needed */
	int64_t run_id;
	struct http_request request;
	bool is_logged; /* what came of it, which may have to be stored twice */
};

void work_done(struct work *w);

/* Begins with a due run. What it then is, is saved; *ret is for work_done().
 * ERR_NOENT: it is not due any more. */
CHECK_RESULT enum err work_begin(struct db *db, const struct work_config *cfg,
    const struct work_keys *keys, int64_t run_id, int64_t now_ms,
    struct work *ret);

/* Stores what came of it. *ret_next is what to call at once, for
 * work_done(). */
CHECK_RESULT enum err work_end(struct db *db, const struct work_config *cfg,
    const struct work_keys *keys, struct work *w, const struct http_answer *a,
    int64_t now_ms, struct work *ret_next);

#endif
