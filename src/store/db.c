/* SPDX-License-Identifier: ISC */
/*
 * Opens a connection with every setting it needs, explains why it could not,
 * and watches whether the file is still the one that was opened. Statements
 * are stmt.c, versions of the schema schema.c, checkpoints checkpoint.c. Blocks
 * on the disk and on other writers.
 *
 * Nothing here opens and closes the database's files by itself: a close()
 * drops all POSIX locks that the process holds on the file, those of a
 * connection in another thread too (https://sqlite.org/howtocorrupt.html,
 * section 2.2). stat() and mknod() by path are safe.
 */
#include "store/db.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "io/beside.h"
#include "io/filesystem.h"
#include "store/entry_clock.h"
#include "store/mark.h"
#include "store/schema.h"
#include "store/stmt.h"

enum {
	/* Webhook bodies go up to 32 MiB, and JSON functions add to their
	 * output. */
	LENGTH_MAX = 64 << 20,
	PROBE_ROOM = 1 << 20, /* bytes: some dozens of ordinary webhooks */
};

/*
 * About 1 ms each time, jittered: SQLite's own busy_timeout backs off to 100
 * ms, which with 32 writers gave a p99 of 2.1 s and a twentieth of the rate.
 */
static int
on_busy(void *arg, int n_before)
{
	struct db *db = arg;
	struct timespec pause = {0, (long)random_between(500000, 1500000)};
	int64_t now_us = clock_mono_us();

	if (n_before == 0)
		db->busy_until_us = now_us + (int64_t)db->busy_ms * 1000;
	if (now_us >= db->busy_until_us)
		return 0;
	nanosleep(&pause, NULL);
	return 1;
}

static enum err
set_pragmas(struct db *db, enum db_mode mode)
{
	char limit[64];
	int rc;

	rc = sqlite3_exec(db->h,
	    "PRAGMA synchronous = FULL;"
	    "PRAGMA cell_size_check = ON;"
	    "PRAGMA temp_store = MEMORY;" /* a hardened process has no files
					     elsewhere */
	    "PRAGMA mmap_size = 0;",
	    NULL, NULL, NULL);
	(void)snprintf(limit, sizeof(limit), "PRAGMA journal_size_limit = %d",
	    DB_WAL_BYTES);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db->h, limit, NULL, NULL, NULL);
	if (rc == SQLITE_OK && mode == DB_READ)
		rc = sqlite3_exec(
		    db->h, "PRAGMA query_only = ON", NULL, NULL, NULL);
	return rc == SQLITE_OK ? OK : stmt_failed(db, rc);
}

static enum err
harden(struct db *db, enum db_mode mode)
{
	/* Not TRUSTED_SCHEMA off: SQLite 3.40 then takes its own JSON functions
	 * for unsafe and refuses our schema. It would keep a forged schema from
	 * functions with side effects, and we register none. */
	static const struct {
		int option, value;
	} options[] = {
	    {SQLITE_DBCONFIG_DEFENSIVE, 1},
	    {SQLITE_DBCONFIG_ENABLE_TRIGGER, 1},
	    {SQLITE_DBCONFIG_ENABLE_FKEY, 0},
	    {SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1},
	};
	size_t i;
	int rc;

	sqlite3_extended_result_codes(db->h, 1);
	sqlite3_busy_handler(db->h, on_busy, db);
	sqlite3_limit(db->h, SQLITE_LIMIT_LENGTH, LENGTH_MAX);
	sqlite3_limit(db->h, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_wal_autocheckpoint(db->h, 0);
	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		rc = sqlite3_db_config(
		    db->h, options[i].option, options[i].value, NULL);
		if (rc != SQLITE_OK)
			return stmt_failed(db, rc);
	}
	return set_pragmas(db, mode);
}

/* A path that leads nowhere; errno says why. */
static enum err
no_path(struct db *db, enum db_mode mode)
{
	int reason = errno;
	struct stat link;
	enum err e;

	if (reason != ENOENT && reason != ENOTDIR)
		e = stmt_refuse(db,
		    reason == ENOSPC || reason == EDQUOT ? ERR_FULL
							 : ERR_READONLY,
		    "cannot reach %.100s: %s; "
		    "give this user access to its folder",
		    db->path, strerror(reason));
	else if (lstat(db->path, &link) == 0)
		e = stmt_refuse(db, ERR_NOENT,
		    "%.100s is a symbolic link that leads nowhere; remove it "
		    "or make the file it names",
		    db->path);
	else if (mode == DB_CREATE)
		e = stmt_refuse(db, ERR_NOENT,
		    "no folder for %.100s; create the folder first", db->path);
	else
		e = stmt_refuse(db, ERR_NOENT,
		    "no database at %.70s; "
		    "create it with: jobwire init --db %.70s",
		    db->path, db->path);
	db->fault.sys_errno = reason;
	return e;
}

