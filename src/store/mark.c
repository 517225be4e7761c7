/* SPDX-License-Identifier: ISC */
/*
 * Writes the mark, and judges a database by it. Who opens what when is db.c,
 * how clients are told is live/hub.c. Blocks on the disk and, where something
 * is wrong, on other writers.
 */
#include "store/mark.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/beside.h"
#include "store/stmt.h"

enum {
	EPOCH_LEN = DB_EPOCH_SIZE - 1,
	/* Places in the file. The first byte rings and means nothing. */
	MARK_AT = 16,
	BACKUP_AT = 128,
	/* A reading beside a writing may be half of each. */
	READINGS = 5,
};

#define MARK_MAGIC UINT64_C(0x6a6f62776d61726b)

struct mark {
	uint64_t magic;
	char epoch[EPOCH_LEN];
	int64_t highest_id; /* given out; retention may have taken its row */
	int64_t row_id;	    /* the newest row; 0: none */
	uint64_t row;	    /* its digest */
	uint64_t sum;	    /* of all of these */
};

/* FNV-1a: nobody is kept out, chance is. */
static uint64_t
mix(uint64_t h, const void *p, size_t n)
{
	const unsigned char *byte = p;

	for (size_t i = 0; i < n; i++)
		h = (h ^ byte[i]) * UINT64_C(0x100000001b3);
	return h;
}

static uint64_t
sum_of(const struct mark *m)
{
	return mix(UINT64_C(0xcbf29ce484222325), m, offsetof(struct mark, sum));
}

/* --- The file ------------------------------------------------------------- */

static bool
read_mark(const struct db *db, struct mark *ret)
{
	for (int i = 0; i < READINGS && db->bell.fd != -1; i++)
		if (pread(db->bell.fd, ret, sizeof(*ret), MARK_AT) ==
			(ssize_t)sizeof(*ret) &&
		    ret->magic == MARK_MAGIC && ret->sum == sum_of(ret))
			return true;
	return false;
}

static bool
write_mark(const struct bell *bell, const struct mark *m)
{
	return bell->fd != -1 &&
	       pwrite(bell->fd, m, sizeof(*m), MARK_AT) == (ssize_t)sizeof(*m);
}

static bool
is_other_epoch(const struct mark *a, const struct mark *b)
{
	return memcmp(a->epoch, b->epoch, EPOCH_LEN) != 0;
}

/* What is said of another epoch, or of more, was said by who knows better; or
 * it is the bell that knows less, for there is another one now. One that says
 * nothing is for mark_check() to judge. */
static bool
raise_mark(struct db *db, const struct mark *m)
{
	struct mark there;
	bool is_known = read_mark(db, &there);

	if (is_known && is_other_epoch(&there, m)) {
		bell_close(&db->bell);
		(void)!bell_find(db->path, &db->bell);
		is_known = read_mark(db, &there);
	}
	return is_known && !is_other_epoch(&there, m) &&
	       there.highest_id < m->highest_id && write_mark(&db->bell, m);
}

void
mark_note_backup(struct db *db)
{
	int64_t now_ms = clock_real_ms();

	if (db->bell.fd != -1 &&
	    pwrite(db->bell.fd, &now_ms, sizeof(now_ms), BACKUP_AT) == -1)
		return; /* it is made all the same */
}

int64_t
mark_backup_ms(const struct db *db)
{
	int64_t ms = 0;

	if (db->bell.fd == -1 || pread(db->bell.fd, &ms, sizeof(ms),
				     BACKUP_AT) != (ssize_t)sizeof(ms))
		return 0;
	return ms;
}

/* --- The database --------------------------------------------------------- */

static enum err
digest_row(struct db *db, sqlite3_stmt *st, uint64_t *ret)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	const char *text;
	enum err e;

	for (int i = 4; i <= 7; i++) {
		if ((e = stmt_column_text(db, st, i, &text)) != OK)
			return e;
		if (text != NULL)
			h = mix(h, text, strlen(text) + 1);
	}
	*ret = h;
	return OK;
}

/* What the database says now. row_id: the row to look at, of which *ret has 0
 * where it is gone; 0: the newest. */
