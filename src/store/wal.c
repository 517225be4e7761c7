/* SPDX-License-Identifier: ISC */
/*
 * Reads and extends the WAL through SQLite's own open file: a descriptor of
 * ours would drop its locks when it is closed. Checkpoints are checkpoint.c.
 * Blocks on the disk, and wal_extend() on other writers.
 */
#include "store/wal.h"

#include <sys/statvfs.h>

#include <string.h>

#include "store/stmt.h"

enum {
	HEADER_SIZE = 32,
	FRAME_HEADER_SIZE = 24,
	SALT_SIZE = 8,
	PIECE_SIZE = 1 << 16,
	ROOM_SHARE = 4, /* of what is free, one such part may be taken */
};

/* The open WAL; borrowed from the connection. NULL: there is none. */
static sqlite3_file *
wal_file(struct db *db)
{
	sqlite3_file *f = NULL;

	sqlite3_file_control(db->h, "main", SQLITE_FCNTL_JOURNAL_POINTER, &f);
	return f != NULL && f->pMethods != NULL ? f : NULL;
}

struct wal {
	sqlite3_file *f; /* borrowed */
	unsigned char header[HEADER_SIZE];
	int64_t frame_size;
};

/* False: there is none. */
static bool
read_header(struct db *db, struct wal *w)
{
	const unsigned char *h;

	w->f = wal_file(db);
	if (w->f == NULL ||
	    w->f->pMethods->xRead(w->f, w->header, HEADER_SIZE, 0) != SQLITE_OK)
		return false;
	h = w->header;
	w->frame_size = FRAME_HEADER_SIZE + ((int64_t)h[8] << 24) +
			((int64_t)h[9] << 16) + ((int64_t)h[10] << 8) + h[11];
	return true;
}

/*
 * Is the frame with that number, from 0, one of the present generation? After
 * a RESTART writers begin at the front again and the file keeps its size. A
 * frame counts while it has the salt of the header
 * (https://sqlite.org/fileformat2.html, section 4.1).
 */
static bool
does_count(const struct wal *w, int64_t frame)
{
	int64_t at = HEADER_SIZE + frame * w->frame_size;
	unsigned char salt[SALT_SIZE];

	return w->f->pMethods->xRead(w->f, salt, sizeof(salt), at + 8) ==
		   SQLITE_OK &&
	       memcmp(salt, w->header + 16, sizeof(salt)) == 0;
}

bool
wal_is_filled(struct db *db, int64_t limit_bytes)
{
	struct wal w;

	return read_header(db, &w) &&
	       does_count(&w, limit_bytes / w.frame_size);
}

int64_t
wal_filled(struct db *db)
{
	sqlite3_int64 size = 0;
	int64_t some = 0, all, middle;
	struct wal w;

	if (!read_header(db, &w) ||
	    w.f->pMethods->xFileSize(w.f, &size) != SQLITE_OK)
		return 0;
	/* Those that count stand at the front. */
	all = size / w.frame_size;
	while (some < all) {
		middle = some + (all - some) / 2;
		if (does_count(&w, middle))
			some = middle + 1;
		else
			all = middle;
	}
	return some * w.frame_size;
}

static bool
has_room(const struct db *db, int64_t bytes)
{
	struct statvfs fs;

	/* A file system without blocks does not say how much it has. */
	return statvfs(db->path, &fs) == 0 && fs.f_blocks > 0 &&
	       (int64_t)fs.f_bavail > bytes * ROOM_SHARE / (int64_t)fs.f_frsize;
}

/* Under the write lock nobody else writes there. */
static int
add_zeros(sqlite3_file *f, int64_t from, int64_t to)
{
	static const char zeros[PIECE_SIZE];
	int64_t at;
	int n, rc = SQLITE_OK;

	for (at = from; rc == SQLITE_OK && at < to; at += n) {
		n = to - at < PIECE_SIZE ? (int)(to - at) : PIECE_SIZE;
		rc = f->pMethods->xWrite(f, zeros, n, at);
	}
	if (rc == SQLITE_OK)
		rc = f->pMethods->xSync(f, SQLITE_SYNC_NORMAL);
	if (rc != SQLITE_OK)
		(void)f->pMethods->xTruncate(f, from);
	return rc;
}

enum err
wal_extend(struct db *db, int64_t bytes)
{
	sqlite3_int64 size = 0;
	sqlite3_file *f;
	int rc = SQLITE_OK;
	enum err e;

	/* This opens the WAL, too. */
	if ((e = db_begin(db)) != OK)
		return e;
	f = wal_file(db);
	if (f != NULL)
		rc = f->pMethods->xFileSize(f, &size);
	if (f != NULL && rc == SQLITE_OK && size < bytes &&
	    has_room(db, bytes - size))
		rc = add_zeros(f, size, bytes);
	if (rc != SQLITE_OK)
		e = stmt_failed(db, rc);
	db_rollback(db);
	return e;
}
