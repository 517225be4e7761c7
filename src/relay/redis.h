/* SPDX-License-Identifier: ISC */
/*
 * A connection to Redis on the event loop. Layer: relay; the only user of
 * hiredis. Blocks while a host's name is looked up, otherwise never.
 */
#ifndef JOBWIRE_RELAY_REDIS_H
#define JOBWIRE_RELAY_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "io/loop.h"
#include "relay/url.h"

struct redis;
struct redis_value; /* an answer, or a part of one; borrowed for the callback */

/* Called once for each command, in their order; not at all when the connection
 * is lost before. May call anything here. */
typedef void redis_answer_fn(void *arg, const struct redis_value *answer);

/* Can this build speak TLS? Its hiredis can from 1.0 on. */
bool redis_has_tls(void);

/*
 * Begins to connect; commands may be sent at once. on_closed is called once,
 * from deferred work, when it cannot be had or is lost, with a reason in plain
 * words; then only redis_close() is left. url and arg are borrowed for its
 * life. Returns owned (redis_close). ERR_SYS: *why says why (static, or valid
 * until the next call); ERR_NOMEM.
 */
CHECK_RESULT enum err redis_open(struct loop *loop, const struct redis_url *url,
    void (*on_closed)(void *arg, const char *reason), void *arg,
    struct redis **ret, const char **why);

/* Drops what is under way. Accepts NULL; may be called from callbacks. */
void redis_close(struct redis **redis);

/* Queues a command, which leaves at the end of the turn at the latest. The
 * arguments are copied. ERR_NOMEM; ERR_GONE: it is being closed. */
CHECK_RESULT enum err redis_send(struct redis *r, const struct span *args,
    size_t n, redis_answer_fn *on_answer, void *arg);

/* --- Answers -------------------------------------------------------------- */

/* Those of another kind are empty, 0, or NULL; NULL is accepted. */
bool redis_is_error(const struct redis_value *v);
struct span redis_text(const struct redis_value *v); /* of errors, too */
int64_t redis_int(const struct redis_value *v);
size_t redis_count(const struct redis_value *v);
const struct redis_value *redis_item(const struct redis_value *v, size_t i);

#endif
