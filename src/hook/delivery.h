/* SPDX-License-Identifier: ISC */
/*
 * One inbound request from its arrival to its answer. Layer: hook, internal to
 * webhook_api.c and delivery.c.
 */
#ifndef JOBWIRE_DELIVERY_H
#define JOBWIRE_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/sign.h"
#include "base/buf.h"
#include "hook/commit.h"
#include "hook/provider.h"
#include "web/answer.h"
#include "web/request.h"

struct exchange;
struct webhook_api;
struct webhook_config;

struct delivery {
	struct queue_item link; /* first; to the workers, and back */
	struct commit_item commit;
	struct webhook_api *api;
	struct exchange *x;
	const struct request
	    *request; /* the exchange's; stable until answered */
	const struct provider *provider;
	struct hook_event event;
	struct buf job_id, restore_id; /* terminated */
	char delivery_key[SIGN_DIGEST_SIZE];
	struct answer answer;
	int64_t began_us;
};

/*
 * Verifies and parses; runs on any thread. True: d->commit.event is ready for
 * the writer. False: d->answer is what to say at once.
 */
bool delivery_prepare(
    struct delivery *d, const struct webhook_config *cfg, int64_t now_s);

/* Fills d->answer from d->commit's result. */
void delivery_conclude(struct delivery *d);

/* Accepts NULL. */
void delivery_free(struct delivery **d);

#endif
