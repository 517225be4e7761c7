/* SPDX-License-Identifier: ISC */
/*
 * The log as it is in Redis: what is asked of sequence.lua, and what it and the
 * stream answer. Layer: relay. Nothing blocks.
 */
#ifndef JOBWIRE_RELAY_LOG_H
#define JOBWIRE_RELAY_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "relay/redis.h"
#include "store/replica.h"

enum {
	LOG_FORMAT = 1, /* of entries: who knows a higher one only stops */
	LOG_NAME_MAX = 64,
};

/* The keys of one cluster, as texts that the script takes. */
struct log_keys {
	struct buf state, stream, nodes;
};

CHECK_RESULT enum err log_keys_init(struct log_keys *ret, const char *prefix);
void log_keys_done(struct log_keys *k);

/* The text of the script, for SCRIPT LOAD. */
struct span log_script(void);

/* --- Commands ------------------------------------------------------------- */

/* Arguments of one command, built one after the other. */
struct log_command {
	struct buf text;   /* of all arguments */
	struct span *args; /* offsets into text until it is sent */
	size_t n, cap;
	bool failed;
};

void log_command_done(struct log_command *c);
void log_add(struct log_command *c, struct span arg);
void log_add_text(struct log_command *c, const char *arg);
void log_add_int(struct log_command *c, int64_t n);

/* Begins EVALSHA with the keys and these two; others follow by log_add(). */
void log_call(struct log_command *c, const struct log_keys *keys,
    const char *sha, const char *operation, const char *node_id);

/* Sends it, and empties it for the next. Errors as redis_send(). */
CHECK_RESULT enum err log_send(struct log_command *c, struct redis *r,
    redis_answer_fn *on_answer, void *arg);

/* --- Answers -------------------------------------------------------------- */

enum log_verdict {
	LOG_OK,
	LOG_BEHIND, /* of push: what was sent is not what follows */
	LOG_STALE,  /* of push: meet first */
	LOG_WAIT,   /* of meet: there is no log yet */
	LOG_TWICE,  /* of meet: another database has this node's name */
	LOG_FAILED, /* an error, or nothing that can be read */
};

enum log_verdict log_verdict(const struct redis_value *v);

/* The number of `ok` and `behind`; -1: none. */
int64_t log_number(const struct redis_value *v);

/* Of `wait`: the entry that a new log would begin with, or no entry at all. */
#define LOG_NOWHERE ((struct log_position){.id = -1})
struct log_position log_read_base(const struct redis_value *v);

/* A node as the others see it. */
struct log_node {
	struct span name;
	struct log_position at;
	int64_t age_ms;
};

/* An epoch of the log: it went on behind `base`. */
struct log_epoch {
	int64_t number;
	struct span tag;
	struct log_position base;
};

/* What `meet` answers; spans are borrowed from it. */
struct log_state {
	int64_t number; /* the last of this node's that is in the log */
	struct log_position last;
	struct span name; /* the epoch that clients know */
	const struct redis_value *nodes, *epochs;
};

/* False: it cannot be read. */
bool log_read_state(const struct redis_value *v, struct log_state *ret);
bool log_read_node(const struct log_state *s, size_t i, struct log_node *ret);
bool log_read_epoch(const struct log_state *s, size_t i, struct log_epoch *ret);

/* --- Entries -------------------------------------------------------------- */

struct log_row {
	struct log_position at;
	struct log_position base; /* what it follows */
	int64_t format;
	struct span kind; /* "epoch": nothing follows */
	struct span origin, time, payload;
	int64_t origin_seq;
};

/* The entries of XREAD's answer; NULL: none. */
const struct redis_value *log_rows(const struct redis_value *v);

/* False: no relay has written it. */
bool log_read_row(const struct redis_value *v, struct log_row *ret);

#endif
