/* SPDX-License-Identifier: ISC */
/*
 * jobwire publish: stores an event.
 */
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/near.h"
#include "command.h"
#include "job/name.h"
#include "job/state.h"
#include "text/span.h"
#include "text/json_text.h"
#include "web/sse.h"

static struct values {
	bool custom;
} values;

static const struct opt_def flags[] = {
    {COMMAND_FLAG(struct values, custom), .type = OPT_FLAG,
	.help = "store a type that looks like a mistyped one"},
    {.name = NULL},
};

enum { PIPE_WAIT_MS = 100 };

static const char too_large[] = "the data is larger than 1 MiB";
static const char is_empty[] = "the data is empty";

/*
 * Are there bytes on standard input that nobody asked for? A pipe whose writer
 * has only just started gets a moment; one that stays open and empty does
 * not count, nor does a terminal or /dev/null.
 */
static bool
has_input(void)
{
	struct pollfd input = {STDIN_FILENO, POLLIN, 0};
	struct stat st;
	int n_bytes = 0;
	off_t at;

	if (fstat(STDIN_FILENO, &st) != 0)
		return false;
	if (S_ISREG(st.st_mode)) {
		at = lseek(STDIN_FILENO, 0, SEEK_CUR);
		return at >= 0 && at < st.st_size;
	}
	return (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)) &&
	       poll(&input, 1, PIPE_WAIT_MS) == 1 &&
	       ioctl(STDIN_FILENO, FIONREAD, &n_bytes) == 0 && n_bytes > 0;
}

/* The text of `-` or `@FILE`. EXIT_DONE, or it has said what is wrong. */
static int
read_input(const char *source, struct buf *ret)
{
	bool is_file = *source == '@';
	const char *name = is_file ? source + 1 : "standard input";
	enum err e;

	if (is_file && *name == '\0')
		return command_misuse(
		    "publish", "a file's name is missing after @");
	e = is_file ? file_read(name, SSE_DATA_MAX, ret)
		    : file_read_fd(STDIN_FILENO, SSE_DATA_MAX, ret);
	if (e == ERR_LIMIT)
		return command_misuse("publish", too_large);
	if (e != OK)
		return command_fail(
		    name, e == ERR_SYS ? strerror(errno) : err_text(e));
	return ret->len > 0 ? EXIT_DONE : command_misuse("publish", is_empty);
}

/* Says why and where, n_before bytes in front of the data counted, and nothing
 * that may be a secret. */
static int
refuse_json(struct span data, size_t n_before, enum err e)
{
	size_t at = json_text_fault_at(data), place = n_before + at + 1;
	char text[128];

	if (e == ERR_LIMIT)
		(void)snprintf(text, sizeof(text),
		    "the data is nested deeper than %d levels, at byte %zu",
		    JSON_TEXT_DEPTH_MAX, place);
	else if (at == data.n)
		(void)snprintf(text, sizeof(text),
		    "the data is not a JSON object: it ends too early");
	else
		(void)snprintf(text, sizeof(text),
		    "the data is not a JSON object: byte %zu is wrong%s", place,
		    isalpha((unsigned char)data.p[at])
			? "; only true, false and null go without quotes"
			: "");
	return command_misuse("publish", text);
}

/* Is the text an object, perhaps behind a byte order mark (RFC 8259 section
 * 8.1 lets us pass over it)? */
static int
check_data(struct span text, struct span *ret)
{
	struct span data = text, value;
	enum err e;

	(void)span_cut_prefix(&data, SPAN_LIT("\xef\xbb\xbf"));
	e = json_text_check(data, &value);
	if (e != OK)
		return refuse_json(data, text.n - data.n, e);
	if (json_text_kind(value) != JSON_TEXT_OBJECT)
		return command_misuse("publish",
		    "the data is not a JSON object, but another JSON value");
	*ret = value;
	return EXIT_DONE;
}

/* The third argument, or what it names, as a JSON object; *text holds it.
 * EXIT_DONE, or it has said what is wrong. */
static int
read_data(const struct command_line *c, struct buf *text, struct span *ret)
{
	const char *given = c->n > 2 ? c->args[2] : "";
	struct span data = span_of(given);
	int status;

	if (c->n == 2 && has_input())
		return command_misuse("publish",
		    "there are data on standard input: give - as the third "
		    "argument to store them, or take </dev/null");
	/* As of a variable that is not set, or a command that has failed. */
	if (c->n > 2 && *given == '\0')
		return command_misuse("publish", is_empty);
	if (*given == '@' || strcmp(given, "-") == 0) {
		status = read_input(given, text);
		if (status != EXIT_DONE)
			return status;
		data = buf_span(text);
	}
	if (data.n > SSE_DATA_MAX)
		return command_misuse("publish", too_large);
	return data.n > 0 ? check_data(data, ret) : EXIT_DONE;
}

