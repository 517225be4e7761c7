/* SPDX-License-Identifier: ISC */
/*
 * The parts of `jobwire doctor`. Each check says one line on standard output:
 * how it is, what was found, and what mends it.
 */
#ifndef JOBWIRE_DOCTOR_H
#define JOBWIRE_DOCTOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "command.h"
#include "conf/settings.h"
#include "store/db.h"

enum finding {
	FINDING_OK,
	FINDING_WARN, /* works, but not as it should, or not for long */
	FINDING_FAIL, /* does not work: exit status 1 */
};

struct doctor_flags {
	char *key, *origin, *ca;
	int64_t gap, idle; /* ms; idle 0: not given */
	bool is_long;
};

struct doctor {
	const struct command_line *c;
	const struct doctor_flags *flags;
	const char *url; /* of the site; borrowed; NULL: not known */
	struct buf file; /* the database, where its name leads */
	/* The settings as the two programs read them; all zero: they cannot. */
	struct settings events, webhook;
	struct db *db; /* DB_READ; NULL: unusable */
	bool has_failed;
};

/* One line about `check`, a word that scripts may look for. remedy: NULL, or
 * what mends it. Nothing after an interrupt. */
void doctor_say(struct doctor *d, enum finding finding, const char *check,
    const char *remedy, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* For what must not stay: once signals are held, SIGHUP, SIGINT and SIGTERM end
 * what waits for the web server and do no more; doctor_release_signals() then
 * lets the process die of the one that came. Where a signal is ignored it stays
 * so. */
void doctor_hold_signals(void);
bool doctor_is_interrupted(void);
void doctor_release_signals(void);

/* Names, or numbers where there are none. Truncated. */
enum { DOCTOR_NAME_SIZE = 40, DOCTOR_OWNER_SIZE = 100 };
void doctor_name_user(uid_t uid, char ret[DOCTOR_NAME_SIZE]);
void doctor_name_group(gid_t gid, char ret[DOCTOR_NAME_SIZE]);
/* "jobwire:www-data, mode 0660" */
void doctor_name_owner(const struct stat *file, char ret[DOCTOR_OWNER_SIZE]);

/* Settings and keys, as both programs load them; fills the settings. */
void doctor_settings(struct doctor *d);

/* Files with secrets that others can read. */
void doctor_secrets(struct doctor *d);

/* RunPod's key, where jobs are started. */
void doctor_runner(struct doctor *d);

/* Asks RunPod for each endpoint. */
void doctor_endpoints(struct doctor *d);

/* How a node of a cluster is, after doctor_database(). */
void doctor_cluster(struct doctor *d);

/* Who holds the database's locks, so that nobody else can write. Before
 * doctor_database(): to look opens and closes files, and that would drop the
 * locks of a connection of our own. Blocks for 2 s while somebody does. */
void doctor_lock(struct doctor *d);

/* The database and the folder it is in; fills db. */
void doctor_database(struct doctor *d);
void doctor_folder(struct doctor *d);

/* Runs that wait while no jobwire-runner is there. After doctor_database(). */
void doctor_runs(struct doctor *d);

/* What the machine allows: inotify, descriptors, SQLite's version, clock. */
void doctor_machine(struct doctor *d);

/* Do the programs answer on the sockets that the settings name? */
void doctor_sockets(struct doctor *d);

/* Can the URL be? EXIT_DONE, or EXIT_USAGE after saying why not. */
int doctor_usage(struct doctor *d);

/* Asks the web server at d->url. */
void doctor_web(struct doctor *d);

#endif
