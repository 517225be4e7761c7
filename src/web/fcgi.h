/* SPDX-License-Identifier: ISC */
/*
 * A FastCGI responder on the event loop: accepts, reads heads and bodies
 * without a thread, and carries answers and streams. Layer: web.
 *
 * A connection is in one of these states; fcgi_conn.h says who leaves each:
 *
 *   HEAD ──▶ BODY ──▶ HELD ──▶ SENDING ──▶ HEAD (FCGI_KEEP_CONN) or closed
 *                       └────▶ STREAM ──▶ SENDING
 */
#ifndef JOBWIRE_FCGI_H
#define JOBWIRE_FCGI_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/loop.h"
#include "web/body.h"
#include "web/exchange.h"

struct fcgi_server;

/* Written by the loop's thread, read by anybody. */
struct fcgi_stats {
	_Atomic uint64_t accepted; /* connections */
	_Atomic uint64_t requests; /* whole requests handed to on_request */
	_Atomic uint64_t refused;  /* heads that were not let in */
	/* Heads, bodies and answers that took too long. */
	_Atomic uint64_t timed_out;
	_Atomic uint64_t open;	     /* connections now */
	_Atomic uint64_t body_bytes; /* of all bodies that are held now */
};

struct fcgi_config {
	const char *prefix; /* borrowed for the server's life: "/api/v1" */
	/* Of bodies; a longer one is read and dropped, and answered 413. */
	struct body_limits body;
	int64_t body_timeout_ms;  /* from the head to the end of the body */
	int64_t send_timeout_ms;  /* to take an answer */
	struct fcgi_stats *stats; /* borrowed for the server's life */
	/* A whole request has come. */
	void (*on_request)(void *arg, struct exchange *x);
	/* The last connection is gone after fcgi_server_stop(). */
	void (*on_idle)(void *arg);
	void *arg;
};

/* Takes listen_fd. Call once per process, before loop_signals() (libfcgi
 * replaces signal handlers). Returns owned (fcgi_server_free). ERR_SYS,
 * ERR_NOMEM. */
CHECK_RESULT enum err fcgi_server_new(struct loop *loop, int listen_fd,
    const struct fcgi_config *cfg, struct fcgi_server **ret);

/*
 * From now on each connection is closed with its next answer, for its peer may
 * have sent a request already. Kept ones that have none after idle_ms are
 * closed then; until they are gone, new ones are accepted. on_idle is called
 * when none is left (also at once, from inside, when there is none).
 */
void fcgi_server_stop(struct fcgi_server *s, int64_t idle_ms);

/* Closes and frees what is left, without on_gone: no exchange may be touched
 * after it. Before loop_free(); not from inside a callback. */
void fcgi_server_free(struct fcgi_server **s);

#endif
