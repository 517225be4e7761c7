/* SPDX-License-Identifier: ISC */
/*
 * The tables log_entries, log_marks and log_undo. What an entry's kind means is
 * intent/; what is read from Redis, and when to go back, relay/. Blocks on the
 * disk and on other writers.
 */
#include "store/replica.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/entry_clock.h"
#include "store/mark.h"
#include "store/stmt.h"
#include "store/undo.h"

enum {
	CUT_ENTRIES = 500,    /* of one transaction */
	PRUNE_ENTRIES = 4000, /* of one step */
	EPOCHS_MAX = 100,     /* that are told of */
};

static enum err
read_position(struct db *db, sqlite3_stmt *st, struct log_position *ret)
{
	struct log_position at = {0};
	const char *tag = NULL;
	enum err e = stmt_row(db, st);

	if (e == OK) {
		at.id = sqlite3_column_int64(st, 0);
		e = stmt_column_text(db, st, 1, &tag);
	}
	if (e == OK && strlen(tag) >= sizeof(at.tag))
		e = stmt_failed(db, SQLITE_CORRUPT);
	if (e == OK) {
		memcpy(at.tag, tag, strlen(tag));
		*ret = at;
	}
	stmt_close(st);
	return e;
}

static enum err
before(struct db *db, int64_t id, struct log_position *ret)
{
	sqlite3_stmt *st = stmt_open(db, STMT_LOG_BEFORE);

	stmt_bind_int(db, st, 1, id);
	return read_position(db, st, ret);
}

/* Where there is no entry: before the first. */
static enum err
or_origin(enum err e, struct log_position *ret)
{
	if (e == ERR_NOENT)
		*ret = (struct log_position){0};
	return e == ERR_NOENT ? OK : e;
}

enum err
replica_position(struct db *db, struct log_position *ret)
{
	return or_origin(before(db, INT64_MAX, ret), ret);
}

enum err
replica_horizon(struct db *db, struct log_position *ret)
{
	return or_origin(
	    read_position(db, stmt_open(db, STMT_LOG_FIRST), ret), ret);
}

enum err
replica_lineage(struct db *db,
    void (*on_epoch)(void *arg, const struct log_position *last), void *arg)
{
	struct log_position last;
	int64_t id = INT64_MAX;
	enum err e = OK;

	for (int i = 0; i < EPOCHS_MAX; i++) {
		if ((e = before(db, id, &last)) != OK)
			break;
		on_epoch(arg, &last);
		id = last.id - last.id % LOG_EPOCH_IDS;
	}
	return e == ERR_NOENT ? OK : e;
}

enum err
replica_find(
    struct db *db, const struct log_position *last, struct log_position *ret)
{
	sqlite3_stmt *st = stmt_open(db, STMT_LOG_FIND);

	stmt_bind_int(db, st, 1, last->id);
	stmt_bind_int(db, st, 2, last->id - last->id % LOG_EPOCH_IDS);
	stmt_bind_exact(db, st, 3, last->tag);
	return read_position(db, st, ret);
}

enum err
replica_start(struct db *db, const char *node_id)
{
	enum err e = db_begin(db);

	/* What everybody begins with. */
	if (e == OK)
		e = stmt_do(db, STMT_LOG_ORIGIN);
	if (e == OK)
		e = stmt_do(db, STMT_START_SEQUENCES);
	e = db_end(db, e);
	return e == OK ? undo_start(db, node_id) : e;
}

enum err
replica_own_ids(struct db *db, int64_t after_id, int64_t *ret)
{
	sqlite3_stmt *st = stmt_open(db, STMT_LOG_OWN_IDS);

	stmt_bind_int(db, st, 1, after_id);
	return stmt_run_int(db, st, 0, ret);
}

enum err
replica_marks(struct db *db, int64_t at_id,
    void (*on_mark)(void *arg, const char *origin, int64_t seq), void *arg)
{
	sqlite3_stmt *st = stmt_open(db, STMT_MARKS);
	const char *origin = NULL;
	bool has_row = false;
	enum err e;

	stmt_bind_int(db, st, 1, at_id);
	while ((e = stmt_step(db, st, &has_row)) == OK && has_row) {
		if ((e = stmt_column_text(db, st, 0, &origin)) != OK)
			break;
		on_mark(arg, origin, sqlite3_column_int64(st, 1));
	}
	stmt_close(st);
	return e;
}

/* --- An entry ------------------------------------------------------------- */

/* Whatever this node gave out before: the log may go on below, where the node
 * was alone with another master. The events of an entry that made more than
 * there is room for go on into the ids of the next, on every node. */
