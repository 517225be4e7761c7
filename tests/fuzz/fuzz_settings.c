/* SPDX-License-Identifier: ISC */
/*
 * conf/opt.c with our settings on any file: a message is one line that says
 * where, and what is taken, shown and read again shows the same.
 */
#undef NDEBUG
#include "conf/opt.h"

#include <sys/mman.h>
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conf/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Loads it for that program, and appends what is set. */
static enum err
load(int fd, unsigned program, struct span text, struct buf *ret_shown)
{
	struct settings s = {0};
	struct buf message = BUF_INIT;
	struct opt_source src = {.defs = settings_table,
	    .program = program,
	    .file_required = true,
	    .aliases = "events|webhook"};
	char path[32];
	int argc = 0;
	enum err e;

	assert(ftruncate(fd, 0) == 0);
	assert(text.n == 0 || pwrite(fd, text.p, text.n, 0) == (ssize_t)text.n);
	assert(lseek(fd, 0, SEEK_SET) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	src.file = path;
	e = opt_load(&src, &s, 0, NULL, &argc, &message);
	if (e == OK)
		opt_show(settings_table, program, &s, ret_shown);
	else
		assert(strncmp(buf_span(&message).p, path, strlen(path)) == 0);
	assert(memchr(buf_span(&message).p, '\n', message.len) == NULL);
	opt_done(settings_table, &s);
	buf_done(&message);
	return e;
}

/* Those whose secrets are not shown come out without them. */
static void
try_program(int fd, unsigned program, struct span text)
{
	struct buf once = BUF_INIT, twice = BUF_INIT;

	if (load(fd, program, text, &once) == OK) {
		assert(load(fd, program, buf_span(&once), &twice) == OK);
		assert(span_eq(buf_span(&once), buf_span(&twice)));
	}
	buf_done(&once);
	buf_done(&twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span text = {(const char *)data, size};
	int fd = memfd_create("settings", MFD_CLOEXEC);

	assert(fd != -1);
	for (unsigned program = 1; program <= 4; program *= 2)
		try_program(fd, program, text);
	(void)close(fd);
	return 0;
}
