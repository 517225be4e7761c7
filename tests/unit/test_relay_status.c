/* SPDX-License-Identifier: ISC */
/* Unit tests of io/relay_status. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/relay_status.h"

struct place {
	char dir[64], db[128], file[128];
	int fd;
};

static int
setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	strcpy(p->dir, "/tmp/jobwire-relay-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->db, sizeof(p->db), "%s/j.db", p->dir);
	snprintf(p->file, sizeof(p->file), "%s/j.db-relay", p->dir);
	p->fd = open(p->file, O_RDWR | O_CREAT, 0600);
	*state = p;
	return p->fd == -1;
}

static int
teardown(void **state)
{
	struct place *p = *state;

	close(p->fd);
	unlink(p->file);
	rmdir(p->dir);
	free(p);
	return 0;
}

static void
fill(struct relay_status *s)
{
	*s = (struct relay_status){.state = RELAY_OK,
	    .node_id = "a",
	    .redis = "10.0.0.1:6379",
	    .contact_ms = 7,
	    .position = INT64_C(3) << 40,
	    .last = (INT64_C(3) << 40) + 256,
	    .behind = 2,
	    .waiting = 4,
	    .applied = 5,
	    .cut_back = 6};
	s->n_nodes = RELAY_NODES_MAX;
	for (int i = 0; i < RELAY_NODES_MAX; i++)
		s->nodes[i] = (struct relay_node){
		    .name = "b", .position = INT64_MAX - i, .age_ms = i};
}

static void
test_what_is_written_is_read(void **state)
{
	struct place *p = *state;
	struct relay_status s, r;

	fill(&s);
	assert_int_equal(relay_status_write(p->fd, &s), OK);
	assert_true(s.at_ms > 0);
	assert_int_equal(relay_status_read(p->db, s.at_ms, &r), OK);
	assert_memory_equal(&r, &s, sizeof(s));
}

/* Of a longer one before nothing is left. */
static void
test_a_shorter_one_replaces_it(void **state)
{
	struct place *p = *state;
	struct relay_status s, r;

	fill(&s);
	assert_int_equal(relay_status_write(p->fd, &s), OK);
	s.n_nodes = 0;
	memset(s.nodes, 0, sizeof(s.nodes));
	s.state = RELAY_BEHIND;
	snprintf(s.detail, sizeof(s.detail), "some words, and = signs");
	assert_int_equal(relay_status_write(p->fd, &s), OK);
	assert_int_equal(relay_status_read(p->db, s.at_ms, &r), OK);
	assert_memory_equal(&r, &s, sizeof(s));
}

static void
test_a_silent_one_is_away(void **state)
{
	struct place *p = *state;
	struct relay_status s, r;

	fill(&s);
	assert_int_equal(relay_status_write(p->fd, &s), OK);
	assert_int_equal(
	    relay_status_read(p->db, s.at_ms + RELAY_STATUS_SILENT_MS, &r), OK);
	assert_int_equal(r.state, RELAY_AWAY);
	/* What kept it from Redis then is not what does now. */
	s.state = RELAY_AWAY;
	snprintf(s.detail, sizeof(s.detail), "Connection refused");
	assert_int_equal(relay_status_write(p->fd, &s), OK);
	assert_int_equal(
	    relay_status_read(p->db, s.at_ms + RELAY_STATUS_SILENT_MS, &r), OK);
	assert_int_equal(r.state, RELAY_AWAY);
	assert_non_null(strstr(r.detail, "does not run"));
	s.state = RELAY_BEHIND;
	assert_int_equal(relay_status_write(p->fd, &s), OK);
	assert_int_equal(
	    relay_status_read(p->db, s.at_ms + RELAY_STATUS_SILENT_MS, &r), OK);
	assert_int_equal(r.state, RELAY_BEHIND);
}

static void
test_none(void **state)
{
	struct place *p = *state;
	struct relay_status r;

	assert_int_equal(relay_status_read(p->db, 0, &r), ERR_NOENT);
	assert_int_equal(write(p->fd, "state ok\n", 9), 9);
	assert_int_equal(relay_status_read(p->db, 0, &r), ERR_NOENT);
	assert_int_equal(unlink(p->file), 0);
	assert_int_equal(relay_status_read(p->db, 0, &r), ERR_NOENT);
}

/* A time that no clock has is none of ours. */
static void
test_odd_times(void **state)
{
	static const char text[4096] = "state ok\nat -9223372036854775808\n"
				       "contact -2\nbehind -1\n";
	struct place *p = *state;
	struct relay_status r;

	assert_int_equal(write(p->fd, text, sizeof(text)), sizeof(text));
	assert_int_equal(
	    relay_status_read(p->db, INT64_C(1764000000000), &r), OK);
	assert_int_equal(r.state, RELAY_AWAY);
	assert_int_equal(r.at_ms, 0);
	assert_int_equal(r.contact_ms, 0);
	assert_int_equal(r.behind, -1);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_what_is_written_is_read),
	    TEST(test_a_shorter_one_replaces_it),
	    TEST(test_a_silent_one_is_away),
	    TEST(test_none),
	    TEST(test_odd_times),
	};

	return cmocka_run_group_tests_name("relay_status", tests, NULL, NULL);
}