/* What others call our states. */
static const struct {
	const char *other;
	enum job_state meant;
} synonyms[] = {
    {"in_queue", JOB_QUEUED},
    {"pending", JOB_QUEUED},
    {"in_progress", JOB_PROCESSING},
    {"running", JOB_PROCESSING},
    {"started", JOB_PROCESSING},
    {"done", JOB_COMPLETED},
    {"finished", JOB_COMPLETED},
    {"succeeded", JOB_COMPLETED},
    {"success", JOB_COMPLETED},
    {"error", JOB_FAILED},
    {"timeout", JOB_TIMED_OUT},
};

/* The type of ours that must be meant; NULL: it is one of its own. */
static const char *
meant_type(const char *type)
{
	if (near_distance(type, JOB_PROGRESS) == 1)
		return JOB_PROGRESS;
	for (enum job_state i = JOB_QUEUED; i < JOB_STATES; i++)
		if (near_distance(type, job_state_name(i)) == 1)
			return job_state_name(i);
	for (size_t i = 0; i < sizeof(synonyms) / sizeof(*synonyms); i++)
		if (strcmp(type, synonyms[i].other) == 0)
			return job_state_name(synonyms[i].meant);
	return NULL;
}

/* A page that waits for `completed` waits for ever when `complete` or `done` is
 * what comes. */
static int
check_type(const char *type)
{
	const char *meant;

	if (!job_type_ok(span_of(type)))
		return command_misuse("publish", "not an event type");
	if (values.custom || strcmp(type, JOB_PROGRESS) == 0 ||
	    job_state_of(type) != JOB_NO_STATE)
		return EXIT_DONE;
	meant = meant_type(type);
	if (meant == NULL)
		return EXIT_DONE;
	(void)fprintf(stderr,
	    "jobwire: publish: did you mean %s? With --custom, %s is stored\n",
	    meant, type);
	return EXIT_USAGE;
}

/* The state is null as long as no event has said one. */
static void
print_published(
    const struct command_line *c, struct db *db, const struct intent_result *r)
{
	char text[SSE_ID_SIZE];
	const char *quote = r->state != JOB_NO_STATE ? "\"" : "";

	if (r->seq > 0) {
		(void)puts(c->settings->json
			       ? "{\"event_id\":null,\"state\":null,"
				 "\"pending\":true}"
			       : "pending");
		return;
	}
	sse_id_format(db_epoch(db), r->first_id, 0, text);
	if (c->settings->json)
		(void)printf("{\"event_id\":\"%s\",\"state\":%s%s%s}\n", text,
		    quote,
		    r->state != JOB_NO_STATE ? job_state_name(r->state)
					     : "null",
		    quote);
	else
		(void)puts(text);
}

static int
run(const struct command_line *c)
{
	struct intent_event v = {
	    .row = {.job_id = c->args[0], .type = c->args[1]}};
	struct intent_result result;
	struct buf text = BUF_INIT;
	struct db *db = NULL;
	int status = EXIT_FAILED;
	enum err err;

	if (!job_id_ok(span_of(v.row.job_id)))
		return command_misuse("publish", "not a job id");
	if ((status = check_type(v.row.type)) != EXIT_DONE ||
	    (status = read_data(c, &text, &v.row.data)) != EXIT_DONE)
		goto out;
	status = EXIT_FAILED;
	db = command_open(c, DB_WRITE);
	if (db == NULL)
		goto out;
	err = command_write(db, INTENT_EVENT, &v, &result);
	if (err == OK) {
		print_published(c, db, &result);
		status = EXIT_DONE;
	} else {
		(void)command_fail_db("publish", db, err);
	}
out:
	db_close(&db);
	buf_done(&text);
	return status;
}

const struct command command_publish = {
    .name = "publish",
    .arguments = "JOB TYPE [JSON | @FILE | -]",
    .min = 2,
    .max = 3,
    .run = run,
    .summary = "store an event, print its id",
    .more =
	"TYPE is queued, processing, progress, completed, failed, cancelled,\n"
	"timed_out or a name of your own. The data is an object of at most\n"
	"1 MiB: as an argument, in a file, or on standard input with -\n",
    .flags = flags,
    .values = &values,
};
