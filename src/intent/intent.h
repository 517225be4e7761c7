/* SPDX-License-Identifier: ISC */
/*
 * What a call writes, apart from who asked for it and how he is answered.
 * Layer: intent. Within the caller's transaction; blocks on the disk.
 *
 * Each kind has a structure, which says all that the writing depends on but the
 * rows themselves, and a file that carries it out. On a single node
 * intent_write() does so at once. In a cluster it puts the intent, as a JSON
 * object, into the outbox; whoever applies the log gives it to intent_apply()
 * on every node. So one code decides what becomes of it: which owner a job
 * keeps, what is a duplicate, what comes too late.
 */
#ifndef JOBWIRE_INTENT_H
#define JOBWIRE_INTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "job/name.h"
#include "job/state.h"
#include "store/db.h"
#include "store/events.h"
#include "store/jobs.h"
#include "store/runs.h"

enum {
	/* Events that one intent may write: an entry of the log has numbers for
	 * 128. */
	INTENT_EVENTS_MAX = 100,
};

/* Their names, as they stand in the outbox, are in intent.c. */
enum intent_kind {
	INTENT_EVENT,	     /* struct intent_event */
	INTENT_REPORT,	     /* struct intent_report */
	INTENT_PUBLICATION,  /* struct intent_publication */
	INTENT_REGISTRATION, /* struct intent_registration */
	INTENT_START,	     /* struct intent_start */
	INTENT_CANCEL,	     /* struct intent_cancel */
	INTENT_TICKET,	     /* struct intent_ticket */
	INTENT_REVOCATION,   /* struct intent_revocation */
	INTENT_DELETION,     /* struct intent_deletion */
	INTENT_SUBMITTED,    /* struct intent_submitted */
	INTENT_TAKE,	     /* struct intent_take */
	INTENT_RETENTION,    /* struct intent_retention */
	INTENT_KINDS,
};

/* In these all is borrowed. A text is NULL and a span empty where it is not
 * given. */

/* A row as any program inserts it. With a run of a cluster it is this run's,
 * and comes too late where that has ended. */
struct intent_event {
	struct event_new row;
	struct run_ref run;
};

/* What a provider says of a job. row.job_id NULL: to be found by the other
 * two, and where it cannot the report waits for its job. */
struct intent_report {
	struct event_new row;
	const char *external_id, *input_job_id;
	struct run_ref run; /* with it the runner has asked for the report, and
			     * when that is an end this run has ended */
};

struct intent_entry {
	const char *type;
	struct span data;
};

/* One event or several, all or none, at most once under `key`, a digest, which
 * then stands for `request`, another one. */
struct intent_publication {
	const char *job_id;
	const struct intent_entry *entries;
	size_t n_entries; /* 1..INTENT_EVENTS_MAX */
	const char *key, *request;
};

/* What is to be known of a job; with an endpoint it has been submitted there,
 * under its external id. */
struct intent_registration {
	struct job_new job;
	const char *endpoint;
};

/* A run of a job. With an owner the job has to be his, or becomes it. */
struct intent_start {
	const char *job_id, *owner;
	const char *action, *endpoint;
	const char *restore_id;
	const char *spare_restore_id; /* for a run that has no other */
	struct span input, policy;
	const char *key, *request; /* as of a publication */
};

/* The end of the job's open run, likewise. */
struct intent_cancel {
	const char *job_id, *owner;
};

/* See tokens.h. */
struct intent_ticket {
	const char *digest, *sub;
	struct span claims;
	int64_t expires_at, now_s, max;
};

struct intent_revocation {
	const char *kind, *digest;
	int64_t revoked_at;
};

struct intent_deletion {
	const char *job_id;
};

/* Its node says of a run that the provider has it. Times are milliseconds since
 * 1970, and 0 where unset. */
struct intent_submitted {
	struct run_ref run;
	const char *external_id;
	int64_t submitted_at, deadline, next_at;
};

/* A run whose node is gone for good is carried out by another. What it is not
 * known to have submitted is unknown then. */
struct intent_take {
	struct run_ref run;
	const char *node_id;
};

/* What is past its time: of these jobs those that have ended before that time,
 * and of the others all but so many of their newest events; keys and unclaimed
 * events by their age. */
struct intent_retention {
	struct span job_ids; /* separated by commas */
	const char *before;
	int64_t progress, events;
	const char *keys_before, *unclaimed_before;
};

