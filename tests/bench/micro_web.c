/* SPDX-License-Identifier: ISC */
/* Pure forms: heads of requests, and rows as Server-Sent Events. */
#include <string.h>

#include "../unit/fcgi_bytes.h"
#include "micro.h"
#include "web/fcgi_record.h"
#include "web/fcgi_head.h"
#include "web/sse.h"

enum { REPEATS = 16 };

/* --- Heads ---------------------------------------------------------------- */

static struct fcgi_parser parser = FCGI_PARSER_INIT;
static struct buf head;

/* As nginx.conf.example makes it of what curl sends. */
static void
set_up_head(void)
{
	static const char *const variables[][2] = {{"REQUEST_METHOD", "POST"},
	    {"REQUEST_URI",
		"/api/v1/webhooks/runpod-completion?job_id=job-00001&"
		"exp=1790000160&sig="
		"0123456789abcdefghijABCDEFGHIJ0123456789-_a"},
	    {"QUERY_STRING", "job_id=job-00001&exp=1790000160&sig="
			     "0123456789abcdefghijABCDEFGHIJ0123456789-_a"},
	    {"CONTENT_TYPE", "application/json"}, {"CONTENT_LENGTH", "271"},
	    {"REMOTE_ADDR", "127.0.0.1"}, {"HTTP_HOST", "jobs.example"},
	    {"HTTP_USER_AGENT", "curl/7.88.1"}, {"HTTP_ACCEPT", "*/*"},
	    {"HTTP_CONTENT_TYPE", "application/json"},
	    {"HTTP_CONTENT_LENGTH", "271"}};
	struct buf params = BUF_INIT;

	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		add_pair(&params, variables[i][0], span_of(variables[i][1]));
	add_begin(&head, RESPONDER, 0);
	add_params(&head, buf_span(&params), 65535, 0);
	micro_must(buf_ok(&head) && fcgi_parser_init(&parser) == OK,
	    "there is a head and a parser");
}

static void
run_head(void)
{
	const unsigned char *bytes = (const unsigned char *)head.data;
	struct request r;

	for (int i = 0; i < REPEATS; i++) {
		struct fcgi_scan opened = {0};

		micro_must(fcgi_scan_head(bytes, head.len, &opened) ==
			       FCGI_VERDICT_OPEN,
		    "the scan accepts");
		micro_must(fcgi_parser_read(
			       &parser, bytes, &opened, "/api/v1", &r) == OK,
		    "libfcgi reads it");
		request_done(&r);
	}
}

/* --- Events --------------------------------------------------------------- */

static struct buf data;

static void
make_data(size_t len)
{
	buf_add_str(&data, "{\"output\":[");
	while (data.len < len - 16)
		buf_add_str(&data, "\"some words\",12.75,true,");
	buf_add_str(&data, "null]}");
	micro_must(buf_ok(&data), "memory");
}

static void
set_up_short(void)
{
	make_data(200);
}

static void
set_up_long(void)
{
	make_data(65536);
}

static void
run_event(void)
{
	const struct sse_event e = {.epoch = "01234567",
	    .id = 4711,
	    .type = "completed",
	    .job_id = "job-00001",
	    .restore_id = "restore-1",
	    .status = "completed",
	    .data = buf_span(&data),
	    .inline_output = 1 << 20};
	struct buf out = BUF_INIT;

	for (int i = 0; i < REPEATS; i++) {
		micro_must(sse_add_event(&out, &e) == OK, "an event is made");
		buf_done(&out);
	}
}

const struct micro_case micro_web[] = {
    {"head", REPEATS, set_up_head, run_head},
    {"event_of_200_bytes", REPEATS, set_up_short, run_event},
    {"event_of_64_kib", REPEATS, set_up_long, run_event},
    {NULL, 0, NULL, NULL},
};