static enum err
read_db(struct db *db, int64_t row_id, struct mark *ret, bool *ret_is_marked)
{
	sqlite3_stmt *st = stmt_open(db, STMT_MARK);
	const char *epoch = NULL;
	enum err e;

	if (row_id != 0)
		stmt_bind_int(db, st, 1, row_id);
	*ret = (struct mark){.magic = MARK_MAGIC};
	e = stmt_row_text(db, st, &epoch);
	if (e == OK && (epoch == NULL || strlen(epoch) != EPOCH_LEN))
		e = stmt_failed(db, SQLITE_CORRUPT);
	if (e == OK && epoch != NULL) {
		memcpy(ret->epoch, epoch, EPOCH_LEN);
		ret->highest_id = sqlite3_column_int64(st, 1);
		*ret_is_marked = sqlite3_column_int(st, 2) != 0;
		ret->row_id = sqlite3_column_int64(st, 3);
		if (ret->row_id != 0)
			e = digest_row(db, st, &ret->row);
		ret->sum = sum_of(ret);
	}
	stmt_close(st);
	return e;
}

/* --- Judging -------------------------------------------------------------- */

enum verdict { SAME, UNMARKED, RESTORED };

struct judgement {
	enum verdict verdict;
	struct mark bell, now;
	bool has_bell;
};

/*
 * A row that is gone says nothing, for retention may have taken it. A database
 * that has a mark and lost its bell may be of any age. One that was never
 * marked is a new one, beside the bell of its predecessor, or older than marks
 * are. Of a cluster the ids come from its log, and are read again from there.
 */
static enum err
judge(struct db *db, struct judgement *ret)
{
	bool is_marked = false;
	struct mark row = {0};
	enum err e = read_db(db, 0, &ret->now, &is_marked);

	if (e != OK)
		return e;
	/* Somebody else may have been faster. */
	memcpy(db->epoch, ret->now.epoch, EPOCH_LEN);
	ret->verdict = SAME;
	if (db_is_clustered(db))
		return OK;
	ret->has_bell = read_mark(db, &ret->bell);
	ret->verdict = is_marked ? SAME : UNMARKED;
	if (!ret->has_bell) {
		if (is_marked)
			ret->verdict = RESTORED;
		return OK;
	}
	if (is_other_epoch(&ret->bell, &ret->now)) {
		if (is_marked || ret->now.highest_id != 0)
			ret->verdict = RESTORED;
		return OK;
	}
	if (ret->bell.row_id != 0)
		e = read_db(db, ret->bell.row_id, &row, &is_marked);
	if (ret->now.highest_id < ret->bell.highest_id ||
	    (row.row_id != 0 && row.row != ret->bell.row))
		ret->verdict = RESTORED;
	return e;
}

/* --- Another identity ----------------------------------------------------- */

static enum err
set_bell(struct db *db)
{
	sqlite3_stmt *st = stmt_open(db, STMT_SET_META);

	stmt_bind_text(db, st, 1, "bell");
	stmt_bind_text(db, st, 2, "1");
	return stmt_run(db, st);
}

/* Whoever knows what became of them since knows it in another database. */
static enum err
doubt_runs(struct db *db)
{
	char now[CLOCK_RFC3339_SIZE];
	sqlite3_stmt *st;

	if (sqlite3_table_column_metadata(db->h, NULL, "runs", NULL, NULL, NULL,
		NULL, NULL, NULL) != SQLITE_OK)
		return OK; /* of version 6 */
	clock_rfc3339(clock_real_ms(), now);
	st = stmt_open(db, STMT_DOUBT_RUNS);
	stmt_bind_text(db, st, 1, now);
	return stmt_run(db, st);
}

enum err
mark_renew(struct db *db, bool was_restored)
{
	enum err e = stmt_do(db, STMT_NEW_EPOCH);

	if (e == OK && was_restored)
		e = doubt_runs(db);
	if (e == OK)
		e = set_bell(db);
	return e;
}

/* Whatever the bell says. It may have just been made: then its name must be on
 * the disk, too, which its own sync does not promise (fsync(2)). */
static enum err
put_mark(struct db *db, const struct bell *bell)
{
	struct mark now;
	bool is_marked;
	enum err e = read_db(db, 0, &now, &is_marked);

	if (e != OK)
		return e;
	errno = 0;
	if (!write_mark(bell, &now) || fdatasync(bell->fd) != 0 ||
	    !beside_sync(db->path))
		return stmt_refuse(db, errno == ENOSPC ? ERR_FULL : ERR_SYS,
		    "cannot write %.100s-bell: %s", db->path, strerror(errno));
	memcpy(db->epoch, now.epoch, EPOCH_LEN);
	return OK;
}

