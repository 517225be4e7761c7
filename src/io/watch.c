/* SPDX-License-Identifier: ISC */
/*
 * Watches the folder of a database, or only its bell, with inotify and decides
 * when to look into the database. What a look does is the caller's; nothing
 * here opens the database or its -wal and -shm files, because closing them
 * again would drop SQLite's locks. Runs on the loop; blocks only for the probe
 * file (created and removed).
 *
 *   BLIND ----watch set----> TESTING ----probe seen----> SEEING
 *     ^                         |                           |
 *     +---no event in 100 ms----+----folder gone, no watch--+
 *
 * (A probe's event that comes late still leads from BLIND to SEEING.)
 *
 * In every state a base tick looks and sets the watch (again): that finds a
 * folder that came back, was replaced, or is another one now behind the same
 * path. What inotify loses (overflow) or cannot see is then at most a base
 * tick late, never missed.
 *
 * A look that finds something does not end the re-checks. The hint that led to
 * it may be that of the next commit: writer A becomes visible, writer B writes
 * its WAL frames (the last event there will be), the look finds A, and only
 * then B's fsync returns. Ending there would leave B to the base poll:
 * measured, one in five of the second commits of a pair came 200 ms late, now
 * none does.
 */
#include "io/watch.h"

#include <sys/inotify.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/container_of.h"
#include "io/bell.h"
#include "io/beside.h"
#include "io/filesystem.h"

enum {
	READ_BYTES = 8192,
	READS_PER_TURN = 16, /* the loop comes back for the rest */
	RECHECK_FIRST_US = 100,
	RECHECK_LAST_US = 51200,
	RECHECK_NONE_US = 2 * RECHECK_LAST_US,
	/* After the bell: only for a commit of another program that came
	 * between ours and its bell. */
	RECHECK_BELL_US = 6400,
	MERGE_US = 300, /* between two looks when commits come fast */
	PROBE_US = 100000,
};

enum state {
	STATE_BLIND,   /* no inotify; left when the watch can be set */
	STATE_TESTING, /* watch set, waits for the probe file's event */
	STATE_SEEING,  /* inotify is known to work in this folder */
};

/* What an event amounts to. */
enum sight { SAW_NOTHING, SAW_HINT, SAW_BELL, SAW_LOSS, SAW_PROBE };

struct watch {
	struct loop *loop;
	struct watch_config cfg;
	char *path;	  /* of the database, as it was given */
	char *folder;	  /* that the file itself is in */
	char *name;	  /* of the file in the folder */
	char *bell;	  /* the bell's path */
	char *probe_name; /* of the self-test's file in the folder */
	enum state state;
	bool is_told;	 /* on_blind was called since inotify last worked */
	struct io io;	 /* the inotify descriptor, -1: none */
	int wd;		 /* of the folder or the bell, -1: none */
	bool is_asleep;	 /* nobody waits: only the base poll looks */
	int64_t step_us; /* pause before the next re-check */
	int64_t find_us; /* when a look found something last */
	struct timer recheck, base, probe;
	struct watch_stats stats;
};

/* --- Looking -------------------------------------------------------------- */

static void
look(struct watch *w, bool is_base)
{
	w->stats.looks++;
	if (w->cfg.on_look(w->cfg.arg, is_base))
		w->find_us = clock_mono_us();
}

/* Without memory for a timer the base poll finds what the re-checks would. */
static void
set_timer(struct watch *w, struct timer *t, int64_t delay_us)
{
	if (timer_set(w->loop, t, loop_now_us(w->loop) + delay_us) != OK)
		return;
}

static void
on_recheck(struct timer *t)
{
	struct watch *w = container_of(t, struct watch, recheck);

	if (w->step_us <= RECHECK_LAST_US)
		set_timer(w, t, w->step_us);
	w->step_us *= 2;
	look(w, false);
}

