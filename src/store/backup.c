/* SPDX-License-Identifier: ISC */
/*
 * Copies by SQLite's backup API, out of one read transaction: it begins anew
 * whenever somebody writes, unless the reader holds its snapshot. Who has the
 * database open is io/holders.c. Blocks on the disk.
 */
#include "store/backup.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/beside.h"
#include "store/events.h"
#include "store/inspect.h"
#include "store/mark.h"
#include "store/stmt.h"

enum {
	STEP_PAGES = 256, /* between two looks for a signal */
	CHECK_STEPS = 100000,
	CHECK_MS = 86400000, /* as long as it takes */
	BUSY_MS = 5000,
	FORMAT_AT = 18, /* in the header: how it is written, and read */
};

/* A copy on its way. */
struct part {
	struct buf path;
	int fd;	       /* -1: there is none */
	bool is_ours;  /* to be removed when it gets no other name */
	struct db *db; /* the copy, once it is whole */
};

#define PART_INIT                                                              \
	{                                                                      \
		.path = BUF_INIT, .fd = -1                                     \
	}

static bool
is_interrupted(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 &&
	       (sigismember(&pending, SIGINT) == 1 ||
		   sigismember(&pending, SIGTERM) == 1 ||
		   sigismember(&pending, SIGHUP) == 1);
}

static int
on_progress(void *arg)
{
	(void)arg;
	return is_interrupted();
}

static enum err
fail(struct db *db, const char *what, const char *path)
{
	int reason = errno;
	enum err e = reason == ENOSPC || reason == EDQUOT ? ERR_FULL : ERR_SYS;

	return stmt_refuse(
	    db, e, "cannot %s %.120s: %s", what, path, strerror(reason));
}

static enum err
interrupted(struct db *db)
{
	return stmt_refuse(db, ERR_EXPIRED, "interrupted; nothing was changed");
}

/* --- The other name ------------------------------------------------------- */

static enum err
busy(struct db *db, const char *path)
{
	return stmt_refuse(
	    db, ERR_BUSY, "another copy is being written to %s", path);
}

/* Its lock tells a copy that is being written from what a kill has left. */
static enum err
remove_stale(struct db *db, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	enum err e = OK;

	if (fd == -1)
		return errno == ENOENT ? OK : fail(db, "open", path);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0)
		e = busy(db, path);
	else if (unlink(path) != 0 && errno != ENOENT)
		e = fail(db, "remove", path);
	close(fd);
	return e;
}

static enum err
part_open(struct part *p, struct db *db)
{
	const char *path = p->path.data;
	struct stat st;
	enum err e;

	if (!buf_ok(&p->path))
		return stmt_failed(db, SQLITE_NOMEM);
	if ((e = remove_stale(db, path)) != OK)
		return e;
	p->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (p->fd == -1)
		return errno == EEXIST ? busy(db, path)
				       : fail(db, "write", path);
	/* Another one may have taken it for a stale one before it was locked,
	 * and removed it. */
	p->is_ours = flock(p->fd, LOCK_EX | LOCK_NB) == 0 &&
		     fstat(p->fd, &st) == 0 && st.st_nlink > 0;
	return p->is_ours ? OK : busy(db, path);
}

static void
part_done(struct part *p)
{
	bool was_open = p->db != NULL;

	db_close(&p->db);
	if (p->fd != -1)
		close(p->fd);
	if (p->is_ours)
		(void)unlink(p->path.data);
	/* It was rung by who changed the copy. */
	buf_add_str(&p->path, "-bell");
	if (was_open && buf_ok(&p->path))
		(void)unlink(p->path.data);
	buf_done(&p->path);
}

static enum err
sync_folder(struct db *db, const char *path)
{
	return beside_sync(path) ? OK : fail(db, "sync the folder of", path);
}

/* --- Copying -------------------------------------------------------------- */

static int
copy_steps(struct db *db, sqlite3 *to)
{
	sqlite3_backup *b = sqlite3_backup_init(to, "main", db->h, "main");
	int rc = SQLITE_OK, end;

	if (b == NULL)
		return sqlite3_extended_errcode(to);
	while (rc == SQLITE_OK)
		rc = is_interrupted() ? SQLITE_INTERRUPT
				      : sqlite3_backup_step(b, STEP_PAGES);
	end = sqlite3_backup_finish(b);
	return rc == SQLITE_DONE || rc == SQLITE_OK ? end : rc;
}

static enum err
copy_pages(struct db *db, const char *path)
{
	sqlite3 *to = NULL;
	int64_t last_id;
	enum err e = db_begin_read(db);
	int rc;

	/* The snapshot begins with the first statement that reads. */
	if (e == OK)
		e = events_last_id(db, &last_id);
	if (e != OK)
		goto out;
	rc = sqlite3_open_v2(path, &to,
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
		SQLITE_OPEN_PRIVATECACHE,
	    NULL);
	/* It is synced once, when it is whole. */
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(to,
		    "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", NULL,
		    NULL, NULL);
	if (rc == SQLITE_OK)
		rc = copy_steps(db, to);
	if (rc == SQLITE_INTERRUPT)
		e = interrupted(db);
	else if (rc != SQLITE_OK) {
		e = stmt_failed(db, rc);
		e = stmt_refuse(
		    db, e, "no copy at %.120s: %s", path, sqlite3_errstr(rc));
	}
	sqlite3_close(to);
out:
	db_rollback(db);
	return e;
}

