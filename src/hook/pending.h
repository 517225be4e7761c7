/* SPDX-License-Identifier: ISC */
/*
 * Those who wait until the cluster's log has brought back what they wrote.
 * Layer: hook, internal to it. Costs nothing until the first one comes. Reads
 * by a connection of its own, so it also works where the writer has none open;
 * blocks on short looks into the database.
 */
#ifndef JOBWIRE_PENDING_H
#define JOBWIRE_PENDING_H

#include <sys/queue.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "intent/intent.h"
#include "io/loop.h"

struct pending;

/* Embedded in its owner. */
struct pending_item {
	STAILQ_ENTRY(pending_item) link;
	int64_t due_us;
	/* With its number in the outbox. Where that is 0 afterwards, the log
	 * has brought back what stands there; else the time is over. */
	struct intent_result *result;
	void (*on_done)(struct pending_item *item);
};

struct pending_config {
	struct loop *loop; /* borrowed for its life, as is the path */
	const char *db_path;
	int64_t wait_ms; /* at most, for each */
};

/* Returns owned (pending_stop). ERR_NOMEM. */
CHECK_RESULT enum err pending_start(
    const struct pending_config *cfg, struct pending **ret);

/* Borrows the item until its on_done(), which is never called within this. The
 * numbers of items rise. */
void pending_add(struct pending *p, struct pending_item *item);

/* Lets all go whose time would come. Accepts NULL. */
void pending_stop(struct pending **p);

#endif
