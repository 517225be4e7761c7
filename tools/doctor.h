/* SPDX-License-Identifier: ISC */
/*
 * The parts of `jobwire doctor`. Each check says one line on standard output:
 * how it is, what was found, and what mends it.
 */
#ifndef JOBWIRE_DOCTOR_H
#define JOBWIRE_DOCTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "command.h"
#include "conf/settings.h"
#include "store/db.h"

enum finding {
	FINDING_OK,
	FINDING_WARN, /* works, but not as it should, or not for long */
	FINDING_FAIL, /* does not work: exit status 1 */
};

struct doctor {
	const struct command_line *c;
	/* The settings as the two programs read them; all zero: they cannot. */
	struct settings events, webhook;
	struct db *db; /* DB_WRITE with a URL, else DB_READ; NULL: unusable */
	bool has_failed;
};

/* One line about `check`, a word that scripts may look for. remedy: NULL, or
 * what mends it. */
void doctor_say(struct doctor *d, enum finding finding, const char *check,
    const char *remedy, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Settings and keys, as both programs load them; fills the settings. */
void doctor_settings(struct doctor *d);

/* Files with secrets that others can read. */
void doctor_secrets(struct doctor *d);

/* The database and the folder it is in; fills db. */
void doctor_database(struct doctor *d);
void doctor_folder(struct doctor *d);

/* What the machine allows: inotify, descriptors, SQLite's version, clock. */
void doctor_machine(struct doctor *d);

/* Can the URL and the flags be? EXIT_DONE, or EXIT_USAGE after saying why not. */
int doctor_usage(const struct command_line *c);

/* Asks the web server at the URL that is the argument. */
void doctor_web(struct doctor *d);

#endif
