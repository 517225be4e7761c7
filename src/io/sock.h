/* SPDX-License-Identifier: ISC */
/*
 * Listening sockets: found, made, accepted from and connected to. Layer: io.
 */
#ifndef JOBWIRE_SOCK_H
#define JOBWIRE_SOCK_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "io/loop.h"

/*
 * The socket a program shall listen on, in this order: descriptor 0 when it
 * is a listening socket (spawn-fcgi, mod_fcgid, lighttpd), the first of
 * LISTEN_FDS when LISTEN_PID is us (sd_listen_fds(3)), else `spec`: a path (a
 * Unix socket; one that nobody answers on is replaced, one that is alive is
 * ERR_EXISTS) or HOST:PORT. The result is non-blocking and close-on-exec.
 * `mode` is set on a Unix socket that we make. ERR_NOENT when there is nothing
 * to listen on; ERR_SYS; on failure *message says what failed, in one line.
 * Blocks on name look-up of HOST.
 */
CHECK_RESULT enum err sock_listen(
    const char *spec, mode_t mode, int *ret_fd, struct buf *message);

/* Is the spec a Unix socket's path, and not HOST:PORT? */
bool sock_is_path(const char *spec);

/* Connects to what sock_listen() made of the spec. The result blocks, in each
 * call timeout_ms at most, and is close-on-exec. ERR_SYS with errno;
 * EADDRNOTAVAIL: there is no such HOST. Blocks. */
CHECK_RESULT enum err sock_connect(
    const char *spec, int timeout_ms, int *ret_fd);

/*
 * Takes connections from a listening socket. When descriptors run out
 * (EMFILE, ENFILE) it gives up one it holds in reserve to accept and close
 * the connection that waits, so that the peer sees an end and not a hang;
 * then it pauses for a second.
 */
struct acceptor {
	struct io io;
	struct timer pause; /* set while it takes none */
	struct loop *loop;
	int spare_fd; /* -1: there was none to be had */
	bool is_unix; /* such a socket does not delay small answers */
	/* Takes fd: non-blocking, close-on-exec. */
	void (*on_accept)(struct acceptor *a, int fd);
};

/* Takes listen_fd. on_accept is set by the caller. ERR_SYS. */
CHECK_RESULT enum err acceptor_start(
    struct acceptor *a, struct loop *loop, int listen_fd);
/* Stops and closes. Accepts a zeroed or stopped one. */
void acceptor_stop(struct acceptor *a);

#endif