static enum err
set_sequences(struct db *db, int64_t id)
{
	sqlite3_stmt *st = stmt_open(db, STMT_SET_SEQUENCES);

	stmt_bind_int(db, st, 1, id - 1);
	return stmt_run(db, st);
}

static enum err
note_entry(struct db *db, const struct log_entry *entry)
{
	sqlite3_stmt *st = stmt_open(db, STMT_LOG_ADD);

	stmt_bind_int(db, st, 1, entry->at.id);
	stmt_bind_text(db, st, 2, entry->at.tag);
	stmt_bind_text(db, st, 3, entry->origin);
	stmt_bind_int(db, st, 4, entry->origin_seq);
	stmt_bind_int(db, st, 5, clock_real_ms());
	return stmt_run(db, st);
}

static enum err
set_mark(struct db *db, const char *origin, int64_t seq)
{
	sqlite3_stmt *st = stmt_open(db, STMT_SET_MARK);

	stmt_bind_text(db, st, 1, origin);
	stmt_bind_int(db, st, 2, seq);
	return stmt_run(db, st);
}

enum err
replica_begin(struct db *db, const struct log_entry *entry)
{
	enum err e = note_entry(db, entry);

	if (e == OK)
		e = set_sequences(db, entry->at.id);
	if (e == OK && entry->origin != NULL)
		e = set_mark(db, entry->origin, entry->origin_seq);
	entry_clock_set(entry->at_ms > 0 ? entry->at_ms : 1);
	return e;
}

static enum err
label(struct db *db, unsigned id, const struct log_entry *entry)
{
	sqlite3_stmt *st = stmt_open(db, id);

	stmt_bind_int(db, st, 1, entry->at.id);
	stmt_bind_text(db, st, 2, entry->origin);
	stmt_bind_int(db, st, 3, entry->origin_seq);
	return stmt_run(db, st);
}

enum err
replica_end(struct db *db, const struct log_entry *entry, enum err e)
{
	entry_clock_set(0);
	if (e == OK && entry->origin != NULL)
		e = label(db, STMT_LABEL_EVENTS, entry);
	if (e == OK && entry->origin != NULL)
		e = label(db, STMT_LABEL_RUNS, entry);
	return e;
}

/* --- Back ----------------------------------------------------------------- */

struct undone {
	struct log_entry entry;
	int64_t undo_after, before;
	char *origin; /* owned, the entry's */
};

static enum err
last_entry(struct db *db, struct undone *ret)
{
	sqlite3_stmt *st = stmt_open(db, STMT_LOG_LAST_WHOLE);
	enum err e = stmt_row(db, st);

	if (e == OK) {
		ret->entry.at.id = sqlite3_column_int64(st, 0);
		ret->undo_after = sqlite3_column_int64(st, 2);
		ret->before = sqlite3_column_int64(st, 3);
		ret->entry.origin_seq = sqlite3_column_int64(st, 4);
		e = stmt_column_dup(db, st, 1, &ret->origin);
		ret->entry.origin = ret->origin;
	}
	stmt_close(st);
	return e;
}

static enum err
undo_entry(struct db *db, const struct undone *u)
{
	enum err e = undo_run(db, &u->entry, u->undo_after);
	sqlite3_stmt *st;

	if (e == OK && u->origin != NULL)
		e = set_mark(db, u->origin, u->before);
	if (e != OK)
		return e;
	st = stmt_open(db, STMT_LOG_DROP);
	stmt_bind_int(db, st, 1, u->entry.at.id);
	return stmt_run(db, st);
}

static enum err
undo_some(struct db *db, const struct log_position *to, int64_t *n)
{
	enum err e = OK;

	for (int i = 0; i < CUT_ENTRIES && e == OK; i++) {
		struct undone u = {0};

		e = last_entry(db, &u);
		if (e == OK && u.entry.at.id <= to->id) {
			free(u.origin);
			break;
		}
		if (e == OK)
			e = undo_entry(db, &u);
		free(u.origin);
		*n += e == OK;
	}
	return e;
}

enum err
replica_cut_back(struct db *db, const struct log_position *to, int64_t *ret_n)
{
	struct log_position now = {0};
	int64_t n = 0;
	enum err e;

	do {
		if ((e = db_begin(db)) != OK)
			break;
		e = undo_some(db, to, &n);
		e = mark_end(db, e);
		if (e == OK)
			e = replica_position(db, &now);
	} while (e == OK && now.id > to->id);
	*ret_n = n;
	return e;
}

/* --- Forgetting ----------------------------------------------------------- */

