/* SPDX-License-Identifier: ISC */
/*
 * TLS of a connection to Redis, where hiredis has it. Layer: relay, for redis.c
 * alone.
 */
#ifndef JOBWIRE_RELAY_REDIS_TLS_H
#define JOBWIRE_RELAY_REDIS_TLS_H

#include <stdbool.h>

#include "base/err.h"

struct redisAsyncContext;

#define REDIS_TLS_HINT "; is its certificate good for this host?"

bool redis_tls_exists(void);

/* Before anything is sent. The certificate must be good for that host, by what
 * the system trusts (or SSL_CERT_FILE names). ERR_SYS, with *why. */
CHECK_RESULT enum err redis_tls_start(
    struct redisAsyncContext *ac, const char *host, const char **why);

#endif
