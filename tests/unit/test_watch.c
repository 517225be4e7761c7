/* SPDX-License-Identifier: ISC */
/* Unit tests of io/watch and io/bell. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <sys/resource.h>
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "io/bell.h"
#include "io/watch.h"
#include "wait_loop.h"

/* So slow a base poll that it cannot be what made a test succeed. */
enum { SLOW_POLL_MS = 60000 };

static char parent[] = "/tmp/jobwire-watch.XXXXXX";
static char folder[64], moved[64], db[80], wal[96];

static struct loop *loop;
static struct watch *watch;
static struct bell bell = BELL_INIT;
static int looks, base_looks, blind_calls;
static int last_looks; /* as is_settled() saw it, and when it was new */
static int64_t looked_at_us;
static char blind_why[128];
static int64_t blind_poll_ms;
/* A commit, whether a look found it, and after how many looks it is visible;
 * 0: when something else makes it so. */
static bool is_visible, was_seen;
static int visible_after;

static void
touch(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);

	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
}

static bool
on_look(void *arg, bool is_base)
{
	assert_ptr_equal(arg, &looks);
	looks++;
	base_looks += is_base;
	was_seen = was_seen || is_visible;
	if (visible_after > 0 && looks >= visible_after)
		is_visible = true;
	return true;
}

static void
on_blind(void *arg, const char *why, int64_t poll_ms)
{
	blind_poll_ms = poll_ms;
	assert_ptr_equal(arg, &looks);
	blind_calls++;
	(void)snprintf(blind_why, sizeof(blind_why), "%s", why);
}

static int
set_up(void **state)
{
	(void)state;
	if (mkdir(folder, 0700) == -1)
		return -1;
	touch(db);
	looks = base_looks = blind_calls = last_looks = 0;
	looked_at_us = clock_mono_us();
	is_visible = was_seen = false;
	visible_after = 0;
	return loop_new(&loop) == OK ? 0 : -1;
}

static int
tear_down(void **state)
{
	char command[128];

	(void)state;
	watch_stop(&watch);
	watch_stop(&watch);
	bell_close(&bell);
	bell_close(&bell);
	loop_free(&loop);
	(void)snprintf(command, sizeof(command), "rm -rf %s/*", parent);
	return system(command);
}

static void
start(enum watch_scope scope)
{
	struct watch_config cfg = {.db_path = db,
	    .scope = scope,
	    .poll_ms = SLOW_POLL_MS,
	    .on_look = on_look,
	    .on_blind = on_blind,
	    .arg = &looks};

	assert_int_equal(watch_start(loop, &cfg, &watch), OK);
}

static bool
is_seeing(void)
{
	return !watch_get_stats(watch).is_blind;
}

/* Seeing, and the schedule that the new watch started is over. */
static bool
is_settled(void)
{
	if (looks != last_looks)
		looked_at_us = clock_mono_us();
	last_looks = looks;
	return is_seeing() && clock_mono_us() - looked_at_us > 150000;
}

static void
start_settled(void)
{
	start(WATCH_FOLDER);
	assert_true(wait_until(loop, is_seeing));
	assert_true(wait_until(loop, is_settled));
	looks = base_looks = 0;
	assert_int_equal(blind_calls, 0);
}

static bool
has_looked(void)
{
	return looks > 0;
}

static bool
has_seen(void)
{
	return was_seen;
}

static bool
is_told_blind(void)
{
	return blind_calls > 0;
}

static bool
has_based_4_times(void)
{
	return base_looks >= 4;
}

static void
assert_looks_without_base(void)
{
	assert_true(wait_until(loop, has_looked));
	assert_int_equal(base_looks, 0);
}

/* --- What leads to a look ------------------------------------------------- */

static void
test_wal_modified(void **state)
{
	int fd;

	(void)state;
	touch(wal);
	start_settled();
	fd = open(wal, O_WRONLY);
	assert_int_equal(pwrite(fd, "y", 1, 0), 1); /* stays open, like a
						       writer's */
	assert_looks_without_base();
	assert_int_equal(watch_get_stats(watch).hints, 1);
	close(fd);
}