/* Set before there are threads. */
static bool is_remote_allowed;

void
db_allow_remote(bool is_allowed)
{
	is_remote_allowed = is_allowed;
}

const char *
db_is_remote(const char *path)
{
	struct buf folder = BUF_INIT;
	const char *name = "";
	bool is_remote;

	beside_add_folder(&folder, path);
	is_remote = buf_ok(&folder) &&
		    filesystem_of(folder.data, &name) == FILESYSTEM_REMOTE;
	buf_done(&folder);
	return is_remote ? name : NULL;
}

static enum err
refuse_remote(struct db *db)
{
	const char *name = is_remote_allowed ? NULL : db_is_remote(db->path);

	if (name == NULL)
		return OK;
	return stmt_refuse(db, ERR_READONLY,
	    "%.70s is on %s, where SQLite's locks and shared memory do not "
	    "hold; put it on a local disk (or set allow_remote = on)",
	    db->path, name);
}

/* SQLite says of a folder that it cannot be opened, and opens a device. */
static enum err
refuse_special(struct db *db, const char *full)
{
	struct stat file;

	if (stat(full, &file) != 0 || S_ISREG(file.st_mode))
		return OK;
	return stmt_refuse(db, ERR_READONLY, "%.100s is %s; name a file",
	    db->path, S_ISDIR(file.st_mode) ? "a folder" : "no file");
}

static enum err
open_file(struct db *db, enum db_mode mode)
{
	char *full;
	const char *vfs = mode == DB_APPLY ? entry_clock_vfs() : NULL;
	bool must_write =
	    mode == DB_WRITE || mode == DB_APPLY || mode == DB_CREATE;
	enum err e = must_write ? refuse_remote(db) : OK;
	int rc;

	if (mode == DB_APPLY && vfs == NULL)
		return ERR_NOMEM;
	if (e != OK)
		return e;
	/* mknod() and not open(): it creates without a descriptor to close.
	 * SQLite gives the mode to -wal and -shm, too. */
	if (mode == DB_CREATE && mknod(db->path, S_IFREG | 0660, 0) != 0 &&
	    errno != EEXIST)
		return no_path(db, mode);
	/* Absolute, so that no name is special ("file:", ":memory:"). */
	full = realpath(db->path, NULL);
	if (full == NULL)
		return errno == ENOMEM ? ERR_NOMEM : no_path(db, mode);
	e = refuse_special(db, full);
	if (e != OK)
		goto out;
	/* Readers too: WAL needs -shm writable. SQLite falls back by itself. */
	rc = sqlite3_open_v2(full, &db->h,
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
		SQLITE_OPEN_PRIVATECACHE,
	    vfs);
	if (rc == SQLITE_OK && must_write &&
	    sqlite3_db_readonly(db->h, "main") == 1)
		rc = SQLITE_READONLY;
	if (rc != SQLITE_OK)
		e = stmt_failed(db, rc);
out:
	free(full);
	return e;
}

/* Changes with each commit, of ours as of others. */
static unsigned
cache_version(struct db *db)
{
	unsigned version = 0;

	(void)sqlite3_file_control(
	    db->h, "main", SQLITE_FCNTL_DATA_VERSION, &version);
	return version;
}

/* The database's epoch, and its name as a cluster's node. */
static enum err
read_names(struct db *db)
{
	sqlite3_stmt *st = stmt_open(db, STMT_NAMES);
	const char *epoch = NULL, *node = NULL;
	enum err e = stmt_row_text(db, st, &epoch);

	if (e == OK)
		e = stmt_column_text(db, st, 1, &node);
	if (e == OK && (epoch == NULL || strlen(epoch) != DB_EPOCH_SIZE - 1 ||
			   (node != NULL && strlen(node) > DB_NODE_MAX)))
		e = stmt_failed(db, SQLITE_CORRUPT);
	if (e == OK && epoch != NULL) {
		memcpy(db->epoch, epoch, DB_EPOCH_SIZE);
		snprintf(db->node_id, sizeof(db->node_id), "%s",
		    node != NULL ? node : "");
	}
	stmt_close(st);
	db->has_names = e == OK;
	db->names_version = cache_version(db);
	return e;
}

