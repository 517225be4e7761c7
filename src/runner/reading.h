/* SPDX-License-Identifier: ISC */
/*
 * What a provider's answer says. Layer: runner, pure.
 */
#ifndef JOBWIRE_READING_H
#define JOBWIRE_READING_H

#include "base/err.h"
#include "hook/provider.h"
#include "runner/caller.h"
#include "runner/calls.h"
#include "runner/step.h"

struct reading {
	struct step_answer answer;
	struct span body;	     /* one JSON object; empty: it is none */
	struct provider_event event; /* what a webhook with it would say */
	struct buf finite; /* the body without NaN, where it had one */
	char key[CRYPTO_SHA256_SIZE];
};

/*
 * Fills *ret (reading_done() in any case), which borrows a's body. The event is
 * ready to be stored for the job, but for its restore id, where the answer
 * reports one. ERR_NOMEM.
 */
CHECK_RESULT enum err reading_take(const struct calls *calls,
    enum step_call call, const struct call_answer *a, const char *job_id,
    size_t inline_output, struct reading *ret);
void reading_done(struct reading *r);

/*
 * Appends what the provider says of its refusal, for a page: in one line and
 * not long. Nothing that holds the key or our signature, nothing that is meant
 * for a browser; then it is the status alone.
 */
void reading_add_refusal(
    const struct reading *r, int status, struct span key, struct buf *out);

#endif
