/* SPDX-License-Identifier: ISC */
/*
 * Turns a checked FastCGI head into a request, with libfcgi. Layer: web. The
 * only module that includes fcgiapp.h.
 *
 * libfcgi reads from a descriptor and blocks on it. So it is not shown the
 * peer's socket: the head's bytes are put into a pipe whose reading end is
 * preset as the request's descriptor. The pipe holds the longest head and does
 * not block; libfcgi can neither read past the head nor close or write the
 * connection. It stops at the last byte it was given, so the pipe is empty
 * afterwards.
 */
#ifndef JOBWIRE_FCGI_HEAD_H
#define JOBWIRE_FCGI_HEAD_H

#include <stddef.h>

#include "base/err.h"
#include "web/fcgi_record.h"
#include "web/request.h"

struct fcgi_parser {
	int in, out; /* the pipe's ends; -1 when not open */
};

#define FCGI_PARSER_INIT                                                       \
	{                                                                      \
		-1, -1                                                         \
	}

/* FCGX_Init(), once per process. It replaces signal dispositions, so call it
 * before loop_signals(). ERR_SYS. */
CHECK_RESULT enum err fcgi_parser_init(struct fcgi_parser *p);
void fcgi_parser_done(struct fcgi_parser *p);

/*
 * bytes[0..head->len) is what fcgi_scan_head() judged FCGI_VERDICT_OPEN.
 * ERR_SYS, ERR_NOMEM, and ERR_PROTO when libfcgi refuses it all the same.
 * request_done() after OK.
 */
CHECK_RESULT enum err fcgi_parser_read(struct fcgi_parser *p,
    const unsigned char *bytes, const struct fcgi_scan *head,
    const char *prefix, struct request *ret);

#endif
