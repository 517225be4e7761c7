/* SPDX-License-Identifier: ISC */
/*
 * Load for the webhook benchmark: posts one body to many targets over some
 * kept connections, as fast as answers come, and measures each answer.
 *
 *   load ADDRESS CONNECTIONS SECONDS BODY ACCEPTED <TARGETS
 *
 * ADDRESS is a Unix socket's path (FastCGI) or an IPv4 HOST:PORT (HTTP/1.1).
 * TARGETS has a request target per line; each is used once. The numbers of the
 * lines that were answered 200 are written to the file ACCEPTED. Prints one
 * line of figures. Requests are small, so sending may block; only answers are
 * waited for with epoll.
 *
 * Build: cc -O2 -o load load.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strcasestr */
#endif
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

enum {
	ANSWER_MAX = 16384, /* far more than our answers have */
	HEADER_LEN = 8,	    /* of a FastCGI record */
	BEGIN = 1,
	END = 3,
	PARAMS = 4,
	STDIN = 5,
	STDOUT = 6,
};

struct bytes {
	char *p;
	size_t n, cap;
};

struct client {
	int fd;
	size_t target;	  /* what it waits for */
	int64_t began_us; /* when it was sent */
	size_t n;	  /* of answer */
	char answer[ANSWER_MAX];
};

static struct {
	bool is_fastcgi;
	struct sockaddr_storage address;
	socklen_t address_len;
	struct bytes body, targets;
	char **lines; /* the targets */
	size_t n_lines, next;
	int64_t end_us;
	int epoll_fd;
	size_t n_waiting; /* clients with an answer to come */
	struct client *clients;
	int64_t *latencies; /* one per accepted */
	size_t *accepted, n_accepted, n_refused;
} load;

static void fail(const char *fmt, ...)
    __attribute__((format(printf, 1, 2), noreturn));

static void
fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("load: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(EXIT_FAILURE);
}

static int64_t
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void *
must(void *p)
{
	if (p == NULL)
		fail("out of memory");
	return p;
}

static void
add(struct bytes *b, const void *p, size_t n)
{
	if (b->cap - b->n < n + 1) {
		b->cap = 2 * b->cap + n + 1;
		b->p = must(realloc(b->p, b->cap));
	}
	memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = '\0';
}

static void
read_all(FILE *file, struct bytes *ret)
{
	char part[65536];
	size_t n;

	while ((n = fread(part, 1, sizeof(part), file)) > 0)
		add(ret, part, n);
	if (ferror(file) || ret->n == 0)
		fail("cannot read the body or the targets");
}

/* --- requests ------------------------------------------------------------ */

static void
add_record(struct bytes *b, int type, const void *content, size_t n)
{
	unsigned char h[HEADER_LEN] = {1, (unsigned char)type, 0, 1,
	    (unsigned char)(n >> 8), (unsigned char)n, 0, 0};

	add(b, h, sizeof(h));
	if (n > 0)
		add(b, content, n);
}

static void
add_param(struct bytes *b, const char *name, const char *value)
{
	size_t n = strlen(value);
	unsigned char lengths[5] = {(unsigned char)strlen(name),
	    (unsigned char)(0x80 | n >> 24), (unsigned char)(n >> 16),
	    (unsigned char)(n >> 8), (unsigned char)n};

	add(b, lengths, sizeof(lengths));
	add(b, name, strlen(name));
	add(b, value, n);
}

static void
add_fastcgi(struct bytes *b, const char *target)
{
	static const unsigned char begin[HEADER_LEN] = {0, 1, 1};
	struct bytes params = {0};
	const char *query = strchr(target, '?');
	char length[24];

	snprintf(length, sizeof(length), "%zu", load.body.n);
	add_param(&params, "REQUEST_METHOD", "POST");
	add_param(&params, "REQUEST_URI", target);
	add_param(&params, "QUERY_STRING", query != NULL ? query + 1 : "");
	add_param(&params, "CONTENT_TYPE", "application/json");
	add_param(&params, "CONTENT_LENGTH", length);
	add_param(&params, "REMOTE_ADDR", "127.0.0.1");
	add_record(b, BEGIN, begin, sizeof(begin));
	add_record(b, PARAMS, params.p, params.n);
	add_record(b, PARAMS, NULL, 0);
	add_record(b, STDIN, load.body.p, load.body.n);
	add_record(b, STDIN, NULL, 0);
	free(params.p);
}

