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
	 * another machine (https://sqlite.org/wal.html): NFS, SMB, 9P, FUSE */
	FILESYSTEM_REMOTE,
	FILESYSTEM_OVERLAY, /* a container's own: goes with the container */
	FILESYSTEM_MEMORY,  /* tmpfs: goes with the power */
};

/* *ret_name is a static text, "" for FILESYSTEM_LOCAL. May block on a network
 * file system that does not answer. */
enum filesystem filesystem_of(const char *folder, const char **ret_name);

#endif