/* Rollback mode, as `PRAGMA journal_mode` sets it, but without a -wal in
 * between (https://sqlite.org/fileformat2.html, section 1.3.3). */
static enum err
seal(const struct part *p, struct db *db)
{
	static const char legacy[2] = {1, 1};

	if (pwrite(p->fd, legacy, sizeof(legacy), FORMAT_AT) !=
		(ssize_t)sizeof(legacy) ||
	    fsync(p->fd) != 0)
		return fail(db, "write", p->path.data);
	return OK;
}

static enum err
check(struct part *p, struct db *db)
{
	struct db_fault fault = {0};
	bool is_whole = false;
	enum err e = db_open(p->path.data, DB_AS_IS, 0, &p->db, &fault);

	if (e != OK)
		return stmt_refuse(db, e, "%s", fault.text);
	sqlite3_progress_handler(p->db->h, CHECK_STEPS, on_progress, NULL);
	e = inspect_check(p->db, CHECK_MS, &is_whole);
	sqlite3_progress_handler(p->db->h, 0, NULL, NULL);
	if (e == ERR_CORRUPT)
		return stmt_refuse(db, e, "%.80s is damaged: %.80s", db->path,
		    p->db->fault.text);
	if (e != OK)
		return stmt_refuse(db, e, "%s", p->db->fault.text);
	return is_whole ? OK : interrupted(db);
}

static enum err
part_fill(struct part *p, struct db *db)
{
	enum err e = part_open(p, db);

	if (e == OK)
		e = copy_pages(db, p->path.data);
	if (e == OK)
		e = seal(p, db);
	if (e == OK)
		e = check(p, db);
	return e;
}

static enum err
describe(const struct part *p, struct backup *ret)
{
	struct stat file;

	memcpy(ret->epoch, db_epoch(p->db), DB_EPOCH_SIZE);
	ret->bytes = fstat(p->fd, &file) == 0 ? (int64_t)file.st_size : 0;
	return events_last_id(p->db, &ret->last_id);
}

/* --- Backup --------------------------------------------------------------- */

/* SQLite would take PATH-journal for one of the database, to be played back. */
static enum err
refuse_dest(struct db *db, const char *dest)
{
	struct buf own = BUF_INIT, other = BUF_INIT;
	const char *name = strrchr(dest, '/');
	struct stat file;
	enum err e = OK;

	beside_add(&own, db->path, "-");
	beside_add_folder(&other, dest);
	buf_addf(&other, "/%s", name != NULL ? name + 1 : dest);
	if (!buf_ok(&own) || !buf_ok(&other))
		e = stmt_failed(db, SQLITE_NOMEM);
	else if (lstat(dest, &file) == 0)
		e = stmt_refuse(db, ERR_EXISTS,
		    "%.120s is there already; name a new file", dest);
	else if (strncmp(own.data, other.data, own.len) == 0)
		e = stmt_refuse(db, ERR_EXISTS,
		    "%.100s would be taken for a part of the database; choose "
		    "another name",
		    dest);
	buf_done(&own);
	buf_done(&other);
	return e;
}

/* Overwrites nothing. Not all file systems know one of the two ways. */
static enum err
publish(struct part *p, struct db *db, const char *dest)
{
	int rc =
	    renameat2(AT_FDCWD, p->path.data, AT_FDCWD, dest, RENAME_NOREPLACE);

	if (rc == 0)
		p->is_ours = false;
	else if (errno == EINVAL || errno == ENOSYS)
		rc = link(p->path.data, dest);
	if (rc != 0 && errno == EEXIST)
		return stmt_refuse(db, ERR_EXISTS,
		    "%.120s is there already; name a new file", dest);
	return rc == 0 ? sync_folder(db, dest) : fail(db, "make", dest);
}

enum err
backup_make(struct db *db, const char *dest, struct backup *ret)
{
	struct part p = PART_INIT;
	enum err e = refuse_dest(db, dest);

	buf_addf(&p.path, "%s.part", dest);
	if (e == OK)
		e = part_fill(&p, db);
	if (e == OK)
		e = describe(&p, ret);
	if (e == OK)
		e = publish(&p, db, dest);
	part_done(&p);
	if (e == OK)
		mark_note_backup(db);
	return e;
}

/* As the database's, or where there is none yet the folder's. Only root may
 * give files away: others keep theirs, with the group where it may be. */
static enum err
take_looks(const struct part *p, struct db *db, const char *path)
{
	struct buf folder = BUF_INIT;
	mode_t mode = 0660;
	struct stat like;

	beside_add_folder(&folder, path);
	if (stat(path, &like) == 0)
		mode = like.st_mode & 07777;
	else if (!buf_ok(&folder) || stat(folder.data, &like) != 0)
		like = (struct stat){.st_uid = geteuid(), .st_gid = getegid()};
	buf_done(&folder);
	if (fchown(p->fd, like.st_uid, like.st_gid) != 0 &&
	    fchown(p->fd, (uid_t)-1, like.st_gid) != 0 && errno != EPERM)
		return fail(db, "give away", p->path.data);
	if (fchmod(p->fd, mode) != 0)
		return fail(db, "set the mode of", p->path.data);
	return OK;
}

