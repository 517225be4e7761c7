/* SPDX-License-Identifier: ISC */
/* Places: as many as there are, for all processes, given back by the dead. */
#include <sys/wait.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/places.h"

enum { PLACES = 3 };

static char folder[] = "/tmp/jobwire-places.XXXXXX";
static char db[64], file[80];

/* How many of its places a process gets. */
static size_t
take_all(struct places *p)
{
	size_t place, n = 0;
	enum err e;

	while ((e = places_take(p, &place)) == OK)
		n++;
	assert_int_equal(e, ERR_FULL);
	return n;
}

/* A process that takes as many as it gets, says how many, and stays. */
static pid_t
start_taker(int *ret_n)
{
	struct places *p = NULL;
	unsigned char n;
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		if (places_open(db, PLACES, &p) != OK)
			_exit(1);
		n = (unsigned char)take_all(p);
		if (write(fds[1], &n, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &n, 1), 1);
	close(fds[0]);
	*ret_n = n;
	return pid;
}

static void
test_counted_among_processes(void **state)
{
	struct places *p = NULL;
	size_t mine;
	pid_t pid;
	int n;

	(void)state;
	assert_int_equal(places_open(db, PLACES, &p), OK);
	assert_int_equal(places_take(p, &mine), OK);
	pid = start_taker(&n);
	assert_int_equal(n, PLACES - 1);
	assert_int_equal(places_take(p, &mine), ERR_FULL);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(take_all(p), PLACES - 1);
	places_close(&p);
	places_close(&p);
}

static void
test_given_back(void **state)
{
	struct places *p = NULL;
	size_t place;
	pid_t pid;
	int n;

	(void)state;
	assert_int_equal(places_open(db, PLACES, &p), OK);
	assert_int_equal(take_all(p), PLACES);
	places_give(p, 1);
	assert_int_equal(places_take(p, &place), OK);
	assert_int_equal(place, 1);
	places_give(p, 1);
	pid = start_taker(&n);
	assert_int_equal(n, 1);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	places_close(&p);
}

/* Another descriptor of the same file, opened and closed, drops no lock. */
static void
test_closing_another_descriptor(void **state)
{
	struct places *p = NULL, *other = NULL;
	size_t place;

	(void)state;
	assert_int_equal(places_open(db, PLACES, &p), OK);
	assert_int_equal(take_all(p), PLACES);
	assert_int_equal(places_open(db, PLACES, &other), OK);
	assert_int_equal(places_take(other, &place), ERR_FULL);
	places_close(&other);
	assert_int_equal(places_open(db, PLACES, &other), OK);
	assert_int_equal(places_take(other, &place), ERR_FULL);
	places_close(&other);
	places_close(&p);
}

static void
test_cannot_open(void **state)
{
	struct places *p = NULL;

	(void)state;
	assert_int_equal(places_open("/nonexistent/x", PLACES, &p), ERR_SYS);
	assert_null(p);
	(void)unlink(file);
	assert_int_equal(symlink("/dev/null", file), 0);
	assert_int_equal(places_open(db, PLACES, &p), ERR_SYS);
	assert_int_equal(unlink(file), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_counted_among_processes),
	    cmocka_unit_test(test_given_back),
	    cmocka_unit_test(test_closing_another_descriptor),
	    cmocka_unit_test(test_cannot_open),
	};
	int status;

	if (mkdtemp(folder) == NULL)
		return 1;
	(void)snprintf(db, sizeof(db), "%s/jobs.db", folder);
	(void)snprintf(file, sizeof(file), "%s-places", db);
	status = cmocka_run_group_tests(tests, NULL, NULL);
	(void)unlink(file);
	(void)rmdir(folder);
	return status;
}
