/* SPDX-License-Identifier: ISC */
/*
 * The error values every layer returns. Layer: base.
 *
 * Functions below the programs do not log; they return one of these and the
 * caller that decides what to do logs once.
 */
#ifndef JOBWIRE_ERR_H
#define JOBWIRE_ERR_H

enum err {
	OK = 0,
	ERR_NOMEM,    /* an allocation failed */
	ERR_SYS,      /* a system call failed; errno says why */
	ERR_AGAIN,    /* not now: nothing there yet, or no room yet */
	ERR_BUSY,     /* the database is locked longer than we may wait */
	ERR_FULL,     /* no space on the device */
	ERR_READONLY, /* the database cannot be written or opened */
	ERR_CORRUPT,  /* the database is damaged, or is not a database */
	ERR_IO,	      /* reading or writing the database failed */
	ERR_GONE, /* the file or peer we were working with is not there now */
	ERR_VERSION, /* the database's schema is not one we know */
	ERR_PROTO,   /* the input breaks its grammar */
	ERR_LIMIT,   /* the input is larger than a limit */
	ERR_AUTH,    /* not allowed */
	ERR_EXPIRED, /* was allowed once, is too old now */
	ERR_NOENT,   /* no such row, key or name */
	ERR_EXISTS,  /* already there */
};

#define CHECK_RESULT __attribute__((warn_unused_result))

/* A fixed English phrase for the value; never NULL. */
const char *err_text(enum err e);

#endif
