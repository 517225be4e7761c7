/* SPDX-License-Identifier: ISC */
/* Unit tests of io/filesystem and io/beside. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/beside.h"
#include "io/filesystem.h"

static const char mounts[] =
    "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
    "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
    "40 27 0:50 / /mnt/a\\040b rw shared:2 master:1 - nfs4 host:/x rw\n"
    "41 27 0:51 / /mnt/- rw - fuse.sshfs me@host: rw,user_id=0\n"
    "42 27 8:1 / /mnt/disk rw - fuseblk /dev/sda1 rw\n"
    "43 27 0:52 / /srv rw - 9p share rw,trans=virtio\n"
    "44 27 0:53 / /media rw - vboxsf media rw\n"
    "45 27 0:54 / /new rw - fusion x rw\n"
    "46 27 0:55 / /sys/fs/fuse rw - fusectl x rw\n"
    "47 27 0:5 / /short rw - nfs x rw\n"
    "48 27 0:56 / /v rw - virtiofs x rw";

static void
test_types_of_mounts(void **state)
{
	(void)state;
	assert_string_equal(filesystem_remote_type(mounts, 0, 50), "nfs4");
	assert_string_equal(filesystem_remote_type(mounts, 0, 51), "fuse");
	assert_string_equal(filesystem_remote_type(mounts, 8, 1), "fuseblk");
	assert_string_equal(filesystem_remote_type(mounts, 0, 52), "9p");
	assert_string_equal(filesystem_remote_type(mounts, 0, 53), "vboxsf");
	assert_string_equal(filesystem_remote_type(mounts, 0, 5), "nfs");
	assert_string_equal(filesystem_remote_type(mounts, 0, 56), "virtiofs");
	assert_null(filesystem_remote_type(mounts, 254, 0));
	assert_null(filesystem_remote_type(mounts, 0, 21));
	assert_null(filesystem_remote_type(mounts, 0, 54)); /* fusion */
	assert_null(filesystem_remote_type(mounts, 0, 55)); /* fusectl */
	assert_null(filesystem_remote_type(mounts, 50, 0));
}

static void
test_odd_tables_of_mounts(void **state)
{
	static const char *const texts[] = {"", "\n", "\n\n", " - ", "1 2 0:9",
	    "1 2 0:9 / / rw -", "1 2 0:9 / / rw - ", "1 2 0:9 / / rw\n - nfs x",
	    "x y 0:9 / / rw - nfs x", "1 2 0-9 / / rw - nfs x",
	    "1 2 0:9 / / rw - nf", "1 2 0:9 / / rw - nfs5 x"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_null(filesystem_remote_type(texts[i], 0, 9));
	/* A line that is none does not hide the next. */
	assert_string_equal(filesystem_remote_type("odd\n"
						   "1 2 0:9 / / rw - nfs x",
				0, 9),
	    "nfs");
}

static void
test_filesystem_of_here(void **state)
{
	const char *name;

	(void)state;
	assert_int_not_equal(filesystem_of("/tmp", &name), FILESYSTEM_REMOTE);
	assert_int_equal(
	    filesystem_of("/nonexistent", &name), FILESYSTEM_LOCAL);
	assert_string_equal(name, "");
}

static void
assert_beside(const char *path, const char *file, const char *folder)
{
	struct buf out = BUF_INIT;

	beside_add(&out, path, "-bell");
	assert_string_equal(out.data, file);
	buf_reset(&out);
	beside_add_folder(&out, path);
	assert_string_equal(out.data, folder);
	buf_done(&out);
}

static void
test_beside(void **state)
{
	char dir[] = "/tmp/jobwire-beside.XXXXXX";
	char file[64], link[64], bell[72];

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(file, sizeof(file), "%s/jobs.db", dir);
	(void)snprintf(link, sizeof(link), "%s/link", dir);
	(void)snprintf(bell, sizeof(bell), "%s-bell", file);
	assert_beside(file, bell, dir); /* not there yet */
	close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(symlink("jobs.db", link), 0);
	assert_beside(file, bell, dir);
	assert_beside(link, bell, dir);
	unlink(file);
	unlink(link);
	rmdir(dir);
	assert_beside("missing.db", "missing.db-bell", ".");
	assert_beside("/missing.db", "/missing.db-bell", "/");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_types_of_mounts),
	    cmocka_unit_test(test_odd_tables_of_mounts),
	    cmocka_unit_test(test_filesystem_of_here),
	    cmocka_unit_test(test_beside),
	};

	return cmocka_run_group_tests_name("filesystem", tests, NULL, NULL);
}