static void
test_database_renamed_over(void **state)
{
	char other[96];

	(void)state;
	(void)snprintf(other, sizeof(other), "%s/other", folder);
	touch(other);
	start_settled();
	assert_int_equal(rename(other, db), 0);
	assert_looks_without_base();
	assert_int_equal(watch_get_stats(watch).hints, 1);
}

static void
test_bell(void **state)
{
	(void)state;
	assert_int_equal(bell_open(db, &bell), OK);
	start_settled();
	bell_ring(&bell);
	assert_looks_without_base();
	assert_int_equal(watch_get_stats(watch).hints, 1);
}

/* Where there is a process per stream, only the bell wakes them, once. */
static void
test_bell_alone(void **state)
{
	(void)state;
	start(WATCH_BELL); /* makes the bell */
	assert_true(wait_until(loop, is_settled));
	looks = base_looks = 0;
	touch(wal);
	assert_int_equal(bell_open(db, &bell), OK);
	bell_ring(&bell);
	assert_looks_without_base();
	assert_true(wait_until(loop, is_settled));
	assert_int_equal(looks, 1);
	assert_int_equal(watch_get_stats(watch).hints, 1);
}

/* Without a bell, those who wait for it do not look more often. */
static void
test_bell_cannot_be_made(void **state)
{
	char path[96];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s-bell", db);
	assert_int_equal(symlink("/nonexistent", path), 0);
	start(WATCH_BELL);
	assert_true(wait_until(loop, is_told_blind));
	assert_int_equal(blind_poll_ms, SLOW_POLL_MS);
}

static void
test_other_files_are_ignored(void **state)
{
	char path[128];

	(void)state;
	assert_int_equal(bell_open(db, &bell), OK);
	start_settled();
	(void)snprintf(path, sizeof(path), "%s-shm", db);
	touch(path);
	(void)snprintf(path, sizeof(path), "%s-probe.1", db);
	touch(path);
	(void)snprintf(path, sizeof(path), "%s/x", folder);
	touch(path);
	bell_ring(&bell);
	assert_looks_without_base();
	assert_int_equal(watch_get_stats(watch).hints, 1);
}

static void
test_hint_from_outside(void **state)
{
	(void)state;
	start_settled();
	watch_hint(watch);
	watch_hint(watch);
	assert_looks_without_base();
	assert_int_equal(watch_get_stats(watch).hints, 0);
}

/* --- How often ------------------------------------------------------------ */

static void
test_schedule(void **state)
{
	(void)state;
	start_settled();
	touch(wal);
	assert_true(wait_until(loop, has_looked));
	assert_true(wait_until(loop, is_settled));
	assert_int_equal(base_looks, 0);
	/* Now and ten re-checks; a slow turn may see the file's creation and
	 * its closing apart, which starts over. */
	assert_in_range(looks, 11, 16);
}

/*
 * The commit becomes visible well after its last event, and looks before that
 * found an older one (on_look returns true): a re-check must still see it.
 */
static void
test_commit_visible_after_its_hint(void **state)
{
	(void)state;
	start_settled();
	visible_after = 9;
	touch(wal);
	assert_true(wait_until(loop, has_seen));
	assert_int_equal(base_looks, 0);
	assert_true(looks > 1);
}

/* Rung when the commit is visible: a look, and a few for what came beside. */
static void
test_bell_is_one_look(void **state)
{
	(void)state;
	assert_int_equal(bell_open(db, &bell), OK);
	start_settled();
	bell_ring(&bell);
	assert_true(wait_until(loop, has_looked));
	assert_true(wait_until(loop, is_settled));
	assert_int_equal(base_looks, 0);
	assert_int_equal(looks, 5);
}

/* A commit of another program between ours and our bell: its last event is
 * older than the bell's, and it is visible later. */
static void
test_commit_before_the_bell(void **state)
{
	(void)state;
	assert_int_equal(bell_open(db, &bell), OK);
	start_settled();
	visible_after = 3;
	touch(wal); /* ours */
	touch(wal); /* the other's */
	bell_ring(&bell);
	assert_true(wait_until(loop, has_seen));
	assert_int_equal(base_looks, 0);
}

