/* SPDX-License-Identifier: ISC */
/*
 * One inbound request from its arrival to its answer. Layer: hook, internal to
 * it.
 *
 * A call is prepared, written and concluded; then its answer is ready. Only a
 * long one is prepared on another thread than the loop's. What these steps do
 * for a path is in a file of its own, webhook_call.c and so on; routes.c has
 * the table.
 */
#ifndef JOBWIRE_CALL_H
#define JOBWIRE_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/authenticator.h"
#include "base/buf.h"
#include "base/queue.h"
#include "hook/commit.h"
#include "hook/keys.h"
#include "hook/pending.h"
#include "intent/intent.h"
#include "store/db.h"
#include "web/answer.h"
#include "web/exchange.h"
#include "web/refusal.h"
#include "web/request.h"

struct call;
struct provider;
struct json_object; /* text/json_value.h */

/* What the calls are served with. Borrowed for the life of what serves them. */
struct call_config {
	const char *base_url, *api_prefix; /* of the URLs given out */
	bool is_open;			   /* webhook_auth = none */
	size_t inline_output;
	const char *cors_origins; /* whose pages may ask for them; NULL */
	const char *actions; /* job/action.h; that jobs can be started with */
	bool are_starters_owners; /* start_auth = owner */
	size_t max_input;	  /* bytes of a body that starts one */
	/* Set by webhook_api_start(), with arg: can the database be
	 * written? For healthz; NULL: has to be tried. */
	enum err (*look)(void *arg);
	void (*format_metrics)(void *arg, struct buf *out);
	/* How this node of a cluster is; NULL: it is none. */
	const char *(*cluster)(void *arg);
	void *arg;
};

/* What a path does with a method. Each is the one object of the file that it is
 * named after; routes.h lists them. */
struct call_handler {
	/*
	 * Authenticates, then parses; for a POST, on any thread. True: write()
	 * has something to write. False: c->answer is what to say at once.
	 */
	bool (*prepare)(struct call *c);
	/* As commit_item's: checks what only the database knows of the caller,
	 * and writes one intent to c->written. NULL, as is conclude():
	 * prepare() says false. */
	enum err (*write)(struct call *c, struct db *db);
	/* Fills c->answer from c->commit, which may have failed, and
	 * c->written. */
	void (*conclude)(struct call *c);
	/* Frees c->state; NULL: it has none. */
	void (*done)(struct call *c);
	/* Pages of other origins that are allowed read the answer, whatever it
	 * is. */
	bool is_for_pages;
};

/* Where a call ended, for the log and the metrics. */
enum call_outcome {
	CALL_STORED,
	CALL_DUPLICATE, /* it was stored already */
	CALL_IGNORED,	/* understood, and nothing to be stored */
	CALL_LOOKED,	/* there was nothing to be stored from the first */
	CALL_UNCLAIMED, /* kept until its job is registered */
	CALL_PENDING,	/* taken, and not yet brought back by the log */
	CALL_REFUSED,	/* the caller's fault: 4xx */
	CALL_FAILED,	/* ours: 5xx */
	CALL_OUTCOMES,
};

/* Their names, as they stand in the log and the metrics. */
extern const char *const call_outcome_names[CALL_OUTCOMES];

enum {
	CALL_ID_SIZE = 65,
	CALL_SEGMENTS = 2,
};

struct call {
	struct queue_item link; /* first; for who carries it */
	struct commit_item commit;
	struct pending_item pending;
	const struct call_config *cfg;
	const struct hook_keys *keys;	    /* borrowed until it is answered */
	const struct request *request;	    /* borrowed until it is answered */
	const struct call_handler *handler; /* NULL: there is none */
	int64_t now_s;
	struct span segments[CALL_SEGMENTS]; /* what stands for each {} */
	struct buf job_id;		     /* terminated; for the log too */
	const char *type; /* the event's, for the log; NULL: none */
	struct intent_result written;
	enum call_outcome outcome;
	const struct provider *provider; /* of a webhook; NULL: none */
	bool is_signed; /* a webhook whose sender is known, or need not be */
	void *state;	/* the handler's own */
	struct answer answer;
	char id[CALL_ID_SIZE]; /* of the request, for the log and the caller */
	/* For who carries it. */
	void *carrier;
	bool is_ready; /* prepared, with something to write */
	struct exchange *x;
	int64_t began_us;
};

