/* SPDX-License-Identifier: ISC */
/*
 * What a process counts, and its exposition as Prometheus text. Layer: live.
 *
 * Each worker process counts into a slot of its own in memory that all of them
 * share, so any of them can answer for all. Only the owner of a slot writes to
 * it.
 */
#ifndef JOBWIRE_METRICS_H
#define JOBWIRE_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "auth/authenticator.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/metric.h"
#include "io/watch.h"
#include "web/refusal_count.h"
#include "web/transport.h"

/* Why a stream ended. */
enum stream_end {
	STREAM_COMPLETED, /* every job reached its end, or nothing was left */
	STREAM_LIFETIME,
	STREAM_DRAINED,
	STREAM_LAGGED,	/* behind for longer than lag_timeout */
	STREAM_EXPIRED, /* the client's token */
	STREAM_REVOKED, /* likewise */
	STREAM_LEFT,	/* the client went away */
	STREAM_FAILED,	/* no memory, or the database was replaced under it */
	STREAM_END_KINDS,
};

struct hub_stats {
	/* Gauges: what there is now. */
	uint64_t open;	     /* streams */
	uint64_t waiting;    /* JSON requests that wait for an event */
	uint64_t lagging;    /* streams that are behind because they are slow */
	uint64_t is_failing; /* the database is missing or unreadable */
	/* Counters. */
	uint64_t opened, closed[STREAM_END_KINDS];
	uint64_t delivered; /* events sent to streams */
	uint64_t replayed;  /* of these, read from the table for one stream */
	uint64_t replays;   /* streams that had something to catch up with */
	uint64_t resyncs, overloads;
	uint64_t rows_read, rows_skipped, read_errors;
	/* From the row's created_at (milliseconds) to its reading. */
	struct histogram commit_to_read;
	/* From its reading to the send to one stream. */
	struct histogram read_to_sent;
};

struct metrics {
	struct hub_stats hub;
	struct transport_stats fcgi;
	struct watch_stats watch;
	struct authenticator_stats authenticator;
	struct refusal_counts refused;
};

/* Returns owned (metrics_free): n zeroed slots that survive fork() as shared
 * memory. ERR_NOMEM. */
CHECK_RESULT enum err metrics_new(size_t n, struct metrics **ret);
void metrics_free(struct metrics **slots, size_t n);

/* The process of this slot died: what it held is gone. */
void metrics_clear_gauges(struct metrics *slot);

/* Appends the sum of all slots in the Prometheus text format 0.0.4. */
void metrics_format(const struct metrics *slots, size_t n, struct buf *out);

#endif
