/* SPDX-License-Identifier: ISC */
/*
 * What a client takes, by its Accept field (RFC 9110, section 12.5.1). Layer:
 * web, pure.
 */
#ifndef JOBWIRE_ACCEPT_H
#define JOBWIRE_ACCEPT_H

/* How closely the field names a type; a higher one names it more closely. */
enum accept {
	ACCEPT_NOT,   /* not at all, or with q=0 */
	ACCEPT_ANY,   /* as one of all types; also by a field that is empty */
	ACCEPT_GROUP, /* as application/... or the like */
	ACCEPT_NAMED,
};

/* How the field, "" or NULL when there is none, names `type`, which is in lower
 * case. Of several ranges that fit, the closest one decides. */
enum accept accept_find(const char *field, const char *type);

#endif