/* Within a transaction, so that the answer holds until its end. */
static enum err
keep_names(struct db *db)
{
	if (db->has_names && db->names_version == cache_version(db))
		return OK;
	return read_names(db);
}

/* After opening: a file put in our place in between is then told by
 * SQLITE_FCNTL_HAS_MOVED, and one that comes later by both. */
static enum err
read_identity(struct db *db, enum db_mode mode)
{
	struct stat file;
	enum err e;

	if (stat(db->path, &file) != 0)
		return no_path(db, mode);
	db->dev = file.st_dev;
	db->ino = file.st_ino;
	e = read_names(db);
	return e == OK ? mark_check(db, mode) : e;
}

/* Landlock and its like refuse what the modes of files allow, and access(2)
 * knows the modes only. */
static bool
is_fenced_off(const struct db *db)
{
	return db->fault.sys_errno == EACCES &&
	       faccessat(AT_FDCWD, db->path, R_OK | W_OK, AT_EACCESS) == 0;
}

static const char *
remedy(const struct db *db, enum err e)
{
	switch (e) {
	case ERR_BUSY:
		return "another program holds it, find it with fuser";
	case ERR_READONLY:
		if (is_fenced_off(db))
			return "hardening (or SELinux) forbids it: if its "
			       "folder is new, restart";
		return "make it and its folder writable for this user";
	case ERR_CORRUPT:
		return "put a good copy there, or move it away and run: "
		       "jobwire init";
	case ERR_FULL:
		return "free some space";
	default:
		return "the system's log may tell more";
	}
}

/* Failures that are not SQLite's (code 0) have explained themselves. */
static void
explain(struct db *db, enum err e)
{
	char reason[sizeof(db->fault.text)];

	if (db->fault.code == 0)
		return;
	memcpy(reason, db->fault.text, sizeof(reason));
	snprintf(db->fault.text, sizeof(db->fault.text), "%.80s: %.50s; %s",
	    db->path, reason, remedy(db, e));
}

/* SQLite would count the bytes of all threads under one lock, at each
 * allocation: a fifth of the time of an INSERT. Refused when SQLite has
 * started, as after db_limit_memory(), which needs the count. */
static void
stop_counting(void)
{
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

struct db *
db_new(void)
{
	struct db *db = calloc(1, sizeof(*db));

	if (db != NULL)
		db->bell = (struct bell)BELL_INIT;
	return db;
}

enum err
db_open(const char *path, enum db_mode mode, int busy_ms, struct db **ret,
    struct db_fault *fault)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct db *db = db_new();
	enum err e = ERR_NOMEM;

	(void)pthread_once(&once, stop_counting);
	if (db == NULL)
		goto out;
	db->busy_ms = busy_ms;
	if ((db->path = strdup(path)) == NULL)
		goto out;
	if ((e = open_file(db, mode)) != OK || (e = harden(db, mode)) != OK ||
	    (e = schema_check(db, mode)) != OK ||
	    (e = read_identity(db, mode)) != OK ||
	    /* Now, for later it must not fail for want of memory. */
	    (e = stmt_prepare(db, STMT_ROLLBACK)) != OK)
		goto out;
	*ret = db;
	return OK;
out:
	if (fault != NULL) {
		*fault = (struct db_fault){.text = "out of memory"};
		if (e != ERR_NOMEM) {
			explain(db, e);
			*fault = db->fault;
		}
	}
	db_close(&db);
	return e;
}

