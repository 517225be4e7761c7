/* SPDX-License-Identifier: ISC */
/*
 * Why a request is refused, in the contract's terms (docs/protocol.md). Layer:
 * web, pure. What several handlers say stands here once.
 */
#ifndef JOBWIRE_REFUSAL_H
#define JOBWIRE_REFUSAL_H

#include <stdint.h>

#include "base/err.h"
#include "web/answer.h"

/* Texts that live as long as the program. */
struct refusal {
	int status;
	const char *code, *message;
	const char *challenge; /* for WWW-Authenticate; NULL: none */
	int64_t retry_after_s; /* 0: none */
};

extern const struct refusal refusal_no_memory, refusal_not_found,
    refusal_bad_job_id;

/* RFC 6750 section 3: the scheme alone where no credentials were sent. */
#define REFUSAL_NO_TOKEN "Bearer"
#define REFUSAL_BAD_TOKEN "Bearer error=\"invalid_token\""

/* What failed. */
enum refusal_of {
	REFUSAL_OF_BODY,  /* taking the request's body in: body_finish() */
	REFUSAL_OF_READ,  /* reading jobs and events */
	REFUSAL_OF_WRITE, /* writing them */
};

/* Why it failed with e, in the words for it. */
const struct refusal *refusal_of(enum refusal_of what, enum err e);

/* Fills the answer: the contract's error body and its header fields. */
void refusal_answer(const struct refusal *why, struct answer *ret);

#endif
