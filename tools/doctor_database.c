/* SPDX-License-Identifier: ISC */
/*
 * The doctor's look at the database, its files and the folder they are in. The
 * files are looked at by stat(2) only: to close one would drop the locks of our
 * own connection. Blocks on the disk.
 */
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "doctor.h"
#include "io/filesystem.h"
#include "store/survey.h"

enum {
	CHECK_BUDGET_MS = 5000,	    /* checkpoints wait for it */
	WAL_LARGE_BYTES = 64 << 20, /* eight times what it should be */
	SPACE_LITTLE_MB = 256,
	SPACE_NONE_MB = 16,
	MB = 1 << 20,
};

/* The folder's path, and the database's name in it. */
struct place {
	char *folder;	  /* owned */
	const char *name; /* borrowed from the settings */
};

static bool
place_of(const struct doctor *d, struct place *ret)
{
	const char *path = d->c->settings->db;
	const char *slash = strrchr(path, '/');

	ret->name = slash == NULL ? path : slash + 1;
	if (slash == NULL)
		ret->folder = strdup(".");
	else if (slash == path)
		ret->folder = strdup("/");
	else
		ret->folder = strndup(path, (size_t)(slash - path));
	return ret->folder != NULL;
}

static void
check_whole(struct doctor *d)
{
	int64_t began_us = clock_mono_us();
	bool is_whole = false;
	enum err e = survey_check(d->db, CHECK_BUDGET_MS, &is_whole);

	if (e == ERR_CORRUPT)
		doctor_say(d, FINDING_FAIL, "database",
		    "put a good copy there, or move it away and run: jobwire "
		    "init",
		    "%s is damaged: %s", d->c->settings->db,
		    db_last_fault(d->db)->text);
	else if (e != OK)
		doctor_say(d, FINDING_WARN, "database", NULL,
		    "%s could not be checked: %s", d->c->settings->db,
		    err_text(e));
	else
		doctor_say(d, FINDING_OK, "database", NULL,
		    "%s, epoch %s, %s in %" PRId64 " ms", d->c->settings->db,
		    db_epoch(d->db),
		    is_whole ? "quick_check found nothing"
			     : "quick_check found nothing as far as it came",
		    (clock_mono_us() - began_us) / 1000);
}

static void
check_journal(struct doctor *d)
{
	struct buf wal = BUF_INIT;
	struct stat file;
	bool is_wal = false;
	int64_t size = 0;
	enum err e = survey_is_wal(d->db, &is_wal);

	buf_addf(&wal, "%s-wal", d->c->settings->db);
	if (buf_ok(&wal) && stat(wal.data, &file) == 0)
		size = file.st_size;
	buf_done(&wal);
	if (e == OK && !is_wal)
		doctor_say(d, FINDING_FAIL, "journal",
		    "stop what uses the database and run: sqlite3 FILE "
		    "'PRAGMA journal_mode = WAL'",
		    "the database is not in WAL mode: readers and writers stop "
		    "each other");
	else if (size > WAL_LARGE_BYTES)
		doctor_say(d, FINDING_WARN, "journal",
		    "run jobwire-events or jobwire-webhook, and find who keeps "
		    "a read transaction open",
		    "the WAL has %" PRId64 " MiB: nobody checkpoints it",
		    size / MB);
	else
		doctor_say(d, FINDING_OK, "journal", NULL,
		    "WAL of %" PRId64 " KiB", size / 1024);
}

void
doctor_database(struct doctor *d)
{
	enum { WAIT_MS = 5000 };
	struct db_fault fault = {0};
	enum err e = db_open(d->c->settings->db,
	    d->c->n > 0 ? DB_WRITE : DB_READ, WAIT_MS, &d->db, &fault);

	if (e != OK) {
		doctor_say(d, FINDING_FAIL, "database", NULL, "%s",
		    fault.text[0] != '\0' ? fault.text : err_text(e));
		return;
	}
	check_whole(d);
	check_journal(d);
}

static void
check_space(struct doctor *d, const char *folder)
{
	struct statvfs fs;
	uint64_t free_mb;
	enum finding finding = FINDING_OK;

	if (statvfs(folder, &fs) != 0)
		return; /* opening the database has said what is wrong */
	free_mb = (uint64_t)fs.f_bavail * fs.f_frsize / MB;
	if (free_mb < SPACE_NONE_MB)
		finding = FINDING_FAIL;
	else if (free_mb < SPACE_LITTLE_MB)
		finding = FINDING_WARN;
	doctor_say(d, finding, "space",
	    finding == FINDING_OK
		? NULL
		: "free some space, or keep less: keep_days, keep_events",
	    "%" PRIu64 " MiB are free in %s", free_mb, folder);
}

