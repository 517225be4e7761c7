/* SPDX-License-Identifier: ISC */
/*
 * jobwire cluster clone: a copy of another node's database in the place of this
 * one's. What stays this node's own is decided in store/clone.c. Blocks on the
 * disk.
 */
#include "cluster_clone.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "io/holders.h"
#include "store/backup.h"
#include "store/clone.h"

struct cloning {
	const char *node_id;
	struct db *old; /* owned; NULL: there is none */
};

static enum err
adapt(void *arg, struct db *copy)
{
	struct cloning *c = arg;
	enum err e = clone_adapt(copy, c->node_id, c->old);

	/* It is about to be replaced. */
	db_close(&c->old);
	return e;
}

/* What this node had until now. */
static int
open_old(const char *path, struct db **ret)
{
	enum { WAIT_MS = 5000 };
	struct db_fault fault = {0};
	struct buf who = BUF_INIT;
	int status = EXIT_DONE;
	enum err e;

	if (holders_find(path, &who)) {
		buf_addf(&who, " has %s open; stop all programs first", path);
		status = command_fail("cluster", buf_span(&who).p);
	}
	buf_done(&who);
	if (status != EXIT_DONE)
		return status;
	e = db_open(path, DB_AS_IS, WAIT_MS, ret, &fault);
	if (e != OK && e != ERR_NOENT)
		status = command_fail("cluster: what this node has taken "
				      "cannot be read; to go on without, "
				      "move it away",
		    fault.text);
	return status;
}

int
cluster_clone(const struct command_line *c, const char *src)
{
	struct cloning cloning = {.node_id = c->settings->node_id};
	const struct restore r = {.src = src,
	    .db_path = c->settings->db,
	    .keeps_epoch = true,
	    .change = adapt,
	    .arg = &cloning};
	struct db_fault fault = {0};
	struct backup b;
	int status = open_old(r.db_path, &cloning.old);
	enum err e;

	if (status != EXIT_DONE)
		return status;
	command_hold_signals();
	e = backup_restore(&r, &b, &fault);
	db_close(&cloning.old);
	if (e != OK)
		status = command_fail("cluster",
		    fault.text[0] != '\0' ? fault.text : err_text(e));
	else
		(void)printf("%s: node %s, epoch %s, last event %" PRId64 "\n",
		    r.db_path, cloning.node_id, b.epoch, b.last_id);
	command_release_signals();
	return status;
}
