/* SPDX-License-Identifier: ISC */
/*
 * The thread of retention.c and checkpoint.c, and the lock by which only one
 * process does their work. It exists so that nobody else blocks on the disk and
 * on other writers.
 */
#include "store/janitor.h"

#include <sys/file.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "io/beside.h"
#include "io/sheet.h"
#include "store/checkpoint.h"
#include "store/events.h"
#include "store/gauges.h"
#include "store/wal.h"

enum {
	/* A checkpoint that waits for readers holds up writers that long. */
	BUSY_MS = 500,
	/* Between two batches, for writers to get their turn. */
	PAUSE_MS = 20,
	/* Of so much time one part goes into counting for the metrics. */
	TELL_SHARE = 100,
};

struct janitor {
	struct janitor_config cfg;
	char *db_path; /* owned */
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	bool is_stopping; /* under mutex; the rest is the thread's own */
	bool is_extended; /* the WAL; or it cannot be */
	int lock_fd;	  /* -1: another process may be the janitor */
	struct db *db;	  /* NULL: not open */
	struct retention_done done; /* in this database */
	int64_t checkpoint_ms; /* when one was last done, or not needed; 0 */
	int64_t tell_us;       /* when the numbers are due */
	char fault_text[sizeof(((struct db_fault *)0)->text)]; /* reported */
};

/* True when it is time to end. */
static bool
wait_ms(struct janitor *j, int64_t ms)
{
	int64_t end_us = clock_mono_us() + ms * 1000;
	struct timespec end = {
	    .tv_sec = (time_t)(end_us / 1000000),
	    .tv_nsec = (long)(end_us % 1000000) * 1000,
	};
	bool is_stopping;

	pthread_mutex_lock(&j->mutex);
	while (!j->is_stopping &&
	       pthread_cond_timedwait(&j->wake, &j->mutex, &end) != ETIMEDOUT)
		;
	is_stopping = j->is_stopping;
	pthread_mutex_unlock(&j->mutex);
	return is_stopping;
}

/* NULL: all is well. Tells of a change only: the same fault at each look is
 * one fault. */
static void
report(struct janitor *j, const struct db_fault *fault)
{
	const char *text = fault != NULL ? fault->text : "";

	if (strcmp(j->fault_text, text) == 0)
		return;
	snprintf(j->fault_text, sizeof(j->fault_text), "%s", text);
	if (j->cfg.on_fault != NULL)
		j->cfg.on_fault(j->cfg.arg, fault);
}

static void
release(struct janitor *j)
{
	db_close(&j->db);
	if (j->lock_fd != -1)
		close(j->lock_fd);
	j->lock_fd = -1;
}

