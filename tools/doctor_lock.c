/* SPDX-License-Identifier: ISC */
/*
 * Who keeps everybody else from writing, by the bytes that SQLite locks
 * (https://sqlite.org/walformat.html, section 2.3.1, and os.h of its source).
 * Blocks while somebody holds one, 2 s at most.
 */
#include <sys/stat.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "doctor.h"
#include "io/holders.h"

enum {
	HELD_MS = 2000, /* few commits and checkpoints take as long */
	STEP_MS = 20,
};

/* In place of a process id. */
enum {
	NOBODY = 0,
	UNKNOWN = -1, /* out of our container, or the lock is one of an open
			 file description */
};

/* What cannot be taken while somebody has it. */
static const struct {
	const char *suffix, *name;
	short type;
	off_t begin, length;
} locks[] = {
    {"-shm", "write lock", F_WRLCK, 120, 1},
    /* PENDING, RESERVED and SHARED; in WAL mode nobody has them for writing
     * but who asks for locking_mode = EXCLUSIVE. */
    {"", "exclusive lock", F_RDLCK, 0x40000000, 512},
};

struct holder {
	pid_t pid;
	uint32_t n_commits; /* iChange; of the database itself, a constant */
};

static struct holder
find_holder(const char *path, size_t i)
{
	struct flock lock = {.l_type = locks[i].type,
	    .l_whence = SEEK_SET,
	    .l_start = locks[i].begin,
	    .l_len = locks[i].length};
	struct holder ret = {NOBODY, 0};
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd == -1) /* nobody has the database open */
		return ret;
	if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK &&
	    pread(fd, &ret.n_commits, sizeof(ret.n_commits), 8) > 0)
		ret.pid = lock.l_pid > 0 ? lock.l_pid : UNKNOWN;
	close(fd);
	return ret;
}

/* The one who holds it all the time; a busy writer lets it go in between. */
static pid_t
watch_holder(const char *path, size_t i)
{
	const struct timespec step = {0, STEP_MS * 1000000L};
	int64_t end_us = clock_mono_us() + HELD_MS * INT64_C(1000);
	struct holder first = find_holder(path, i), now = first;

	while (now.pid != NOBODY && now.pid == first.pid &&
	       now.n_commits == first.n_commits && clock_mono_us() < end_us) {
		(void)nanosleep(&step, NULL);
		now = find_holder(path, i);
	}
	return now.pid == first.pid && now.n_commits == first.n_commits
		   ? now.pid
		   : NOBODY;
}

static void
say_holder(struct doctor *d, size_t i, pid_t pid)
{
	char folder[40], user[DOCTOR_NAME_SIZE] = "?", remedy[80];
	struct buf who = BUF_INIT;
	struct stat st;

	(void)snprintf(folder, sizeof(folder), "/proc/%ld", (long)pid);
	(void)snprintf(remedy, sizeof(remedy),
	    "let it end its transaction, or: kill %ld", (long)pid);
	if (stat(folder, &st) == 0)
		doctor_name_user(st.st_uid, user);
	holders_add(&who, pid);
	doctor_say(d, FINDING_FAIL, "lock", remedy,
	    "%s of user %s holds the %s of %s: nobody else can write",
	    buf_span(&who).p, user, locks[i].name, d->file.data);
	buf_done(&who);
}

void
doctor_lock(struct doctor *d)
{
	const char *db = d->file.data;
	struct buf path = BUF_INIT, remedy = BUF_INIT;
	pid_t holder = NOBODY;
	size_t i;

	/* Whether it can be used at all, doctor_database() says. */
	if (faccessat(AT_FDCWD, db, R_OK, AT_EACCESS) != 0)
		return;
	for (i = 0; i < sizeof(locks) / sizeof(locks[0]); i++) {
		buf_reset(&path);
		buf_addf(&path, "%s%s", db, locks[i].suffix);
		if (buf_ok(&path))
			holder = watch_holder(path.data, i);
		if (holder != NOBODY)
			break;
	}
	buf_addf(&remedy, "as root, outside of containers: fuser -v %s %s-shm",
	    db, db);
	if (holder == UNKNOWN)
		doctor_say(d, FINDING_FAIL, "lock", buf_span(&remedy).p,
		    "somebody holds the %s of %s, so nobody else can write; "
		    "which process it is the system does not say",
		    locks[i].name, db);
	else if (holder != NOBODY)
		say_holder(d, i, holder);
	else
		doctor_say(d, FINDING_OK, "lock", NULL, "nobody holds it");
	buf_done(&path);
	buf_done(&remedy);
}