enum err
mark_replace(struct db *db, const char *db_path)
{
	struct bell bell = BELL_INIT;
	enum err e = bell_open(db_path, &bell);

	if (e == OK)
		e = put_mark(db, &bell);
	else
		e = stmt_refuse(db, e, "cannot open %.100s-bell: %s", db_path,
		    strerror(errno));
	bell_close(&bell);
	return e;
}

/* --- Opening -------------------------------------------------------------- */

static void
log_restored(const struct db *db, const struct judgement *j)
{
	const struct mark *old = j->has_bell ? &j->bell : &j->now;
	char epoch[DB_EPOCH_SIZE] = "";

	memcpy(epoch, old->epoch, EPOCH_LEN);
	log_warn("database_restored", "path", db->path, "old_epoch", epoch,
	    "new_epoch", db->epoch, "highest_id", LOG_INT(old->highest_id),
	    "newest_id", LOG_INT(j->now.highest_id));
}

/* The bell before the commit: whoever opens in between finds that they differ,
 * waits for the lock, and then finds that they agree. It is synced, or a power
 * cut might leave a database that has a mark and a bell that has none. */
static enum err
mend(struct db *db)
{
	struct judgement j = {0};
	enum err e = stmt_do(db, STMT_BEGIN_WRITE);

	if (e == OK)
		e = judge(db, &j);
	if (e == OK && j.verdict == RESTORED)
		e = mark_renew(db, true);
	else if (e == OK && j.verdict == UNMARKED)
		e = set_bell(db);
	if (e == OK && j.verdict != SAME)
		e = put_mark(db, &db->bell);
	if (e == OK)
		e = stmt_do(db, STMT_COMMIT);
	if (e == OK && j.verdict == RESTORED)
		log_restored(db, &j);
	stmt_rollback(db);
	return e;
}

static enum err
mend_reader(struct db *db)
{
	enum err e;

	sqlite3_exec(db->h, "PRAGMA query_only = OFF", NULL, NULL, NULL);
	e = mend(db);
	sqlite3_exec(db->h, "PRAGMA query_only = ON", NULL, NULL, NULL);
	/* Who may not write can do no more; the first who may will. On a full
	 * disk others may have room, and give ids out that clients have seen:
	 * nothing is read until there is another epoch. */
	return e == ERR_READONLY ? OK : e;
}

enum err
mark_check(struct db *db, enum db_mode mode)
{
	bool is_reachable = bell_find(db->path, &db->bell) != ERR_SYS;
	struct judgement j = {0};
	enum err e = judge(db, &j);

	if (e != OK)
		return e;
	if (j.verdict == SAME || mode == DB_AS_IS || !is_reachable)
		return OK;
	if (mode == DB_READ)
		return j.verdict == RESTORED && j.has_bell ? mend_reader(db)
							   : OK;
	if (db->bell.fd == -1 && bell_open(db->path, &db->bell) != OK)
		return OK;
	return mend(db);
}

/* --- Afterwards ----------------------------------------------------------- */

/* Read within the transaction, which has its locks already: the bell is what
 * others wait for. */
enum err
mark_end(struct db *db, enum err e)
{
	bool has_mark = db->bell.fd != -1 && !db_is_clustered(db);
	struct mark now = {0};
	bool is_marked;

	if (e == OK && has_mark)
		e = read_db(db, 0, &now, &is_marked);
	e = db_end(db, e);
	if (e == OK && !(has_mark && raise_mark(db, &now)))
		bell_ring(&db->bell);
	return e;
}

enum err
mark_look(struct db *db, int64_t *ret_last_id, bool *ret_has_new_epoch)
{
	struct mark now;
	bool is_marked;
	enum err e = read_db(db, 0, &now, &is_marked);

	*ret_has_new_epoch = false;
	if (e != OK)
		return e;
	*ret_last_id = now.highest_id;
	if (db->bell.fd != -1 && !db_is_clustered(db))
		(void)raise_mark(db, &now);
	if (memcmp(db->epoch, now.epoch, EPOCH_LEN) == 0)
		return OK;
	*ret_has_new_epoch = true;
	return db_refresh(db);
}
