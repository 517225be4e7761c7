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
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "doctor.h"
#include "io/beside.h"
#include "io/filesystem.h"
#include "store/inspect.h"

enum {
	CHECK_BUDGET_MS = 5000,	    /* checkpoints wait for it */
	WAL_LARGE_BYTES = 64 << 20, /* eight times what it should be */
	SPACE_LITTLE_MB = 256,
	SPACE_NONE_MB = 16,
	MB = 1 << 20,
};

static void
check_whole(struct doctor *d)
{
	int64_t began_us = clock_mono_us();
	bool is_whole = false;
	enum err e = inspect_check(d->db, CHECK_BUDGET_MS, &is_whole);

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
	enum err e = inspect_is_wal(d->db, &is_wal);

	buf_addf(&wal, "%s-wal", d->file.data);
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
	enum err e =
	    db_open(d->c->settings->db, DB_READ, WAIT_MS, &d->db, &fault);

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
check_names(struct doctor *d, const char *folder, const struct stat *db)
{
	const char *slash = strrchr(d->file.data, '/');
	const char *name = slash == NULL ? d->file.data : slash + 1;
	const struct dirent *entry;
	struct buf path = BUF_INIT;
	struct stat file;
	bool is_well = true;
	DIR *dir = opendir(folder);

	if (dir == NULL)
		return true;
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		buf_reset(&path);
		buf_addf(&path, "%s/%s", folder, entry->d_name);
		if (!buf_ok(&path) || stat(path.data, &file) != 0)
			continue;
		if (strncmp(entry->d_name, name, strlen(name)) == 0) {
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

/* To create and to remove files there is part of using the database. */
static bool
check_use(struct doctor *d, const char *path, int mode, const char *folder)
{
	char us[DOCTOR_NAME_SIZE], them[DOCTOR_NAME_SIZE];
	char group[DOCTOR_NAME_SIZE], owner[DOCTOR_OWNER_SIZE];
	struct buf remedy = BUF_INIT;
	struct stat file;

	if (faccessat(AT_FDCWD, path, mode, AT_EACCESS) == 0 ||
	    errno != EACCES || stat(path, &file) != 0)
		return true; /* or opening the database has said why not */
	doctor_name_user(geteuid(), us);
	doctor_name_user(file.st_uid, them);
	doctor_name_group(file.st_gid, group);
	doctor_name_owner(&file, owner);
	if (file.st_uid != 0)
		buf_addf(
		    &remedy, "runuser -u %s -- jobwire doctor; or if ", them);
	else
		buf_add_str(&remedy, "if ");
	buf_addf(
	    &remedy, "the programs run as %s: chown -R %s: %s", us, us, folder);
	if (file.st_gid != 0)
		buf_addf(&remedy,
		    "; or for a group: usermod -aG %s %s, chmod 2770 %s, chmod "
		    "660 its files, umask 007",
		    group, us, folder);
	doctor_say(d, FINDING_FAIL, "folder", buf_span(&remedy).p,
	    "%s is %s, and %s, who runs this, may not write there", path, owner,
	    us);
	buf_done(&remedy);
	return false;
}

/* Can all write the database who can write into its folder? */
static bool
check_owner(struct doctor *d, const char *folder, const struct stat *dir,
    const struct stat *db)
{
	const mode_t shared = S_IRGRP | S_IWGRP;
	bool is_shared =
	    db->st_gid == dir->st_gid && (db->st_mode & shared) == shared;
	char db_owner[DOCTOR_OWNER_SIZE], dir_owner[DOCTOR_OWNER_SIZE];
	struct buf remedy = BUF_INIT;
	bool is_well = false;

	doctor_name_owner(db, db_owner);
	doctor_name_owner(dir, dir_owner);
	if (db->st_uid != dir->st_uid && !is_shared) {
		buf_addf(
		    &remedy, "chown --reference=%s %s*", folder, d->file.data);
		doctor_say(d, FINDING_FAIL, "folder", buf_span(&remedy).p,
		    "the database is %s, and its folder %s", db_owner,
		    dir_owner);
	} else if ((dir->st_mode & S_ISGID) != 0 &&
		   (dir->st_mode & S_IWGRP) != 0 && !is_shared) {
		buf_addf(&remedy,
		    "chgrp --reference=%s %s*; chmod g+rw %s*; start all with "
		    "umask 007",
		    folder, d->file.data, d->file.data);
		doctor_say(d, FINDING_WARN, "folder", buf_span(&remedy).p,
		    "the folder is for a group (%s), and the database not "
		    "(%s)",
		    dir_owner, db_owner);
	} else if (geteuid() != 0 && geteuid() != db->st_uid &&
		   (dir->st_mode & S_ISGID) == 0) {
		buf_addf(&remedy, "chmod g+s %s", folder);
		doctor_say(d, FINDING_WARN, "folder", buf_span(&remedy).p,
		    "it is used by several users (%s), and new files there get "
		    "the group of who makes them",
		    dir_owner);
	} else {
		is_well = true;
	}
	buf_done(&remedy);
	return is_well;
}

static bool
check_strangers(struct doctor *d, const char *folder, const struct stat *dir,
    const struct stat *db)
{
	if ((dir->st_mode & S_IWOTH) != 0) {
		doctor_say(d, FINDING_FAIL, "folder", "chmod o-w that folder",
		    "everybody can write into %s (mode %04o)", folder,
		    (unsigned)dir->st_mode & 07777);
		return false;
	}
	if ((db->st_mode & S_IROTH) != 0 && (dir->st_mode & S_IXOTH) != 0) {
		doctor_say(d, FINDING_WARN, "folder",
		    "chmod o= the folder and the files in it",
		    "everybody can read the database, and so the ids of all "
		    "jobs");
		return false;
	}
	return true;
}

/* Who owns it and who may use it. */
static void
check_folder(struct doctor *d, const char *folder)
{
	const char *path = d->file.data;
	struct stat dir, db;
	bool is_well = check_use(d, folder, R_OK | W_OK | X_OK, folder);

	if (stat(folder, &dir) != 0 || stat(path, &db) != 0)
		return; /* opening the database has said what is wrong */
	is_well = is_well && check_use(d, path, R_OK | W_OK, folder);
	is_well = is_well && check_owner(d, folder, &dir, &db);
	is_well = check_strangers(d, folder, &dir, &db) && is_well;
	is_well = check_names(d, folder, &db) && is_well;
	if (is_well)
		doctor_say(d, FINDING_OK, "folder", NULL,
		    "%s is the database's alone", folder);
}

void
doctor_folder(struct doctor *d)
{
	struct buf folder = BUF_INIT;

	beside_add_folder(&folder, d->file.data);
	if (buf_ok(&folder)) {
		check_filesystem(d, folder.data);
		check_space(d, folder.data);
		check_folder(d, folder.data);
	}
	buf_done(&folder);
}
