/* SPDX-License-Identifier: ISC */
/*
 * Whole small files. Layer: base. Blocks on the disk; for start-up and
 * commands only.
 */
#ifndef JOBWIRE_FILE_H
#define JOBWIRE_FILE_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * Appends the file's content to *ret; a FIFO that nobody writes has none.
 * ERR_SYS with errno; ERR_LIMIT above `max` bytes; ERR_NOMEM.
 */
CHECK_RESULT enum err file_read(const char *path, size_t max, struct buf *ret);

/* The same for what can be read from a descriptor until its end. */
CHECK_RESULT enum err file_read_fd(int fd, size_t max, struct buf *ret);

/* Appends the folder that a path is in, without a slash at its end; "/" and
 * "." are as they are. Pure. */
void file_add_folder(struct buf *out, const char *path);

#endif
