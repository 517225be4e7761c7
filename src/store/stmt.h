/* SPDX-License-Identifier: ISC */
/*
 * The project's SQL statements and what a connection is made of. Layer: store,
 * and private to it (and to its unit tests).
 *
 * Use of a statement: stmt_open(), stmt_bind_*(), stmt_step() until it has no
 * row, stmt_close() on every path. The first failure stays until the next
 * stmt_open(), so only stepping has to be looked at.
 */
#ifndef JOBWIRE_STMT_H
#define JOBWIRE_STMT_H

#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

#include <sqlite3.h>

#include "base/buf.h"
#include "base/err.h"
#include "io/bell.h"
#include "job/name.h"
#include "store/db.h"

enum {
	STMT_BATCH_ROWS = 500, /* rows that one maintenance step deletes */
};

/* Index of the SQL texts and of a connection's prepared statements. */
enum stmt_id {
	STMT_BEGIN_READ,
	STMT_BEGIN_WRITE,
	STMT_COMMIT,
	STMT_ROLLBACK,
	STMT_SAVEPOINT,
	STMT_UNDO,
	STMT_RELEASE,
	STMT_IDENTITY,	   /* -> application_id, user_version, objects */
	STMT_JOURNAL_WAL,  /* -> the journal mode there is now */
	STMT_JOURNAL,	   /* -> the same, and leaves it */
	STMT_QUICK_CHECK,  /* -> "ok", or what is damaged */
	STMT_COUNT,	   /* -> row of inspect_count() */
	STMT_GAUGES,	   /* -> row of gauges_add() */
	STMT_PRUNABLE,	   /* time, keep progress, keep others -> jobs,
				  events */
	STMT_DATA_VERSION, /* -> counter */
	STMT_META,	   /* key -> value */
	STMT_NAMES,	   /* -> epoch, node id */
	STMT_SET_META,	   /* key, value */
	STMT_DROP_META,	   /* key */
	STMT_MARK,	   /* id -> row of mark.c */
	STMT_NEW_EPOCH,
	STMT_DOUBT_RUNS,       /* time */
	STMT_LAST_ID,	       /* -> id */
	STMT_APPEND,	       /* job, type, data, source, key, restore id */
	STMT_APPEND_ENTRY,     /* the same, time, origin, number there */
	STMT_DELIVERED,	       /* source, key -> id */
	STMT_AMEND_JOB,	       /* job, output, restore id, error */
	STMT_REGISTER_JOB,     /* job, owner, external id, restore id */
	STMT_JOB_STATE,	       /* job -> state */
	STMT_STATE_AFTER,      /* id -> state */
	STMT_JOB_NAMED,	       /* external id -> job */
	STMT_KEEP_UNCLAIMED,   /* external id, type, data, source, key, output,
				error */
	STMT_COUNT_UNCLAIMED,  /* external id -> how many there are */
	STMT_KEY,	       /* key -> request, first id, number of events */
	STMT_ADD_KEY,	       /* key, request, first id, number of events */
	STMT_OLD_KEY,	       /* time -> is there one */
	STMT_DELETE_KEYS,      /* time, limit */
	STMT_OLD_UNCLAIMED,    /* time -> is there one */
	STMT_DELETE_UNCLAIMED, /* time, limit */
	STMT_UNCLAIMED,	       /* limit -> rows of unclaimed.c */
	STMT_UNCLAIMED_ONE,    /* id -> row of unclaimed.c */
	STMT_FORGET_UNCLAIMED, /* id */
	STMT_PROBE,
	STMT_OWNS_JOB,	      /* job, owner -> is it */
	STMT_OWNER_FLOOR,     /* owner -> highest floor */
	STMT_JOB_BOUNDS,      /* job -> state, floor, last id, first id */
	STMT_JOB,	      /* job -> row of jobs_load() */
	STMT_JOB_WHOLE,	      /* the same, with its error */
	STMT_JOB_EVENTS,      /* job -> how many there are */
	STMT_NTH_LAST,	      /* job, n -> id before that of its n-th last
			event */
	STMT_REMOVE_JOB,      /* job */
	STMT_JOBS,	      /* limit -> rows of jobs_load() */
	STMT_JOBS_IN_STATE,   /* limit, state -> rows of jobs_load() */
	STMT_JOBS_SILENT,     /* limit -> rows of jobs_load() */
	STMT_OLD_JOB,	      /* time -> rowid */
	STMT_OLD_JOBS,	      /* time, limit -> jobs */
	STMT_REMOVE_OLD_JOB,  /* job, time */
	STMT_FULL_JOBS,	      /* id, id, keep progress, keep others -> jobs */
	STMT_TRIM_JOB,	      /* job, is progress, keep */
	STMT_AGED_KEY,	      /* time, limit -> a time behind the oldest */
	STMT_AGED_UNCLAIMED,  /* likewise */
	STMT_OUTBOX_HAS,      /* kind -> is one not answered */
	STMT_STRIP_JOB,	      /* rowid */
	STMT_DELETE_EVENTS,   /* rowid of the job, limit */
	STMT_DELETE_JOB,      /* rowid */
	STMT_SLICE,	      /* id, limit -> highest id of the next rows, how
			       many there are */
	STMT_SURPLUS,	      /* id, id, is progress, keep, limit -> ids */
	STMT_DELETE_EVENT,    /* id */
	STMT_REVOKE,	      /* kind, digest, time */
	STMT_IS_REVOKED,      /* jti, sub, issued at -> is it */
	STMT_ADD_TICKET,      /* digest, claims, end, sub, time, how many there
			       may be -> 1 */
	STMT_PEEK_TICKET,     /* digest, time -> claims */
	STMT_TAKE_TICKET,     /* digest, time -> claims */
	STMT_OLD_TOKENS,      /* time, time -> are there */
	STMT_DROP_TICKETS,    /* time */
	STMT_DROP_REVOKED,    /* time */
	STMT_KEEP_RESTORE_ID, /* job, its next restore id, run */
	STMT_RESTART_JOB,     /* job, restore id */
	STMT_IDENTIFY_JOB,    /* job, external id */
	STMT_ADD_RUN,	      /* job, action, endpoint, restore id, input,
				   policy */
	STMT_ADD_SUBMITTED_RUN, /* job, endpoint, restore id, external id */
	STMT_END_RUN,		/* run, error */
	STMT_SAVE_RUN,		/* run, what run_save() writes */
	STMT_OPEN_RUN,		/* job -> row of run_load() */
	STMT_LAST_RUN,		/* job -> row of run_load() */
	STMT_RUN,		/* run -> row of run_load() */
	STMT_RUNS,		/* limit -> rows of run_load() */
	STMT_RUNS_IN_STATE,	/* limit, state -> rows of run_load() */
	STMT_RUN_OF_ORIGIN,	/* node, number -> row of run_load() */
	STMT_MOVE_RUN,		/* node, number */
	STMT_REST_RUN,		/* run */
	STMT_TAKE_RUN,		/* run, node */
	STMT_ADOPT_RUNS,	/* node */
	STMT_RUNS_DUE,		/* limit, time, node -> rows of run_load() */
	STMT_NEXT_RUN,		/* time, node -> time */
	STMT_FAR_RUN,		/* time, node -> is there one */
	STMT_PULL_RUNS,		/* time, time, node */
	STMT_RUN_INPUT,		/* run -> input, policy */
	STMT_COUNT_RUNS,	/* -> state, number, oldest time */
	STMT_COUNT_CALL,	/* call, outcome */
	STMT_CALLS,		/* -> call, outcome, number */
	STMT_WAS_RUN,		/* job, external id -> was one of its runs */
	STMT_ENDED_AS,		/* job, external id -> has it */
	STMT_OUTBOX_ADD,	/* kind, payload */
	STMT_OUTBOX_READ,	/* after, limit -> seq, kind, payload, time, is
				   it answered */
	STMT_OUTBOX_ANSWER,	/* seq, result */
	STMT_OUTBOX_RESULT,	/* seq -> result */
	STMT_OUTBOX_FORGET,	/* seq, seconds */
	STMT_OUTBOX_OPEN,	/* -> is a row not answered */
	STMT_LOG_ORIGIN,
	STMT_START_SEQUENCES,
	STMT_SET_SEQUENCES,  /* id that is taken */
	STMT_LOG_ADD,	     /* position, tag, origin, number, time */
	STMT_LOG_BEFORE,     /* position -> position, tag */
	STMT_LOG_FIRST,	     /* -> position, tag */
	STMT_LOG_FIND,	     /* position, first of its epoch, tag -> position,
				 tag */
	STMT_LOG_LAST_WHOLE, /* -> position, origin, undo id, number before */
	STMT_LOG_DROP,	     /* position */
	STMT_LOG_PRUNABLE,   /* position, time, limit, origin -> position,
				 entries, number */
	STMT_LOG_PRUNE,	     /* position */
	STMT_UNDO_PRUNE,     /* position */
	STMT_UNDO_EVENTS,    /* id, origin, number there */
	STMT_UNDO_READ,	     /* undo id -> changes */
	STMT_UNDO_FORGET,    /* undo id */
	STMT_MARKS,	     /* position -> origin, number */
	STMT_LOG_OWN_IDS,    /* id -> the highest behind it */
	STMT_SET_MARK,	     /* origin, number */
	STMT_LABEL_EVENTS,   /* id, origin, number */
	STMT_LABEL_RUNS,     /* id, origin, number */
	STMT_OUTBOX_RAISE,   /* number */
	STMT_OUTBOX_TURN,
	STMT_OUTBOX_SEQUENCE,	   /* number */
	STMT_OUTBOX_STATE,	   /* origin -> number, rows */
	STMT_OUTBOX_CLOSE,	   /* number */
	STMT_OUTBOX_CLOSE_APPLIED, /* origin */
	STMT_OUTBOX_CLEAR,
	STMT_OUTBOX_DROP_ANSWERED,
	STMT_OUTBOX_ALL,      /* -> as the next */
	STMT_OUTBOX_PUT,      /* seq, kind, payload, time, result */
	STMT_OUTBOX_LAST,     /* -> seq */
	STMT_OUTBOX_SET_LAST, /* seq */
	STMT_RELAY_OWNER,     /* -> key, value */
	STMT_OWN_RUNS,	      /* node -> as the next */
	STMT_SET_OWN_RUN,     /* columns, origin, its number */
	STMT_DOUBT_OWN_RUNS,  /* node */
	/* Of the inbox's file alone. */
	STMT_INBOX_VERSION, /* -> user_version */
	STMT_INBOX_ADD,	    /* what inbox_add() writes, how many in a second */
	STMT_INBOX_AGED,    /* time in ms */
	STMT_INBOX_COUNT,   /* -> how many there are */
	STMT_INBOX_TRIM,
	STMT_INBOX_LIST,   /* limit -> rows of inbox.c */
	STMT_INBOX_GET,	   /* id -> row of inbox.c */
	STMT_INBOX_FORGET, /* id, or 0 */
	STMT_READ_ALL,	   /* id, limit -> rows of events.c */
	STMT_READ_OWNER,   /* id, limit, owner -> rows of events.c */
	STMT_READ_JOB,	   /* id, limit, job -> rows of events.c */
	STMT_SLOTS = STMT_READ_JOB + JOB_IDS_MAX,
	/* STMT_READ_JOB + k for each job of a merge: the same SQL */
};