static void
add_http(struct bytes *b, const char *target)
{
	char head[256];
	int n = snprintf(head, sizeof(head),
	    " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
	    "\r\nContent-Length: %zu\r\n\r\n",
	    load.body.n);

	add(b, "POST ", 5);
	add(b, target, strlen(target));
	add(b, head, (size_t)n);
	add(b, load.body.p, load.body.n);
}

/* --- answers ------------------------------------------------------------- */

/* The status of a whole answer; 0 while it is not whole. */
static int
fastcgi_status(const struct client *c)
{
	const unsigned char *p = (const unsigned char *)c->answer;
	size_t at = 0, n;
	int status = 200;

	while (c->n - at >= HEADER_LEN) {
		n = (size_t)(p[at + 4] << 8 | p[at + 5]);
		if (p[at + 1] == STDOUT && n > 11 &&
		    memcmp(p + at + HEADER_LEN, "Status: ", 8) == 0)
			status = atoi(c->answer + at + HEADER_LEN + 8);
		if (p[at + 1] == END && c->n - at >= HEADER_LEN + n)
			return status;
		at += HEADER_LEN + n + p[at + 6];
		if (at > c->n)
			break;
	}
	return 0;
}

static int
http_status(struct client *c)
{
	char *end, *field;
	size_t head;

	c->answer[c->n] = '\0';
	end = strstr(c->answer, "\r\n\r\n");
	if (end == NULL)
		return 0;
	head = (size_t)(end - c->answer) + 4;
	field = strcasestr(c->answer, "\r\nContent-Length:");
	if (field != NULL && field < end) {
		if (c->n - head < strtoul(field + 17, NULL, 10))
			return 0;
	} else if (strcmp(c->answer + c->n - 5, "0\r\n\r\n") != 0) {
		return 0; /* chunked: this is its end */
	}
	return atoi(c->answer + 9);
}

/* --- clients ------------------------------------------------------------- */

static void
client_connect(struct client *c)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

	c->fd = socket(load.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd == -1 ||
	    connect(c->fd, (const struct sockaddr *)&load.address,
		load.address_len) == -1)
		fail("cannot connect: %s", strerror(errno));
	if (epoll_ctl(load.epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) == -1)
		fail("epoll_ctl: %s", strerror(errno));
}

static bool
client_send_all(struct client *c, const struct bytes *b)
{
	size_t sent = 0;
	ssize_t n;

	while (sent < b->n) {
		n = send(c->fd, b->p + sent, b->n - sent, MSG_NOSIGNAL);
		if (n == -1)
			return false;
		sent += (size_t)n;
	}
	return true;
}

/* Sends c->target, on a new connection where the peer has ended the old one
 * (nginx does after a number of requests). */
static void
client_post(struct client *c)
{
	struct bytes b = {0};

	if (load.is_fastcgi)
		add_fastcgi(&b, load.lines[c->target]);
	else
		add_http(&b, load.lines[c->target]);
	c->n = 0;
	c->began_us = now_us();
	if (c->fd == -1)
		client_connect(c);
	if (!client_send_all(c, &b)) {
		close(c->fd);
		client_connect(c);
		if (!client_send_all(c, &b))
			fail("cannot send: %s", strerror(errno));
	}
	free(b.p);
}

/* The next target, unless time or targets are at their end. */
static void
client_next(struct client *c)
{
	if (load.next == load.n_lines || now_us() >= load.end_us) {
		load.n_waiting--;
		return;
	}
	c->target = load.next++;
	client_post(c);
}

static void
client_ended(struct client *c)
{
	close(c->fd);
	c->fd = -1;
	if (c->n > 0)
		fail("an answer broke off");
	client_post(c);
}

static void
client_read(struct client *c)
{
	ssize_t n = recv(c->fd, c->answer + c->n, ANSWER_MAX - 1 - c->n, 0);
	int status;

	if (n <= 0) {
		client_ended(c);
		return;
	}
	c->n += (size_t)n;
	status = load.is_fastcgi ? fastcgi_status(c) : http_status(c);
	if (status == 0) {
		if (c->n == ANSWER_MAX - 1)
			fail("an answer is too long");
		return;
	}
	if (status == 200) {
		load.latencies[load.n_accepted] = now_us() - c->began_us;
		load.accepted[load.n_accepted++] = c->target;
	} else {
		load.n_refused++;
	}
	client_next(c);
}

