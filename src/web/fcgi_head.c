/* SPDX-License-Identifier: ISC */
/*
 * libfcgi's place in jobwire: it parses heads, from memory. Bodies and answers
 * are written by fcgi.c, because libfcgi's streams block and cost 18 kB per
 * request. Never blocks.
 */
#include "web/fcgi_head.h"

#include <sys/mman.h>
#include <stddef.h>
#include <unistd.h>

#include <fcgiapp.h>

/* ipcFd and keepConnection stand below libfcgi's "don't use anything below
 * here" line; they have not moved from 2.4.0 to 2.4.7. This stops the build
 * where they are gone. */
_Static_assert(offsetof(FCGX_Request, ipcFd) > 0, "libfcgi changed");
_Static_assert(offsetof(FCGX_Request, keepConnection) > 0, "libfcgi changed");

static enum err
memory_open(struct fcgi_parser *p)
{
	if (p->memory_fd < 0)
		p->memory_fd = memfd_create("fastcgi-head", MFD_CLOEXEC);
	return p->memory_fd < 0 ? ERR_SYS : OK;
}

enum err
fcgi_parser_init(struct fcgi_parser *p)
{
	p->memory_fd = -1;
	if (FCGX_Init() != 0)
		return ERR_SYS;
	return memory_open(p);
}

void
fcgi_parser_done(struct fcgi_parser *p)
{
	if (p->memory_fd >= 0)
		(void)close(p->memory_fd);
	p->memory_fd = -1;
}

static enum err
memory_fill(struct fcgi_parser *p, const unsigned char *head, size_t len)
{
	enum err e = memory_open(p);

	if (e != OK)
		return e;
	if (pwrite(p->memory_fd, head, len, 0) != (ssize_t)len ||
	    ftruncate(p->memory_fd, (off_t)len) != 0 ||
	    lseek(p->memory_fd, 0, SEEK_SET) != 0)
		return ERR_SYS;
	return OK;
}

enum err
fcgi_parser_read(struct fcgi_parser *p, const unsigned char *head, size_t len,
    const char *prefix, struct request *ret)
{
	FCGX_Request req;
	enum err e;

	e = memory_fill(p, head, len);
	if (e != OK)
		return e;
	/* Listening on -1: should libfcgi want to accept, it fails at once.
	 * keepConnection 1: FCGX_Accept_r first finishes the "previous" request
	 * and would close ipcFd otherwise. */
	if (FCGX_InitRequest(&req, -1, FCGI_FAIL_ACCEPT_ON_INTR) != 0)
		return ERR_NOMEM;
	req.ipcFd = p->memory_fd;
	req.keepConnection = 1;
	if (FCGX_Accept_r(&req) != 0) {
		p->memory_fd = -1; /* libfcgi closed it */
		return ERR_PROTO;
	}
	e = request_init(ret, prefix, (const char *const *)req.envp);
	FCGX_Free(&req, 0); /* 0: the descriptor stays open */
	return e;
}
