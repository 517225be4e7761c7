/* SPDX-License-Identifier: ISC */
/*
 * Load for the benchmarks, on 127.0.0.1: holds streams of events, posts, and
 * measures each answer and each event.
 *
 *   load PORT [-s STREAMS] [-p POSTS -b BODY] [-h HEADER] [-c CONNECTIONS]
 *       [-r RATE] [-t SECONDS] [-d DELIVERIES] [-S PORT]
 *
 * The port of -S is for the streams: that of another node of a cluster.
 * STREAMS and POSTS are files with a request target per line. First all streams
 * are opened; then a line of JSON says so, and it waits for a line on standard
 * input, so that whoever started it can look at the servers. Then it posts
 * BODY to the targets, each in its turn, over CONNECTIONS kept connections for
 * SECONDS: RATE times a second, or as fast as answers come. ######## in BODY is
 * the post's number: an event that has `@@@` and this number is a delivery of
 * it, and each post must have DELIVERIES of them. At the end a line of JSON has
 * the figures; times are from just before a post is written.
 *
 * Requests are small, so sending may block; all else is waited for with epoll.
 */
#include <sys/epoll.h>
#include <sys/socket.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
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
	ANSWER_MAX = 16384, /* far more than answers have */
	DIGITS = 8,
	MARK_LEN = 3 + DIGITS, /* @@@00000001 */
	PATIENCE_S = 20,       /* for what must come */
	OPENING_MAX = 256,     /* streams at a time */
	EVENTS_MAX = 256,      /* of epoll at a time */
};

struct bytes {
	char *p;
	size_t n, cap;
};

struct lines {
	struct bytes text;
	char **line;
	size_t n;
};

/* A connection: a stream, or one for posts. */
struct link {
	int fd; /* -1: none */
	bool is_stream;
	bool is_open; /* of a stream: its head came */
	bool is_busy; /* of one for posts: an answer is to come */
	size_t post;  /* what is, or was, asked */
	size_t n;     /* of text */
	char *text;   /* what came of an answer; of a stream, its last bytes */
};

struct post {
	int64_t began_us;
	size_t deliveries;
	int64_t last_us;
};

struct times {
	int64_t *us;
	size_t n, cap;
};

static struct {
	struct sockaddr_in address;
	in_port_t streams_port; /* 0: that of `address` */
	struct bytes body;
	const char *header;
	struct lines streams, targets;
	size_t n_links, deliveries;
	double rate, seconds;
	int epoll_fd;
	struct link *stream, *link;
	size_t n_opening, n_open; /* streams */
	struct post *post;
	size_t n_posts, posts_cap;
	size_t n_accepted, n_refused, n_delivered;
	struct times answers, events, lasts;
	int64_t begin_us, end_us;
} load = {.header = "", .n_links = 1};

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
add_time(struct times *t, int64_t us)
{
	if (t->n == t->cap) {
		t->cap = 2 * t->cap + 1024;
		t->us = must(realloc(t->us, t->cap * sizeof(*t->us)));
	}
	t->us[t->n++] = us;
}

static void
read_file(const char *path, struct bytes *ret)
{
	FILE *file = fopen(path, "r");
	char part[65536];
	size_t n;

	if (file == NULL)
		fail("%s: %s", path, strerror(errno));
	while ((n = fread(part, 1, sizeof(part), file)) > 0)
		add(ret, part, n);
	fclose(file);
}

static void
read_lines(const char *path, struct lines *ret)
{
	char *save = NULL, *line;

	read_file(path, &ret->text);
	if (ret->text.n == 0)
		return;
	for (size_t i = 0; i < ret->text.n; i++)
		ret->n += ret->text.p[i] == '\n';
	ret->line = must(calloc(ret->n + 1, sizeof(*ret->line)));
	line = strtok_r(ret->text.p, "\n", &save);
	for (size_t i = 0; line != NULL; line = strtok_r(NULL, "\n", &save))
		ret->line[i++] = line;
}

/* --- Links ---------------------------------------------------------------- */

