/* SPDX-License-Identifier: ISC */
/*
 * The thread that copies, and when it does; restarting is checkpoint.c. The
 * thread and backfill_checkpoint() block on the disk, and wait for no other
 * program.
 */
#include "store/backfill.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "store/checkpoint.h"
#include "store/events.h"
#include "store/stmt.h"
#include "store/wal.h"

enum step { IDLE, ASKED, DONE };

struct backfill {
	const char *db_path;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t is_asked, is_done;
	enum step step;		/* under mutex */
	bool is_stopping;	/* under mutex; the rest is the thread's own */
	struct db *db, *reader; /* NULL: not open */
};

static void
close_both(struct backfill *b)
{
	db_close(&b->db);
	db_close(&b->reader);
}

static bool
open_both(struct backfill *b)
{
	if (b->db != NULL && (db_has_moved(b->db) || db_has_moved(b->reader)))
		close_both(b);
	if (b->db != NULL)
		return true;
	if (db_open(b->db_path, DB_READ, 0, &b->db, NULL) == OK &&
	    db_open(b->db_path, DB_READ, 0, &b->reader, NULL) == OK)
		return true;
	close_both(b);
	return false;
}

/* What fails is left to who restarts the WAL, and meets the same. */
static void
copy(struct backfill *b)
{
	int64_t id;

	if (!open_both(b))
		return;
	/* The snapshot begins with the first statement that reads. */
	if (db_begin_read(b->reader) == OK &&
	    events_last_id(b->reader, &id) == OK)
		(void)sqlite3_wal_checkpoint_v2(
		    b->db->h, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	db_rollback(b->reader);
}

static void *
run(void *arg)
{
	struct backfill *b = arg;

	pthread_mutex_lock(&b->mutex);
	while (!b->is_stopping) {
		if (b->step != ASKED) {
			pthread_cond_wait(&b->is_asked, &b->mutex);
			continue;
		}
		pthread_mutex_unlock(&b->mutex);
		copy(b);
		pthread_mutex_lock(&b->mutex);
		b->step = DONE;
		pthread_cond_signal(&b->is_done);
	}
	pthread_mutex_unlock(&b->mutex);
	close_both(b);
	return NULL;
}

static void
backfill_free(struct backfill **b)
{
	pthread_cond_destroy(&(*b)->is_done);
	pthread_cond_destroy(&(*b)->is_asked);
	pthread_mutex_destroy(&(*b)->mutex);
	free(*b);
	*b = NULL;
}

enum err
backfill_start(const char *db_path, struct backfill **ret)
{
	struct backfill *b = calloc(1, sizeof(*b));
	int rc;

	if (b == NULL)
		return ERR_NOMEM;
	b->db_path = db_path;
	pthread_mutex_init(&b->mutex, NULL);
	pthread_cond_init(&b->is_asked, NULL);
	pthread_cond_init(&b->is_done, NULL);
	rc = pthread_create(&b->thread, NULL, run, b);
	if (rc != 0) {
		backfill_free(&b);
		errno = rc;
		return ERR_SYS;
	}
	*ret = b;
	return OK;
}

/* True: a copy has ended, or failed to, since the last true. */
static bool
ask(struct backfill *b, bool must_end)
{
	bool is_done;

	pthread_mutex_lock(&b->mutex);
	if (b->step == IDLE) {
		b->step = ASKED;
		pthread_cond_signal(&b->is_asked);
	}
	while (must_end && b->step != DONE)
		pthread_cond_wait(&b->is_done, &b->mutex);
	is_done = b->step == DONE;
	if (is_done)
		b->step = IDLE;
	pthread_mutex_unlock(&b->mutex);
	return is_done;
}

void
backfill_checkpoint(struct backfill *b, struct db *db, int64_t limit_bytes)
{
	if (limit_bytes != CHECKPOINT_NEVER &&
	    wal_is_filled(db, limit_bytes / 3 * 2) &&
	    ask(b, wal_is_filled(db, limit_bytes)))
		(void)!checkpoint_if_filled(db, 0);
}

void
backfill_release(struct backfill *b)
{
	if (b == NULL)
		return;
	pthread_mutex_lock(&b->mutex);
	while (b->step == ASKED)
		pthread_cond_wait(&b->is_done, &b->mutex);
	close_both(b); /* the thread waits, or for the mutex */
	pthread_mutex_unlock(&b->mutex);
}

void
backfill_stop(struct backfill **b)
{
	if (*b == NULL)
		return;
	pthread_mutex_lock(&(*b)->mutex);
	(*b)->is_stopping = true;
	pthread_cond_signal(&(*b)->is_asked);
	pthread_mutex_unlock(&(*b)->mutex);
	pthread_join((*b)->thread, NULL);
	backfill_free(b);
}