/* Of each statement but the jobs of a merge after the first; stmt_sql.c. */
extern const char *const stmt_sql[];

struct db {
	sqlite3 *h;
	char *path;	       /* as given */
	dev_t dev;	       /* the file's identity when it was opened */
	ino_t ino;	       /* likewise */
	int busy_ms;	       /* how long to wait for a lock in all */
	int64_t busy_until_us; /* end of the wait under way */
	bool has_version;      /* is `version` known? */
	int64_t version;       /* PRAGMA data_version at the last look */
	enum err failure;      /* to open or bind the statement opened last */
	struct bell bell;      /* closed where it cannot be opened */
	char epoch[DB_EPOCH_SIZE];
	char node_id[DB_NODE_MAX + 1]; /* "": no cluster's */
	bool has_names;		       /* are these two known, */
	unsigned names_version;	       /* as of this version? */
	bool has_new_names;	       /* they are the transaction's own */
	const char *entry_origin;      /* whose entry is applied; NULL: none */
	int64_t entry_seq;
	struct db_fault fault;		 /* the last one */
	sqlite3_stmt *stmts[STMT_SLOTS]; /* NULL until first used */
};

/* With nothing open, which is not all zeros: 0 is a descriptor. Returns owned
 * (db_close); NULL without memory. */
