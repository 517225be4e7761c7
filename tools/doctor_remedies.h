/* SPDX-License-Identifier: ISC */
/*
 * Which directive of which web server mends what. Pure.
 */
#ifndef JOBWIRE_DOCTOR_REMEDIES_H
#define JOBWIRE_DOCTOR_REMEDIES_H

#include "base/buf.h"

enum fault {
	FAULT_BUFFERED,	     /* events arrive late and together */
	FAULT_COMPRESSED,    /* the stream is compressed */
	FAULT_CUT,	     /* a silent stream is ended */
	FAULT_AUTHORIZATION, /* the field does not reach jobwire */
	FAULT_BODY,	     /* bodies are refused before jobwire sees them */
	FAULT_ROUTE,	     /* a path does not lead to its program */
	FAULT_AWAY,	     /* the program does not answer the web server */
	FAULT_HTTP10,	     /* answers are HTTP/1.0 */
	FAULT_HEADERS,	     /* our fields were taken away or changed */
};

/* Appends what to write where, for the server that the field Server names; for
 * an unknown one (empty) that of all servers. */
void remedies_add(struct buf *out, struct span server, enum fault fault);

#endif
