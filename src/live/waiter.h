/* SPDX-License-Identifier: ISC */
/*
 * A client that waits for events, as far as the hub has to know it: what it
 * waits for, how far it has come, and its ops. Embedded first in each kind of
 * client: struct stream (SSE), struct poll (JSON). And all of them together: by
 * topic, and in turns. Layer: live.
 */
#ifndef JOBWIRE_WAITER_H
#define JOBWIRE_WAITER_H

#include <sys/queue.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "io/loop.h"
#include "job/name.h"
#include "live/frame.h"
#include "live/topic.h"

struct waiter;

/* One topic that a waiter waits for. */
struct sub {
	LIST_ENTRY(sub) link; /* in its topic */
	struct topic *topic;  /* NULL: in none */
	/* Event id: retention took the topic's up to here, when the table was
	 * last looked at for this waiter. */
	int64_t floor;
	bool is_terminal; /* as far as the waiter's cursor has come */
	uint8_t kind;	  /* enum topic_kind */
	uint16_t offset;  /* bytes from its waiter to it */
};

/* How the hub calls a waiter, on the loop's thread. No function of the hub that
 * a waiter calls calls it back. */
struct waiter_ops {
	size_t size; /* bytes of the struct that begins with the waiter */
	/* A new row of one of its topics, for one that is current and not past
	 * it. May send; must end no waiter, for the hub is walking its lists:
	 * that is done by on_turn, after hub_queue(). */
	void (*on_frame)(struct waiter *w, struct sub *sub, struct frame *f);
	/* Its turn after hub_queue(). */
	void (*on_turn)(struct waiter *w);
	/* The database is another one, or has lost rows: begin again and tell
	 * the client that reason. Must end no waiter; on_turn follows. */
	void (*on_resync)(struct waiter *w, const char *reason);
	/* The server stops: end cleanly at a moment within the time given, not
	 * now. */
	void (*on_drain)(struct waiter *w, int64_t within_ms);
	/* The server ends now. Must free the waiter. */
	void (*on_abandon)(struct waiter *w);
};

/* There are thousands. Made and freed by its kind; link and is_queued are
 * written by the functions here alone, and slot by the hub. */
struct waiter {
	const struct waiter_ops *ops; /* borrowed for the program's life */
	TAILQ_ENTRY(waiter) link;     /* in the hub */
	int64_t cursor;	 /* event id: all up to it was told, or is not its */
	uint32_t slot;	 /* of hub_config.places, where there are places */
	uint8_t n_subs;	 /* topics, 1..JOB_IDS_MAX */
	uint8_t n_open;	 /* of these, not at their end */
	bool is_current; /* has all that the hub has read: gets new frames */
	bool is_queued;	 /* for its turn */
};

/* Whose rows: those of n jobs, or of an owner; with neither, all. Borrowed. */
struct selection {
	const char *const *job_ids; /* n_jobs, JOB_IDS_MAX at most */
	size_t n_jobs;
	const char *owner; /* NULL: not by owner */
};

struct session;

/* What a client asked for. All borrowed. */
struct waiter_request {
	/* Jobs, 1..JOB_IDS_MAX, checked, no doubles; or an owner. */
	struct selection sel;
	struct span last_event_id; /* as sent; empty: none */
	/* How long the client may read; NULL: for ever. */
	const struct session *session;
	/* Header fields of the answer, whatever it is (CORS). */
	struct span headers;
	/* Of a stream: heartbeats as events, not as comments. */
	bool wants_beat_event;
	/* Of a poll: how long it waits for something to say; 0: not at all. */
	int64_t wait_ms;
};

/* Returns owned (free()): ops->size bytes, zeroed, and a sub for each topic of
 * the selection, in none yet. NULL without memory. */
struct waiter *waiter_new(
    const struct waiter_ops *ops, const struct selection *sel);

/* Its first sub; n_subs of them lie behind each other. */
static inline struct sub *
waiter_subs(struct waiter *w)
{
	return (struct sub *)(void *)((char *)w + w->ops->size);
}

/* Whose sub that is. */
static inline struct waiter *
waiter_of(struct sub *sub)
{
	return (struct waiter *)(void *)((char *)sub - sub->offset);
}

/* The topics' names; job_ids has room for JOB_IDS_MAX. Valid while it is in
 * the hub. */
struct selection waiter_selection(struct waiter *w, const char **job_ids);

/* The sub that has the events of that job; NULL: none. Of an owner's waiter
 * its only one, whatever the job. */
struct sub *waiter_find_sub(struct waiter *w, const char *job_id);

/* The event, a row of sub's, is on its way to the client: moves the cursor, and
 * what is known of the end of the topics. Those of owners never end. */
void waiter_note(struct waiter *w, struct sub *sub, const struct frame *f);

/* Back to the beginning, with no topic at its end: the replay tells it anew. */
void waiter_rewind(struct waiter *w);

/* --- All of them ---------------------------------------------------------- */

/* For hub.c, which may read all of it. */
struct waiters {
	struct loop *loop; /* borrowed */
	struct topics topics[TOPIC_KINDS];
	/* First the n_ready that are to have their turn. */
	TAILQ_HEAD(waiter_list, waiter) list;
	struct waiter *last_ready; /* of these; NULL: there is none */
	size_t n, n_ready;
	struct deferred work;
};

/* loop is borrowed for their life. waiters_done() in any case. */
void waiters_init(struct waiters *ws, struct loop *loop);
/* Abandons those that are left. Not from inside a callback. */
void waiters_done(struct waiters *ws);

/* Puts it into the topics of the selection that it was made for. It is borrowed
 * until waiters_remove(). ERR_NOMEM: it is in none. */
CHECK_RESULT enum err waiters_add(
    struct waiters *ws, struct waiter *w, const struct selection *sel);
void waiters_remove(struct waiters *ws, struct waiter *w);

/* Calls its on_turn once, at the end of this turn of the loop, or of a later
 * one where many are queued. */
void waiters_queue(struct waiters *ws, struct waiter *w);

#endif
