/* SPDX-License-Identifier: ISC */
/*
 * Says when to look into a database file again. Layer: io; knows SQLite's file
 * names (db, db-wal, db-journal) and the bell's, but no SQL.
 *
 * inotify on the folder is a hint only: SQLite writes the WAL before a commit
 * becomes visible, and the visible moment makes no inotify event. So each hint
 * asks for a look now and then after 0.1, 0.2, 0.4 .. 51.2 ms; a new hint
 * restarts this schedule. The bell, rung when a commit is visible, asks for one
 * look and leaves the last four of the re-checks, for another program's commit
 * that came between ours and its bell. A base poll catches what no hint
 * announced: `poll_ms` where inotify works, at most WATCH_BLIND_POLL_MS where
 * it does not (limits reached, network file systems, failed self-test, switched
 * off).
 *
 * Many processes that watch one folder wake at each write to the WAL, while the
 * writer still holds its lock: 100 of them made a commit of 0.16 ms take 7 ms.
 * With WATCH_BELL only the bell, rung after the commit, leads to a look, and to
 * a single one; foreign writers are found by the base poll, always at poll_ms.
 */
#ifndef JOBWIRE_WATCH_H
#define JOBWIRE_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "io/loop.h"

enum { WATCH_BLIND_POLL_MS = 25 };

struct watch;

/* What inotify is set on. */
enum watch_scope {
	WATCH_NOTHING, /* inotify is not used */
	WATCH_FOLDER,  /* the database's folder: for a process per node */
	WATCH_BELL,    /* the bell alone: for a process per stream */
};

struct watch_config {
	/* Borrowed during watch_start() only. May be a symbolic link, and
	 * lead to another file later. */
	const char *db_path;
	enum watch_scope scope;
	int64_t poll_ms; /* each pause up to a quarter shorter or longer */
	/* Look now. is_base: called by the base poll, the place for identity
	 * checks. Returns true when it found something: then there is more to
	 * come, and the next look is merged with others. It does not end the
	 * re-checks, as the hint may have been that of the commit after the one
	 * found (see watch.c). */
	bool (*on_look)(void *arg, bool is_base);
	/* inotify cannot be used; errno-style reason, and the pause of the base
	 * poll from now on. Called at most once per loss, from the loop. */
	void (*on_blind)(void *arg, const char *why, int64_t poll_ms);
	void *arg;
};

struct watch_stats {
	uint64_t hints; /* inotify events that named our files */
	uint64_t looks; /* calls of on_look */
	bool is_blind;	/* inotify is not in use, or not proven to work yet */
};

/*
 * Returns owned (watch_stop; not from its callbacks). Never fails for want of
 * inotify: it polls then. The first look and the self-test (touch a probe
 * file, expect its event within 100 ms) happen on the loop. ERR_NOMEM.
 */
CHECK_RESULT enum err watch_start(
    struct loop *loop, const struct watch_config *cfg, struct watch **ret);
void watch_stop(struct watch **w);

/* The same as an inotify event: look in the next turn, which does not wait,
 * and start the schedule. */
void watch_hint(struct watch *w);

/* Nobody waits: from now on only the base poll looks, and inotify tells nothing
 * (that costs at each commit). A watch that is not proven to work stays
 * awake. */
void watch_sleep(struct watch *w);
/* Looks in the next turn, and sees again. Accepts one that is awake. */
void watch_wake(struct watch *w);

struct watch_stats watch_get_stats(const struct watch *w);

#endif