static void
check_filesystem(struct doctor *d, const char *folder)
{
	const char *name;

	switch (filesystem_of(folder, &name)) {
	case FILESYSTEM_LOCAL:
		doctor_say(d, FINDING_OK, "filesystem", NULL, "a local one");
		break;
	case FILESYSTEM_REMOTE:
		doctor_say(d, FINDING_FAIL, "filesystem",
		    "move the database to a local disk",
		    "%s is on %s, where SQLite's locks and shared memory do "
		    "not hold",
		    folder, name);
		break;
	case FILESYSTEM_OVERLAY:
		doctor_say(d, FINDING_WARN, "filesystem", "put it on a volume",
		    "%s is in a container's own layer (overlay) and goes with "
		    "it",
		    folder);
		break;
	case FILESYSTEM_MEMORY:
		doctor_say(d, FINDING_WARN, "filesystem",
		    "move the database to a disk",
		    "%s is in memory (%s): a restart of the machine loses "
		    "every event",
		    folder, name);
		break;
	}
}

/* Of the database's own files: can all that use it use them all? */
static bool
check_file(struct doctor *d, const char *path, const struct stat *file,
    const struct stat *db)
{
	if ((file->st_mode & S_IWOTH) != 0)
		doctor_say(d, FINDING_FAIL, "folder", "chmod o= that file",
		    "everybody can write %s (mode %04o)", path,
		    (unsigned)file->st_mode & 07777);
	else if (file->st_uid != db->st_uid &&
		 (file->st_gid != db->st_gid || (file->st_mode & S_IWGRP) == 0))
		doctor_say(d, FINDING_FAIL, "folder",
		    "chown it like the database; run all programs as one user "
		    "or group",
		    "%s belongs to another user (%u, mode %04o) than the "
		    "database (%u)",
		    path, (unsigned)file->st_uid,
		    (unsigned)file->st_mode & 07777, (unsigned)db->st_uid);
	else
		return true;
	return false;
}

/* Each write to another file here wakes everybody who watches the folder. */
static bool
check_names(struct doctor *d, const struct place *at, const struct stat *db)
{
	const struct dirent *entry;
	struct buf path = BUF_INIT;
	struct stat file;
	bool is_well = true;
	DIR *dir = opendir(at->folder);

	if (dir == NULL)
		return true;
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		buf_reset(&path);
		buf_addf(&path, "%s/%s", at->folder, entry->d_name);
		if (!buf_ok(&path) || stat(path.data, &file) != 0)
			continue;
		if (strncmp(entry->d_name, at->name, strlen(at->name)) == 0) {
			is_well =
			    check_file(d, path.data, &file, db) && is_well;
			continue;
		}
		doctor_say(d, FINDING_WARN, "folder",
		    "give the database a folder of its own",
		    "%s is beside the database", path.data);
		is_well = false;
		break; /* one such line is enough */
	}
	(void)closedir(dir);
	buf_done(&path);
	return is_well;
}

static bool
check_access(struct doctor *d, const struct place *at, const struct stat *db)
{
	struct stat folder;

	if (stat(at->folder, &folder) != 0)
		return true;
	if ((folder.st_mode & S_IWOTH) != 0) {
		doctor_say(d, FINDING_FAIL, "folder", "chmod o-w that folder",
		    "everybody can write into %s (mode %04o)", at->folder,
		    (unsigned)folder.st_mode & 07777);
		return false;
	}
	if ((db->st_mode & S_IROTH) != 0 && (folder.st_mode & S_IXOTH) != 0) {
		doctor_say(d, FINDING_WARN, "folder",
		    "chmod o= the folder and the files in it",
		    "everybody can read the database, and so the ids of all "
		    "jobs");
		return false;
	}
	return true;
}

void
doctor_folder(struct doctor *d)
{
	struct place at;
	struct stat db;
	bool is_well;

	if (!place_of(d, &at))
		return;
	check_filesystem(d, at.folder);
	check_space(d, at.folder);
	if (stat(d->c->settings->db, &db) == 0) {
		is_well = check_access(d, &at, &db);
		is_well = check_names(d, &at, &db) && is_well;
		if (is_well)
			doctor_say(d, FINDING_OK, "folder", NULL,
			    "%s is the database's alone", at.folder);
	}
	free(at.folder);
}