static enum err
set_sync(struct db *db, const char *sql)
{
	int rc = sqlite3_exec(db->h, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? OK : stmt_failed(db, rc);
}

enum err
db_sync_normal(struct db *db)
{
	return set_sync(db, "PRAGMA synchronous = NORMAL");
}

enum err
db_sync_full(struct db *db)
{
	return set_sync(db, "PRAGMA synchronous = FULL");
}

void
db_set_busy(struct db *db, int busy_ms)
{
	db->busy_ms = busy_ms;
}

void
db_limit_memory(int64_t bytes)
{
	(void)sqlite3_soft_heap_limit64(bytes);
}

bool
db_is_spoiled_by(enum err e)
{
	return e == ERR_GONE || e == ERR_IO || e == ERR_CORRUPT ||
	       e == ERR_READONLY;
}

void
db_close(struct db **db)
{
	if (*db == NULL)
		return;
	stmt_done(*db);
	sqlite3_close((*db)->h);
	bell_close(&(*db)->bell);
	free((*db)->path);
	free(*db);
	*db = NULL;
}

const struct db_fault *
db_last_fault(const struct db *db)
{
	return &db->fault;
}

const char *
db_epoch(const struct db *db)
{
	return db->epoch;
}

const char *
db_node_id(const struct db *db)
{
	return db->node_id;
}

bool
db_is_clustered(const struct db *db)
{
	return db->node_id[0] != '\0';
}

enum err
db_refresh(struct db *db)
{
	enum err e = stmt_do(db, STMT_BEGIN_READ);

	if (e == OK)
		e = read_names(db);
	db_rollback(db);
	return e;
}

const char *
db_path(const struct db *db)
{
	return db->path;
}

bool
db_changed(struct db *db)
{
	int64_t version = 0;
	bool is_changed;

	if (stmt_run_int(db, stmt_open(db, STMT_DATA_VERSION), 0, &version) !=
	    OK) {
		db->has_version = false;
		return true;
	}
	is_changed = !db->has_version || version != db->version;
	db->has_version = true;
	db->version = version;
	return is_changed;
}

bool
db_has_moved(struct db *db)
{
	struct stat file;
	int has_moved = 0;

	if (stat(db->path, &file) != 0 || file.st_dev != db->dev ||
	    file.st_ino != db->ino)
		return true;
	sqlite3_file_control(db->h, "main", SQLITE_FCNTL_HAS_MOVED, &has_moved);
	return has_moved != 0;
}

enum err
db_begin(struct db *db)
{
	enum err e = stmt_do(db, STMT_BEGIN_WRITE);

	if (e == OK && (e = keep_names(db)) != OK)
		db_rollback(db);
	return e;
}

enum err
db_begin_read(struct db *db)
{
	return stmt_do(db, STMT_BEGIN_READ);
}

enum err
db_commit(struct db *db)
{
	enum err e = stmt_do(db, STMT_COMMIT);

	if (e != OK) {
		db_rollback(db);
		return e;
	}
	db->names_version = cache_version(db);
	db->has_new_names = false;
	/* In WAL mode SQLite commits to an unlinked file without a word. */
	return db_has_moved(db) ? stmt_failed(db, SQLITE_READONLY_DBMOVED) : OK;
}

void
db_rollback(struct db *db)
{
	stmt_rollback(db);
	db->has_names = db->has_names && !db->has_new_names;
	db->has_new_names = false;
}

enum err
db_end(struct db *db, enum err e)
{
	if (e == OK)
		return db_commit(db);
	db_rollback(db);
	return e;
}

enum err
db_part_begin(struct db *db)
{
	return stmt_do(db, STMT_SAVEPOINT);
}

enum err
db_part_end(struct db *db, enum err e, bool *ret_goes_on)
{
	*ret_goes_on = e == OK;
	if (e == OK)
		return stmt_do(db, STMT_RELEASE);
	/* A trigger's RAISE(ROLLBACK) leaves nothing to go on with. */
	if ((e == ERR_PROTO || e == ERR_LIMIT) &&
	    sqlite3_get_autocommit(db->h) == 0)
		*ret_goes_on = stmt_do(db, STMT_UNDO) == OK &&
			       stmt_do(db, STMT_RELEASE) == OK;
	return e;
}

int64_t
db_mark(const struct db *db)
{
	return sqlite3_total_changes64(db->h);
}

bool
db_has_written(const struct db *db, int64_t mark)
{
	return sqlite3_total_changes64(db->h) != mark ||
	       sqlite3_get_autocommit(db->h) != 0;
}

enum err
db_probe(struct db *db)
{
	enum err e = stmt_do(db, STMT_PROBE);
	struct statvfs fs;

	/* Where this row fits, the next one need not. A file system without
	 * blocks does not say how much room it has. */
	if (e == OK && statvfs(db->path, &fs) == 0 && fs.f_blocks > 0 &&
	    fs.f_bavail < PROBE_ROOM / fs.f_frsize)
		e = ERR_FULL;
	return e;
}
