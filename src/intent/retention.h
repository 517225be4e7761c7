/* SPDX-License-Identifier: ISC */
/*
 * How the janitor of a cluster's node has things deleted. Layer: intent.
 */
#ifndef JOBWIRE_INTENT_RETENTION_H
#define JOBWIRE_INTENT_RETENTION_H

#include "store/retention.h"

/* Errors as db_begin(). */
retention_post_fn intent_post_retention;

#endif
