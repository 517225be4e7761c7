/* SPDX-License-Identifier: ISC */
/*
 * Why a request is refused, in the contract's terms. Layer: web, pure.
 */
#ifndef JOBWIRE_REFUSAL_H
#define JOBWIRE_REFUSAL_H

#include <stdint.h>

#include "web/answer.h"

/* Texts that live as long as the program. */
struct refusal {
	int status;
	const char *code, *message;
	const char *challenge; /* for WWW-Authenticate; NULL: none */
	int64_t retry_after_s; /* 0: none */
};

/* RFC 6750 section 3: the scheme alone where no credentials were sent. */
#define REFUSAL_NO_TOKEN "Bearer"
#define REFUSAL_BAD_TOKEN "Bearer error=\"invalid_token\""

/* Fills the answer: the contract's error body and its header fields. */
void refusal_answer(const struct refusal *why, struct answer *ret);

#endif
