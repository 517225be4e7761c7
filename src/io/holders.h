/* SPDX-License-Identifier: ISC */
/*
 * Who has the database open. Layer: io.
 *
 * To ask opens and closes its file, and that drops the locks of a connection of
 * our own: ask before there is one.
 */
#ifndef JOBWIRE_HOLDERS_H
#define JOBWIRE_HOLDERS_H

#include <sys/stat.h>
#include <sys/types.h>

#include <stdbool.h>

#include "base/buf.h"

/*
 * Has another process a connection to the database? Each holds a lock for as
 * long as it is open. Appends who, as far as the system tells us: "process 812
 * (jobwire-webhook), process 815 (jobwire-events)". One in another container,
 * or of another user, may have no name. False where there is no file.
 */
bool holders_find(const char *db_path, struct buf *out);

/* Has the process the file of these numbers open? *ret_hidden: the system does
 * not tell us, for it is of another user. */
bool holders_has_open(pid_t pid, const struct stat *file, bool *ret_hidden);

/* Appends "process 812 (jobwire-webhook)". Its command line would say more, and
 * may hold a secret. */
void holders_add(struct buf *out, pid_t pid);

#endif
