/* SPDX-License-Identifier: ISC */
/*
 * HTTP calls of a provider, by libcurl's multi interface on our loop. Layer:
 * runner. The only file that includes libcurl. One thread; blocks never, but
 * for what libcurl does when it is made.
 *
 * Each call is sent once, whatever happens: no redirects are followed, no
 * connection that was used before carries one that must not be repeated.
 */
#ifndef JOBWIRE_HTTP_CLIENT_H
#define JOBWIRE_HTTP_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "io/loop.h"

struct http_client;
struct http_call;

struct http_request {
	bool is_post;
	bool is_once;	 /* on a connection of its own */
	struct buf url;	 /* owned */
	struct buf body; /* owned; JSON; empty: none */
};

void http_request_done(struct http_request *r);

struct http_answer {
	bool has_left;	  /* a byte of the request may have, and arrived */
	int status;	  /* HTTP's; 0: no answer, or not whole */
	int64_t retry_ms; /* Retry-After; -1: none */
	struct buf body;  /* owned */
	char error[256];  /* libcurl's words, where there is no answer */
};

void http_answer_done(struct http_answer *a);

/* Answers of more than max_body bytes are given up. Returns owned
 * (http_client_free). ERR_NOMEM. */
CHECK_RESULT enum err http_client_new(struct loop *loop, int64_t timeout_ms,
    size_t max_body, struct http_client **ret);
void http_client_free(struct http_client **c); /* drops what is under way */

/* Sends it from the loop's next turn on; borrows r until on_done, which is
 * called from the loop, owns the answer, and may send. `key` is copied, and
 * wiped as far as the copy is ours. ERR_NOMEM, and nothing is sent. */
CHECK_RESULT enum err http_client_send(struct http_client *c,
    const struct http_request *r, struct span key,
    void (*on_done)(void *arg, struct http_answer *a), void *arg);

#endif
