/* SPDX-License-Identifier: ISC */
/*
 * The hub knows who waits for which job, watches the database, reads each new
 * row once and hands its frame to every stream that waits. Layer: live. One
 * hub per process, on the loop's thread.
 *
 * No stream holds unsent events: it has a cursor into the table. A stream is
 * `current` when it has all that the hub has read; it gets new frames directly.
 * Otherwise it is behind and reads on from the table at its own cursor. Replay
 * after a connect, resumption by id and a slow client are this one mechanism.
 */
#ifndef JOBWIRE_HUB_H
#define JOBWIRE_HUB_H

#include <sys/queue.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "io/loop.h"
#include "io/places.h"
#include "io/watch.h"
#include "live/frame.h"
#include "live/metrics.h"
#include "live/topic.h"
#include "store/db.h"
#include "store/events.h"

struct stream;

struct hub_config {
	const char *db_path; /* borrowed for the hub's life */
	int64_t heartbeat_ms, lifetime_ms;
	int64_t retry_min_ms, retry_max_ms;
	int64_t max_streams;
	int64_t lag_timeout_ms;
	int64_t drain_ms;
	int64_t inline_output;
	int64_t poll_ms;
	enum watch_scope watch;
	/* DB_READ, or DB_CREATE where nobody else makes the database. */
	enum db_mode db_mode;
	int busy_ms; /* how long a reading may wait for a locked database */
	/* Borrowed for the hub's life; NULL, or what every stream needs one of
	 * besides room in max_streams. */
	struct places *places;
	struct metrics *metrics; /* borrowed for the hub's life: our slot */
};

/* What a client can wait for. */
enum topic_kind {
	TOPIC_JOB,   /* the events of one job */
	TOPIC_OWNER, /* those of all jobs of an owner */
	TOPIC_KINDS,
};

enum { HUB_SKIPPED_MAX = 1024 };

/* Written by hub.c alone, but for has_stalled (set by a stream that could not
 * read), the list of streams and what stats count. cfg, db, epoch, loop,
 * is_draining and the beats may be read by all of live; the rest is hub.c's. */
struct hub {
	struct loop *loop;
	struct hub_config cfg;
	struct db *db; /* NULL while the database is missing */
	char epoch[DB_EPOCH_SIZE];
	struct watch *watch;
	struct watch_stats watch_before; /* of who had our slot before us */
	struct topics topics[TOPIC_KINDS];
	/* First the n_ready that are to be continued at the end of the turn. */
	TAILQ_HEAD(streams, stream) streams;
	struct stream *last_ready; /* of these; NULL: there is none */
	size_t n_ready;
	struct deferred work;
	struct frame *beat_comment, *beat_event;
	int64_t last_id;		  /* event id: newest row handed out */
	int64_t skipped[HUB_SKIPPED_MAX]; /* rows that were logged, a ring */
	bool has_unread;  /* a read failed or stopped at its limit */
	bool has_stalled; /* a stream could not read: try again */
	bool is_draining;
	bool is_failing;	 /* the present trouble was logged */
	enum err lack;		 /* why the database could not be opened last */
	struct hub_stats *stats; /* in cfg.metrics */
};

/* Returns owned (hub_free). A database that cannot be opened is no failure: it
 * is logged, streams are told "not now", and each base poll tries again.
 * ERR_NOMEM. */
CHECK_RESULT enum err hub_new(
    struct loop *loop, const struct hub_config *cfg, struct hub **ret);

/* Is the database there, and was the last reading of it good? */
bool hub_is_well(const struct hub *h);

/* Ends all streams at moments spread over drain_ms; new ones are answered as
 * when the server is full. */
void hub_drain(struct hub *h);

/* Drops what is left. Not from inside a callback. */
void hub_free(struct hub **hub);

/* --- For stream.c --------------------------------------------------------- */

/* One topic a stream waits for. */
struct sub {
	LIST_ENTRY(sub) link; /* in its topic */
	struct topic *topic;
	/* Event id: retention took the topic's up to here, when the stream last
	 * looked. */
	int64_t floor;
	bool is_terminal; /* as far as the stream's cursor has come */
	uint8_t kind;	  /* enum topic_kind */
	uint8_t at;	  /* its place among its stream's */
};

/* Puts sub into the topic of that name, made where missing. ERR_NOMEM. */
CHECK_RESULT enum err hub_subscribe(
    struct hub *h, struct sub *sub, enum topic_kind kind, const char *name);
void hub_unsubscribe(struct hub *h, struct sub *sub);

/* A reconnection time: drawn anew for each client, so that a restart does not
 * bring everybody back in the same second. */
int64_t hub_draw_retry_ms(const struct hub *h);

/*
 * What retention took of a selection. A client that stands at a row up to here
 * has lost something, if it was not told: its ids carry the sum of what it
 * knows of, from before it began or by its resync.
 */
struct losses {
	int64_t up_to; /* event id */
	int64_t sum;   /* of all floors' hashes, in 32 bits */
};

/* Which losses matter at row n; 0: none. Row 0 is no place. */
static inline int64_t
loss_at(const struct losses *l, int64_t n)
{
	return n > 0 && n <= l->up_to ? l->sum : 0;
}

/*
 * Appends the row as an event. One that cannot be sent must not stall the
 * events behind it, nor keep a stream open whose job it ended: what stands for
 * it is its id, and it is counted. ERR_NOMEM.
 */
CHECK_RESULT enum err hub_add_event(struct hub *h, const struct event_row *row,
    const struct losses *known, struct buf *out, bool *ret_is_skipped);

/* Before a client's place is looked for: while no stream is open new rows are
 * not read, so the hub asks how far the ids have come. */
void hub_catch_up(struct hub *h);

/* Adds a new stream, and looks for rows again. */
void hub_add(struct hub *h, struct stream *s);

/* Calls stream_advance() at the end of the turn; not any more. */
void hub_queue(struct hub *h, struct stream *s);
void hub_unqueue(struct hub *h, struct stream *s);

/* Rows as frames, in id order, each with a topic it belongs to; a row that
 * belongs to two stands there twice. */
enum { HUB_BATCH = 64 };
struct batch {
	struct hub *hub;
	struct {
		struct frame *frame; /* owned */
		struct topic *topic;
	} item[HUB_BATCH * TOPIC_KINDS];
	struct losses known; /* to who gets them */
	size_t n;	     /* items */
	size_t rows;	     /* rows read, also those without an item */
	size_t bytes;
	int64_t read_us;
	int64_t
	    last_id;   /* of the last row read; unchanged when there was none */
	bool is_live;  /* read for everybody, as soon as it was there */
	bool is_short; /* stopped early: large rows */
	bool is_starved; /* stopped early: no memory */
};

/* Whose rows are read: those of n jobs, or of an owner, or all. */
struct selection {
	const char *const *job_ids;
	size_t n_jobs;
	const char *owner;
};

/* Reads rows after batch->last_id. OK, or why not: the rows read so far are in
 * the batch then. batch_done() in any case. */
CHECK_RESULT enum err hub_fetch(
    struct hub *h, const struct selection *sel, struct batch *batch);
void batch_done(struct batch *b);
/* Is there more where this batch came from? */
bool batch_has_more(const struct batch *b);

/* The same rows for another form than SSE. Notes failures as hub_fetch(). */
CHECK_RESULT enum err hub_read_rows(struct hub *h, const struct selection *sel,
    int64_t after, int limit, event_row_fn *on_row, void *arg);

#endif
