/* SPDX-License-Identifier: ISC */
/*
 * What a webhook's call keeps between its steps. Layer: hook, internal to
 * webhook_call.c and its tests.
 */
#ifndef JOBWIRE_WEBHOOK_CALL_H
#define JOBWIRE_WEBHOOK_CALL_H

#include "auth/crypto.h"
#include "base/buf.h"
#include "hook/provider.h"
#include "store/events.h"

struct webhook_call {
	const struct provider *provider;
	struct provider_event event; /* its row lacks the job after prepare() */
	struct buf finite;     /* the body without NaN, where it had one */
	struct buf restore_id; /* terminated */
	char key[CRYPTO_SHA256_SIZE];
};

#endif
