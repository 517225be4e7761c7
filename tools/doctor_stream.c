/* SPDX-License-Identifier: ISC */
/*
 * The doctor's stream: publishes events while it reads them through the web
 * server, and judges by the times what is in between. The first is published
 * when the stream is open, or after OPEN_MS: behind a server that buffers it
 * never opens. The last one ends the job and with it the stream, so that
 * whatever was held back arrives. Blocks.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "doctor_web.h"
#include "store/events.h"
#include "text/json_text.h"

enum {
	STEPS = 3,
	OPEN_MS = 2000,
	LATE_MS = 1000, /* nobody would call it live */
	LAST_MS = 3000, /* how long the last event may take */
	LINE_MAX = 4096,
};

static const char *const steps[STEPS] = {"processing", "progress", "completed"};

struct probe {
	struct web *w;
	struct buf line; /* not whole yet */
	int64_t began_us, ended_us;
	int64_t data_us; /* when the last bytes came */
	int64_t sign_us; /* and the last line that can be jobwire's */
	int64_t published_us[STEPS], arrived_us[STEPS]; /* 0: not yet */
	int n_published, n_arrived, n_heartbeats;
	int n_retries; /* a second one says that jobwire ends the stream */
	bool is_open;  /* jobwire's opening comment came */
	bool is_full;  /* or it said that it has no place */
	char epoch[16];
	enum err failed; /* an event could not be stored */
};

static void
take_line(struct probe *p, const char *line)
{
	static const char opening[] = ": jobwire 1 epoch=";
	const size_t n = sizeof(opening) - 1;

	if (strncmp(line, opening, n) == 0) {
		p->is_open = true;
		(void)snprintf(p->epoch, sizeof(p->epoch), "%s", line + n);
	} else if (strcmp(line, ": heartbeat") == 0) {
		p->n_heartbeats++;
	} else if (strncmp(line, "retry:", 6) == 0) {
		p->n_retries++;
	} else if (*line == ':') {
		p->is_full = !p->is_open;
	} else if (strncmp(line, "event: ", 7) == 0) {
		for (int i = 0; i < STEPS; i++)
			if (strcmp(line + 7, steps[i]) == 0 &&
			    p->arrived_us[i] == 0) {
				p->arrived_us[i] = p->data_us;
				p->n_arrived++;
			}
	} else {
		return; /* a page about an error, in the middle of the stream */
	}
	p->sign_us = p->data_us;
}

static void
on_data(void *arg, struct span data)
{
	struct probe *p = arg;

	p->data_us = clock_mono_us();
	for (size_t i = 0; i < data.n; i++)
		if (data.p[i] == '\n') {
			buf_add_char(&p->line, '\0');
			if (buf_ok(&p->line))
				take_line(p, p->line.data);
			buf_reset(&p->line);
		} else if (p->line.len < LINE_MAX) {
			buf_add_char(&p->line, data.p[i]);
		}
}

static void
publish(struct probe *p)
{
	const struct intent_event event = {
	    .row = {.job_id = p->w->job, .type = steps[p->n_published]}};
	struct intent_result result;

	p->failed = command_write(p->w->db, INTENT_EVENT, &event, &result);
	p->published_us[p->n_published++] = clock_mono_us();
}

/* When the next event is due. */
static int64_t
next_us(const struct probe *p)
{
	const struct web *w = p->w;
	int n = p->n_published;
	int64_t pause_ms = n == STEPS - 1 && web_idle_ms(w) > 0
			       ? web_idle_ms(w)
			       : w->d->flags->gap;

	if (n > 0)
		return p->published_us[n - 1] + pause_ms * 1000;
	return p->is_open ? 0 : p->began_us + OPEN_MS * INT64_C(1000);
}

static int64_t
on_turn(void *arg)
{
	struct probe *p = arg;
	int64_t now_us = clock_mono_us(), due_us;

	if (p->failed != OK || p->n_arrived == STEPS)
		return -1;
	if (p->n_published < STEPS && now_us >= next_us(p)) {
		publish(p);
		now_us = clock_mono_us();
	}
	due_us = p->n_published < STEPS
		     ? next_us(p)
		     : p->published_us[STEPS - 1] + LAST_MS * INT64_C(1000);
	if (p->n_published == STEPS && now_us >= due_us)
		return -1;
	return due_us <= now_us ? 0 : (due_us - now_us) / 1000 + 1;
}

static double
seconds(int64_t us)
{
	return (double)us / 1e6;
}

static void
check_compression(struct web *w, const struct http_answer *a)
{
	struct span coding = http_header(a, "content-encoding", 0);

	if (coding.n > 0 && !span_eq_str(coding, "identity"))
		doctor_say(w->d, FINDING_WARN, "compressed",
		    web_remedy(w, FAULT_COMPRESSED),
		    "the web server compresses the stream (%.*s): events are "
		    "short, and may be held back",
		    (int)coding.n, coding.p);
	else
		doctor_say(w->d, FINDING_OK, "compressed", NULL,
		    "the stream is not compressed");
}

static bool
has_word(struct span text, const char *word)
{
	return text.n > 0 && memmem(text.p, text.n, word, strlen(word)) != NULL;
}

/* nginx obeys X-Accel-Buffering and keeps it to itself. */
static void
check_headers(struct web *w, const struct http_answer *a)
{
	struct span cache = http_header(a, "cache-control", 0);
	struct span type = http_header(a, "content-type", 0);
	bool is_nginx = strncmp(w->server, "nginx", 5) == 0;
	const char *name = NULL;

	if (!has_word(type, "text/event-stream"))
		name = "Content-Type";
	else if (!has_word(cache, "no-cache") ||
		 !has_word(cache, "no-transform"))
		name = "Cache-Control";
	else if (!is_nginx && http_header(a, "x-accel-buffering", 0).n == 0)
		name = "X-Accel-Buffering";
	if (name != NULL)
		doctor_say(w->d, FINDING_WARN, "headers",
		    web_remedy(w, FAULT_HEADERS),
		    "%s of the stream is not what jobwire sent", name);
	else
		doctor_say(
		    w->d, FINDING_OK, "headers", NULL, "as jobwire sent them");
}

