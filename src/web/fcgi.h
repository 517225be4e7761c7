/* SPDX-License-Identifier: ISC */
/*
 * A FastCGI responder on the event loop: accepts, reads heads and bodies
 * without a thread, and carries answers and streams. Layer: web.
 *
 * A connection is in one of these states; a table in fcgi_conn.h says who
 * leaves each:
 *
 *   HEAD ──▶ BODY ──▶ HELD ──▶ SENDING ──▶ HEAD (FCGI_KEEP_CONN) or closed
 *                       └────▶ STREAM ──▶ SENDING
 */
#ifndef JOBWIRE_FCGI_H
#define JOBWIRE_FCGI_H

#include <stdint.h>

#include "base/err.h"
#include "io/loop.h"
#include "web/transport.h"

struct fcgi_server;

/* Takes listen_fd. Call once per process, before loop_signals() (libfcgi
 * replaces signal handlers). Returns owned (fcgi_server_free). ERR_SYS,
 * ERR_NOMEM. */
CHECK_RESULT enum err fcgi_server_new(struct loop *loop, int listen_fd,
    const struct transport_config *cfg, struct fcgi_server **ret);

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
