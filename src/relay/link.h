/* SPDX-License-Identifier: ISC */
/*
 * The two connections of a relay to Redis: one that writes, and one that waits
 * for entries. Both are there, or none. Layer: relay. Blocks while a name is
 * looked up, otherwise never.
 *
 * Of several URLs the next one is tried when one fails: which of them is the
 * master is told by who takes writes.
 */
#ifndef JOBWIRE_RELAY_LINK_H
#define JOBWIRE_RELAY_LINK_H

#include <stdbool.h>

#include "io/loop.h"
#include "relay/redis.h"
#include "relay/url.h"

enum { LINK_SHA_SIZE = 41 };

struct link;

struct link_config {
	const struct redis_urls *urls; /* borrowed for its life */
	/* Redis is there, and has the script. */
	void (*on_up)(void *arg);
	/* It is not, or not any more; the next one is tried after a pause.
	 * is_hopeless: what it says will be so until somebody changes its
	 * settings. Also for each attempt that fails. */
	void (*on_down)(void *arg, const char *reason, bool is_hopeless);
	void *arg;
};

/* Begins at once. Returns owned (link_free). ERR_NOMEM. */
CHECK_RESULT enum err link_new(
    struct loop *loop, const struct link_config *cfg, struct link **ret);

/* Accepts NULL. */
void link_free(struct link **l);

/* Drops both, and tries again: on_down() comes with that reason, at the end of
 * the turn. is_hopeless as there. */
void link_fail(struct link *l, struct span reason, bool is_hopeless);

/* While it is up, else NULL. */
struct redis *link_writer(struct link *l);
struct redis *link_reader(struct link *l);
const char *link_sha(const struct link *l);

/* Where it is, or tries to be: without a password. */
const char *link_name(const struct link *l);

#endif
