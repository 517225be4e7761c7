/* SPDX-License-Identifier: ISC */
/*
 * HTTP calls of a provider, by libcurl's multi interface on our loop. Layer:
 * runner. The only file that includes libcurl. One thread; blocks never, but
 * for what libcurl does when it is made.
 *
 * Each call is sent once, whatever happens: no redirects are followed, no
 * connection that was used before carries one that must not be repeated.
 */
#ifndef JOBWIRE_CALLER_H
#define JOBWIRE_CALLER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "io/loop.h"

struct caller;
struct call_out;

struct call_request {
	bool is_post;
	bool is_once;	 /* on a connection of its own */
	struct buf url;	 /* owned */
	struct buf body; /* owned; JSON; empty: none */
};

void call_request_done(struct call_request *r);

struct call_answer {
	bool has_left; /* a byte of the request has, so it may have arrived */
	int status;    /* HTTP's; 0: no answer, or not whole */
	int64_t retry_ms; /* Retry-After; -1: none */
	struct buf body;  /* owned */
	char error[256];  /* libcurl's words, where there is no answer */
};

void call_answer_done(struct call_answer *a);

/* Answers of more than max_body bytes are given up. Returns owned
 * (caller_free). ERR_NOMEM. */
CHECK_RESULT enum err caller_new(struct loop *loop, int64_t timeout_ms,
    size_t max_body, struct caller **ret);
void caller_free(struct caller **c); /* drops what is under way */

/* Sends it from the loop's next turn on; borrows r until on_done, which is
 * called from the loop and owns the answer. `key` is copied, and wiped as far
 * as the copy is ours. ERR_NOMEM, and nothing is sent. */
CHECK_RESULT enum err caller_send(struct caller *c,
    const struct call_request *r, struct span key,
    void (*on_done)(void *arg, struct call_answer *a), void *arg);

#endif
