/* SPDX-License-Identifier: ISC */
/*
 * The settings of a cluster, as the relay and the command line use them. Layer:
 * app.
 */
#ifndef JOBWIRE_APP_RELAY_SETTINGS_H
#define JOBWIRE_APP_RELAY_SETTINGS_H

#include "base/buf.h"
#include "base/err.h"
#include "conf/settings.h"
#include "relay/url.h"

/* The URLs of `redis_url`, or of the file that it names. *ret is for
 * relay_urls_done(). ERR_NOENT: it is not set; ERR_SYS, ERR_PROTO, ERR_NOMEM;
 * *message says why, without any password. Blocks on the file. */
CHECK_RESULT enum err relay_urls_load(
    const struct settings *s, struct redis_urls *ret, struct buf *message);

void relay_urls_done(struct redis_urls *urls);

#endif
