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

/*
 * Is a frame of the present generation behind limit? After a RESTART writers
 * begin at the front again and the file keeps its size. A frame counts while it
 * has the salt of the header (https://sqlite.org/fileformat2.html, section
 * 4.1).
 */
bool
wal_is_filled(struct db *db, int64_t limit_bytes)
{
	unsigned char header[HEADER_SIZE], salt[SALT_SIZE];
	sqlite3_file *f = wal_file(db);
	int64_t frame_size, frame;

	if (f == NULL ||
	    f->pMethods->xRead(f, header, sizeof(header), 0) != SQLITE_OK)
		return false;
	frame_size = FRAME_HEADER_SIZE + ((int64_t)header[8] << 24) +
		     ((int64_t)header[9] << 16) + ((int64_t)header[10] << 8) +
		     header[11];
	frame = HEADER_SIZE + limit_bytes / frame_size * frame_size;
	return f->pMethods->xRead(f, salt, sizeof(salt), frame + 8) ==
		   SQLITE_OK &&
	       memcmp(salt, header + 16, sizeof(salt)) == 0;
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