/* --- the run ------------------------------------------------------------- */

static void
parse_address(const char *text)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&load.address;
	struct sockaddr_in *in = (struct sockaddr_in *)&load.address;
	char host[64];
	unsigned port;

	load.is_fastcgi = text[0] == '/';
	if (load.is_fastcgi) {
		if (strlen(text) >= sizeof(un->sun_path))
			fail("the path is too long");
		un->sun_family = AF_UNIX;
		strcpy(un->sun_path, text);
		load.address_len = sizeof(*un);
		return;
	}
	if (sscanf(text, "%63[0-9.]:%u", host, &port) != 2 || port > 65535 ||
	    inet_pton(AF_INET, host, &in->sin_addr) != 1)
		fail("not a path or HOST:PORT: %s", text);
	in->sin_family = AF_INET;
	in->sin_port = htons((uint16_t)port);
	load.address_len = sizeof(*in);
}

static void
read_input(const char *body_path)
{
	FILE *file = fopen(body_path, "r");
	char *line;

	if (file == NULL)
		fail("%s: %s", body_path, strerror(errno));
	read_all(file, &load.body);
	fclose(file);
	if (load.body.n > 65535)
		fail("the body does not fit into one record");
	read_all(stdin, &load.targets);
	for (size_t i = 0; i < load.targets.n; i++)
		load.n_lines += load.targets.p[i] == '\n';
	load.lines = must(calloc(load.n_lines + 1, sizeof(*load.lines)));
	load.accepted = must(calloc(load.n_lines + 1, sizeof(*load.accepted)));
	load.latencies =
	    must(calloc(load.n_lines + 1, sizeof(*load.latencies)));
	line = strtok(load.targets.p, "\n");
	for (size_t i = 0; line != NULL; line = strtok(NULL, "\n"))
		load.lines[i++] = line;
}

static void
run(size_t n_clients, double seconds)
{
	struct epoll_event events[256];
	int n;

	load.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	load.clients = must(calloc(n_clients, sizeof(*load.clients)));
	load.end_us = now_us() + (int64_t)(seconds * 1e6);
	load.n_waiting = n_clients;
	for (size_t i = 0; i < n_clients; i++) {
		load.clients[i].fd = -1;
		client_next(&load.clients[i]);
	}
	while (load.n_waiting > 0) {
		n = epoll_wait(load.epoll_fd, events, 256, 30000);
		if (n == 0)
			fail("no answer for 30 s");
		for (int i = 0; i < n; i++)
			client_read(events[i].data.ptr);
	}
}

static int
compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double
percentile_ms(double share)
{
	size_t at = (size_t)(share * (double)(load.n_accepted - 1));

	return (double)load.latencies[at] / 1000;
}

static void
report(double seconds, const char *accepted_path)
{
	FILE *file = fopen(accepted_path, "w");

	if (load.n_accepted == 0)
		fail("nothing was accepted, %zu refused", load.n_refused);
	if (file == NULL)
		fail("%s: %s", accepted_path, strerror(errno));
	for (size_t i = 0; i < load.n_accepted; i++)
		fprintf(file, "%zu\n", load.accepted[i]);
	if (fclose(file) != 0)
		fail("%s: %s", accepted_path, strerror(errno));
	qsort(
	    load.latencies, load.n_accepted, sizeof(*load.latencies), compare);
	printf("accepted=%zu refused=%zu rate=%.0f/s p50=%.2fms p99=%.2fms "
	       "max=%.2fms\n",
	    load.n_accepted, load.n_refused, (double)load.n_accepted / seconds,
	    percentile_ms(0.5), percentile_ms(0.99), percentile_ms(1));
}

int
main(int argc, char **argv)
{
	int64_t begun;
	long n_clients;

	if (argc != 6 || (n_clients = atol(argv[2])) < 1)
		fail("usage: load ADDRESS CONNECTIONS SECONDS BODY ACCEPTED "
		     "<TARGETS");
	parse_address(argv[1]);
	read_input(argv[4]);
	begun = now_us();
	run((size_t)n_clients, atof(argv[3]));
	report((double)(now_us() - begun) / 1e6, argv[5]);
	return EXIT_SUCCESS;
}
