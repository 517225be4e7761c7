/* SPDX-License-Identifier: ISC */
/*
 * How this node's database is replaced by a copy of another node's.
 */
#ifndef JOBWIRE_CLUSTER_CLONE_H
#define JOBWIRE_CLUSTER_CLONE_H

#include "command.h"

/* With the settings' node_id. Returns the exit status. */
int cluster_clone(const struct command_line *c, const char *src);

#endif
