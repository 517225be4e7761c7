/* SPDX-License-Identifier: ISC */
/* Unit tests of io/sock. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/sock.h"
#include "wait_loop.h"

static char folder[] = "/tmp/jobwire-sock.XXXXXX";
static char path[64];
static struct buf message;
static struct loop *loop;

static int
set_up(void **state)
{
	(void)state;
	unlink(path);
	buf_reset(&message);
	return loop_new(&loop) == OK ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	loop_free(&loop);
	return 0;
}

static int
must_listen(const char *spec, mode_t mode)
{
	int fd = -1;
	enum err e = sock_listen(spec, mode, &fd, &message);

	if (e != OK)
		print_error("%s\n", message.data);
	assert_int_equal(e, OK);
	return fd;
}

static int
connect_unix(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(address.sun_path, path);
	assert_int_equal(
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static bool
is_ready_for_the_loop(int fd)
{
	return (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0 &&
	       (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

/* --- Listening ------------------------------------------------------------ */

static void
test_unix_mode(void **state)
{
	mode_t mask = umask(0);
	struct stat st;
	int fd;

	(void)state;
	fd = must_listen(path, 0640);
	assert_true(is_ready_for_the_loop(fd));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0640);
	close(fd);
	assert_int_equal(umask(mask), 0);
	umask(0777);
	fd = must_listen(path, 0666);
	assert_int_equal(umask(mask), 0777);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0666);
	close(fd);
}

static void
test_stale_is_replaced_and_live_is_not(void **state)
{
	int fd, second = -7;

	(void)state;
	close(must_listen(path, 0600));
	fd = must_listen(path, 0600); /* the first one is stale */
	assert_int_equal(
	    sock_listen(path, 0600, &second, &message), ERR_EXISTS);
	assert_non_null(strstr(message.data, "is in use"));
	assert_int_equal(second, -7);
	close(connect_unix()); /* still reachable */
	close(fd);
}

static void
test_no_other_file_is_replaced(void **state)
{
	struct stat st;
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	(void)state;
	close(fd);
	assert_int_equal(sock_listen(path, 0600, &fd, &message), ERR_EXISTS);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
}

static void
test_bad_specs(void **state)
{
	char longer[200];
	int fd = -7;

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(sock_listen(NULL, 0600, &fd, &message), ERR_NOENT);
	assert_int_equal(sock_listen(longer, 0600, &fd, &message), ERR_SYS);
	assert_int_equal(errno, ENAMETOOLONG);
	buf_reset(&message);
	assert_int_equal(
	    sock_listen("/nonexistent/s", 0600, &fd, &message), ERR_SYS);
	assert_int_equal(errno, ENOENT);
	assert_string_equal(message.data,
	    "cannot bind /nonexistent/s: No such file or directory");
	assert_int_equal(
	    sock_listen("127.0.0.1:nonsense", 0600, &fd, &message), ERR_SYS);
	assert_int_equal(
	    sock_listen("192.0.2.1:9000", 0600, &fd, &message), ERR_SYS);
	assert_int_equal(errno, EADDRNOTAVAIL);
	assert_int_equal(fd, -7);
}

/* Puts fd at `place` while sock_listen() runs. */
static enum err
listen_with_fd_at(int fd, int place, int *ret_fd)
{
	int saved = fcntl(place, F_DUPFD_CLOEXEC, 64);
	enum err e;

	dup2(fd, place);
	e = sock_listen(NULL, 0600, ret_fd, &message);
	if (e == OK)
		assert_true(is_ready_for_the_loop(*ret_fd));
	close(place);
	if (saved != -1) {
		dup2(saved, place);
		close(saved);
	}
	return e;
}

static void
test_descriptor_0_is_adopted(void **state)
{
	int listener = must_listen(path, 0600), fd = -7, plain;
	struct stat st;

	(void)state;
	fcntl(listener, F_SETFL, 0);
	assert_int_equal(listen_with_fd_at(listener, 0, &fd), OK);
	assert_int_equal(fd, 0);
	assert_int_equal(stat(path, &st), 0);
	plain = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(listen_with_fd_at(plain, 0, &fd), ERR_NOENT);
	close(plain);
	close(listener);
}

static void
test_listen_fds(void **state)
{
	int listener = must_listen(path, 0600), fd = -7;
	char pid[24];

	(void)state;
	(void)snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	setenv("LISTEN_FDS", "2", 1);
	setenv("LISTEN_PID", pid, 1);
	assert_int_equal(listen_with_fd_at(listener, 3, &fd), OK);
	assert_int_equal(fd, 3);
	setenv("LISTEN_PID", "1", 1);
	assert_int_equal(listen_with_fd_at(listener, 3, &fd), ERR_NOENT);
	unsetenv("LISTEN_PID");
	assert_int_equal(listen_with_fd_at(listener, 3, &fd), ERR_NOENT);
	unsetenv("LISTEN_FDS");
	close(listener);
}

/* --- Accepting ------------------------------------------------------------ */

