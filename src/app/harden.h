/* SPDX-License-Identifier: ISC */
/*
 * What a program gives up, for good, once it has started. Layer: app; called by
 * service.c for the responders.
 */
#ifndef JOBWIRE_HARDEN_H
#define JOBWIRE_HARDEN_H

#include "base/buf.h"
#include "conf/settings.h"

enum harden_network {
	HARDEN_ANSWERS,	 /* makes no connection: takes those that come on the
			   socket that listens */
	HARDEN_CONNECTS, /* makes some: reads also what names and certificates
			    are looked up in, /etc above all */
};

/*
 * From here on this process, and every thread and process that it starts, can
 * run no other program, open no other files than its own, listen on no other
 * socket and map no code; a core of it holds no memory. `s` is borrowed and
 * says what is its own: the folder of `db` and `spool` to read and write, the
 * folders of key files and of the configuration to read. A folder is known by
 * what it is and not by its path: one that is put in its place later stays
 * closed, but files in it may come and go.
 *
 * What the kernel or the processor does not offer is left out, and one line of
 * level info says what is on. Nothing happens in a build with AddressSanitizer,
 * which needs all this itself, but for the line. Call after the socket
 * listens, before there are threads. Blocks as far as opening folders does.
 * Sources: landlock(7), seccomp(2), seccomp_rule_add(3), core(5).
 */
void harden_apply(const struct settings *s, enum harden_network network);

/* Appends what is on, as the metric jobwire_PROGRAM_hardening_version. */
void harden_add_metrics(struct buf *out, const char *program);

#endif