/* Why an intent is not carried out, where that is not the database's fault. */
enum intent_refusal {
	INTENT_ACCEPTED,
	INTENT_INVALID,	   /* a CHECK of the schema refuses it */
	INTENT_KEY_REUSED, /* the idempotency key stood for another request */
	INTENT_JOB_OWNED,
	INTENT_JOB_RUNNING,
	INTENT_JOB_FORBIDDEN, /* another's */
	INTENT_NO_RUN,	      /* that is open */
	INTENT_NO_JOB,
	INTENT_TOO_MANY, /* tickets that nobody has used */
	INTENT_REFUSALS,
};

/* What came of one. Which members mean something depends on its kind. */
struct intent_result {
	int64_t seq; /* in the outbox, where nothing has come of it yet; else
			0 */
	enum intent_refusal refusal;
	bool is_duplicate; /* it was written before */
	bool is_new;	   /* event: it was stored; registration: the job was
			      not there */
	bool is_unclaimed; /* it waits for its job */
	bool is_over;	   /* the cancelled run had not been sent */
	int64_t run_id;
	int64_t first_id; /* of its events, which follow one another; 0: none */
	int64_t n_events;
	enum job_state state;	     /* of the job after them */
	char job_id[JOB_ID_MAX + 1]; /* of a report; "": none was found */
	char restore_id[JOB_LABEL_MAX + 1]; /* of a run */
};

/*
 * Writes it. ERR_EXISTS: ret->refusal says why it is refused; what it has
 * written has to be undone. ERR_PROTO, ERR_LIMIT: the schema refuses it. Other
 * errors as db_begin().
 */
CHECK_RESULT enum err intent_write(struct db *db, enum intent_kind kind,
    const void *intent, struct intent_result *ret);

/*
 * Carries out what the log says, between cluster_apply_begin() and
 * cluster_apply_end(). Appends a JSON object to *ret_result: what has come of
 * it. ERR_PROTO: it is refused, as by every node; what it has written has to be
 * undone, and *ret_result says why. Any other error is this database's: it has
 * to be tried again.
 */
CHECK_RESULT enum err intent_apply(struct db *db, const char *kind,
    struct span payload, struct buf *ret_result);

/*
 * Carries out, here and now, all in the outbox that has no result: for a node
 * that leaves its cluster, so that nothing which was taken is lost. Within the
 * caller's transaction. Errors as db_begin().
 */
CHECK_RESULT enum err intent_settle(struct db *db);

/* Reads such a result. ERR_PROTO: it is none. */
CHECK_RESULT enum err intent_read_result(
    struct span text, struct intent_result *ret);

/* --- Between the files of this layer, and for tests ----------------------- */

/* Appends the intent as a JSON object, without what is not given. ERR_NOMEM. */
CHECK_RESULT enum err intent_encode(
    enum intent_kind kind, const void *intent, struct buf *ret);

/* Puts it into the outbox. ERR_NOMEM; else as db_begin(). */
CHECK_RESULT enum err intent_post(
    struct db *db, enum intent_kind kind, const void *intent);

/* ERR_EXISTS, with the reason. */
static inline enum err
intent_refuse(struct intent_result *ret, enum intent_refusal why)
{
	ret->refusal = why;
	return ERR_EXISTS;
}

/* What an idempotency key stood for: *ret is a duplicate, then, with what it
 * was answered. ERR_EXISTS: for another request. A key that is NULL is none. */
CHECK_RESULT enum err intent_recall(struct db *db, const char *key,
    const char *request, struct intent_result *ret);
CHECK_RESULT enum err intent_remember(struct db *db, const char *key,
    const char *request, const struct intent_result *r);

/* Each carries out its kind. */
typedef enum err intent_apply_fn(
    struct db *db, const void *intent, struct intent_result *ret);
intent_apply_fn intent_apply_event, intent_apply_report,
    intent_apply_publication, intent_apply_registration, intent_apply_start,
    intent_apply_cancel, intent_apply_ticket, intent_apply_revocation,
    intent_apply_deletion, intent_apply_submitted, intent_apply_take,
    intent_apply_retention;

/* Something proves that the job's open run was submitted, under that external
 * id where it is known. If the run is a cluster's, ours, and was in doubt, the
 * log is told. */
CHECK_RESULT enum err intent_prove(
    struct db *db, const char *job_id, const char *external_id);

#endif
