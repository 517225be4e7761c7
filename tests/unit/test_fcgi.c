/* SPDX-License-Identifier: ISC */
/* web/fcgi.c, fcgi_in.c, fcgi_out.c: what cannot be seen from outside. The
 * clients are sockets of this process; all that they send lies there before the
 * loop turns. */
#include "web/fcgi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fcgi_bytes.h"
#include "wait_loop.h"

enum { REQUESTS_MAX = 8, LONG_BODY = 150000 };

static struct loop *loop;
static struct fcgi_server *server;
static struct transport_stats stats;
static struct sockaddr_un address;
static socklen_t address_len;

/* What on_request was given. */
static struct exchange *held[REQUESTS_MAX];
static size_t lengths[REQUESTS_MAX]; /* of the bodies */
static size_t n_requests, n_wanted;
static bool answers_at_once, is_idle;
static struct exchange *gone;

static void
answer(struct exchange *x)
{
	struct answer a = {0};

	answer_error(&a, 404, "not_found", "There is nothing here.");
	x->ops->answer(x, &a);
	answer_done(&a);
}

static void
on_gone(struct exchange *x)
{
	gone = x;
}

static const struct exchange_told told = {.on_gone = on_gone};

static void
on_request(void *arg, struct exchange *x)
{
	(void)arg;
	assert_true(n_requests < REQUESTS_MAX);
	assert_null(x->owner);
	assert_null(x->told);
	lengths[n_requests] = x->request->body.n;
	held[n_requests++] = x;
	if (answers_at_once)
		answer(x);
}

static void
on_idle(void *arg)
{
	(void)arg;
	is_idle = true;
}

static int
set_up(void **state)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	const struct transport_config cfg = {
	    .prefix = "/api/v1",
	    .body = {1 << 20, 1 << 20, "/tmp", &stats.body_bytes},
	    .body_timeout_ms = 10000,
	    .send_timeout_ms = 10000,
	    .stats = &stats,
	    .on_request = on_request,
	    .on_idle = on_idle,
	};

	(void)state;
	n_requests = 0;
	answers_at_once = is_idle = false;
	gone = NULL;
	memset(&stats, 0, sizeof(stats));
	address = (struct sockaddr_un){.sun_family = AF_UNIX};
	address_len = sizeof(address);
	/* A name that the kernel makes up. */
	if (bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)) != 0 ||
	    listen(fd, 16) != 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &address_len) != 0)
		return -1;
	return loop_new(&loop) == OK &&
		       fcgi_server_new(loop, fd, &cfg, &server) == OK
		   ? 0
		   : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	fcgi_server_free(&server);
	loop_free(&loop);
	return 0;
}

/* --- Clients -------------------------------------------------------------- */