/* Asleep it hears nothing; awake it looks, and hears again. */
static void
test_sleep(void **state)
{
	struct watch_stats before;

	(void)state;
	assert_int_equal(bell_open(db, &bell), OK);
	touch(wal);
	start_settled();
	watch_wake(watch); /* it is */
	before = watch_get_stats(watch);
	watch_hint(watch);
	watch_sleep(watch);
	watch_sleep(watch);
	touch(wal);
	bell_ring(&bell);
	assert_true(wait_until(loop, is_settled));
	assert_int_equal(looks, 0);
	watch_wake(watch);
	assert_true(wait_until(loop, has_looked));
	assert_true(wait_until(loop, is_settled));
	assert_true(watch_get_stats(watch).hints == before.hints);
	looks = base_looks = 0;
	touch(wal);
	assert_looks_without_base();
}

/* More events than the queue holds, so that it overflows as well. */
static void
test_storm(void **state)
{
	int a, b, i;

	(void)state;
	touch(wal);
	start_settled();
	a = open(wal, O_WRONLY);
	b = open(db, O_WRONLY);
	for (i = 0; i < 10000; i++) /* alternating, or they would coalesce */
		if (pwrite(a, "x", 1, 0) != 1 || pwrite(b, "x", 1, 0) != 1)
			fail();
	assert_true(wait_until(loop, has_looked));
	assert_true(wait_until(loop, is_settled));
	assert_true(watch_get_stats(watch).hints > 10000);
	assert_int_equal(base_looks, 0);
	assert_in_range(looks, 11, 60);
	close(a);
	close(b);
}

/* --- Blindness ------------------------------------------------------------ */

static void
test_folder_moved_and_made_again(void **state)
{
	(void)state;
	start_settled();
	assert_int_equal(rename(folder, moved), 0);
	assert_true(wait_until(loop, is_told_blind));
	assert_string_equal(blind_why, strerror(ENOENT));
	assert_int_equal(blind_poll_ms, WATCH_BLIND_POLL_MS);
	assert_false(is_seeing());
	base_looks = 0;
	assert_true(wait_until(loop, has_based_4_times));
	assert_int_equal(blind_calls, 1);

	assert_int_equal(mkdir(folder, 0700), 0);
	touch(db);
	assert_true(wait_until(loop, is_seeing));
	assert_true(wait_until(loop, is_settled));
	looks = base_looks = 0;
	touch(wal);
	assert_looks_without_base();

	/* Another loss is told again. */
	assert_int_equal(unlink(wal), 0);
	assert_int_equal(unlink(db), 0);
	assert_int_equal(rmdir(folder), 0);
	blind_calls = 0;
	assert_true(wait_until(loop, is_told_blind));
	assert_int_equal(mkdir(folder, 0700), 0);
	assert_true(wait_until(loop, is_seeing));
}

/* Nothing in the old folder says so, so only a base tick can notice. */
static void
test_path_leads_to_another_folder(void **state)
{
	char link_db[96];
	struct watch_config cfg = {.db_path = link_db,
	    .scope = WATCH_FOLDER,
	    .poll_ms = 20,
	    .on_look = on_look,
	    .on_blind = on_blind,
	    .arg = &looks};
	char link[80], second[80];
	uint64_t hints;

	(void)state;
	(void)snprintf(link, sizeof(link), "%s/link", parent);
	(void)snprintf(second, sizeof(second), "%s/second", parent);
	(void)snprintf(link_db, sizeof(link_db), "%s/jobs.db", link);
	assert_int_equal(symlink(folder, link), 0);
	assert_int_equal(mkdir(second, 0700), 0);
	assert_int_equal(watch_start(loop, &cfg, &watch), OK);
	assert_true(wait_until(loop, is_seeing));
	assert_int_equal(unlink(link), 0);
	assert_int_equal(symlink(second, link), 0);
	base_looks = 0;
	assert_true(wait_until(loop, has_based_4_times));
	hints = watch_get_stats(watch).hints;
	touch(wal);	/* in the old folder */
	touch(link_db); /* in the new one: created, modified, closed */
	base_looks = 0;
	assert_true(wait_until(loop, has_based_4_times));
	assert_true(watch_get_stats(watch).hints - hints == 3);
}