static void
link_connect(struct link *l)
{
	struct sockaddr_in address = load.address;
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = l};
	int on = 1;

	if (l->is_stream && load.streams_port != 0)
		address.sin_port = load.streams_port;
	l->n = 0;
	l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l->fd == -1 || connect(l->fd, (const struct sockaddr *)&address,
			       sizeof(address)) == -1)
		fail("cannot connect: %s", strerror(errno));
	setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (epoll_ctl(load.epoll_fd, EPOLL_CTL_ADD, l->fd, &ev) == -1)
		fail("epoll_ctl: %s", strerror(errno));
}

static void
link_close(struct link *l)
{
	close(l->fd);
	l->fd = -1;
}

static bool
link_send(const struct link *l, const struct bytes *b)
{
	size_t sent = 0;
	ssize_t n;

	while (sent < b->n) {
		n = send(l->fd, b->p + sent, b->n - sent, MSG_NOSIGNAL);
		if (n == -1)
			return false;
		sent += (size_t)n;
	}
	return true;
}

/* --- Streams -------------------------------------------------------------- */

static void
stream_open(struct link *l, const char *target)
{
	char head[512];
	struct bytes b = {0};
	int n = snprintf(head, sizeof(head),
	    "GET %s HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream"
	    "\r\n\r\n",
	    target);

	if (n < 0 || (size_t)n >= sizeof(head))
		fail("a target is too long");
	add(&b, head, (size_t)n);
	l->is_stream = true;
	l->text = must(malloc(MARK_LEN + 1));
	link_connect(l);
	if (!link_send(l, &b))
		fail("cannot send: %s", strerror(errno));
	free(b.p);
}

static void
note_delivery(const char *digits, int64_t at_us)
{
	char number[DIGITS + 1] = {0};
	struct post *p;
	size_t i;

	memcpy(number, digits, DIGITS);
	i = strtoul(number, NULL, 10);
	if (i >= load.n_posts)
		fail("an event of no post: %s", number);
	p = &load.post[i];
	add_time(&load.events, at_us - p->began_us);
	p->last_us = at_us - p->began_us;
	p->deliveries++;
	load.n_delivered++;
}

/* Looks for numbers in what came; keeps what may be the beginning of one. */
static void
stream_scan(struct link *l, char *text, size_t n, int64_t at_us)
{
	char *at = text, *end = text + n;

	while ((at = memmem(at, (size_t)(end - at), "@@@", 3)) != NULL &&
	       end - at >= MARK_LEN) {
		note_delivery(at + 3, at_us);
		at += MARK_LEN;
	}
	if (at == NULL)
		at = n < 2 ? text : end - 2;
	l->n = (size_t)(end - at);
	memcpy(l->text, at, l->n);
}

static void
stream_read(struct link *l)
{
	char text[MARK_LEN + 65536];
	ssize_t n = recv(l->fd, text + l->n, 65536, 0);

	if (n <= 0)
		fail("a stream ended");
	if (!l->is_open) {
		if (n < 12 || memcmp(text, "HTTP/1.1 200", 12) != 0)
			fail("a stream was refused: %.*s", (int)n, text);
		l->is_open = true;
		load.n_opening--;
		load.n_open++;
	}
	memcpy(text, l->text, l->n);
	stream_scan(l, text, l->n + (size_t)n, now_us());
}

/* --- Posts ---------------------------------------------------------------- */

static void
post_send(struct link *l)
{
	const char *target = load.targets.line[l->post % load.targets.n];
	char head[512], number[DIGITS + 1], *mark;
	struct bytes b = {0};
	int n = snprintf(head, sizeof(head),
	    "POST %s HTTP/1.1\r\nHost: localhost\r\n"
	    "Content-Type: application/json\r\n%s%sContent-Length: %zu\r\n\r\n",
	    target, load.header, *load.header == '\0' ? "" : "\r\n",
	    load.body.n);

	if (n < 0 || (size_t)n >= sizeof(head))
		fail("a target is too long");
	add(&b, head, (size_t)n);
	add(&b, load.body.p, load.body.n);
	snprintf(number, sizeof(number), "%08zu", l->post % 100000000);
	if ((mark = strstr(b.p + n, "########")) != NULL)
		memcpy(mark, number, DIGITS);
	l->is_busy = true;
	load.post[l->post].began_us = now_us();
	if (l->fd == -1)
		link_connect(l);
	l->n = 0;
	if (!link_send(l, &b)) { /* nginx ends them after some requests */
		link_close(l);
		link_connect(l);
		if (!link_send(l, &b))
			fail("cannot send: %s", strerror(errno));
	}
	free(b.p);
}

