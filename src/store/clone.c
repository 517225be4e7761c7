/* SPDX-License-Identifier: ISC */
/*
 * What is a node's own in its database: its name, its outbox, and its runner's
 * part of its runs. All else the nodes have in common. Blocks on the disk.
 */
#include "store/clone.h"

#include <string.h>

#include "store/cluster.h"
#include "store/events.h"
#include "store/replica.h"
#include "store/stmt.h"

/* Runs one statement there for each row of another one here, with its columns
 * as they are. node_id is the reading one's parameter. */
static enum err
carry(struct db *from, unsigned read, const char *node_id, struct db *to,
    unsigned write)
{
	sqlite3_stmt *in = stmt_open(from, read), *out;
	bool has_row = false;
	enum err e;

	if (sqlite3_bind_parameter_count(in) > 0)
		stmt_bind_text(from, in, 1, node_id);
	while ((e = stmt_step(from, in, &has_row)) == OK && has_row) {
		out = stmt_open(to, write);
		for (int i = 0; i < sqlite3_column_count(in); i++)
			stmt_bind_value(
			    to, out, i + 1, sqlite3_column_value(in, i));
		if ((e = stmt_run(to, out)) != OK)
			break;
	}
	stmt_close(in);
	return e;
}

static enum err
is_empty(struct db *db, bool *ret)
{
	int64_t last_id;
	enum err e = events_last_id(db, &last_id);

	if (e == OK)
		*ret = last_id == 0;
	return e;
}

/* May the copy stand in for it? */
static enum err
judge_old(struct db *copy, const char *node_id, struct db *old)
{
	struct log_position ours, its;
	bool has_nothing = false;
	enum err e;

	if (strcmp(db_node_id(old), node_id) != 0) {
		e = is_empty(old, &has_nothing);
		if (e == OK && !has_nothing)
			e = stmt_refuse(copy, ERR_EXISTS,
			    "%.120s has events and is no node %s; move it away",
			    db_path(old), node_id);
		return e;
	}
	e = replica_position(old, &ours);
	if (e == OK)
		e = replica_position(copy, &its);
	if (e == OK && its.id < ours.id)
		e = stmt_refuse(copy, ERR_VERSION,
		    "the copy is older than %.120s; make a new one",
		    db_path(old));
	return e;
}

/* Goes on with what this node has taken, under the same numbers. */
static enum err
take_over(struct db *copy, const char *node_id, struct db *old)
{
	enum err e = carry(old, STMT_OUTBOX_ALL, NULL, copy, STMT_OUTBOX_PUT);

	if (e == OK)
		e = carry(
		    old, STMT_OUTBOX_LAST, NULL, copy, STMT_OUTBOX_SET_LAST);
	if (e == OK)
		e = carry(old, STMT_RELAY_OWNER, NULL, copy, STMT_SET_META);
	if (e == OK)
		e = carry(old, STMT_OWN_RUNS, node_id, copy, STMT_SET_OWN_RUN);
	return e;
}

/* Redis knows how far it had come, and the relay asks (replica_own()). */
static enum err
begin_anew(struct db *copy, const char *node_id)
{
	sqlite3_stmt *st = stmt_open(copy, STMT_OUTBOX_SET_LAST);
	enum err e;

	stmt_bind_int(copy, st, 1, 0);
	e = stmt_run(copy, st);
	if (e != OK)
		return e;
	st = stmt_open(copy, STMT_DOUBT_OWN_RUNS);
	stmt_bind_text(copy, st, 1, node_id);
	return stmt_run(copy, st);
}

enum err
clone_adapt(struct db *copy, const char *node_id, struct db *old)
{
	bool is_successor = old != NULL && db_is_clustered(old);
	sqlite3_stmt *st;
	enum err e = OK;

	if (!db_is_clustered(copy))
		return stmt_refuse(
		    copy, ERR_PROTO, "it is no copy of a node's database");
	if (old != NULL)
		e = judge_old(copy, node_id, old);
	if (e == OK)
		e = cluster_join(copy, node_id, db_epoch(copy));
	if (e == OK)
		e = stmt_do(copy, STMT_OUTBOX_CLEAR);
	if (e == OK) {
		st = stmt_open(copy, STMT_DROP_META);
		stmt_bind_text(copy, st, 1, "relay");
		e = stmt_run(copy, st);
	}
	if (e != OK)
		return e;
	return is_successor ? take_over(copy, node_id, old)
			    : begin_anew(copy, node_id);
}