struct db *db_new(void);

/* Copies what SQLite says of the call that just failed with rc into the
 * connection's fault, and returns rc as our error. */
CHECK_RESULT enum err stmt_failed(struct db *db, int rc);

/* Returns e, for a reason that SQLite knows nothing of: the fault has code 0
 * and a text that says it all. */
CHECK_RESULT enum err stmt_refuse(struct db *db, enum err e, const char *format,
    ...) __attribute__((format(printf, 3, 4)));

/* Prepares slot id, for when there may be no memory for it later. */
CHECK_RESULT enum err stmt_prepare(struct db *db, unsigned id);

/* Begins slot id, prepared where it is not yet. Borrowed from db. A failure
 * shows at stmt_step(); then it is NULL, which all that take a statement accept
 * and do nothing with. Bind and step before the next one is opened. */
sqlite3_stmt *stmt_open(struct db *db, unsigned id);

/* Parameter i, from 1. A NULL text and a span without bytes are NULL. The
 * bytes are borrowed until stmt_close(). A failure shows at stmt_step(). */
void stmt_bind_int(struct db *db, sqlite3_stmt *st, int i, int64_t n);
void stmt_bind_text(struct db *db, sqlite3_stmt *st, int i, const char *s);
/* As stmt_bind_text(), but "" is an empty text. */
void stmt_bind_exact(struct db *db, sqlite3_stmt *st, int i, const char *s);
/* As it is in another row, of another connection too. */
void stmt_bind_value(
    struct db *db, sqlite3_stmt *st, int i, const sqlite3_value *value);