/* Is this process the janitor? The lock is kept until release(). */
static bool
take_lock(struct janitor *j)
{
	struct db_fault fault = {0};
	struct buf path = BUF_INIT;

	if (j->lock_fd != -1)
		return true;
	beside_add(&path, j->db_path, "-janitor");
	errno = ENOMEM;
	if (buf_ok(&path))
		j->lock_fd =
		    open(path.data, O_RDWR | O_CREAT | O_CLOEXEC, 0660);
	if (j->lock_fd == -1) {
		fault.sys_errno = errno;
		snprintf(fault.text, sizeof(fault.text),
		    "cannot open %.100s: %s", buf_span(&path).p,
		    strerror(fault.sys_errno));
		report(j, &fault);
	}
	buf_done(&path);
	if (j->lock_fd == -1)
		return false;
	if (flock(j->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return true;
	close(j->lock_fd);
	j->lock_fd = -1;
	return false;
}

static bool
take_db(struct janitor *j)
{
	struct db_fault fault;

	if (j->db != NULL)
		return true;
	if (db_open(j->cfg.db_path, DB_WRITE, BUSY_MS, &j->db, &fault) != OK) {
		report(j, &fault);
		return false;
	}
	j->is_extended = false;
	j->done = (struct retention_done){0};
	return true;
}

static enum err
retain(struct janitor *j, bool *ret_more)
{
	*ret_more = false;
	if (!db_is_clustered(j->db))
		return retention_step(j->db, &j->cfg.keep, &j->done, ret_more);
	if (j->cfg.post == NULL)
		return OK;
	return retention_step_clustered(
	    j->db, &j->cfg.keep, j->cfg.post, &j->done, ret_more);
}

static enum err
work(struct janitor *j)
{
	bool has_more = true;
	enum err e;

	/* All works without, as on a full disk; but a lock is not for ever. */
	if (!j->is_extended)
		j->is_extended =
		    wal_extend(j->db, j->cfg.wal_bytes) != ERR_BUSY;
	for (;;) {
		e = checkpoint_if_filled(j->db, j->cfg.wal_limit_bytes);
		if (e == OK)
			j->checkpoint_ms = clock_real_ms();
		if (e == OK || e == ERR_BUSY)
			e = retain(j, &has_more);
		if (e != OK)
			return e;
		if (!has_more || wait_ms(j, PAUSE_MS))
			return OK;
	}
}

/* For the metrics. To count a million jobs takes a tenth of a second; so it is
 * done here, and for a hundredth of the time at most. */
static void
tell(struct janitor *j)
{
	int64_t began_us = clock_mono_us(), took_us;
	struct buf out = BUF_INIT;
	enum err e;

	if (began_us < j->tell_us)
		return;
	e = gauges_add(&out, j->db, j->checkpoint_ms);
	if (e == OK && buf_ok(&out))
		e = sheet_write(j->db_path, SHEET_JANITOR, buf_span(&out));
	/* Without it the numbers are missing, which is seen. */
	(void)e;
	buf_done(&out);
	took_us = clock_mono_us() - began_us;
	j->tell_us = began_us + took_us * TELL_SHARE;
	if (j->tell_us < began_us + SHEET_EVERY_MS * 1000)
		j->tell_us = began_us + SHEET_EVERY_MS * 1000;
}

static void
look(struct janitor *j)
{
	enum err e;

	if (j->db != NULL && db_has_moved(j->db))
		release(j);
	if (!take_lock(j) || !take_db(j))
		return;
	e = db_refresh(j->db); /* it may have joined a cluster */
	if (e == OK)
		e = work(j);
	if (e == OK || e == ERR_BUSY)
		tell(j);
	if (e == OK) {
		report(j, NULL);
	} else if (e != ERR_BUSY) {
		report(j, db_last_fault(j->db));
		release(j); /* a fresh connection next time */
	}
}

static void *
run(void *arg)
{
	struct janitor *j = arg;

	do
		look(j);
	while (!wait_ms(j, j->cfg.interval_ms));
	release(j);
	return NULL;
}

static void
janitor_free(struct janitor **j)
{
	pthread_cond_destroy(&(*j)->wake);
	pthread_mutex_destroy(&(*j)->mutex);
	free((*j)->db_path);
	free(*j);
	*j = NULL;
}

static struct janitor *
janitor_new(const struct janitor_config *cfg)
{
	struct janitor *j = calloc(1, sizeof(*j));
	pthread_condattr_t attr;

	if (j == NULL)
		return NULL;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&j->wake, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&j->mutex, NULL);
	j->lock_fd = -1;
	j->cfg = *cfg;
	j->cfg.db_path = j->db_path = strdup(cfg->db_path);
	if (j->db_path == NULL)
		janitor_free(&j);
	return j;
}

enum err
janitor_start(const struct janitor_config *cfg, struct janitor **ret)
{
	struct janitor *j = janitor_new(cfg);
	int rc;

	if (j == NULL)
		return ERR_NOMEM;
	rc = pthread_create(&j->thread, NULL, run, j);
	if (rc != 0) {
		janitor_free(&j);
		errno = rc;
		return ERR_SYS;
	}
	*ret = j;
	return OK;
}

void
janitor_stop(struct janitor **j)
{
	if (*j == NULL)
		return;
	pthread_mutex_lock(&(*j)->mutex);
	(*j)->is_stopping = true;
	pthread_cond_signal(&(*j)->wake);
	pthread_mutex_unlock(&(*j)->mutex);
	pthread_join((*j)->thread, NULL);
	janitor_free(j);
}

void
janitor_step(const struct janitor_config *cfg)
{
	struct janitor *j = janitor_new(cfg);
	int64_t last = 0;
	bool has_more;
	enum err e;

	if (j == NULL)
		return;
	if (take_lock(j) && take_db(j)) {
		e = checkpoint_if_filled(j->db, cfg->wal_limit_bytes);
		if (e == OK || e == ERR_BUSY)
			e = events_last_id(j->db, &last);
		j->done.seen_id = random_between(0, last);
		if (e == OK)
			e = retain(j, &has_more);
		if (e != OK && e != ERR_BUSY)
			report(j, db_last_fault(j->db));
	}
	release(j);
	janitor_free(&j);
}