/* False: it was no stream of ours, and nothing can be said of its times. */
static bool
check_opening(struct probe *p, const struct http_answer *a)
{
	struct web *w = p->w;

	if (p->failed != OK)
		doctor_say(w->d, FINDING_FAIL, "stream", NULL,
		    "an event could not be stored: %s",
		    db_last_fault(w->db)->text);
	else if (a->status == 200 && p->is_full)
		doctor_say(w->d, FINDING_FAIL, "stream",
		    "more max_streams, or wait until it has started",
		    "jobwire-events has no place for another stream");
	else if (a->status == 200 && !p->is_open && p->n_retries > 0)
		doctor_say(w->d, FINDING_FAIL, "stream",
		    web_remedy(w, FAULT_AWAY),
		    "the web server ends the stream itself: jobwire-events "
		    "does not answer it");
	else if (a->status != 200 && a->status != 0)
		web_explain(w, "stream", a);
	else if (p->is_open && strcmp(p->epoch, db_epoch(w->db)) != 0)
		doctor_say(w->d, FINDING_FAIL, "stream",
		    "the same db for both, see --config and --db",
		    "it is of another database, of epoch %.8s and not %s",
		    p->epoch, db_epoch(w->db));
	else
		return true;
	return false;
}

/* False: it was ended early. What jobwire ends itself begins with `retry`. */
static bool
check_end(struct probe *p, const struct http_answer *a)
{
	struct web *w = p->w;

	if (!a->is_ended || p->n_published == STEPS)
		return true;
	if (p->n_retries > 1)
		doctor_say(w->d, FINDING_OK, "cut", NULL,
		    "jobwire itself ended the stream after %.1f s: its "
		    "lifetime was over",
		    seconds(p->ended_us - p->began_us));
	else
		doctor_say(w->d, FINDING_FAIL, "cut", web_remedy(w, FAULT_CUT),
		    "the stream was cut after %.1f s, of these %.1f s of "
		    "silence; a heartbeat comes every %" PRId64 " ms",
		    seconds(p->ended_us - p->began_us),
		    seconds(p->ended_us - p->sign_us), w->d->events.heartbeat);
	return false;
}

static void
check_times(struct probe *p)
{
	struct web *w = p->w;
	int64_t late_us = 0, us;

	for (int i = 0; i < STEPS; i++) {
		us = p->arrived_us[i] - p->published_us[i];
		late_us = us > late_us ? us : late_us;
	}
	if (p->n_arrived == 0)
		doctor_say(w->d, FINDING_FAIL, "buffered",
		    web_remedy(w, FAULT_BUFFERED),
		    "the web server holds the stream back: no event came");
	else if (p->n_arrived < p->n_published ||
		 (p->n_published == STEPS &&
		     p->arrived_us[0] >= p->published_us[STEPS - 1]))
		doctor_say(w->d, FINDING_FAIL, "buffered",
		    web_remedy(w, FAULT_BUFFERED),
		    "the web server holds the stream back: events came "
		    "together, up to %.1f s late",
		    seconds(late_us));
	else
		doctor_say(w->d,
		    late_us > LATE_MS * INT64_C(1000) ? FINDING_WARN
						      : FINDING_OK,
		    "buffered", NULL,
		    "events arrive one by one, the slowest after %" PRId64
		    " ms",
		    late_us / 1000);
}

/* Whether heartbeats reach the client through a long silence. */
static void
check_silence(struct probe *p)
{
	struct web *w = p->w;
	int64_t heartbeat_ms = w->d->events.heartbeat;

	if (web_idle_ms(w) == 0)
		return;
	if (p->n_heartbeats == 0 && web_idle_ms(w) > 2 * heartbeat_ms)
		doctor_say(w->d, FINDING_FAIL, "idle",
		    web_remedy(w, FAULT_BUFFERED),
		    "no heartbeat came in %.1f s, and one is sent every %.1f "
		    "s",
		    (double)web_idle_ms(w) / 1e3, (double)heartbeat_ms / 1e3);
	else
		doctor_say(w->d, FINDING_OK, "idle", NULL,
		    "the stream stayed open for %.1f s with %d heartbeats and "
		    "nothing else",
		    (double)web_idle_ms(w) / 1e3, p->n_heartbeats);
}

void
web_stream(struct web *w)
{
	const char *const headers[] = {
	    "Accept: text/event-stream", w->headers[0], NULL};
	struct probe p = {.w = w, .line = BUF_INIT};
	struct http_request r = {.method = "GET",
	    .headers = headers,
	    .want_gzip = true,
	    .on_data = on_data,
	    .on_turn = on_turn,
	    .arg = &p};
	struct http_answer a = HTTP_ANSWER_INIT;
	bool was_whole;

	p.began_us = p.sign_us = clock_mono_us();
	web_ask(w, &r, &a, "/events/%s", w->job);
	p.ended_us = clock_mono_us();
	if (check_opening(&p, &a)) {
		was_whole = check_end(&p, &a);
		if (was_whole || p.n_arrived < p.n_published)
			check_times(&p);
		if (was_whole)
			check_silence(&p);
		if (a.status == 200) {
			check_compression(w, &a);
			check_headers(w, &a);
		}
	}
	http_answer_done(&a);
	buf_done(&p.line);
}
