/* SPDX-License-Identifier: ISC */
/*
 * How a node's relay is, in a small file beside the database (`<db>-relay`,
 * which is its lock, too) for other programs. Layer: io.
 *
 * No row says it: each second one more commit would wake every reader.
 */
#ifndef JOBWIRE_RELAY_STATUS_H
#define JOBWIRE_RELAY_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum {
	RELAY_STATUS_EVERY_MS = 1000,
	RELAY_STATUS_SILENT_MS = 5000, /* from when on it is away */
	RELAY_NODES_MAX = 32,
	RELAY_NAME_SIZE = 65,
	RELAY_DETAIL_SIZE = 200,
};

enum relay_state {
	RELAY_OK,
	RELAY_AWAY,   /* Redis is not there, or the relay */
	RELAY_BEHIND, /* of itself it will not catch up */
};

/* "ok", "away", "behind". */
const char *relay_state_name(enum relay_state s);

struct relay_node {
	char name[RELAY_NAME_SIZE];
	int64_t position; /* the id of the first event of its last entry */
	int64_t age_ms;	  /* since it was there */
};

/* Positions are ids of the first events of entries. */
struct relay_status {
	enum relay_state state;
	char node_id[RELAY_NAME_SIZE];
	char redis[RELAY_NAME_SIZE];	/* where, without a password */
	char detail[RELAY_DETAIL_SIZE]; /* why it is not ok; "" */
	int64_t at_ms;		/* CLOCK_REALTIME, when this was written */
	int64_t contact_ms;	/* the last answer of Redis; 0: none */
	int64_t position, last; /* of this node, of the log */
	int64_t behind;		/* entries between; -1: not known */
	int64_t waiting;	/* rows of the outbox that are not back yet */
	/* Since the relay started. */
	int64_t applied, refused, cut_back, foreign, published;
	int64_t n_nodes;
	struct relay_node nodes[RELAY_NODES_MAX];
};

/* Writes it, as of now, into the file, which fd is. ERR_SYS. */
CHECK_RESULT enum err relay_status_write(int fd, struct relay_status *s);

/* The last one; away where it is older than RELAY_STATUS_SILENT_MS at now_ms.
 * ERR_NOENT: there is none that can be read. */
CHECK_RESULT enum err relay_status_read(
    const char *db_path, int64_t now_ms, struct relay_status *ret);

#endif
