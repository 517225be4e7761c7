/* SPDX-License-Identifier: ISC */
/*
 * The files beside a database on any content, for whoever may write there may
 * write anything: how the relay and the writing half are, the sheets of
 * numbers, the answers to a reload.
 */
#undef NDEBUG
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "io/relay_status.h"
#include "io/reload_note.h"
#include "io/sheet.h"
#include "io/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const suffixes[] = {
    "-relay", "-writer", SHEET_JANITOR, "-reload"};

enum { N_FILES = sizeof(suffixes) / sizeof(suffixes[0]) };

/* Those that are smaller are not read at all. */
static const size_t sizes[N_FILES] = {4096, 96};

/* One that two targets beside each other do not share. */
static char db[64], paths[N_FILES][96];

static void
remove_files(void)
{
	for (size_t i = 0; i < N_FILES; i++)
		(void)unlink(paths[i]);
}

static void
begin(void)
{
	snprintf(db, sizeof(db), "/dev/shm/jobwire-fuzz-%d", (int)getpid());
	for (size_t i = 0; i < N_FILES; i++)
		snprintf(paths[i], sizeof(paths[i]), "%s%s", db, suffixes[i]);
}

static void
put(const char *path, const void *bytes, size_t n, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert(fd != -1 && (n == 0 || write(fd, bytes, n) == (ssize_t)n));
	assert(n >= size || ftruncate(fd, (off_t)size) == 0);
	(void)close(fd);
}

static void
try_all(int64_t now_ms)
{
	struct relay_status relay;
	struct status writer;
	struct buf text = BUF_INIT;

	if (relay_status_read(db, now_ms, &relay) == OK) {
		assert(relay_state_name(relay.state) != NULL);
		assert(relay.n_nodes >= 0 && relay.n_nodes <= RELAY_NODES_MAX);
		assert(strlen(relay.detail) < sizeof(relay.detail));
	}
	if (status_read(db, now_ms, &writer) == OK)
		assert(strlen(writer.text) < sizeof(writer.text));
	if (sheet_read(db, SHEET_JANITOR, now_ms, &text) == OK)
		assert(text.len <= SHEET_MAX);
	buf_reset(&text);
	if (reload_note_find(db, 1, &text))
		assert(memchr(buf_span(&text).p, '\n', text.len) == NULL);
	buf_done(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (db[0] == '\0')
		begin();
	for (size_t i = 0; i < N_FILES; i++)
		put(paths[i], data, size, sizes[i]);
	try_all(1764000000000);
	remove_files(); /* libFuzzer ends without atexit() */
	return 0;
}
