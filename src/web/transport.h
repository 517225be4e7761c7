/* SPDX-License-Identifier: ISC */
/*
 * What a transport is set up with, and what it counts. Layer: web. The
 * transports are fcgi.h and cgi.h.
 */
#ifndef JOBWIRE_TRANSPORT_H
#define JOBWIRE_TRANSPORT_H

#include <stdint.h>

#include "web/body.h"
#include "web/exchange.h"

/* Written by the loop's thread, read by anybody. */
struct transport_stats {
	_Atomic uint64_t accepted; /* connections */
	_Atomic uint64_t requests; /* whole requests handed to on_request */
	_Atomic uint64_t refused;  /* heads that were not let in */
	/* Heads, bodies and answers that took too long. */
	_Atomic uint64_t timed_out;
	_Atomic uint64_t open;	     /* connections now */
	_Atomic uint64_t body_bytes; /* of all bodies that are held now */
};

struct transport_config {
	const char *prefix; /* borrowed for the server's life: "/api/v1" */
	/* Of bodies; a longer one is read and dropped, and answered 413. */
	struct body_limits body;
	int64_t body_timeout_ms; /* from the head to the end of the body */
	int64_t send_timeout_ms; /* to take an answer */
	struct transport_stats *stats; /* borrowed for the server's life */
	/* A whole request has come. */
	void (*on_request)(void *arg, struct exchange *x);
	/* The last connection is gone after fcgi_server_stop(). */
	void (*on_idle)(void *arg);
	void *arg;
};

#endif
