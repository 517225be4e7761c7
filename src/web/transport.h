/* SPDX-License-Identifier: ISC */
/*
 * What the transports, fcgi.h and cgi.h, have in common: what they are set up
 * with, what they count, and how they hand a request to its handler. Layer:
 * web.
 */
#ifndef JOBWIRE_TRANSPORT_H
#define JOBWIRE_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "web/body.h"
#include "web/exchange.h"

/* Of a long answer, so many bytes at least have to be taken each time: who does
 * so is slow, but not gone, and could have none of it otherwise. */
enum { TRANSPORT_STEP = 64 << 10 };

/* Written by the loop's thread, read by anybody. */
struct transport_stats {
	_Atomic uint64_t accepted; /* connections */
	_Atomic uint64_t requests; /* whole requests handed to on_request */
	/* Heads that were not let in; answers that there was no room for. */
	_Atomic uint64_t refused;
	/* Heads, bodies and answers that took too long. */
	_Atomic uint64_t timed_out;
	_Atomic uint64_t open; /* connections now */
	/* Of all bodies that are held now, and answers that wait for their
	 * clients. */
	_Atomic uint64_t body_bytes;
};

struct transport_config {
	const char *prefix; /* borrowed for the server's life: "/api/v1" */
	/* Of bodies; a longer one is read and dropped, and answered 413. */
	struct body_limits body;
	int64_t body_timeout_ms; /* from the head to the end of the body */
	/* To take an answer of up to TRANSPORT_STEP bytes, or as many more. */
	int64_t send_timeout_ms;
	/* Borrowed until the loop is freed: a body that ends counts in it. */
	struct transport_stats *stats;
	/* A whole request has come. */
	void (*on_request)(void *arg, struct exchange *x);
	/* The last connection is gone after fcgi_server_stop(). */
	void (*on_idle)(void *arg);
	void *arg;
};

/* The body is whole: on_request gets the exchange. All are borrowed until it is
 * over. */
void transport_hand_over(const struct transport_config *cfg, struct exchange *x,
    struct request *request, struct body *body);

/* The client has left. True: a handler was told, and the exchange is over. */
bool transport_tell_gone(struct exchange *x);

#endif
