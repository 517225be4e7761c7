/* SPDX-License-Identifier: ISC */
/*
 * Where Redis is, as `redis_url` says. Layer: relay, pure.
 *
 *   redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]     rediss://...: with TLS
 *   unix:[[USER]:PASSWORD@]/PATH[?db=DB]
 *
 * User and password are percent-encoded where they hold what ends them; an IPv6
 * address is in brackets.
 */
#ifndef JOBWIRE_RELAY_URL_H
#define JOBWIRE_RELAY_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { URL_PORT = 6379 };

struct redis_url {
	char *host;	       /* or path; owned, as are: */
	char *user, *password; /* NULL: none */
	char *name;	       /* for people: without user and password */
	int port;
	int64_t database;
	bool is_unix, is_tls;
};

struct redis_urls {
	struct redis_url *urls; /* owned */
	size_t n;
};

/*
 * *ret is for redis_url_done(). ERR_PROTO: it is none, and *why (a static text)
 * says what is wrong with it; ERR_NOMEM.
 */
CHECK_RESULT enum err redis_url_parse(
    struct span text, struct redis_url *ret, const char **why);

/* Wipes the password. */
void redis_url_done(struct redis_url *u);

#endif