/* A new call for a request, not yet routed; all are borrowed for its life.
 * Returns owned (call_free); NULL without memory. */
struct call *call_new(const struct request *r, const struct call_config *cfg,
    const struct hook_keys *keys);
void call_free(struct call **c); /* accepts NULL */

/* Prepares by that handler; NULL: there is none, and c->answer says so. Sets
 * c->is_ready. True: push c->commit (its write is set). */
bool call_prepare(
    struct call *c, const struct call_handler *handler, int64_t now_s);

/* Fills the answer after the writing, and the header fields that every answer
 * has. After a false call_prepare() it is not needed. */
void call_conclude(struct call *c);

/* Sets c->id: the web server's X-Request-Id where it gives one that is fit for
 * a header field, else one made of these two numbers. */
void call_set_id(struct call *c, uint32_t run_id, uint64_t number);

/* Of its path, as far as that is what paths of ours may consist of: a URL that
 * was escaped once more than it should has its query in there. Borrowed. */
struct span call_plain_route(const struct call *c);

/* Ends the call: logs it in one line, answers with its id among the header
 * fields, and frees it. */
void call_answer(struct call **c);

/* Answers a request for which there is no memory to make a call. */
void call_answer_memory(struct exchange *x);

/* --- For the handlers ----------------------------------------------------- */

/* Each refuses the call: false, for `return call_refuse(..)` in prepare(). */
bool call_refuse_as(struct call *c, const struct refusal *why);
bool call_refuse(
    struct call *c, int status, const char *code, const char *message);
bool call_refuse_memory(struct call *c);

/* Answers for a failed c->commit.result; where that is ERR_EXISTS, for the
 * refusal in c->written. */
void call_answer_trouble(struct call *c);

/* Does the caller have a publish key? Refuses when not. */
bool call_take_publisher(struct call *c);

/* Refuses what a page of another site sends in its user's name, which the
 * user's browser lets in. */
bool call_take_origin(struct call *c);

/* The job id that is the path's first segment, to c->job_id. Refuses when it is
 * none. */
bool call_take_job_id(struct call *c);

/* Refuses a body that did not come whole: too long, no space for it. */
bool call_take_body(struct call *c);

/*
 * The body as one JSON value, within the request's own text; refuses what
 * call_take_body() does, another type, bad JSON, too deep. Where finite is not
 * NULL, NaN and Infinity count as null, and *ret may be within *finite.
 */
bool call_take_json(struct call *c, struct buf *finite, struct span *ret);

/* The same, where the value has to be an object. */
bool call_take_object(struct call *c, struct buf *finite, struct span *ret);

/* The same of a body whose values we use; refuses also what would take too much
 * memory. *ret is owned (json_object_put()). */
bool call_take_values(struct call *c, struct json_object **ret);

/*
 * A member that is a string of at most max bytes without control characters,
 * appended to *ret with its terminator (ret->len counts it not). Missing and
 * null leave *ret empty. Refuses anything else.
 */
bool call_take_string(struct call *c, struct json_object *object,
    const char *name, size_t max, struct buf *ret);

/* In a cluster the time is over, and nobody knows yet what becomes of it. */
bool call_is_pending(const struct call *c);

/* The status of an answer to what was taken: 202 instead of 201 where it is
 * pending. Sets c->outcome, which is CALL_PENDING then. */
int call_take_outcome(struct call *c, int status, enum call_outcome outcome);

/* Ends the answer's object, with "pending" where it is. */
void call_end_object(struct call *c);

/* Text for a parameter that may be missing: NULL when empty. */
const char *call_text(const struct buf *b);

#endif
