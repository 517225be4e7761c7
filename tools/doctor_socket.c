/* SPDX-License-Identifier: ISC */
/*
 * The doctor's look at the sockets on which the two programs answer the web
 * server: is there one, may it be connected to, does somebody live behind it,
 * and what does he say of his health. Blocks, 10 s at most for each wait.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "doctor.h"
#include "io/beside.h"
#include "io/sock.h"
#include "web/fcgi_record.h"

enum { WAIT_MS = 10000, ANSWER_MAX = 16384, REQUEST_ID = 1 };

/* One of the two. */
struct door {
	struct doctor *d;
	const char *check;   /* the setting's name */
	const char *program; /* who is behind it */
	const char *path;    /* where he tells of his health */
	const char *spec;    /* the setting */
	struct buf name;     /* the same, of a Unix socket with its owner */
};

static void
add_record(struct buf *out, enum fcgi_record_type type, struct span content)
{
	unsigned char header[FCGI_RECORD_HEADER_LEN];

	fcgi_format_header(header, type, REQUEST_ID, content.n);
	buf_add(out, header, sizeof(header));
	buf_add_span(out, content);
}

/* Both are short. */
static void
add_param(struct buf *out, const char *name, const char *value)
{
	buf_add_char(out, (char)strlen(name));
	buf_add_char(out, (char)strlen(value));
	buf_add_str(out, name);
	buf_add_str(out, value);
}

/* The role RESPONDER, and the connection is closed after the answer. */
static void
make_request(const char *path, struct buf *ret)
{
	static const char begin[8] = {0, 1};
	struct buf params = BUF_INIT;

	add_param(&params, "REQUEST_METHOD", "GET");
	add_param(&params, "REQUEST_URI", path);
	add_record(ret, FCGI_RECORD_BEGIN_REQUEST,
	    (struct span){begin, sizeof(begin)});
	add_record(ret, FCGI_RECORD_PARAMS, buf_span(&params));
	add_record(ret, FCGI_RECORD_PARAMS, SPAN_LIT(""));
	add_record(ret, FCGI_RECORD_STDIN, SPAN_LIT(""));
	ret->failed = ret->failed || !buf_ok(&params);
	buf_done(&params);
}

/* What is sent back until the connection is closed. errno: why not. */
static bool
exchange(int fd, struct span request, struct buf *ret)
{
	int64_t end_us = clock_mono_us() + WAIT_MS * INT64_C(1000);
	char bytes[4096];
	ssize_t n = send(fd, request.p, request.n, MSG_NOSIGNAL);

	if (n != (ssize_t)request.n)
		return false;
	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
		buf_add(ret, bytes, (size_t)n);
		if (ret->len > ANSWER_MAX || clock_mono_us() > end_us) {
			errno = EAGAIN;
			break;
		}
	}
	return n == 0;
}

/* What is in the records of STDOUT. False: it is no whole answer. */
static bool
unpack(struct span records, struct buf *ret)
{
	struct fcgi_record r;
	size_t len;

	while (records.n >= FCGI_RECORD_HEADER_LEN &&
	       fcgi_parse_header((const unsigned char *)records.p, &r)) {
		len = FCGI_RECORD_HEADER_LEN + (size_t)r.content_len +
		      r.padding_len;
		if (len > records.n)
			return false;
		if (r.type == FCGI_RECORD_STDOUT)
			buf_add(ret, records.p + FCGI_RECORD_HEADER_LEN,
			    r.content_len);
		if (r.type == FCGI_RECORD_END_REQUEST)
			return buf_ok(ret);
		records.p += len;
		records.n -= len;
	}
	return false;
}

static void
judge_answer(const struct door *s, struct span records)
{
	struct buf answer = BUF_INIT;
	const char *body = NULL;
	struct span shown;
	int status = 0;

	if (unpack(records, &answer) && answer.len > 0)
		body = strstr(answer.data, "\r\n\r\n");
	if (body == NULL || sscanf(answer.data, "Status: %d", &status) != 1) {
		doctor_say(s->d, FINDING_FAIL, s->check,
		    "is it another program's?", "what answers on %s is not %s",
		    s->name.data, s->program);
		goto out;
	}
	shown = span_of(body + 4);
	while (shown.n > 0 && shown.p[shown.n - 1] == '\n')
		shown.n--;
	if (shown.n > 200 || !span_is_plain(shown))
		shown.n = 0;
	doctor_say(s->d, status == 200 ? FINDING_OK : FINDING_FAIL, s->check,
	    status == 200  ? NULL
	    : status < 500 ? "each program on the socket of its own setting"
			   : "what is above, and what its log says",
	    "%s answers %d %.*s", s->name.data, status, (int)shown.n, shown.p);
out:
	buf_done(&answer);
}

