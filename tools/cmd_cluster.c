/* SPDX-License-Identifier: ISC */
/*
 * jobwire cluster: makes this database that of a node of a cluster, or that of
 * a single node again, and says how the node is. How it is replaced by a copy
 * of another one's is in cluster_clone.c. Blocks on the disk.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/near.h"
#include "cluster_clone.h"
#include "command.h"
#include "io/relay_status.h"
#include "store/cluster.h"
#include "store/replica.h"
#include "table.h"
#include "text/json_text.h"

static int
need(const char *setting)
{
	return command_fail("cluster: this needs the setting", setting);
}

static int
refuse_name(const char *node_id)
{
	return command_fail(
	    "cluster: node_id must be 1 to 32 of A-Z a-z 0-9 . _ -", node_id);
}

/* --- Join and leave ------------------------------------------------------- */

static int
join(const struct command_line *c)
{
	const char *node_id = c->settings->node_id;
	struct db *db;
	enum err e;

	if (node_id == NULL)
		return need("node_id");
	if (!cluster_node_ok(node_id))
		return refuse_name(node_id);
	db = command_open(c, DB_WRITE);
	if (db == NULL)
		return EXIT_FAILED;
	e = db_begin(db);
	if (e == OK && !db_is_clustered(db))
		e = cluster_join(db, node_id, NULL);
	else if (e == OK && strcmp(db_node_id(db), node_id) != 0)
		e = ERR_EXISTS;
	e = command_end(db, e);
	if (e == OK)
		(void)printf(
		    "joined as %s; jobwire-relay does the rest\n", node_id);
	else if (e == ERR_EXISTS)
		(void)command_fail(
		    "cluster: it has joined by another name; leave first",
		    db_node_id(db));
	else
		(void)command_fail_db("cluster", db, e);
	db_close(&db);
	return e == OK ? EXIT_DONE : EXIT_FAILED;
}

static int
leave(const struct command_line *c)
{
	struct db *db = command_open(c, DB_WRITE);
	bool was_clustered;
	enum err e;

	if (db == NULL)
		return EXIT_FAILED;
	e = db_begin(db);
	was_clustered = db_is_clustered(db);
	if (e == OK && was_clustered)
		e = cluster_leave(db);
	e = command_end(db, e);
	if (e == OK)
		(void)puts(was_clustered
			       ? "left; jobwire-relay has nothing to do now: "
				 "systemctl disable --now jobwire-relay"
			       : "it is a single node");
	else if (e == ERR_EXISTS)
		(void)command_fail("cluster",
		    "the log has not brought back all that this node has "
		    "taken; wait until `waiting` is 0");
	else
		(void)command_fail_db("cluster", db, e);
	db_close(&db);
	return e == OK ? EXIT_DONE : EXIT_FAILED;
}

/* --- Status --------------------------------------------------------------- */

/* What is to be said of a node, from its database and its relay. */
struct node_state {
	char node_id[DB_NODE_MAX + 1];
	char epoch[DB_EPOCH_SIZE];
	int64_t position, waiting;
	struct relay_status relay;
};

static enum err
read_state(struct db *db, int64_t now_ms, struct node_state *ret)
{
	struct log_position at;
	int64_t seq;
	enum err e = replica_position(db, &at);

	if (e == OK)
		e = replica_outbox(db, db_node_id(db), &seq, &ret->waiting);
	if (e != OK)
		return e;
	ret->position = at.id;
	(void)snprintf(
	    ret->node_id, sizeof(ret->node_id), "%s", db_node_id(db));
	(void)snprintf(ret->epoch, sizeof(ret->epoch), "%s", db_epoch(db));
	if (relay_status_read(db_path(db), now_ms, &ret->relay) != OK) {
		ret->relay.state = RELAY_AWAY;
		ret->relay.behind = -1;
		(void)snprintf(ret->relay.detail, sizeof(ret->relay.detail),
		    "jobwire-relay has not run here");
	}
	return OK;
}

static void
add_nodes(struct buf *out, const struct relay_status *r)
{
	for (int64_t i = 0; i < r->n_nodes; i++) {
		buf_addf(out, "%s{\"node\":", i > 0 ? "," : "");
		json_text_add_quoted(out, span_of(r->nodes[i].name));
		buf_addf(out,
		    ",\"position\":%" PRId64 ",\"seen_ms_ago\":%" PRId64 "}",
		    r->nodes[i].position, r->nodes[i].age_ms);
	}
}

