/* SPDX-License-Identifier: ISC */
/*
 * The command that counts: jobs by state, events, and how large the files are.
 * What of it is alarming, `jobwire doctor` says. Blocks on the disk.
 */
#include <sys/stat.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "command.h"
#include "io/beside.h"
#include "store/events.h"
#include "store/inspect.h"
#include "table.h"
#include "text/json_text.h"
#include "web/sse.h"

struct numbers {
	struct inspect_counts counts;
	int64_t db_bytes, wal_bytes;
	char last_id[SSE_ID_SIZE];
};

/* 0 where there is none: SQLite removes an empty WAL. */
static int64_t
file_size(const char *path, const char *suffix)
{
	struct buf name = BUF_INIT;
	struct stat file;
	int64_t size = 0;

	beside_add(&name, path, suffix);
	if (buf_ok(&name) && stat(name.data, &file) == 0)
		size = file.st_size;
	buf_done(&name);
	return size;
}

static void
add_time(struct buf *out, const char *time)
{
	if (*time != '\0')
		json_text_add_quoted(out, span_of(time));
	else
		buf_add_str(out, "null");
}

static void
add_json(struct buf *out, const struct numbers *n)
{
	const struct inspect_counts *s = &n->counts;

	buf_add_str(out, "{\"jobs\":{");
	for (enum job_state i = JOB_QUEUED; i < JOB_STATES; i++)
		buf_addf(out, "%s\"%s\":%" PRId64, i > JOB_QUEUED ? "," : "",
		    job_state_name(i), s->jobs[i]);
	buf_addf(out, "},\"events\":%" PRId64 ",\"oldest\":", s->events);
	add_time(out, s->oldest);
	buf_add_str(out, ",\"newest\":");
	add_time(out, s->newest);
	buf_addf(out,
	    ",\"last_event_id\":\"%s\",\"unclaimed\":%" PRId64
	    ",\"database_bytes\":%" PRId64 ",\"wal_bytes\":%" PRId64 "}\n",
	    n->last_id, s->unclaimed, n->db_bytes, n->wal_bytes);
}

static void
add_lines(struct buf *out, const struct numbers *n)
{
	const struct inspect_counts *s = &n->counts;

	for (enum job_state i = JOB_QUEUED; i < JOB_STATES; i++)
		buf_addf(out, "jobs %s\t%" PRId64 "\n", job_state_name(i),
		    s->jobs[i]);
	buf_addf(out, "events\t%" PRId64 "\noldest\t", s->events);
	table_add_clean(out, span_of(s->oldest));
	buf_add_str(out, "\nnewest\t");
	table_add_clean(out, span_of(s->newest));
	buf_addf(out,
	    "\nlast event id\t%s\nunclaimed\t%" PRId64 "\n"
	    "database bytes\t%" PRId64 "\nwal bytes\t%" PRId64 "\n",
	    n->last_id, s->unclaimed, n->db_bytes, n->wal_bytes);
}

static int
run(const struct command_line *c)
{
	struct numbers n = {0};
	struct buf out = BUF_INIT;
	int64_t last_id = 0;
	struct db *db = command_open(c, DB_READ);
	enum err e;

	if (db == NULL)
		return EXIT_FAILED;
	/* One moment for all numbers. */
	e = db_begin_read(db);
	if (e == OK)
		e = inspect_count(db, &n.counts);
	if (e == OK)
		e = events_last_id(db, &last_id);
	sse_id_format(db_epoch(db), last_id, 0, n.last_id);
	n.db_bytes = file_size(db_path(db), "");
	n.wal_bytes = file_size(db_path(db), "-wal");
	if (c->settings->json) {
		add_json(&out, &n);
		table_escape(&out);
	} else {
		add_lines(&out, &n);
	}
	if (e == OK && !buf_ok(&out))
		e = ERR_NOMEM;
	if (e == OK)
		(void)fwrite(out.data, 1, out.len, stdout);
	else
		(void)command_fail_db("stats", db, e);
	buf_done(&out);
	db_rollback(db);
	db_close(&db);
	return e == OK ? EXIT_DONE : EXIT_FAILED;
}

const struct command command_stats = {
    .name = "stats",
    .arguments = "",
    .run = run,
    .summary = "count jobs, events and bytes",
};