static void
post_begin(struct link *l)
{
	if (load.n_posts == load.posts_cap) {
		load.posts_cap = 2 * load.posts_cap + 1024;
		load.post = must(
		    realloc(load.post, load.posts_cap * sizeof(*load.post)));
	}
	l->post = load.n_posts++;
	load.post[l->post] = (struct post){0};
	post_send(l);
}

/* The status of a whole answer; 0 while it is not whole. */
static int
answer_status(struct link *l)
{
	char *end, *field;
	size_t head;

	l->text[l->n] = '\0';
	end = strstr(l->text, "\r\n\r\n");
	if (end == NULL)
		return 0;
	head = (size_t)(end - l->text) + 4;
	field = strcasestr(l->text, "\r\nContent-Length:");
	if (field != NULL && field < end) {
		if (l->n - head < strtoul(field + 17, NULL, 10))
			return 0;
	} else if (strcmp(l->text + l->n - 5, "0\r\n\r\n") != 0) {
		return 0; /* chunked: this is its end */
	}
	return atoi(l->text + 9);
}

static void
post_ended(struct link *l)
{
	link_close(l);
	if (!l->is_busy)
		return;
	if (l->n > 0)
		fail("an answer broke off");
	post_send(l);
}

static void
post_read(struct link *l)
{
	ssize_t n = recv(l->fd, l->text + l->n, ANSWER_MAX - 1 - l->n, 0);
	int status;

	if (n <= 0) {
		post_ended(l);
		return;
	}
	l->n += (size_t)n;
	status = answer_status(l);
	if (status == 0) {
		if (l->n == ANSWER_MAX - 1)
			fail("an answer is too long");
		return;
	}
	l->is_busy = false;
	if (status / 100 == 2)
		load.n_accepted++;
	else
		load.n_refused++;
	add_time(&load.answers, now_us() - load.post[l->post].began_us);
}

/* --- The run -------------------------------------------------------------- */

static void
turn(int64_t until_us)
{
	struct epoll_event events[EVENTS_MAX];
	int64_t left = until_us - now_us();
	struct timespec pause = {0};
	int n;

	if (left > 0) {
		pause.tv_sec = left / 1000000;
		pause.tv_nsec = left % 1000000 * 1000;
	}
	n = epoll_pwait2(load.epoll_fd, events, EVENTS_MAX, &pause, NULL);
	for (int i = 0; i < n; i++) {
		struct link *l = events[i].data.ptr;

		if (l->is_stream)
			stream_read(l);
		else
			post_read(l);
	}
}

static void
open_streams(void)
{
	int64_t begun = now_us(), late = begun + 6 * PATIENCE_S * 1000000LL;
	size_t next = 0;

	load.stream = must(calloc(load.streams.n + 1, sizeof(*load.stream)));
	while (load.n_open < load.streams.n) {
		while (next < load.streams.n && load.n_opening < OPENING_MAX) {
			load.n_opening++;
			stream_open(
			    &load.stream[next], load.streams.line[next]);
			next++;
		}
		turn(late);
		if (now_us() > late)
			fail("only %zu streams are open", load.n_open);
	}
	printf("{\"opened\": %zu, \"open_seconds\": %.3f}\n", load.n_open,
	    (double)(now_us() - begun) / 1e6);
	fflush(stdout);
}

/* When the next post is due; in the past where no rate is kept. */
static int64_t
due_us(void)
{
	if (load.rate <= 0)
		return 0;
	return load.begin_us +
	       (int64_t)((double)load.n_posts / load.rate * 1e6);
}

static bool
is_any_busy(void)
{
	for (size_t i = 0; i < load.n_links; i++)
		if (load.link[i].is_busy)
			return true;
	return false;
}