/* The look itself is the next turn's first act, so that many hints in one
 * turn make one look; a little later when the last one has just found
 * something, for there is more to come. */
static void
look_soon(struct watch *w, int64_t step_us)
{
	int64_t wait_us = w->find_us + MERGE_US - loop_now_us(w->loop);

	if (w->is_asleep)
		return;
	/* The bell says that the commit is visible: nothing comes later. */
	w->step_us = w->cfg.scope == WATCH_BELL ? RECHECK_NONE_US : step_us;
	set_timer(w, &w->recheck, wait_us > 0 ? wait_us : 0);
}

void
watch_hint(struct watch *w)
{
	look_soon(w, RECHECK_FIRST_US);
}

/* --- States --------------------------------------------------------------- */

static int64_t
base_pause_ms(const struct watch *w)
{
	if (w->cfg.scope == WATCH_BELL || w->state == STATE_SEEING ||
	    w->cfg.poll_ms < WATCH_BLIND_POLL_MS)
		return w->cfg.poll_ms;
	return WATCH_BLIND_POLL_MS;
}

static void
go_blind(struct watch *w, const char *why)
{
	timer_cancel(w->loop, &w->probe);
	w->state = STATE_BLIND;
	if (!w->is_told && w->cfg.on_blind != NULL)
		w->cfg.on_blind(w->cfg.arg, why, base_pause_ms(w));
	w->is_told = true;
}

static void
go_seeing(struct watch *w)
{
	timer_cancel(w->loop, &w->probe);
	w->state = STATE_SEEING;
	w->is_told = false;
}

/* --- Events --------------------------------------------------------------- */

