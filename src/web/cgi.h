/* SPDX-License-Identifier: ISC */
/*
 * The one request of a CGI/1.1 process (RFC 3875) on the event loop: the head
 * is the environment, the body comes from standard input, the answer goes to
 * standard output. Layer: web; the other transport beside fcgi.h, with the same
 * configuration.
 *
 *   BODY ──▶ HELD ──▶ SENDING ──▶ DONE
 *              └────▶ STREAM ──────┘
 */
#ifndef JOBWIRE_CGI_H
#define JOBWIRE_CGI_H

#include "base/err.h"
#include "io/loop.h"
#include "web/transport.h"

struct cgi;

/*
 * Takes in_fd and out_fd and makes them non-blocking where they are pipes or
 * sockets. Borrows the environment for the call. From the loop, on_request gets
 * the request, and on_idle is called when it is over: both descriptors are
 * closed then, so that the web server waits for nothing. SIGPIPE must be
 * ignored (loop_signals()). Returns owned (cgi_free). ERR_NOMEM, ERR_SYS.
 *
 * A client that is gone is known by its end of standard output: an error, a
 * hang-up, a failed write. The end of standard input is the end of the body and
 * says nothing of the client: Apache closes its side at once.
 */
CHECK_RESULT enum err cgi_new(struct loop *loop, const char *const *envp,
    int in_fd, int out_fd, const struct transport_config *cfg,
    struct cgi **ret);

/* Closes what is open, without on_gone and on_idle. Before loop_free(); not
 * from inside a callback. Accepts NULL. */
void cgi_free(struct cgi **c);

#endif
