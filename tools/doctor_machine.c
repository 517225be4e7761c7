/* SPDX-License-Identifier: ISC */
/*
 * The doctor's look at the machine: does inotify work in the database's folder,
 * are there enough descriptors, which SQLite is it, is the time right. Blocks
 * for the watcher's self-test, 100 ms at most.
 */
#include <sys/resource.h>
#include <sys/timex.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "doctor.h"
#include "io/loop.h"
#include "io/watch.h"
#include "store/inspect.h"
#include "text/decimal.h"

enum {
	POLL_MS = 20,
	OWN_DESCRIPTORS = 32, /* what jobwire-events has open without clients */
};

/* The watcher of the programs, until it has made up its mind. */
struct test {
	struct loop *loop;
	struct watch *watch;
	char why[80]; /* it cannot; "": it can */
};

static bool
on_look(void *arg, bool is_base)
{
	struct test *t = arg;

	(void)is_base;
	if (!watch_get_stats(t->watch).is_blind)
		loop_stop(t->loop);
	return false;
}

static void
on_blind(void *arg, const char *why, int64_t poll_ms)
{
	struct test *t = arg;

	(void)poll_ms;
	(void)snprintf(t->why, sizeof(t->why), "%s", why);
	loop_stop(t->loop);
}

static enum err
run_test(const char *db_path, struct test *t)
{
	struct watch_config cfg = {
	    db_path, WATCH_FOLDER, POLL_MS, on_look, on_blind, t};
	enum err e = loop_new(&t->loop);

	if (e == OK)
		e = watch_start(t->loop, &cfg, &t->watch);
	if (e == OK)
		e = loop_run(t->loop);
	watch_stop(&t->watch);
	loop_free(&t->loop);
	return e;
}

/* How many programs of one user may watch; 0 where the kernel does not say. */
static int64_t
max_instances(void)
{
	struct buf text = BUF_INIT;
	int64_t n = 0;

	if (file_read("/proc/sys/fs/inotify/max_user_instances", 64, &text) ==
	    OK) {
		struct span line = buf_span(&text);

		if (decimal_cut(&line, &n) != OK)
			n = 0;
	}
	buf_done(&text);
	return n;
}

static void
check_inotify(struct doctor *d)
{
	struct test t = {0};
	/* Every worker has one, and so has each `jobwire tail`. */
	int64_t wanted = d->events.workers + 16;
	int64_t n = max_instances();
	enum err e;

	if (d->c->settings->inotify == INOTIFY_OFF) {
		doctor_say(d, FINDING_WARN, "inotify", "inotify = auto",
		    "it is switched off: events of other programs come up to "
		    "%d ms late",
		    WATCH_BLIND_POLL_MS);
		return;
	}
	e = run_test(d->c->settings->db, &t);
	if (e != OK || t.why[0] != '\0')
		doctor_say(d, FINDING_WARN, "inotify",
		    "use a local disk; more instances: sysctl "
		    "fs.inotify.max_user_instances=512",
		    "it does not work in the database's folder (%s): programs "
		    "poll every %d ms",
		    e != OK ? err_text(e) : t.why, WATCH_BLIND_POLL_MS);
	else if (n > 0 && n < wanted)
		doctor_say(d, FINDING_WARN, "inotify",
		    "sysctl fs.inotify.max_user_instances=512",
		    "a user may have %" PRId64 " instances, and %" PRId64
		    " are needed",
		    n, wanted);
	else
		doctor_say(d, FINDING_OK, "inotify", NULL,
		    "it works in the database's folder");
}

static void
check_descriptors(struct doctor *d)
{
	struct rlimit limit;
	int64_t wanted = d->events.max_streams + OWN_DESCRIPTORS;
	struct buf remedy = BUF_INIT;

	if (d->events.db == NULL || getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	buf_addf(&remedy,
	    "LimitNOFILE=%" PRId64 " in the unit of jobwire-events, or ulimit "
	    "-Hn; or fewer max_streams",
	    wanted);
	/* The programs raise the soft limit. */
	if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < (rlim_t)wanted)
		doctor_say(d, FINDING_WARN, "descriptors", buf_span(&remedy).p,
		    "what is started from here may open %" PRIu64
		    ", and max_streams = %" PRId64 " needs %" PRId64,
		    (uint64_t)limit.rlim_max, d->events.max_streams, wanted);
	else
		doctor_say(d, FINDING_OK, "descriptors", NULL,
		    "enough for max_streams = %" PRId64, d->events.max_streams);
	buf_done(&remedy);
}

static void
check_sqlite(struct doctor *d)
{
	bool has_bug;
	const char *version = inspect_sqlite(&has_bug);

	/* Distributions keep such versions for years, and jobwire's programs
	 * are safe with them. */
	doctor_say(d, FINDING_OK, "sqlite", NULL, "%s%s", version,
	    has_bug ? "; before 3.51.3 two programs that checkpoint at once "
		      "can lose commits: in yours that write, PRAGMA "
		      "wal_autocheckpoint = 0"
		    : "");
}

static void
check_clock(struct doctor *d)
{
	static const char remedy[] =
	    "let something set it: timedatectl set-ntp true";
	const int64_t year_2026_ms = INT64_C(1767225600000);
	struct timex t = {0};
	char now[CLOCK_RFC3339_SIZE];

	clock_rfc3339(clock_real_ms(), now);
	if (clock_real_ms() < year_2026_ms)
		doctor_say(d, FINDING_FAIL, "clock", remedy,
		    "it is %s here: signatures and tokens are refused", now);
	else if (adjtimex(&t) == TIME_ERROR)
		doctor_say(d, FINDING_WARN, "clock", remedy,
		    "it is %s here, and nothing keeps the clock right: "
		    "senders' signatures are good for 5 minutes",
		    now);
	else
		doctor_say(d, FINDING_OK, "clock", NULL, "it is %s", now);
}

void
doctor_machine(struct doctor *d)
{
	check_inotify(d);
	check_descriptors(d);
	check_sqlite(d);
	check_clock(d);
}
