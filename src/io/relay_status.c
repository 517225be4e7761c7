/* SPDX-License-Identifier: ISC */
/*
 * The file has lines `name value`, and is written over in its place by one
 * pwrite(2), filled up with spaces to a fixed size: so nobody reads half of it,
 * and a full disk has room. Blocks no longer than the page cache.
 */
#include "io/relay_status.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "io/beside.h"

enum { FILE_SIZE = 4096 };

static const char *const state_names[] = {"ok", "away", "behind"};

static const struct number {
	const char *name;
	size_t offset;
} numbers[] = {
    {"at", offsetof(struct relay_status, at_ms)},
    {"contact", offsetof(struct relay_status, contact_ms)},
    {"position", offsetof(struct relay_status, position)},
    {"last", offsetof(struct relay_status, last)},
    {"behind", offsetof(struct relay_status, behind)},
    {"waiting", offsetof(struct relay_status, waiting)},
    {"applied", offsetof(struct relay_status, applied)},
    {"refused", offsetof(struct relay_status, refused)},
    {"cut_back", offsetof(struct relay_status, cut_back)},
    {"foreign", offsetof(struct relay_status, foreign)},
    {"published", offsetof(struct relay_status, published)},
};

enum { N_NUMBERS = sizeof(numbers) / sizeof(numbers[0]) };

const char *
relay_state_name(enum relay_state s)
{
	return state_names[s];
}

static int64_t *
number_of(struct relay_status *s, const struct number *n)
{
	return (int64_t *)(void *)((char *)s + n->offset);
}

static void
format(struct relay_status *s, struct buf *b)
{
	buf_addf(b, "state %s\nnode %s\nredis %s\ndetail %s\n",
	    relay_state_name(s->state), s->node_id, s->redis, s->detail);
	for (size_t i = 0; i < N_NUMBERS; i++)
		buf_addf(b, "%s %" PRId64 "\n", numbers[i].name,
		    *number_of(s, &numbers[i]));
	for (int64_t i = 0; i < s->n_nodes && b->len < FILE_SIZE - 160; i++)
		buf_addf(b, "peer %" PRId64 " %" PRId64 " %s\n",
		    s->nodes[i].position, s->nodes[i].age_ms, s->nodes[i].name);
}

enum err
relay_status_write(int fd, struct relay_status *s)
{
	struct buf b = BUF_INIT;
	ssize_t done = -1;

	s->at_ms = clock_real_ms();
	format(s, &b);
	while (b.len < FILE_SIZE && !b.failed)
		buf_add_char(&b, b.len == FILE_SIZE - 1 ? '\n' : ' ');
	if (buf_ok(&b))
		done = pwrite(fd, b.data, FILE_SIZE, 0);
	buf_done(&b);
	return done == FILE_SIZE ? OK : ERR_SYS;
}

/* --- Reading -------------------------------------------------------------- */

static void
read_state(struct relay_status *s, const char *value)
{
	for (size_t i = 0; i < sizeof(state_names) / sizeof(state_names[0]);
	     i++)
		if (strcmp(value, state_names[i]) == 0)
			s->state = (enum relay_state)i;
}

static void
read_peer(struct relay_status *s, const char *value)
{
	struct relay_node n = {{0}, 0, 0};

	if (s->n_nodes < RELAY_NODES_MAX &&
	    sscanf(value, "%" SCNd64 " %" SCNd64 " %64s", &n.position,
		&n.age_ms, n.name) == 3)
		s->nodes[s->n_nodes++] = n;
}

/* None that we write is below -1; the difference of two such fits. */
static void
read_number(int64_t *ret, const char *value)
{
	int64_t n = strtoll(value, NULL, 10);

	if (n >= -1)
		*ret = n;
}

static void
read_line(struct relay_status *s, char *line)
{
	char *value = strchr(line, ' ');

	if (value == NULL)
		return;
	*value++ = '\0';
	if (strcmp(line, "state") == 0)
		read_state(s, value);
	else if (strcmp(line, "node") == 0)
		snprintf(s->node_id, sizeof(s->node_id), "%s", value);
	else if (strcmp(line, "redis") == 0)
		snprintf(s->redis, sizeof(s->redis), "%s", value);
	else if (strcmp(line, "detail") == 0)
		snprintf(s->detail, sizeof(s->detail), "%s", value);
	else if (strcmp(line, "peer") == 0)
		read_peer(s, value);
	for (size_t i = 0; i < N_NUMBERS; i++)
		if (strcmp(line, numbers[i].name) == 0)
			read_number(number_of(s, &numbers[i]), value);
}

enum err
relay_status_read(const char *db_path, int64_t now_ms, struct relay_status *ret)
{
	char text[FILE_SIZE + 1] = "", *rest = text, *line;
	int fd = beside_open(db_path, "-relay", O_RDONLY);
	ssize_t n;

	if (fd == -1)
		return ERR_NOENT;
	n = pread(fd, text, FILE_SIZE, 0);
	(void)close(fd);
	if (n != FILE_SIZE)
		return ERR_NOENT;
	*ret = (struct relay_status){.state = RELAY_AWAY};
	while ((line = strsep(&rest, "\n")) != NULL)
		read_line(ret, line);
	if (now_ms - ret->at_ms >= RELAY_STATUS_SILENT_MS &&
	    ret->state != RELAY_BEHIND) {
		ret->state = RELAY_AWAY;
		snprintf(ret->detail, sizeof(ret->detail),
		    "jobwire-relay does not run or cannot work: see its log");
	}
	return OK;
}
