/* SPDX-License-Identifier: ISC */
/*
 * One request and the way back to its client, whatever the transport. Layer:
 * web. Handlers work on this and never know FastCGI from CGI.
 *
 * A handler gets an exchange from the transport's on_request and ends it in one
 * of three ways: answer() at once or later; send() as often as it likes and
 * then end(); or drop(). All calls are made on the loop's thread. After any of
 * answer(), end() and drop() the exchange must not be touched again.
 */
#ifndef JOBWIRE_EXCHANGE_H
#define JOBWIRE_EXCHANGE_H

#include <stddef.h>

#include "base/buf.h"
#include "io/loop.h"
#include "web/answer.h"
#include "web/request.h"

struct exchange;

enum sent {
	SENT_ALL,  /* the whole span is on its way */
	SENT_PART, /* the peer takes no more now: call again from on_writable */
	SENT_GONE, /* the peer is gone: call drop() */
};

struct exchange_ops {
	/* A whole answer; borrows it. */
	void (*answer)(struct exchange *x, const struct answer *a);
	/*
	 * Sends body from *progress on; *progress is 0 for a new span, is moved
	 * on by each call, and means something to the transport only. Never
	 * blocks. While a span is SENT_PART nothing else may be sent.
	 */
	enum sent (*send)(
	    struct exchange *x, struct span body, size_t *progress);
	/* The answer that send() began is complete. */
	void (*end)(struct exchange *x);
	/* Cuts the connection: the client sees a broken answer. */
	void (*drop)(struct exchange *x);
};

/* What the transport tells the handler. */
struct exchange_told {
	/* There is room again, after a send() was SENT_PART. */
	void (*on_writable)(struct exchange *x);
	/* The client has left; the exchange must not be touched after it. */
	void (*on_gone)(struct exchange *x);
};

struct exchange {
	const struct exchange_ops *ops;
	/* Valid until the first call of one of the operations. */
	const struct request *request;
	/* Set by the handler, before on_request returns or with the first
	 * send(); cleared by the transport when the exchange is over, so the
	 * next one on the same connection begins without them. With told NULL
	 * the transport says nothing and waits for the handler's answer. */
	void *owner;
	const struct exchange_told *told; /* borrowed for the program's life */
	/* The handler's while it has the exchange: not set at first; who sets
	 * it sets on_due, too, and cancels it before answer(), end() and
	 * drop(), and in on_gone(). Before and after that it is the transport's
	 * deadline. */
	struct timer timer;
};

#endif
