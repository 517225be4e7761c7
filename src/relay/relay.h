/* SPDX-License-Identifier: ISC */
/*
 * A node of a cluster at work: what its outbox has goes into the log, and what
 * the log has is applied. Layer: relay. One thread, its loop's; blocks on the
 * disk, on other writers for half a second, and while a name is looked up.
 *
 * One process per database does it; another one waits until that is gone.
 */
#ifndef JOBWIRE_RELAY_H
#define JOBWIRE_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "io/loop.h"
#include "io/watch.h"
#include "relay/url.h"

struct relay;

struct relay_config {
	const char *db_path;	       /* borrowed for its life, as are: */
	const struct redis_urls *urls; /* one at least */
	const char *node_id;	       /* as the settings say; NULL: any */
	const char *key;	       /* prefix of the keys */
	bool wants_replica; /* answers wait until a replica has it, too */
	enum watch_scope scope;
	int64_t poll_ms;
	/* Once, with is_good: after relay_stop(). Else it cannot work until
	 * somebody changes something: another database has this node's name, or
	 * Redis may drop keys. Said only before the first meeting; later such
	 * things are waited out. It is logged. */
	void (*on_end)(void *arg, bool is_good);
	void *arg;
};

/* Returns owned (relay_free). ERR_NOMEM. */
CHECK_RESULT enum err relay_new(
    struct loop *loop, const struct relay_config *cfg, struct relay **ret);

/* Tells Redis that the name is free; then on_end. */
void relay_stop(struct relay *r);

/* Accepts NULL. */
void relay_free(struct relay **r);

#endif