static enum sight
sight_of(const struct watch *w, const char *name)
{
	static const char *const suffixes[] = {"", "-wal", "-journal"};
	size_t i, n = strlen(w->name);

	if (strcmp(name, w->probe_name) == 0)
		return SAW_PROBE;
	if (strncmp(name, w->name, n) != 0)
		return SAW_NOTHING;
	for (i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		if (strcmp(name + n, suffixes[i]) == 0)
			return SAW_HINT;
	return strcmp(name + n, "-bell") == 0 ? SAW_BELL : SAW_NOTHING;
}

static enum sight
judge(struct watch *w, const struct inotify_event *ev)
{
	if (ev->mask & IN_Q_OVERFLOW)
		return SAW_HINT;
	if (ev->wd != w->wd)
		return SAW_NOTHING; /* of a watch that was given up */
	if (ev->mask &
	    (IN_IGNORED | IN_UNMOUNT | IN_DELETE_SELF | IN_MOVE_SELF))
		return SAW_LOSS;
	if (w->cfg.scope == WATCH_BELL)
		return SAW_BELL;
	return ev->len == 0 ? SAW_NOTHING : sight_of(w, ev->name);
}

static void
heed(struct watch *w, enum sight saw)
{
	switch (saw) {
	case SAW_NOTHING:
		break;
	case SAW_HINT:
		w->stats.hints++;
		look_soon(w, RECHECK_FIRST_US);
		break;
	case SAW_BELL:
		w->stats.hints++;
		look_soon(w, RECHECK_BELL_US);
		break;
	case SAW_LOSS:
		set_timer(w, &w->base, 0);
		break;
	case SAW_PROBE:
		go_seeing(w);
		break;
	}
}

static void
take_events(struct watch *w)
{
	_Alignas(struct inotify_event) char bytes[READ_BYTES];
	const struct inotify_event *ev;
	ssize_t n, at;
	int i;

	for (i = 0; i < READS_PER_TURN; i++) {
		n = read(w->io.fd, bytes, sizeof(bytes));
		if (n <= 0)
			break;
		for (at = 0; at < n; at += (ssize_t)(sizeof(*ev) + ev->len)) {
			ev = (const void *)(bytes + at);
			heed(w, judge(w, ev));
		}
	}
}

static void
on_inotify(struct io *io, unsigned ready)
{
	(void)ready;
	take_events(container_of(io, struct watch, io));
}

/* --- Names ---------------------------------------------------------------- */

static void
free_names(struct watch *w)
{
	free(w->folder);
	free(w->name);
	free(w->probe_name);
	free(w->bell);
	w->folder = w->name = w->probe_name = w->bell = NULL;
}

/* What the path leads to now: a symbolic link may be set to another file.
 * False without memory; then the names stay. */
static bool
set_names(struct watch *w)
{
	struct buf folder = BUF_INIT, bell = BUF_INIT, probe = BUF_INIT;
	struct watch new = {0};
	const char *name;

	beside_add_folder(&folder, w->path);
	beside_add(&bell, w->path, "-bell");
	if (!buf_ok(&bell) ||
	    (w->bell != NULL && strcmp(w->bell, bell.data) == 0)) {
		buf_done(&folder);
		buf_done(&bell);
		return w->bell != NULL;
	}
	name = strrchr(bell.data, '/');
	name = name == NULL ? bell.data : name + 1;
	new.name = strndup(name, strlen(name) - strlen("-bell"));
	buf_addf(&probe, "%s-probe.%ld", new.name != NULL ? new.name : "",
	    (long)getpid());
	new.folder = buf_take(&folder);
	new.probe_name = buf_take(&probe);
	new.bell = buf_take(&bell);
	if (new.name == NULL || new.folder == NULL || new.probe_name == NULL ||
	    new.bell == NULL) {
		free_names(&new);
		return false;
	}
	free_names(w);
	w->folder = new.folder;
	w->name = new.name;
	w->probe_name = new.probe_name;
	w->bell = new.bell;
	return true;
}

/* --- Setting the watch ---------------------------------------------------- */

/* The probe's event may still come later, and then inotify is used. */
static void
on_probe_missing(struct timer *t)
{
	struct watch *w = container_of(t, struct watch, probe);

	/* A stalled machine lets the time pass with the event in the queue. */
	take_events(w);
	if (w->state == STATE_TESTING)
		go_blind(w, "self-test: no event within 100 ms");
}

static char *
path_in_folder(const struct watch *w, const char *name)
{
	struct buf path = BUF_INIT;

	buf_addf(&path, "%s/%s", w->folder, name);
	return buf_take(&path);
}

/* A folder that we may not write to gets the benefit of the doubt: users who
 * only read shall not have to poll. */
static void
start_self_test(struct watch *w)
{
	char *path = path_in_folder(w, w->probe_name);
	int fd = -1;

	w->state = STATE_TESTING;
	set_timer(w, &w->probe, PROBE_US);
	if (path != NULL)
		fd = open(
		    path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1) {
		go_seeing(w);
	} else {
		close(fd);
		unlink(path);
	}
	free(path);
}

static bool
open_inotify(struct watch *w)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	if (fd == -1)
		return false;
	w->io.fd = fd;
	if (io_add(w->loop, &w->io, IO_READ) == OK)
		return true;
	w->io.fd = -1;
	close(fd);
	return false;
}

/* The watch on what the path means now; -1 and *ret_why. */
static int
add_watch(struct watch *w, const char **ret_why)
{
	unsigned mask = IN_MODIFY | IN_DELETE_SELF | IN_MOVE_SELF;
	const char *name;
	int wd = -1;

	if (filesystem_by_magic(w->folder, &name) == FILESYSTEM_REMOTE) {
		*ret_why = "network file system";
		return -1;
	}
	if (w->cfg.scope == WATCH_FOLDER)
		mask |= IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM |
			IN_MOVED_TO | IN_ONLYDIR;
	if (w->io.fd != -1 || open_inotify(w))
		wd = inotify_add_watch(w->io.fd,
		    w->cfg.scope == WATCH_FOLDER ? w->folder : w->bell, mask);
	if (wd == -1)
		*ret_why = strerror(errno);
	return wd;
}