static enum err
forget(struct db *db, unsigned id, int64_t horizon)
{
	sqlite3_stmt *st = stmt_open(db, id);

	stmt_bind_int(db, st, 1, horizon);
	return stmt_run(db, st);
}

enum err
replica_prune(struct db *db, const char *node_id, int64_t up_to_id,
    int64_t before_ms, int64_t *ret_seq, bool *ret_more)
{
	sqlite3_stmt *st = stmt_open(db, STMT_LOG_PRUNABLE);
	int64_t horizon = 0, seq = 0, n = 0;
	enum err e;

	stmt_bind_int(db, st, 1, up_to_id);
	stmt_bind_int(db, st, 2, before_ms);
	stmt_bind_int(db, st, 3, PRUNE_ENTRIES);
	stmt_bind_text(db, st, 4, node_id);
	e = stmt_row(db, st);
	if (e == OK) {
		horizon = sqlite3_column_int64(st, 0);
		n = sqlite3_column_int64(st, 1);
		seq = sqlite3_column_int64(st, 2);
	}
	stmt_close(st);
	if (e == OK && n > 1)
		e = forget(db, STMT_UNDO_PRUNE, horizon);
	if (e == OK && n > 1)
		e = forget(db, STMT_LOG_PRUNE, horizon);
	if (e == OK) {
		*ret_seq = n > 1 ? seq : 0;
		*ret_more = n >= PRUNE_ENTRIES;
	}
	return e;
}

/* --- Who this is ---------------------------------------------------------- */

static enum err
set_meta(struct db *db, const char *key, const char *value)
{
	sqlite3_stmt *st = stmt_open(db, STMT_SET_META);

	stmt_bind_text(db, st, 1, key);
	stmt_bind_text(db, st, 2, value);
	return stmt_run(db, st);
}

enum err
replica_adopt(struct db *db, const char *epoch)
{
	enum err e;

	if (strlen(epoch) != DB_EPOCH_SIZE - 1)
		return stmt_refuse(db, ERR_PROTO, "no epoch: %.40s", epoch);
	e = set_meta(db, "epoch", epoch);
	return e == OK ? mark_replace(db, db_path(db)) : e;
}

enum err
replica_owner(struct db *db, struct buf *ret)
{
	sqlite3_stmt *st = stmt_open(db, STMT_META);
	const char *text = NULL;
	enum err e;

	stmt_bind_text(db, st, 1, "relay");
	e = stmt_row_text(db, st, &text);
	if (e == OK)
		buf_add_str(ret, text);
	stmt_close(st);
	return e == ERR_NOENT ? OK : e;
}

enum err
replica_own(struct db *db, const char *owner, int64_t seq)
{
	enum err e = set_meta(db, "relay", owner);
	sqlite3_stmt *st;

	if (e != OK)
		return e;
	/* The log has them by the name that this database had. */
	if ((e = stmt_do(db, STMT_OUTBOX_DROP_ANSWERED)) != OK)
		return e;
	/* By way of negative numbers, which are free, to such as none of them
	 * had: somebody may wait for what is answered to that one. */
	st = stmt_open(db, STMT_OUTBOX_RAISE);
	stmt_bind_int(db, st, 1, seq);
	if ((e = stmt_run(db, st)) != OK)
		return e;
	if ((e = stmt_do(db, STMT_OUTBOX_TURN)) != OK)
		return e;
	st = stmt_open(db, STMT_OUTBOX_SEQUENCE);
	stmt_bind_int(db, st, 1, seq);
	return stmt_run(db, st);
}

enum err
replica_outbox(
    struct db *db, const char *node_id, int64_t *ret_seq, int64_t *ret_open)
{
	sqlite3_stmt *st = stmt_open(db, STMT_OUTBOX_STATE);
	enum err e;

	stmt_bind_text(db, st, 1, node_id);
	e = stmt_row(db, st);
	if (e == OK) {
		*ret_seq = sqlite3_column_int64(st, 0);
		*ret_open = sqlite3_column_int64(st, 1);
	}
	stmt_close(st);
	return e;
}

enum err
replica_close_applied(struct db *db, const char *node_id)
{
	sqlite3_stmt *st = stmt_open(db, STMT_OUTBOX_CLOSE_APPLIED);

	stmt_bind_text(db, st, 1, node_id);
	return stmt_run(db, st);
}

enum err
replica_close_outbox(struct db *db, int64_t up_to)
{
	sqlite3_stmt *st = stmt_open(db, STMT_OUTBOX_CLOSE);

	stmt_bind_int(db, st, 1, up_to);
	return stmt_run(db, st);
}
