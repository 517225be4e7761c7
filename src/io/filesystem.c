/* SPDX-License-Identifier: ISC */
/*
 * Tells file systems apart by statfs(2)'s magic numbers. What follows from it
 * is the caller's to say. Blocks no longer than statfs(2).
 */
#include "io/filesystem.h"

#include <sys/vfs.h>
#include <stddef.h>

enum filesystem
filesystem_of(const char *folder, const char **ret_name)
{
	static const struct {
		unsigned long magic; /* linux/magic.h */
		enum filesystem kind;
		const char *name;
	} list[] = {
	    {0x6969, FILESYSTEM_REMOTE, "NFS"},
	    {0x517b, FILESYSTEM_REMOTE, "SMB"},
	    {0xff534d42, FILESYSTEM_REMOTE, "CIFS"},
	    {0xfe534d42, FILESYSTEM_REMOTE, "SMB2"},
	    {0x01021997, FILESYSTEM_REMOTE, "9P"},
	    {0x65735546, FILESYSTEM_REMOTE, "FUSE"},
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
