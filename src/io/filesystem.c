/* SPDX-License-Identifier: ISC */
/*
 * Tells file systems apart by statfs(2)'s magic numbers and by the types of
 * mounts; the callers decide what follows. Blocks no longer than statfs(2).
 */
#include "io/filesystem.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"

enum { MOUNTS_MAX = 4 << 20 }; /* bytes: a host of many containers has many */

enum filesystem
filesystem_by_magic(const char *folder, const char **ret_name)
{
	static const struct {
		unsigned long magic; /* linux/magic.h, or the driver's source */
		enum filesystem kind;
		const char *name;
	} list[] = {
	    {0x6969, FILESYSTEM_REMOTE, "NFS"},
	    {0x517b, FILESYSTEM_REMOTE, "SMB"},
	    {0xff534d42, FILESYSTEM_REMOTE, "CIFS"},
	    {0xfe534d42, FILESYSTEM_REMOTE, "SMB2"},
	    {0x01021997, FILESYSTEM_REMOTE, "9P"},
	    {0x65735546, FILESYSTEM_REMOTE, "FUSE"},
	    {0x786f4256, FILESYSTEM_REMOTE, "vboxsf"},
	    {0x7c7c6673, FILESYSTEM_REMOTE, "prl_fs"},
	    {0xbacbacbc, FILESYSTEM_REMOTE, "vmhgfs"},
	    {0x00c36400, FILESYSTEM_REMOTE, "Ceph"},
	    {0x0bd00bd0, FILESYSTEM_REMOTE, "Lustre"},
	    {0x47504653, FILESYSTEM_REMOTE, "GPFS"},
	    {0x5346414f, FILESYSTEM_REMOTE, "AFS"},
	    {0x6b414653, FILESYSTEM_REMOTE, "AFS"},
	    {0x73757245, FILESYSTEM_REMOTE, "Coda"},
	    {0x564c, FILESYSTEM_REMOTE, "NCP"},
	    {0x19830326, FILESYSTEM_REMOTE, "BeeGFS"},
	    {0x20030528, FILESYSTEM_REMOTE, "OrangeFS"},
	    {0x794c7630, FILESYSTEM_OVERLAY, "overlay"},
	    {0x01021994, FILESYSTEM_MEMORY, "tmpfs"},
	};
	struct statfs st;

	*ret_name = "";
	if (statfs(folder, &st) == -1)
		return FILESYSTEM_LOCAL;
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		/* f_type is signed and of different widths. */
		if (((unsigned long)st.f_type & 0xffffffff) == list[i].magic) {
			*ret_name = list[i].name;
			return list[i].kind;
		}
	return FILESYSTEM_LOCAL;
}

/* `fuse.sshfs` is a fuse, as each FUSE may say what it is after a dot. */
static const char *
remote_name(const char *type)
{
	static const char *const names[] = {"9p", "acfs", "afs", "beegfs",
	    "ceph", "cifs", "coda", "fuse", "fuseblk", "glusterfs", "gpfs",
	    "lustre", "ncpfs", "nfs", "nfs4", "orangefs", "panfs", "prl_fs",
	    "pvfs2", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs"};
	size_t n = strcspn(type, " .\n");

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(names[i], type, n) == 0 && names[i][n] == '\0')
			return names[i];
	return NULL;
}

/* A line is `ID PARENT MAJOR:MINOR ROOT PLACE OPTIONS [FIELD...] - TYPE ...`;
 * blanks within a field are escaped. */
const char *
filesystem_remote_type(const char *mountinfo, unsigned major, unsigned minor)
{
	const char *line = mountinfo, *end, *dash;
	unsigned line_major, line_minor;

	for (; *line != '\0'; line = *end == '\0' ? end : end + 1) {
		end = strchrnul(line, '\n');
		dash = strstr(line, " - ");
		if (dash == NULL)
			break;
		if (dash < end &&
		    sscanf(line, "%*u %*u %u:%u ", &line_major, &line_minor) ==
			2 &&
		    line_major == major && line_minor == minor)
			return remote_name(dash + 3);
	}
	return NULL;
}

enum filesystem
filesystem_of(const char *folder, const char **ret_name)
{
	enum filesystem kind = filesystem_by_magic(folder, ret_name);
	struct buf mounts = BUF_INIT;
	const char *name = NULL;
	struct stat st;

	if (kind == FILESYSTEM_LOCAL && stat(folder, &st) == 0 &&
	    file_read("/proc/self/mountinfo", MOUNTS_MAX, &mounts) == OK &&
	    mounts.len > 0)
		name = filesystem_remote_type(
		    mounts.data, major(st.st_dev), minor(st.st_dev));
	buf_done(&mounts);
	if (name == NULL)
		return kind;
	*ret_name = name;
	return FILESYSTEM_REMOTE;
}