/* Posts what is due on links that are free. When to look again. */
static int64_t
post_due(int64_t now)
{
	int64_t due;

	for (size_t i = 0; i < load.n_links; i++) {
		if (load.link[i].is_busy)
			continue;
		due = due_us();
		if (due > now)
			return due < load.end_us ? due : load.end_us;
		post_begin(&load.link[i]);
	}
	return load.end_us;
}

static void
post_all(void)
{
	int64_t again, now, late;

	load.link = must(calloc(load.n_links, sizeof(*load.link)));
	for (size_t i = 0; i < load.n_links; i++) {
		load.link[i].fd = -1;
		load.link[i].text = must(malloc(ANSWER_MAX));
	}
	load.begin_us = now_us();
	load.end_us = load.begin_us + (int64_t)(load.seconds * 1e6);
	while ((now = now_us()) < load.end_us) {
		again = post_due(now);
		turn(again);
	}
	late = now_us() + PATIENCE_S * 1000000LL;
	while (is_any_busy() ||
	       load.n_delivered < load.n_accepted * load.deliveries) {
		turn(late);
		if (now_us() > late)
			fail("%zu of %zu deliveries came in time",
			    load.n_delivered,
			    load.n_accepted * load.deliveries);
	}
	load.end_us = now_us();
}

/* --- Figures -------------------------------------------------------------- */

static int
compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void
print_times(const char *name, struct times *t)
{
	static const double shares[] = {0.5, 0.99, 1};
	static const char *const names[] = {"p50", "p99", "max"};

	if (t->n == 0)
		return;
	qsort(t->us, t->n, sizeof(*t->us), compare);
	for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++)
		printf(", \"%s_%s_ms\": %.3f", name, names[i],
		    (double)t->us[(size_t)(shares[i] * (double)(t->n - 1))] /
			1000);
}

static void
report(void)
{
	double seconds = (double)(load.end_us - load.begin_us) / 1e6;

	for (size_t i = 0; i < load.n_posts; i++) {
		if (load.deliveries == 0)
			continue;
		if (load.post[i].deliveries != load.deliveries)
			fail("post %zu has %zu deliveries", i,
			    load.post[i].deliveries);
		add_time(&load.lasts, load.post[i].last_us);
	}
	printf("{\"accepted\": %zu, \"refused\": %zu, \"seconds\": %.3f, "
	       "\"rate\": %.1f",
	    load.n_accepted, load.n_refused, seconds,
	    (double)load.n_accepted / seconds);
	print_times("answer", &load.answers);
	print_times("event", &load.events);
	print_times("last", &load.lasts);
	printf("}\n");
}

static void
take_option(int option)
{
	switch (option) {
	case 's':
		read_lines(optarg, &load.streams);
		return;
	case 'p':
		read_lines(optarg, &load.targets);
		return;
	case 'b':
		read_file(optarg, &load.body);
		return;
	case 'h':
		load.header = optarg;
		return;
	case 'c':
		load.n_links = strtoul(optarg, NULL, 10);
		return;
	case 'r':
		load.rate = atof(optarg);
		return;
	case 't':
		load.seconds = atof(optarg);
		return;
	case 'S':
		load.streams_port = htons((uint16_t)atoi(optarg));
		return;
	case 'd':
		load.deliveries = strtoul(optarg, NULL, 10);
		return;
	default:
		fail("see the head of load.c for how it is used");
	}
}

int
main(int argc, char **argv)
{
	char line[64];
	int option;

	while ((option = getopt(argc, argv, "s:p:b:h:c:r:t:d:S:")) != -1)
		take_option(option);
	if (optind != argc - 1 || (load.targets.n > 0 && load.body.n == 0))
		fail("see the head of load.c for how it is used");
	load.address.sin_family = AF_INET;
	load.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	load.address.sin_port = htons((uint16_t)atoi(argv[optind]));
	load.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	open_streams();
	if (fgets(line, sizeof(line), stdin) == NULL)
		return EXIT_SUCCESS;
	if (load.targets.n > 0) {
		post_all();
		report();
	}
	return EXIT_SUCCESS;
}
