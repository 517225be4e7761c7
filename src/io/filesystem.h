/* SPDX-License-Identifier: ISC */
/*
 * What kind of file system a folder is on, as far as SQLite's WAL and inotify
 * care. Layer: io.
 */
#ifndef JOBWIRE_FILESYSTEM_H
#define JOBWIRE_FILESYSTEM_H

enum filesystem {
	FILESYSTEM_LOCAL, /* none of these, or it could not be asked */
	/* Others' changes make no event here, and -shm cannot be shared with
	 * another machine (https://sqlite.org/wal.html). Every FUSE is one:
	 * what is behind it nobody knows. */
	FILESYSTEM_REMOTE,
	FILESYSTEM_OVERLAY, /* a container's own: goes with the container */
	FILESYSTEM_MEMORY,  /* tmpfs: goes with the power */
};

/*
 * *ret_name is a static text, "" for FILESYSTEM_LOCAL. May block on a network
 * file system that does not answer. The first asks statfs(2) and then the table
 * of mounts, for drivers without a number of their own; the second, which is
 * cheap, statfs(2) alone.
 */
enum filesystem filesystem_of(const char *folder, const char **ret_name);
enum filesystem filesystem_by_magic(const char *folder, const char **ret_name);

/* What a text like /proc/self/mountinfo says of a device: its type's name if
 * that is a remote kind, a static text; NULL: it is none, or not there.
 * Pure. */
const char *filesystem_remote_type(
    const char *mountinfo, unsigned major, unsigned minor);

#endif