/*
 * Sets the watch, or finds that it is still the right one: the kernel answers
 * with the same wd for the same folder. A new one starts the schedule, for a
 * commit whose events came before the watch.
 */
static void
set_watch(struct watch *w)
{
	const char *why = NULL;
	int old = w->wd;

	if (!set_names(w))
		return; /* the next base tick tries again */
	w->wd = add_watch(w, &why);
	if (old != -1 && old != w->wd)
		(void)inotify_rm_watch(w->io.fd, old);
	if (w->wd == -1) {
		go_blind(w, why);
	} else if (w->wd != old) {
		/* A probe would wake all that watch the folder; and who hears
		 * the bell polls at the same pace anyway. */
		if (w->cfg.scope == WATCH_FOLDER)
			start_self_test(w);
		else
			go_seeing(w);
		watch_hint(w);
	}
}

static void
on_base(struct timer *t)
{
	struct watch *w = container_of(t, struct watch, base);
	int64_t pause_us;

	if (w->cfg.scope != WATCH_NOTHING && !w->is_asleep)
		set_watch(w);
	pause_us = base_pause_ms(w) * 1000;
	/* Processes that began together shall not look together. */
	set_timer(w, t,
	    random_between(pause_us - pause_us / 4, pause_us + pause_us / 4));
	look(w, true);
}

/* --- Sleep ---------------------------------------------------------------- */

/* Who hears the bell alone is there for one client. */
void
watch_sleep(struct watch *w)
{
	if (w->is_asleep || w->state != STATE_SEEING ||
	    w->cfg.scope != WATCH_FOLDER)
		return;
	w->is_asleep = true;
	timer_cancel(w->loop, &w->recheck);
	(void)inotify_rm_watch(w->io.fd, w->wd);
	w->wd = -1;
}

void
watch_wake(struct watch *w)
{
	if (!w->is_asleep)
		return;
	w->is_asleep = false;
	set_timer(w, &w->base, 0);
}

/* --- Start and stop ------------------------------------------------------- */

enum err
watch_start(
    struct loop *loop, const struct watch_config *cfg, struct watch **ret)
{
	struct watch *w = calloc(1, sizeof(*w));
	struct bell bell = BELL_INIT;

	assert(cfg->poll_ms > 0);
	if (w == NULL)
		return ERR_NOMEM;
	w->loop = loop;
	w->cfg = *cfg;
	w->wd = w->io.fd = -1;
	w->io.on_ready = on_inotify;
	w->recheck.on_due = on_recheck;
	w->base.on_due = on_base;
	w->probe.on_due = on_probe_missing;
	/* The first base tick, on the loop, does all the rest. */
	w->path = strdup(cfg->db_path);
	if (w->path == NULL || !set_names(w) ||
	    timer_set(loop, &w->base, loop_now_us(loop)) != OK) {
		watch_stop(&w);
		return ERR_NOMEM;
	}
	/* Not opened where it is there: that wakes those who hear it. Without
	 * one the base poll does all. */
	if (cfg->scope == WATCH_BELL && access(w->bell, F_OK) != 0 &&
	    bell_open(cfg->db_path, &bell) == OK)
		bell_close(&bell);
	*ret = w;
	return OK;
}

void
watch_stop(struct watch **watch)
{
	struct watch *w = *watch;
	int fd;

	if (w == NULL)
		return;
	*watch = NULL;
	fd = w->io.fd;
	io_remove(w->loop, &w->io);
	if (fd != -1)
		close(fd);
	timer_cancel(w->loop, &w->recheck);
	timer_cancel(w->loop, &w->base);
	timer_cancel(w->loop, &w->probe);
	free_names(w);
	free(w->path);
	free(w);
}

struct watch_stats
watch_get_stats(const struct watch *w)
{
	struct watch_stats stats = w->stats;

	stats.is_blind = w->state != STATE_SEEING;
	return stats;
}