/* The socket, or the folder that hides it. */
static void
explain_refusal(const struct door *s, const char *folder)
{
	const char *what = s->spec;
	char us[DOCTOR_NAME_SIZE], owner[DOCTOR_OWNER_SIZE] = "another's";
	struct stat file;

	if (stat(what, &file) != 0)
		what = folder;
	if (stat(what, &file) == 0)
		doctor_name_owner(&file, owner);
	doctor_name_user(geteuid(), us);
	doctor_say(s->d, FINDING_FAIL, s->check,
	    "run the doctor as its owner or as root; whom else it keeps out, "
	    "such as the web server, needs its group",
	    "no permission: %s may not connect to %s; %s is %s", us, s->spec,
	    what, owner);
}

/* Nobody could be asked. */
static void
explain_failure(const struct door *s, int error)
{
	struct buf folder = BUF_INIT, remedy = BUF_INIT;

	beside_add_folder(&folder, s->spec);
	if (!buf_ok(&folder))
		error = ENOMEM;
	switch (error) {
	case EACCES:
	case EPERM:
		explain_refusal(s, folder.data);
		break;
	case ENOENT:
		if (access(folder.data, F_OK) != 0)
			buf_addf(&remedy,
			    "install -d -o jobwire -g www-data -m 2750 %s; ",
			    folder.data);
		buf_addf(&remedy,
		    "start %s; where the web server starts it, leave %s out of "
		    "the settings",
		    s->program, s->check);
		doctor_say(s->d, FINDING_FAIL, s->check, buf_span(&remedy).p,
		    "socket missing: there is no %s", s->spec);
		break;
	case ECONNREFUSED:
		buf_addf(&remedy, "start %s; why it ended, its log says",
		    s->program);
		doctor_say(s->d, FINDING_FAIL, s->check, buf_span(&remedy).p,
		    "program dead: nobody listens on %s", s->name.data);
		break;
	case EAGAIN:
	case EINPROGRESS:
		buf_addf(&remedy, "see its log, or start %s again", s->program);
		doctor_say(s->d, FINDING_FAIL, s->check, buf_span(&remedy).p,
		    "no answer in %d s on %s", WAIT_MS / 1000, s->name.data);
		break;
	default:
		doctor_say(s->d, FINDING_FAIL, s->check, NULL, "%s: %s",
		    s->name.data, strerror(error));
	}
	buf_done(&folder);
	buf_done(&remedy);
}

static void
add_name(struct buf *out, const char *spec)
{
	char owner[DOCTOR_OWNER_SIZE];
	struct stat file;

	buf_add_str(out, spec);
	if (!sock_is_path(spec) || stat(spec, &file) != 0)
		return;
	doctor_name_owner(&file, owner);
	buf_addf(out, " (%s)", owner);
}

static void
check_door(struct door *s)
{
	struct buf request = BUF_INIT, records = BUF_INIT;
	int fd = -1;

	if (s->spec == NULL) {
		doctor_say(s->d, FINDING_OK, s->check, NULL,
		    "not set: %s is handed its socket", s->program);
		return;
	}
	add_name(&s->name, s->spec);
	make_request(s->path, &request);
	if (!buf_ok(&request) || !buf_ok(&s->name))
		goto out;
	if (sock_connect(s->spec, WAIT_MS, &fd) == OK &&
	    exchange(fd, buf_span(&request), &records))
		judge_answer(s, buf_span(&records));
	else
		explain_failure(s, errno);
out:
	if (fd != -1)
		close(fd);
	buf_done(&s->name);
	buf_done(&request);
	buf_done(&records);
}

void
doctor_sockets(struct doctor *d)
{
	struct door doors[] = {
	    {d, "events_socket", "jobwire-events", "/healthz", d->events.socket,
		BUF_INIT},
	    {d, "webhook_socket", "jobwire-webhook", "/webhooks/healthz",
		d->webhook.socket, BUF_INIT},
	};

	if (d->events.db != NULL)
		check_door(&doors[0]);
	if (d->webhook.db != NULL)
		check_door(&doors[1]);
}