static int
connect_client(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int bytes = 2 * LONG_BODY;

	assert_int_equal(
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
	assert_int_equal(
	    connect(fd, (const struct sockaddr *)&address, address_len), 0);
	return fd;
}

static void
send_request(int fd, size_t body_len)
{
	struct buf params = BUF_INIT, b = BUF_INIT;
	size_t n;

	add_pair(&params, "REQUEST_METHOD", span_of("POST"));
	add_begin(&b, RESPONDER, KEEP_CONN);
	add_params(&b, buf_span(&params), 65535, 0);
	for (; body_len > 0; body_len -= n) {
		static char content[60000];

		n = body_len < sizeof(content) ? body_len : sizeof(content);
		add_record(&b, FCGI_STDIN, (struct span){content, n}, 0);
	}
	add_record(&b, FCGI_STDIN, SPAN_LIT(""), 0);
	assert_int_equal(send(fd, b.data, b.len, MSG_NOSIGNAL), b.len);
	buf_done(&params);
	buf_done(&b);
}

/* Reads all that has come: how many answers, and -1 for the end behind them. */
static int
read_answers(int fd)
{
	static const char end[] = "\1\3\1\2\0\10\0\0"; /* END_REQUEST */
	char bytes[4096];
	ssize_t got;
	int n = 0;

	while ((got = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		for (char *p = bytes;
		     (p = memmem(p, (size_t)(bytes + got - p), end, 8)) != NULL;
		     p += 8)
			n++;
	return got == 0 ? -1 - n : n;
}

static bool
have_wanted(void)
{
	return n_requests >= n_wanted;
}

static void
wait_requests(size_t n)
{
	n_wanted = n;
	assert_true(wait_until(loop, have_wanted));
}

static bool
none_is_open(void)
{
	return stats.open == 0;
}

static bool
is_told(void)
{
	return gone != NULL;
}

/* --- Tests ---------------------------------------------------------------- */

/* Who sends much does not hold up others: of each, one buffer in a turn. */
static void
test_a_turn_reads_a_part_of_a_body(void **state)
{
	int long_one = connect_client(), short_one;

	(void)state;
	send_request(long_one, LONG_BODY);
	short_one = connect_client();
	send_request(short_one, 3);
	wait_requests(2);
	assert_int_equal(lengths[0], 3);
	assert_int_equal(lengths[1], LONG_BODY);
	answer(held[0]);
	answer(held[1]);
	assert_int_equal(read_answers(short_one), 1);
	assert_int_equal(read_answers(long_one), 1);
	close(long_one);
	close(short_one);
	assert_true(wait_until(loop, none_is_open));
}

/* Answered within on_request or much later: the connection is kept, the next
 * exchange on it knows nothing of the one before, and the end is noticed. */
static void
test_kept(void **state)
{
	int fd = connect_client();

	(void)state;
	for (size_t n = 1; n <= 4; n++) {
		answers_at_once = n % 2 == 0;
		send_request(fd, n);
		wait_requests(n);
		if (!answers_at_once) {
			held[n - 1]->owner = &stats;
			held[n - 1]->told = &told;
			answer(held[n - 1]);
		}
		assert_int_equal(read_answers(fd), 1);
	}
	close(fd);
	assert_true(wait_until(loop, none_is_open));
	assert_null(gone);
}

/* A handler that begins a stream after on_request has returned is told, too. */
static void
test_late_stream(void **state)
{
	int fd = connect_client();
	size_t progress = 0;

	(void)state;
	send_request(fd, 0);
	wait_requests(1);
	held[0]->told = &told;
	assert_int_equal(
	    held[0]->ops->send(held[0], SPAN_LIT(": hello\n\n"), &progress),
	    SENT_ALL);
	close(fd);
	assert_true(wait_until(loop, is_told));
	assert_ptr_equal(gone, held[0]);
	assert_true(wait_until(loop, none_is_open));
}

static void
test_stop_serves_each_once_more(void **state)
{
	int kept = connect_client(), other = connect_client(), late;

	(void)state;
	answers_at_once = true;
	send_request(kept, 0);
	send_request(other, 0);
	wait_requests(2);
	assert_int_equal(read_answers(kept), 1);
	assert_int_equal(read_answers(other), 1);
	fcgi_server_stop(server, 10000);
	/* Who would wait for an idle one to end is served, too. */
	late = connect_client();
	send_request(late, 0);
	send_request(kept, 0);
	wait_requests(4);
	assert_int_equal(read_answers(late), -2);
	assert_int_equal(read_answers(kept), -2);
	assert_false(is_idle);
	send_request(other, 0);
	wait_requests(5);
	assert_int_equal(read_answers(other), -2);
	assert_true(is_idle);
	close(kept);
	close(other);
	close(late);
}

static void
test_stop_ends_the_idle(void **state)
{
	int idle = connect_client(), busy = connect_client();

	(void)state;
	send_request(idle, 0);
	send_request(busy, 0);
	wait_requests(2);
	answer(held[0]);
	assert_int_equal(read_answers(idle), 1);
	answer(held[1]);
	send_request(busy, 0);
	wait_requests(3);
	fcgi_server_stop(server, 1);
	while (read_answers(idle) == 0)
		wait_requests(0);
	assert_int_equal(read_answers(idle), -1);
	assert_false(is_idle);
	answer(held[2]);
	assert_int_equal(read_answers(busy), -3);
	assert_true(is_idle);
	close(idle);
	close(busy);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_a_turn_reads_a_part_of_a_body),
	    TEST(test_kept),
	    TEST(test_late_stream),
	    TEST(test_stop_serves_each_once_more),
	    TEST(test_stop_ends_the_idle),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
