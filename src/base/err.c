/* SPDX-License-Identifier: ISC */
/*
 * The English phrases of enum err. Nothing else: who logs or answers with
 * them decides that itself. Never blocks.
 */
#include "base/err.h"

const char *
err_text(enum err e)
{
	switch (e) {
	case OK:
		return "no error";
	case ERR_NOMEM:
		return "out of memory";
	case ERR_SYS:
		return "a system call failed";
	case ERR_AGAIN:
		return "not ready";
	case ERR_BUSY:
		return "the database is locked";
	case ERR_FULL:
		return "no space on the device";
	case ERR_READONLY:
		return "the database cannot be written or opened";
	case ERR_CORRUPT:
		return "the database is damaged";
	case ERR_IO:
		return "reading or writing the database failed";
	case ERR_GONE:
		return "the file or peer is gone";
	case ERR_VERSION:
		return "unknown schema version";
	case ERR_PROTO:
		return "malformed input";
	case ERR_LIMIT:
		return "larger than the limit";
	case ERR_AUTH:
		return "not allowed";
	case ERR_EXPIRED:
		return "expired";
	case ERR_NOENT:
		return "not found";
	case ERR_EXISTS:
		return "already exists";
	}
	return "unknown error";
}