enum err
backup_beside(struct db *db, const char *suffix, struct buf *ret_path)
{
	struct part p = PART_INIT;
	enum err e;

	beside_add(ret_path, db->path, suffix);
	buf_addf(&p.path, "%s.part", buf_span(ret_path).p);
	p.path.failed = p.path.failed || !buf_ok(ret_path);
	e = part_fill(&p, db);
	if (e == OK)
		e = take_looks(&p, db, db->path);
	if (e == OK && rename(p.path.data, ret_path->data) != 0)
		e = fail(db, "make", ret_path->data);
	if (e == OK) {
		p.is_ours = false;
		e = sync_folder(db, ret_path->data);
	}
	part_done(&p);
	return e;
}

/* --- Restore -------------------------------------------------------------- */

static enum err
change(struct db *copy, const struct restore *r)
{
	enum err e;

	/* Should it fail the file goes anyway. */
	(void)sqlite3_exec(
	    copy->h, "PRAGMA journal_mode = MEMORY", NULL, NULL, NULL);
	e = db_begin(copy);
	if (e == OK && !r->keeps_epoch)
		e = mark_renew(copy, true);
	if (e == OK && r->change != NULL)
		e = r->change(r->arg, copy);
	return db_end(copy, e);
}

/* What is in the WAL belongs to the file that goes. Should the rename not come
 * about, it must be whole without. One that is damaged is as it is. */
static void
empty_wal(const char *place)
{
	struct db *old = NULL;

	if (db_open(place, DB_AS_IS, BUSY_MS, &old, NULL) == OK)
		(void)sqlite3_wal_checkpoint_v2(
		    old->h, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	db_close(&old);
}

static enum err
remove_beside(struct db *db, const char *place, const char *suffix)
{
	struct buf path = BUF_INIT;
	enum err e = OK;

	buf_addf(&path, "%s%s", place, suffix);
	if (!buf_ok(&path))
		e = stmt_failed(db, SQLITE_NOMEM);
	else if (unlink(path.data) != 0 && errno != ENOENT)
		e = fail(db, "remove", path.data);
	buf_done(&path);
	return e;
}

/* A WAL that stayed would be played back into the new file. */
static enum err
take_place(struct part *p, struct db *db, const char *place)
{
	static const char *const beside[] = {"-wal", "-shm", "-journal"};
	enum err e = take_looks(p, db, place);

	if (e == OK && fsync(p->fd) != 0)
		e = fail(db, "sync", p->path.data);
	if (e == OK && is_interrupted())
		e = interrupted(db);
	if (e != OK)
		return e;
	empty_wal(place);
	for (size_t i = 0; e == OK && i < sizeof(beside) / sizeof(*beside); i++)
		e = remove_beside(db, place, beside[i]);
	if (e == OK && rename(p->path.data, place) != 0)
		e = fail(db, "replace", place);
	if (e != OK)
		return e;
	p->is_ours = false;
	e = sync_folder(db, place);
	return e == OK ? mark_replace(p->db, place) : e;
}

static enum err
refuse_same(struct db *src, const char *place)
{
	struct stat file;

	if (stat(place, &file) == 0 && file.st_dev == src->dev &&
	    file.st_ino == src->ino)
		return stmt_refuse(src, ERR_EXISTS,
		    "%.120s is the database itself", src->path);
	return OK;
}

enum err
backup_restore(
    const struct restore *r, struct backup *ret, struct db_fault *fault)
{
	struct part p = PART_INIT;
	struct buf place = BUF_INIT;
	struct db *src = NULL;
	enum err e = db_open(r->src, DB_AS_IS, BUSY_MS, &src, fault);

	/* A name that was mistyped must not be made, and then be restored. */
	if (e == ERR_NOENT && fault->sys_errno != 0)
		(void)snprintf(fault->text, sizeof(fault->text),
		    "there is no copy %.150s", r->src);
	if (e != OK)
		return e;
	beside_add(&place, r->db_path, "");
	buf_addf(&p.path, "%s.part", buf_span(&place).p);
	p.path.failed = p.path.failed || !buf_ok(&place);
	if ((e = refuse_same(src, r->db_path)) == OK)
		e = part_fill(&p, src);
	if (e == OK) {
		e = change(p.db, r);
		if (e == OK)
			e = take_place(&p, src, place.data);
		if (e == OK)
			e = describe(&p, ret);
		if (e != OK && p.db->fault.text[0] != '\0')
			src->fault = p.db->fault;
	}
	if (e != OK)
		*fault = src->fault;
	part_done(&p);
	/* Its -wal goes, if this was the last to have it open. */
	(void)sqlite3_db_config(
	    src->h, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
	db_close(&src);
	buf_done(&place);
	return e;
}
