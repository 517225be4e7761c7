/* SPDX-License-Identifier: ISC */
/*
 * The file has one line of fixed length: what wrote it (a daemon, or a process
 * for one call), when, how it was. It is written over in its place, by one
 * pwrite(2): that needs no room on a full disk, and nobody reads half of it.
 * Blocks no longer than the page cache.
 */
#include "io/status.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/beside.h"

enum { LINE_SIZE = 96 };

#define AT_MAX INT64_C(253402300799999) /* the last moment of year 9999 */

enum err
status_write(const char *db_path, bool is_daemon, const char *text)
{
	char line[LINE_SIZE + 1];
	int fd;
	ssize_t done;

	fd = beside_open(db_path, "-writer", O_WRONLY | O_CREAT);
	if (fd == -1)
		return ERR_SYS;
	snprintf(line, sizeof(line), "%-6s %-20" PRId64 " %-67.63s\n",
	    is_daemon ? "daemon" : "once", clock_real_ms(), text);
	done = pwrite(fd, line, LINE_SIZE, 0);
	(void)close(fd);
	return done == LINE_SIZE ? OK : ERR_SYS;
}

/* Takes a line apart; false for one that is none of ours. */
static bool
parse(char *line, struct status *ret)
{
	char kind[8];
	int at = 0;
	size_t n;

	if (sscanf(line, "%7s %" SCNd64 " %n", kind, &ret->at_ms, &at) != 2)
		return false;
	n = strcspn(line + at, "\n");
	while (n > 0 && line[at + (int)n - 1] == ' ')
		n--;
	if (n == 0 || n >= sizeof(ret->text) || ret->at_ms < 0 ||
	    ret->at_ms > AT_MAX)
		return false;
	memcpy(ret->text, line + at, n);
	ret->text[n] = '\0';
	ret->is_daemon = strcmp(kind, "daemon") == 0;
	return true;
}

enum err
status_read(const char *db_path, int64_t now_ms, struct status *ret)
{
	struct status s = {0};
	char line[LINE_SIZE + 1] = "";
	int fd;
	ssize_t n;

	fd = beside_open(db_path, "-writer", O_RDONLY);
	if (fd == -1)
		return ERR_NOENT;
	n = pread(fd, line, LINE_SIZE, 0);
	(void)close(fd);
	if (n != LINE_SIZE || !parse(line, &s))
		return ERR_NOENT;
	if (s.is_daemon && now_ms - s.at_ms >= STATUS_AWAY_MS)
		snprintf(s.text, sizeof(s.text), "away");
	*ret = s;
	return OK;
}
