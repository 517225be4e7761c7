/* SPDX-License-Identifier: ISC */
/*
 * Is this our database, and of our version? Layer: store, private to it;
 * called by db_open().
 */
#ifndef JOBWIRE_SCHEMA_H
#define JOBWIRE_SCHEMA_H

#include "base/err.h"
#include "store/db.h"

/*
 * Checks application_id and user_version. Unless it is to be read only, it also
 * turns WAL on and brings an older schema up to date, and with DB_CREATE an
 * empty database; safe when several processes do so at once. Of an older one a
 * copy is made before, PATH-schema-N, and logged with how to return to it;
 * where there is no room for that, all stays as it is: ERR_FULL. ERR_CORRUPT:
 * another program's; ERR_VERSION: newer than we know, older than the first
 * release, or what the mode does not bring up to date: then the fault has code
 * 0 and a whole text. Else as db_open().
 */
CHECK_RESULT enum err schema_check(struct db *db, enum db_mode mode);

#endif
