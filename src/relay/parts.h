/* SPDX-License-Identifier: ISC */
/*
 * What relay.c, meeting.c, reading.c and duties.c share. Layer: relay, private
 * to them.
 */
#ifndef JOBWIRE_RELAY_PARTS_H
#define JOBWIRE_RELAY_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "io/relay_status.h"
#include "relay/apply.h"
#include "relay/link.h"
#include "relay/log.h"
#include "relay/publish.h"
#include "relay/relay.h"
#include "store/backfill.h"
#include "store/leader.h"

enum { RELAY_AGAIN_MS = 200 /* after trouble with the database */ };

struct relay {
	struct relay_config cfg;
	struct loop *loop;
	struct watch *watch;
	struct deferred turn;
	struct timer later; /* a turn, after trouble; or the end of a stop */
	bool is_stopping;
	/* The database. */
	struct leader leader;
	bool is_db_ready;
	struct backfill *backfill;
	enum err db_state; /* as it was logged */
	char db_detail[RELAY_DETAIL_SIZE];
	char node_id[DB_NODE_MAX + 1];
	char name[DB_EPOCH_SIZE]; /* the epoch it has by the log; "": not yet */
	struct buf identity;	  /* this database, among those of that name */
	struct buf owner;	  /* the same, and where it is */
	bool is_owner;		  /* identity is stored */
	struct applier applier;
	/* Redis. */
	struct log_keys keys;
	struct link *link;
	struct publisher publisher;
	bool is_met, was_met; /* now; ever */
	bool is_meeting;      /* an answer is awaited */
	bool wants_epochs;    /* it has to be settled where the log goes */
	int n_parted;	      /* how often the next entry has not followed */
	bool is_reading;      /* XREAD is under way */
	bool is_behind;	      /* for good */
	int64_t met_at_us;    /* when it was asked */
	int64_t rows_max;     /* of the next XREAD */
	int64_t read_at_us;   /* it is not sent before */
	struct timer read_later;
	int64_t foreign_at_us;	   /* when it was logged */
	struct log_position epoch; /* an entry of the log's present epoch */
	struct log_position base;  /* where a new log would begin */
	/* duties.c */
	struct timer second;
	int64_t n_seconds;
	struct relay_status status;
	char detail[RELAY_DETAIL_SIZE]; /* why it is not met, or behind */
	bool was_noted;
	int64_t noted_at_us;
	int64_t keep_id, trim_id; /* what nodes still need; -1: not known */
	bool is_pruning;	  /* there is more */
	int64_t stalled_at, n_stalled;
};

/* At the end of this turn, or after so long, does what can be done. */
void relay_turn(struct relay *r);
void relay_later(struct relay *r, int64_t ms);

/* Asks Redis for the log's state, unless it is being asked. */
void relay_meet(struct relay *r);

/* The log is not what it was: meets before anything else. */
void relay_start_over(struct relay *r);

/* Of itself it does not go on from here; `why` is for people. */
void relay_fall_behind(struct relay *r, const char *why);

/* Sends the next XREAD, unless one is under way or something has to be settled
 * first; a little later where the last rows have just come. */
void relay_read(struct relay *r);

/* read_later's. */
void relay_read_later(struct timer *t);

/* ERR_NOENT: the database has left the cluster, though it may have joined again
 * since. Else as db_refresh(). */
CHECK_RESULT enum err relay_look_at_name(struct relay *r);

/* True for OK. Else notes and logs trouble with the database, and tries again
 * later. */
bool relay_check(struct relay *r, enum err e);

/* --- Of duties.c ---------------------------------------------------------- */

CHECK_RESULT enum err duties_start(struct relay *r);
void duties_stop(struct relay *r);

/* What a meeting tells of the log and of the other nodes. */
void duties_note(struct relay *r, const struct log_state *s);

/* Logs that it is well, or is not, when that changes, and writes it. */
void relay_note_state(struct relay *r);

#endif