static void
test_switched_off(void **state)
{
	(void)state;
	start(WATCH_NOTHING);
	assert_true(wait_until(loop, has_based_4_times));
	assert_false(is_seeing());
	assert_int_equal(blind_calls, 0);
	assert_int_equal(looks, base_looks);
	looks = base_looks = 0;
	watch_hint(watch);
	assert_true(wait_until(loop, has_looked));
	is_visible = true;
	assert_true(wait_until(loop, has_seen));
}

static void
test_no_descriptor_for_inotify(void **state)
{
	struct rlimit old, tight;
	int fd, fill[256], fills = 0;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	tight = old;
	tight.rlim_cur = 200;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	while ((fd = dup(0)) != -1)
		fill[fills++] = fd;
	start(WATCH_FOLDER);
	assert_int_equal(blind_calls, 0); /* only from the loop */
	assert_true(wait_until(loop, has_based_4_times));
	assert_int_equal(blind_calls, 1);
	assert_string_equal(blind_why, strerror(EMFILE));
	while (fills > 0)
		close(fill[--fills]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_true(wait_until(loop, is_seeing));
}

static void
test_probe(void **state)
{
	char probe[128];

	(void)state;
	(void)snprintf(
	    probe, sizeof(probe), "%s-probe.%ld", db, (long)getpid());
	start_settled();
	assert_int_equal(access(probe, F_OK), -1);
	watch_stop(&watch);
	/* Where no probe can be written (a folder stands in its way, which
	 * stops root too), inotify is trusted. */
	assert_int_equal(mkdir(probe, 0700), 0);
	start_settled();
	touch(wal);
	assert_looks_without_base();
}

static void
test_bell_is_harmless(void **state)
{
	struct bell closed = BELL_INIT;
	char path[96], link[96];
	struct stat st;

	(void)state;
	bell_ring(&closed);
	bell_close(&closed);
	assert_int_equal(bell_open("/nonexistent/db", &closed), ERR_SYS);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(closed.fd, -1);
	(void)snprintf(path, sizeof(path), "%s/precious", folder);
	(void)snprintf(link, sizeof(link), "%s-bell", db);
	assert_int_equal(symlink(path, link), 0);
	assert_int_equal(bell_open(db, &closed), ERR_SYS);
	assert_int_equal(stat(path, &st), -1);
	unlink(link);
	assert_int_equal(bell_open(db, &bell), OK);
	bell_ring(&bell);
	bell_ring(&bell);
	assert_int_equal(stat(link, &st), 0);
	assert_int_equal(st.st_size, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_wal_modified),
	    TEST(test_database_renamed_over),
	    TEST(test_bell),
	    TEST(test_bell_alone),
	    TEST(test_bell_cannot_be_made),
	    TEST(test_other_files_are_ignored),
	    TEST(test_hint_from_outside),
	    TEST(test_schedule),
	    TEST(test_bell_is_one_look),
	    TEST(test_commit_before_the_bell),
	    TEST(test_sleep),
	    TEST(test_commit_visible_after_its_hint),
	    TEST(test_storm),
	    TEST(test_folder_moved_and_made_again),
	    TEST(test_path_leads_to_another_folder),
	    TEST(test_switched_off),
	    TEST(test_no_descriptor_for_inotify),
	    TEST(test_probe),
	    TEST(test_bell_is_harmless),
	};
	int failed;

	alarm(120);
	if (mkdtemp(parent) == NULL)
		return 1;
	(void)snprintf(folder, sizeof(folder), "%s/jobs", parent);
	(void)snprintf(moved, sizeof(moved), "%s/moved", parent);
	(void)snprintf(db, sizeof(db), "%s/jobs.db", folder);
	(void)snprintf(wal, sizeof(wal), "%s-wal", db);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(parent);
	return failed;
}
