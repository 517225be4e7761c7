/* SPDX-License-Identifier: ISC */
/*
 * Sends the rows of the outbox into the log, in their order. Layer: relay.
 * Blocks on short looks into the database.
 *
 * The script takes a batch only where it follows the last row of this node that
 * it has. So batches can be under way one behind the other: when one is not
 * taken, none behind it is, and all is sent again from where the log stands.
 */
#ifndef JOBWIRE_RELAY_PUBLISH_H
#define JOBWIRE_RELAY_PUBLISH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "relay/link.h"
#include "relay/log.h"
#include "store/db.h"

struct publisher {
	struct link *link; /* borrowed, as are: */
	const struct log_keys *keys;
	const char *node_id;
	bool wants_replica;
	/* A batch was taken, or what is `confirmed` is known better. */
	void (*on_progress)(void *arg);
	/* The log is not what it was: meet, and then publisher_start(). */
	void (*on_stale)(void *arg);
	void *arg;
	struct log_command command;
	int64_t sent, published;
	int64_t
	    confirmed; /* a replica has it, too; without one: as published */
	int in_flight; /* batches */
	bool is_started;
	bool has_news; /* the outbox may have rows that were not sent */
	bool is_lost;  /* what is under way is of no use */
	int64_t n_published;
};

void publisher_done(struct publisher *p);

/* From now on, behind that row, which is the last one in the log. */
void publisher_start(struct publisher *p, int64_t number);

/* The connection is gone. */
void publisher_stop(struct publisher *p);

/* Others have written since. */
void publisher_news(struct publisher *p);

/* Sends what there is, as far as there is room. Errors as outbox_read(), or
 * ERR_NOMEM. */
CHECK_RESULT enum err publisher_push(struct publisher *p, struct db *db);

/* What the log has, as an answer says that came after all of before. */
void publisher_compare(struct publisher *p, int64_t number);

/* Asks, with cluster_ack = replica, whether a replica has all of it. */
CHECK_RESULT enum err publisher_ask_replica(struct publisher *p);

#endif
