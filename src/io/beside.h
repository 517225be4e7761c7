/* SPDX-License-Identifier: ISC */
/*
 * Where a database's companions are: SQLite puts -wal and -shm beside the file
 * itself, not beside a symbolic link that leads to it, and so do we with the
 * bell and the locks. Then programs agree that know the database by different
 * names. Layer: io. Blocks on the disk.
 */
#ifndef JOBWIRE_BESIDE_H
#define JOBWIRE_BESIDE_H

#include <stdbool.h>

#include "base/buf.h"

/* Appends the file's own path, as the name leads there now, and suffix. Where
 * there is no such file, the path as it is given. */
void beside_add(struct buf *out, const char *db_path, const char *suffix);

/* Appends the path of the folder that it is in, without a slash at its end;
 * "/" and "." are as they are. */
void beside_add_folder(struct buf *out, const char *db_path);

/* Opens the file there, O_CLOEXEC, with the flags of open(2); not through a
 * symbolic link, and without waiting for anybody. What root opens to
 * write is given to the database's owner. -1 with errno. */
int beside_open(const char *db_path, const char *suffix, int flags);

/* Syncs the folder that it is in: what was made, renamed or removed there
 * stays so. False with errno. */
bool beside_sync(const char *path);

#endif
