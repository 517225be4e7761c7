/* SPDX-License-Identifier: ISC */
/*
 * libfcgi's place in jobwire: it parses heads. Bodies are read in fcgi_in.c and
 * answers sent in fcgi_out.c, because libfcgi's streams block and cost 18 kB
 * per request. Never blocks.
 */
#include "web/fcgi_head.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

#include <fcgiapp.h>

#include "base/memory.h"

/* ipcFd and keepConnection stand below libfcgi's "don't use anything below
 * here" line; they have not moved from 2.4.0 to 2.4.7. This stops the build
 * where they are gone. */
_Static_assert(offsetof(FCGX_Request, ipcFd) > 0, "libfcgi changed");
_Static_assert(offsetof(FCGX_Request, keepConnection) > 0, "libfcgi changed");

/* libfcgi ends the process where it is given no memory. It takes this much for
 * its streams, and up to so many bytes for each of the head. */
enum {
	STREAMS_MEMORY = 24 << 10,
	MEMORY_PER_BYTE = 4,
};

static enum err
pipe_open(struct fcgi_parser *p)
{
	int ends[2];

	if (p->in != -1)
		return OK;
	if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0)
		return ERR_SYS;
	p->in = ends[0];
	p->out = ends[1];
	/* A user who has very many pipes is given small ones. */
	if (fcntl(p->out, F_GETPIPE_SZ) >= FCGI_RECORD_HEAD_MAX ||
	    fcntl(p->out, F_SETPIPE_SZ, FCGI_RECORD_HEAD_MAX) >=
		FCGI_RECORD_HEAD_MAX)
		return OK;
	fcgi_parser_done(p);
	return ERR_SYS;
}

enum err
fcgi_parser_init(struct fcgi_parser *p)
{
	*p = (struct fcgi_parser)FCGI_PARSER_INIT;
	if (FCGX_Init() != 0)
		return ERR_SYS;
	return pipe_open(p);
}

void
fcgi_parser_done(struct fcgi_parser *p)
{
	int saved_errno = errno;

	if (p->in != -1)
		(void)close(p->in);
	if (p->out != -1)
		(void)close(p->out);
	*p = (struct fcgi_parser)FCGI_PARSER_INIT;
	errno = saved_errno;
}

/* Has libfcgi parse what lies in the pipe. On failure it has closed p->in. */
static enum err
parse(struct fcgi_parser *p, const char *prefix, struct request *ret)
{
	FCGX_Request req;
	enum err e;

	/* Listening on -1: should libfcgi want to accept, it fails at once.
	 * keepConnection 1: FCGX_Accept_r first finishes the "previous" request
	 * and would close ipcFd otherwise. */
	if (FCGX_InitRequest(&req, -1, FCGI_FAIL_ACCEPT_ON_INTR) != 0)
		return ERR_NOMEM;
	req.ipcFd = p->in;
	req.keepConnection = 1;
	if (FCGX_Accept_r(&req) != 0) {
		p->in = -1;
		return ERR_PROTO;
	}
	e = request_init(ret, prefix, (const char *const *)req.envp);
	FCGX_Free(&req, 0); /* 0: the descriptor stays open */
	return e;
}

enum err
fcgi_parser_read(struct fcgi_parser *p, const unsigned char *bytes,
    const struct fcgi_scan *head, const char *prefix, struct request *ret)
{
	/* libfcgi is done with the empty PARAMS, whose padding it leaves. */
	size_t len = head->len - head->padding;
	enum err e = pipe_open(p);

	if (e != OK)
		return e;
	if (!memory_is_there(STREAMS_MEMORY + MEMORY_PER_BYTE * len))
		return ERR_NOMEM;
	e = write(p->out, bytes, len) == (ssize_t)len ? parse(p, prefix, ret)
						      : ERR_SYS;
	/* Nobody knows what is left in it. */
	if (e != OK)
		fcgi_parser_done(p);
	return e;
}
