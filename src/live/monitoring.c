/* SPDX-License-Identifier: ISC */
/*
 * Health and metrics as answers. What is counted, and its text, is in
 * metrics.c. Blocks on the small files beside the database in which the writing
 * half and the janitor tell of themselves.
 */
#include "live/monitoring.h"

#include <stdbool.h>
#include <string.h>

#include "base/clock.h"
#include "base/metric.h"
#include "io/sheet.h"
#include "io/status.h"
#include "text/json_text.h"
#include "web/query.h"

/* Is the health asked of the whole installation? */
static bool
wants_all(const char *query)
{
	struct buf all = BUF_INIT;
	bool is_wanted = query_get(span_of(query), "all", &all) &&
			 span_eq_str(buf_span(&all), "1");

	buf_done(&all);
	return is_wanted;
}

/* How the writing half is, by its own word. True: it is well. */
static bool
add_writer(struct buf *b, const char *db_path)
{
	struct status s = {.text = "away"};
	char at[CLOCK_RFC3339_SIZE];
	bool is_known = status_read(db_path, clock_real_ms(), &s) == OK;

	buf_add_str(b, ",\"writer\":");
	json_text_add_quoted(b, span_of(s.text));
	clock_rfc3339(s.at_ms, at);
	buf_add_str(b, ",\"writer_at\":");
	if (is_known)
		json_text_add_quoted(b, span_of(at));
	else
		buf_add_str(b, "null");
	return strcmp(s.text, "ok") == 0;
}

void
monitoring_health(const struct hub *h, const char *query, struct answer *ret)
{
	const struct hub_config *cfg = hub_config(h);
	bool can_read = hub_is_well(h), is_well = can_read;
	struct buf writer = BUF_INIT;

	if (wants_all(query))
		is_well = add_writer(&writer, cfg->db_path) && can_read;
	answer_json(ret, is_well ? 200 : 503);
	buf_addf(&ret->body,
	    "{\"status\":\"%s\",\"database\":\"%s\",\"watcher\":\"%s\","
	    "\"lagging\":%llu",
	    is_well ? "ok" : "failing", can_read ? "ok" : "unavailable",
	    cfg->metrics->watch.is_blind ? "polling" : "inotify",
	    (unsigned long long)hub_stats(h)->lagging);
	buf_add_span(&ret->body, buf_span(&writer));
	buf_add_str(&ret->body, "}\n");
	ret->body.failed = ret->body.failed || writer.failed;
	buf_done(&writer);
}

/* Who tells of himself beside the database. */
static const struct {
	const char *name, *suffix;
} parts[] = {
    {"webhook", SHEET_WEBHOOK},
    {"janitor", SHEET_JANITOR},
};

static void
add_parts(struct buf *out, const char *db_path)
{
	int64_t now_ms = clock_real_ms();
	struct buf text = BUF_INIT;

	metric_head(out, "up", "gauge",
	    "1: that part of jobwire has told its numbers in the last 10 s.");
	buf_add_str(out, "jobwire_up{part=\"events\"} 1\n");
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		buf_addf(out, "jobwire_up{part=\"%s\"} %d\n", parts[i].name,
		    sheet_read(db_path, parts[i].suffix, now_ms, &text) == OK);
	buf_add_span(out, buf_span(&text));
	out->failed = out->failed || !buf_ok(&text);
	buf_done(&text);
}

void
monitoring_metrics(const struct metrics *slots, size_t n, const char *more,
    const char *db_path, struct answer *ret)
{
	answer_header(
	    ret, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
	answer_header(ret, "Cache-Control", "no-store");
	metrics_format(slots, n, &ret->body);
	buf_add_span(&ret->body, span_of(more));
	add_parts(&ret->body, db_path);
}
