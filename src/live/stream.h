/* SPDX-License-Identifier: ISC */
/*
 * One client that gets events: a Server-Sent Events response, or a JSON request
 * that waits for the first one. Layer: live. Its state is a cursor into the
 * table and at most one frame that the client has not taken whole.
 */
#ifndef JOBWIRE_STREAM_H
#define JOBWIRE_STREAM_H

#include <sys/queue.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/session.h"
#include "base/buf.h"
#include "io/loop.h"
#include "job/name.h"
#include "live/hub.h"
#include "web/exchange.h"

enum {
	/* Deadlines are kept in ticks of CLOCK_MONOTONIC, so that thousands of
	 * streams wake the loop a few times a second and not thousands of
	 * times. 32 bits of them last for 17 years. */
	STREAM_TICK_US = 128 * 1000,
};

/* Of one JSON answer that waits for something to say. */
struct json_wait {
	const char *resync; /* what it must say first; NULL */
	char headers[];	    /* header fields of the answer */
};

/* There are thousands: what only some need is apart. */
struct stream {
	TAILQ_ENTRY(stream) link; /* hub->streams */
	struct hub *hub;
	struct exchange *x; /* ours until end or drop; with its timer, which is
				   set to the next of the times here */
	struct expiry *expiry;	/* owned: how long its client may read; NULL */
	struct json_wait *json; /* owned; NULL for a stream */
	struct frame *pending;	/* owned: begun, not sent whole; NULL */
	int64_t cursor;		/* newest event sent */
	struct losses known;	/* losses its client knows of */
	uint32_t progress;	/* within pending */
	uint32_t beat_due;	/* in ticks, as the next two */
	uint32_t life_due;
	uint32_t lag_due; /* 0: the client keeps up */
	uint32_t place;	  /* of hub->cfg.places, where there are places */
	uint8_t n_subs;	  /* topics, JOB_IDS_MAX at most */
	uint8_t n_open;	  /* of these, not at their end */
	bool is_current;  /* has all that the hub has read */
	bool is_queued;
	bool is_gone;	     /* a send failed: to be abandoned */
	bool has_beat_event; /* ?heartbeat=event */
	bool has_owner;	     /* the only sub is an owner's */
	struct sub subs[];
};

/* What a client asked for. All borrowed. */
struct stream_request {
	/* Jobs, 1..JOB_IDS_MAX, checked, no doubles; or an owner. */
	struct selection sel;
	struct span last_event_id; /* as sent; empty: none */
	bool wants_beat_event;
	bool wants_json;
	int64_t wait_ms; /* with wants_json: how long to wait for an event */
	const struct session *session; /* how long the client may read; NULL */
	/* Header fields of the answer, whatever it is (CORS). */
	struct span headers;
};

/*
 * Takes the exchange: opens the stream and sends what there is, or answers it
 * (204 when nothing is left to say, JSON, an overload or error answer).
 */
void stream_open(
    struct hub *h, struct exchange *x, const struct stream_request *req);

/* Takes the exchange and answers it "not now", in the form that the client
 * wants; of the request only wants_json and headers count. */
void stream_refuse(struct hub *h, struct exchange *x,
    const struct stream_request *req, enum err e);

/* --- For stream_open.c, and of it ----------------------------------------- */

/* Where a stream begins, and what the client must be told first. */
struct stream_place {
	int64_t cursor;
	struct losses known; /* losses it knows of then */
	const char *resync;  /* NULL: nothing was lost */
	bool is_finished;    /* nothing is left to say, ever */
	int64_t last_id;     /* event id: newest of its jobs that ever was */
	size_t n_open;	     /* topics that are not at their end */
	bool is_terminal[JOB_IDS_MAX];
	int64_t floor[JOB_IDS_MAX]; /* retention's */
};

/* How the topics stand now: adds to *place, which is empty, all but cursor,
 * resync and is_finished. As hub_read_rows(). */
CHECK_RESULT enum err stream_look(
    struct hub *h, const struct selection *sel, struct stream_place *place);

/* Subscribed, timed by x's timer and counted; x is not taken yet. ERR_FULL: no
 * further one can be had now; ERR_SYS, ERR_NOMEM. */
CHECK_RESULT enum err stream_new(struct hub *h, struct exchange *x,
    const struct stream_request *req, const struct stream_place *place,
    struct stream **ret);

/* Takes the exchange and sends the prelude, then what the table has; a JSON
 * request (prelude NULL) waits. */
void stream_begin(struct stream *s, struct frame *prelude);

/* --- Of stream_end.c, for stream.c ---------------------------------------- */

/* The memory alone. */
void stream_free(struct stream *s);

/* Everything of the stream but its exchange. */
void stream_release(struct stream *s, enum stream_end why);

/* With its exchange: the client sees a broken answer. */
void stream_drop(struct stream *s, enum stream_end why);

/* Ends the response whole, so that proxies see no error. In the middle of a
 * record that cannot be: then the connection is cut, and the client drops the
 * incomplete event and resumes at the one before. */
void stream_finish(struct stream *s, enum stream_end why);

/* The topics' names as a selection; job_ids has room for all of them. */
struct selection stream_selection(const struct stream *s, const char **job_ids);

/* Answers JSON when there is something to say, or when the time is over. */
void stream_answer_json(struct stream *s, bool is_over);

/* The client may read no longer: ERR_EXPIRED or ERR_AUTH says why. */
void stream_dismiss(struct stream *s, enum err e);

/* --- For hub.c ------------------------------------------------------------ */

/* A new row of one of the stream's topics. Never ends the stream, so that the
 * hub may call it while it walks its lists; stream_advance() does that. */
void stream_deliver(struct sub *sub, struct frame *f);

/* Sends what is pending and what the table has after the cursor, one batch. */
void stream_advance(struct stream *s);

/* The database is another one, or has lost rows: say so and begin again. */
void stream_resync(struct stream *s, const char *reason);

/* Ends it cleanly at a moment within the time given. */
void stream_drain(struct stream *s, int64_t within_ms);

/* Drops it without a word. */
void stream_abandon(struct stream *s);

#endif
