/* SPDX-License-Identifier: ISC */
/*
 * Lines of a process each, of one write(2) in a file that is opened to append:
 * they stay whole. What tools do with them is in tools/cmd_reload.c.
 */
#include "io/reload_note.h"

#include <sys/stat.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "io/beside.h"
#include "text/utf8.h"

#define SUFFIX "-reload"

enum { FILE_MAX = 1 << 20 };

void
reload_note_add(const char *db_path, bool is_reloaded, struct span text)
{
	char line[RELOAD_NOTE_LINE_MAX];
	int n, fd = beside_open(db_path, SUFFIX, O_WRONLY | O_APPEND);

	if (fd == -1)
		return;
	n = snprintf(line, sizeof(line) - 1, "%ld %s %.*s", (long)getpid(),
	    is_reloaded ? "reloaded" : "kept", (int)text.n,
	    text.n > 0 ? text.p : "");
	if (n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	if (write(fd, line, (size_t)n) == -1) {
		/* Who waits will say that we did not answer. */
	}
	(void)close(fd);
}

enum err
reload_note_begin(const char *db_path)
{
	int fd;

	/* A hard link of the name would have us write into another file. */
	reload_note_end(db_path);
	fd = beside_open(db_path, SUFFIX, O_WRONLY | O_CREAT | O_EXCL);
	if (fd == -1)
		return ERR_SYS;
	/* Programs of the database's group answer whatever our umask is. */
	(void)fchmod(fd, 0660);
	(void)close(fd);
	return OK;
}

bool
reload_note_find(const char *db_path, pid_t pid, struct buf *ret)
{
	struct buf text = BUF_INIT;
	int fd = beside_open(db_path, SUFFIX, O_RDONLY);
	const char *line, *end = NULL;
	char *rest = NULL;
	bool is_found = false;

	if (fd == -1)
		return false;
	if (file_read_fd(fd, FILE_MAX, &text) != OK || text.len == 0)
		goto out;
	for (line = text.data; !is_found; line = end + 1) {
		end = strchr(line, '\n');
		if (end == NULL)
			break;
		is_found = strtol(line, &rest, 10) == (long)pid && *rest == ' ';
	}
	if (is_found)
		utf8_add(
		    ret, (struct span){rest + 1, (size_t)(end - rest - 1)});
out:
	(void)close(fd);
	buf_done(&text);
	return is_found;
}

void
reload_note_end(const char *db_path)
{
	struct buf path = BUF_INIT;

	beside_add(&path, db_path, SUFFIX);
	if (buf_ok(&path))
		(void)unlink(path.data);
	buf_done(&path);
}