static struct acceptor acceptor;
static int accepted[256], accept_count, stop_after;

static void
on_accept(struct acceptor *a, int fd)
{
	assert_true(is_ready_for_the_loop(fd));
	accepted[accept_count++] = fd;
	if (accept_count == stop_after)
		acceptor_stop(a);
}

static void
start_acceptor(int listener)
{
	accept_count = 0;
	stop_after = -1;
	acceptor = (struct acceptor){.on_accept = on_accept};
	assert_int_equal(acceptor_start(&acceptor, loop, listener), OK);
}

static void
stop_acceptor(void)
{
	while (accept_count > 0)
		close(accepted[--accept_count]);
	acceptor_stop(&acceptor);
	acceptor_stop(&acceptor);
}

static bool
one_accepted(void)
{
	return accept_count >= 1;
}

static void
test_tcp(void **state)
{
	int listener = must_listen("127.0.0.1:0", 0), client, value = 0;
	struct sockaddr_in address;
	socklen_t size = sizeof(address);

	(void)state;
	assert_true(is_ready_for_the_loop(listener));
	getsockname(listener, (struct sockaddr *)&address, &size);
	client = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(
	    connect(client, (const struct sockaddr *)&address, size), 0);
	start_acceptor(listener);
	assert_true(wait_until(loop, one_accepted));
	size = sizeof(value);
	getsockopt(accepted[0], IPPROTO_TCP, TCP_NODELAY, &value, &size);
	assert_int_not_equal(value, 0);
	close(client);
	stop_acceptor();
}

static int first_turn_count;

static void
on_end_of_turn(struct deferred *d)
{
	if (accept_count == 0) {
		loop_defer(loop, d);
		return;
	}
	first_turn_count = accept_count;
	loop_stop(loop);
}

static bool
hundred_accepted(void)
{
	return accept_count == 100;
}

static void
test_accepts_per_turn_are_bounded(void **state)
{
	struct deferred end = {.run = on_end_of_turn};
	int clients[100], i;

	(void)state;
	start_acceptor(must_listen(path, 0600));
	for (i = 0; i < 100; i++)
		clients[i] = connect_unix();
	loop_defer(loop, &end);
	assert_int_equal(loop_run(loop), OK);
	assert_int_equal(first_turn_count, 64);
	assert_true(wait_until(loop, hundred_accepted));
	for (i = 0; i < 100; i++)
		close(clients[i]);
	stop_acceptor();
}

static void
test_stop_within_on_accept(void **state)
{
	int first, second;

	(void)state;
	start_acceptor(must_listen(path, 0600));
	stop_after = 1;
	first = connect_unix();
	second = connect_unix();
	assert_true(wait_until(loop, one_accepted));
	assert_int_equal(accept_count, 1);
	assert_null(acceptor.loop);
	close(first);
	close(second);
	stop_acceptor();
}

static bool
is_paused(void)
{
	return acceptor.pause.slot != 0;
}

static void
test_out_of_descriptors(void **state)
{
	struct rlimit old, tight;
	int first, second, fd, fill[256], fills = 0;
	char byte;

	(void)state;
	start_acceptor(must_listen(path, 0600));
	first = connect_unix();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	tight = old;
	tight.rlim_cur = 200;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	while ((fd = dup(0)) != -1)
		fill[fills++] = fd;
	assert_int_equal(errno, EMFILE);

	assert_true(wait_until(loop, is_paused));
	assert_int_equal(accept_count, 0);
	assert_int_not_equal(acceptor.spare_fd, -1);
	assert_int_equal(read(first, &byte, 1), 0); /* an end, not a hang */
	close(first);

	while (fills > 0)
		close(fill[--fills]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	second = connect_unix();
	assert_true(wait_until(loop, one_accepted));
	assert_false(is_paused());
	close(second);
	stop_acceptor();
}

static void
test_start_fails(void **state)
{
	struct acceptor a = {.on_accept = on_accept};

	(void)state;
	acceptor_stop(&a);
	/* epoll refuses regular files */
	assert_int_equal(acceptor_start(&a, loop,
			     open("/proc/self/exe", O_RDONLY | O_CLOEXEC)),
	    ERR_SYS);
	assert_int_equal(errno, EPERM);
	acceptor_stop(&a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_unix_mode),
	    TEST(test_stale_is_replaced_and_live_is_not),
	    TEST(test_no_other_file_is_replaced),
	    TEST(test_bad_specs),
	    TEST(test_descriptor_0_is_adopted),
	    TEST(test_listen_fds),
	    TEST(test_tcp),
	    TEST(test_accepts_per_turn_are_bounded),
	    TEST(test_stop_within_on_accept),
	    TEST(test_out_of_descriptors),
	    TEST(test_start_fails),
	};
	int failed;

	alarm(60);
	if (mkdtemp(folder) == NULL)
		return 1;
	(void)snprintf(path, sizeof(path), "%s/s", folder);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	buf_done(&message);
	unlink(path);
	rmdir(folder);
	return failed;
}