void stmt_bind_span(struct db *db, sqlite3_stmt *st, int i, struct span s);

/* *ret_row: there is a row to read; else the statement is done. */
CHECK_RESULT enum err stmt_step(struct db *db, sqlite3_stmt *st, bool *ret_row);

/* Steps to the end, without a look at rows, and closes. */
CHECK_RESULT enum err stmt_run(struct db *db, sqlite3_stmt *st);

/* SQLite's JSON functions call malformed what they have no memory for.
 * ERR_NOMEM when e is that a CHECK did so with a text that is a JSON object of
 * no more than JOB_DATA_MAX (or empty, which is none and was sound when it was
 * stored); else e. */
CHECK_RESULT enum err stmt_judge_json(
    struct db *db, enum err e, struct span json);

/* One step to a row that has to be there. ERR_NOENT: it is not. */
CHECK_RESULT enum err stmt_row(struct db *db, sqlite3_stmt *st);

/* The same, and its first column as stmt_column_text() has it. */
CHECK_RESULT enum err stmt_row_text(
    struct db *db, sqlite3_stmt *st, const char **ret);

/* One step and close; *ret is the row's first column, or `fallback`. */
CHECK_RESULT enum err stmt_run_int(
    struct db *db, sqlite3_stmt *st, int64_t fallback, int64_t *ret);

/* The same as a boolean; false without a row. */
CHECK_RESULT enum err stmt_run_bool(struct db *db, sqlite3_stmt *st, bool *ret);

/* Column i, from 0, of the present row as text; NULL where it is NULL. Borrowed
 * until the next step or stmt_close(). ERR_NOMEM. */
CHECK_RESULT enum err stmt_column_text(
    struct db *db, sqlite3_stmt *st, int i, const char **ret);

/* The same as a copy that the caller owns. */
CHECK_RESULT enum err stmt_column_dup(
    struct db *db, sqlite3_stmt *st, int i, char **ret);

/* stmt_open() and stmt_run() of a statement without parameters. */
CHECK_RESULT enum err stmt_do(struct db *db, unsigned id);

/* As db_rollback(). */
void stmt_rollback(struct db *db);

/* Resets and lets go of what was bound. Accepts NULL. */
void stmt_close(sqlite3_stmt *st);

/* Frees all prepared statements. */
void stmt_done(struct db *db);

#endif