static void
add_json(struct buf *out, const struct node_state *s, int64_t now_ms)
{
	const struct relay_status *r = &s->relay;

	buf_add_str(out, "{\"node\":");
	json_text_add_quoted(out, span_of(s->node_id));
	buf_addf(out,
	    ",\"epoch\":\"%s\",\"state\":\"%s\",\"detail\":", s->epoch,
	    relay_state_name(r->state));
	json_text_add_quoted(out, span_of(r->detail));
	buf_add_str(out, ",\"redis\":");
	json_text_add_quoted(out, span_of(r->redis));
	buf_addf(out,
	    ",\"contact_ms_ago\":%" PRId64 ",\"position\":%" PRId64
	    ",\"behind\":%" PRId64 ",\"waiting\":%" PRId64 ",\"nodes\":[",
	    r->contact_ms == 0 ? -1 : now_ms - r->contact_ms, s->position,
	    r->behind, s->waiting);
	add_nodes(out, r);
	buf_add_str(out, "]}\n");
}

static void
add_line(struct buf *out, const char *name, const char *text)
{
	if (*text == '\0')
		return;
	buf_addf(out, "%s\t", name);
	table_add_clean(out, span_of(text));
	buf_add_char(out, '\n');
}

static void
add_lines(struct buf *out, const struct node_state *s, int64_t now_ms)
{
	const struct relay_status *r = &s->relay;

	add_line(out, "node", s->node_id);
	add_line(out, "epoch", s->epoch);
	add_line(out, "state", relay_state_name(r->state));
	add_line(out, "detail", r->detail);
	add_line(out, "redis", r->redis);
	if (r->contact_ms != 0)
		buf_addf(out, "contact\t%.1f s ago\n",
		    (double)(now_ms - r->contact_ms) / 1000);
	buf_addf(out, "position\t%" PRId64 "\n", s->position);
	if (r->behind >= 0)
		buf_addf(out, "behind\t%" PRId64 "\n", r->behind);
	buf_addf(out, "waiting\t%" PRId64 "\n", s->waiting);
	for (int64_t i = 0; i < r->n_nodes; i++) {
		buf_add_str(out, "of node ");
		table_add_clean(out, span_of(r->nodes[i].name));
		buf_addf(out, "\t%" PRId64 ", seen %.1f s ago\n",
		    r->nodes[i].position, (double)r->nodes[i].age_ms / 1000);
	}
}

static int
status(const struct command_line *c)
{
	struct db *db = command_open(c, DB_READ);
	int64_t now_ms = clock_real_ms();
	struct node_state s = {0};
	struct buf out = BUF_INIT;
	enum err e;

	if (db == NULL)
		return EXIT_FAILED;
	if (!db_is_clustered(db)) {
		db_close(&db);
		return command_fail(
		    "cluster: this is not a node of one", c->settings->db);
	}
	e = read_state(db, now_ms, &s);
	if (c->settings->json)
		add_json(&out, &s, now_ms);
	else
		add_lines(&out, &s, now_ms);
	if (e == OK && !buf_ok(&out))
		e = ERR_NOMEM;
	if (e == OK)
		(void)fwrite(out.data, 1, out.len, stdout);
	else
		(void)command_fail_db("cluster", db, e);
	buf_done(&out);
	db_close(&db);
	return e == OK ? EXIT_DONE : EXIT_FAILED;
}

/* --- The command ---------------------------------------------------------- */

static int
clone(const struct command_line *c)
{
	if (c->settings->node_id == NULL)
		return need("node_id");
	if (!cluster_node_ok(c->settings->node_id))
		return refuse_name(c->settings->node_id);
	return cluster_clone(c, c->args[1]);
}

static const struct {
	const char *name;
	int n_args;
	int (*run)(const struct command_line *c);
} verbs[] = {
    {"join", 1, join},
    {"leave", 1, leave},
    {"status", 1, status},
    {"clone", 2, clone},
};

static int
run(const struct command_line *c)
{
	struct near near = {.text = c->args[0]};

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(verbs[i].name, c->args[0]) != 0)
			near_offer(&near, verbs[i].name);
		else if (c->n != verbs[i].n_args)
			return command_usage(&command_cluster);
		else
			return verbs[i].run(c);
	}
	return command_misuse_near(
	    "cluster: it can be joined, left, looked at, cloned", &near);
}

const struct command command_cluster = {
    .name = "cluster",
    .arguments = "join|leave|status|clone FILE",
    .min = 1,
    .max = 2,
    .run = run,
    .summary = "make this a node of a cluster, or say how it is",
    .more = "clone makes it a copy of FILE, which `jobwire backup` made on "
	    "another node;\nwhat this node has taken and the others lack stays "
	    "with it.\n",
};
