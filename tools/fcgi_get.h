/* SPDX-License-Identifier: ISC */
/*
 * Asks one of our programs on its socket, as the web server would.
 */
#ifndef JOBWIRE_FCGI_GET_H
#define JOBWIRE_FCGI_GET_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

enum { FCGI_GET_WAIT_MS = 10000 };

/*
 * GET of the path (at most 127 bytes) from who listens on spec. Appends the
 * body, of at most max bytes with its header fields. ERR_SYS with errno: nobody
 * could be asked, EAGAIN: there was no whole answer in FCGI_GET_WAIT_MS, or it
 * was longer; ERR_PROTO: what came is no answer of ours; ERR_NOMEM. Blocks.
 */
CHECK_RESULT enum err fcgi_get(const char *spec, const char *path, size_t max,
    int *ret_status, struct buf *ret_body);

#endif
