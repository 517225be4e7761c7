/* SPDX-License-Identifier: ISC */
/*
 * What a provider's answer says. Layer: runner, pure.
 */
#ifndef JOBWIRE_PROVIDER_ANSWER_H
#define JOBWIRE_PROVIDER_ANSWER_H

#include "base/err.h"
#include "hook/provider.h"
#include "runner/http_client.h"
#include "runner/provider_api.h"
#include "runner/step.h"

struct provider_answer {
	struct step_answer answer;
	struct span body;	     /* one JSON object; empty: it is none */
	struct provider_event event; /* what a webhook with it would say */
	struct buf finite; /* the body without NaN, where it had one */
	char key[CRYPTO_SHA256_SIZE];
};

/*
 * Fills *ret (provider_answer_done() in any case), which borrows a's body. The
 * event is ready to be stored for the job, but for its restore id, where the
 * answer reports one. ERR_NOMEM.
 */
CHECK_RESULT enum err provider_answer_take(const struct provider_api *api,
    enum step_call call, const struct http_answer *a, const char *job_id,
    size_t inline_output, struct provider_answer *ret);
void provider_answer_done(struct provider_answer *r);

/*
 * Appends what the provider says of its refusal, for a page: in one line and
 * not long. Nothing that holds the key or our signature, nothing that is meant
 * for a browser; then it is the status alone.
 */
void provider_answer_add_refusal(const struct provider_answer *r, int status,
    struct span key, struct buf *out);

#endif
