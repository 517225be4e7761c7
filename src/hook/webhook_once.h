/* SPDX-License-Identifier: ISC */
/*
 * The writing half of the HTTP contract, one request after the other on the
 * calling thread: for processes that get no more than one at a time. Layer:
 * hook; webhook_api.h is for many.
 */
#ifndef JOBWIRE_WEBHOOK_ONCE_H
#define JOBWIRE_WEBHOOK_ONCE_H

#include "hook/keys.h"
#include "hook/webhook_api.h"
#include "web/exchange.h"

/* All borrowed for its life. */
struct webhook_once {
	const struct webhook_config *cfg;
	const struct hook_keys *keys;
};

/*
 * Takes the exchange and answers it; once is a struct webhook_once *. Fits
 * fcgi_config.on_request. Opens the database for this one call, and makes it
 * where it is missing. Blocks on the disk, and on other writers for
 * cfg->busy_ms.
 */
void webhook_once_request(void *once, struct exchange *x);

#endif
