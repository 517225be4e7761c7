/* SPDX-License-Identifier: ISC */
/*
 * The doctor's look at the sockets on which the two programs answer the web
 * server: is there one, may it be connected to, does somebody live behind it,
 * and what does he say of his health. Blocks, 10 s at most for each.
 */
#include <sys/stat.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "doctor.h"
#include "fcgi_get.h"
#include "io/beside.h"
#include "io/sock.h"
#include "text/span.h"

enum { ANSWER_MAX = 16384 };

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
judge_answer(const struct door *s, int status, struct span body)
{
	struct span shown = span_trim(body, "\n");

	if (shown.n > 200 || !span_is_plain(shown))
		shown.n = 0;
	doctor_say(s->d, status == 200 ? FINDING_OK : FINDING_FAIL, s->check,
	    status == 200  ? NULL
	    : status < 500 ? "each program on the socket of its own setting"
			   : "what is above, and what its log says",
	    "%s answers %d %.*s", s->name.data, status, (int)shown.n, shown.p);
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
		    "no answer in %d s on %s", FCGI_GET_WAIT_MS / 1000,
		    s->name.data);
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
	struct buf body = BUF_INIT;
	int status = 0;
	enum err e;

	if (s->spec == NULL) {
		doctor_say(s->d, FINDING_OK, s->check, NULL,
		    "not set: %s is handed its socket", s->program);
		return;
	}
	add_name(&s->name, s->spec);
	e = buf_ok(&s->name)
		? fcgi_get(s->spec, s->path, ANSWER_MAX, &status, &body)
		: ERR_NOMEM;
	if (e == OK)
		judge_answer(s, status, buf_span(&body));
	else if (e == ERR_PROTO)
		doctor_say(s->d, FINDING_FAIL, s->check,
		    "is it another program's?", "what answers on %s is not %s",
		    s->name.data, s->program);
	else if (e == ERR_SYS)
		explain_failure(s, errno);
	buf_done(&s->name);
	buf_done(&body);
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
