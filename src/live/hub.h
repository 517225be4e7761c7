/* SPDX-License-Identifier: ISC */
/*
 * The hub knows who waits for which job, watches the database, reads each new
 * row once and hands its frame to every waiter of its topics. Layer: live. One
 * hub per process, on the loop's thread.
 *
 * No waiter holds unsent events: it has a cursor into the table. A waiter is
 * `current` when it has all that the hub has read; it gets new frames directly.
 * Otherwise it is behind and reads on from the table at its own cursor. Replay
 * after a connect, resumption by id and a slow client are this one mechanism.
 */
#ifndef JOBWIRE_HUB_H
#define JOBWIRE_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/loop.h"
#include "io/places.h"
#include "io/watch.h"
#include "live/early.h"
#include "live/frame.h"
#include "live/metrics.h"
#include "live/waiter.h"
#include "store/db.h"
#include "store/events.h"

struct hub;

struct hub_config {
	const char *db_path; /* borrowed for the hub's life */
	int64_t heartbeat_ms;
	int64_t lifetime_ms; /* of a stream, give or take a tenth */
	int64_t retry_min_ms, retry_max_ms;
	int64_t max_streams;	/* waiters, whatever they wait with */
	int64_t lag_timeout_ms; /* how long a stream may be behind */
	int64_t drain_ms;
	int64_t inline_output; /* bytes */
	int64_t poll_ms;
	enum watch_scope watch;
	/* DB_READ, or DB_CREATE where nobody else makes the database. */
	enum db_mode db_mode;
	int busy_ms; /* how long a reading may wait for a locked database */
	int64_t cluster_wait_ms; /* for a node that is ahead of ours */
	/* Borrowed for the hub's life; NULL, or what every waiter needs one of
	 * besides room in max_streams. */
	struct places *places;
	struct metrics *metrics; /* borrowed for the hub's life: our slot */
};

/* Returns owned (hub_free). A database that cannot be opened is no failure: it
 * is logged, clients are told "not now", and each base poll tries again.
 * ERR_NOMEM. */
CHECK_RESULT enum err hub_new(
    struct loop *loop, const struct hub_config *cfg, struct hub **ret);

/* Is the database there, and was the last reading of it good? */
bool hub_is_well(const struct hub *h);

/* Ends all waiters at moments spread over drain_ms; new ones are answered as
 * when the server is full. */
void hub_drain(struct hub *h);
bool hub_is_draining(const struct hub *h);

/* Abandons the waiters that are left. Not from inside a callback. */
void hub_free(struct hub **hub);

/* --- What it has ---------------------------------------------------------- */

/* All borrowed from the hub. */
const struct hub_config *hub_config(const struct hub *h);
struct loop *hub_loop(const struct hub *h);
/* In our slot; its members about clients are counted by who serves these. */
struct hub_stats *hub_stats(const struct hub *h);
/* NULL while the database is missing; another one after a turn of the loop. */
struct db *hub_db(const struct hub *h);
/* Another connection of this process may not write, which can be for what this
 * one has open (db_is_spoiled_by()): the next base poll opens it anew, but not
 * twice within some seconds. */
void hub_reopen_later(struct hub *h);
/* The database's, or the last one's; "" before the first. */
const char *hub_epoch(const struct hub *h);

/* A reconnection time: drawn anew for each client, so that a restart does not
 * bring everybody back in the same second. */
int64_t hub_draw_retry_ms(const struct hub *h);

/* A client that is told "not now" comes back so much later, drawn for each. */
enum { HUB_LATER_MIN_S = 10, HUB_LATER_MAX_S = 30 };

/* --- Waiters -------------------------------------------------------------- */

/* Requests that come too early, in a cluster. */
struct early_queue *hub_early(struct hub *h);

/* Before a client's cursor is looked for: while nobody waits new rows are not
 * read, so the hub asks how far the ids have come. */
void hub_catch_up(struct hub *h);

/* Puts the waiter into the topics of the selection that it was made for, and
 * looks for rows again. The hub borrows it until hub_remove(). ERR_FULL,
 * counted: no further one can be had now; ERR_NOMEM, ERR_SYS. On error it is
 * not in the hub. */
CHECK_RESULT enum err hub_add(
    struct hub *h, struct waiter *w, const struct selection *sel);
void hub_remove(struct hub *h, struct waiter *w);

/* Calls its on_turn once at the end of this turn of the loop, or of a later
 * one where many are queued. */
void hub_queue(struct hub *h, struct waiter *w);

/* A waiter that is behind could not read: all that are behind are queued when
 * the hub looks next. */
void hub_retry_later(struct hub *h);

/* --- Rows ----------------------------------------------------------------- */

/* Rows after that id as events_read_all() and its like, counted and logged
 * when that fails. ERR_GONE: the database is missing; else as these. */
CHECK_RESULT enum err hub_read_rows(struct hub *h, const struct selection *sel,
    int64_t after, int limit, event_row_fn *on_row, void *arg);

/* So much is read at once for frames: rows, and bytes of frames. */
enum { HUB_BATCH = 64, HUB_BATCH_BYTES = 4 << 20 };

/* Counts and logs a row that cannot be sent; once, though all who replay it
 * meet it again. */
void hub_note_skipped(struct hub *h, int64_t id, enum err why);

/*
 * The row as an event, with that loss in its id. One that cannot be sent must
 * not stall the events behind it, nor keep a stream open whose job it ended:
 * what stands for it is its id, and it is counted. Returns owned (frame_unref).
 * ERR_NOMEM.
 */
CHECK_RESULT enum err hub_make_frame(struct hub *h, const struct event_row *row,
    int64_t loss, struct frame **ret);

#endif
