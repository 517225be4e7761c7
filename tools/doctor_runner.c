/* SPDX-License-Identifier: ISC */
/*
 * The doctor's look at what jobwire-runner needs: RunPod's key and, where the
 * web server is asked, RunPod's endpoints; and is it there? Blocks.
 */
#include <sys/file.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "auth/secrets.h"
#include "base/clock.h"
#include "doctor.h"
#include "doctor_http.h"
#include "io/beside.h"
#include "job/action.h"
#include "store/runs.h"

enum {
	KEY_MIN = 8,	 /* as the runner */
	LATE_MS = 90000, /* that a run waits with nobody there */
};

/* Does anybody start jobs here? */
static bool
has_actions(const struct doctor *d)
{
	struct span rest = span_of(d->webhook.runpod_actions);
	struct action action;

	return action_next(&rest, &action);
}

void
doctor_runner(struct doctor *d)
{
	const char *key = d->c->settings->runpod_key;
	struct secrets keys = {0};
	struct buf message = BUF_INIT;

	if (key == NULL && has_actions(d))
		doctor_say(d, FINDING_FAIL, "runpod",
		    "set runpod_key, and start jobwire-runner",
		    "jobs are started and never submitted: no runpod_key");
	if (key == NULL)
		return;
	if (secrets_load_min(key, KEY_MIN, &keys, &message) == OK)
		doctor_say(d, FINDING_OK, "runpod", NULL,
		    "its key in %s can be read", key + 1);
	else
		doctor_say(d, FINDING_FAIL, "runpod",
		    "put RunPod's API key there, and let jobwire-runner's user "
		    "read it",
		    "runpod_key = %s: %s", key, buf_span(&message).p);
	secrets_done(&keys);
	buf_done(&message);
}

/* Does a process hold the runner's lock? Takes it for a moment where none does;
 * a runner that starts just then waits for its turn. */
static bool
has_runner(const struct doctor *d)
{
	int fd = beside_open(d->c->settings->db, "-runner", O_RDONLY);
	bool is_held;

	if (fd == -1)
		return false;
	is_held = flock(fd, LOCK_SH | LOCK_NB) != 0;
	(void)close(fd);
	return is_held;
}

void
doctor_runs(struct doctor *d)
{
	struct runs_open open;
	int64_t oldest_at, now_ms = clock_real_ms();

	if (d->db == NULL || runs_count(d->db, &open) != OK)
		return;
	oldest_at = open.oldest_at[RUN_WAITING];
	/* Cron starts one each minute. */
	if (oldest_at > 0 && now_ms - oldest_at > LATE_MS && !has_runner(d))
		doctor_say(d, FINDING_WARN, "runner",
		    "systemctl enable --now jobwire-runner; why it ended, its "
		    "log says",
		    "no jobwire-runner is there, and %lld run%s for %lld s "
		    "to be submitted",
		    (long long)open.n[RUN_WAITING],
		    open.n[RUN_WAITING] == 1 ? " has waited" : "s have waited",
		    (long long)(now_ms - oldest_at) / 1000);
}

/* What one answer says of an endpoint. */
static void
judge(struct doctor *d, struct span endpoint, const struct http_answer *a)
{
	const char *remedy = "look at runpod_url and at the endpoint";

	if (a->status == 200) {
		doctor_say(d, FINDING_OK, "endpoint", NULL,
		    "RunPod knows %.*s, and our key", (int)endpoint.n,
		    endpoint.p);
		return;
	}
	if (a->status == 401 || a->status == 403)
		remedy = "put a good key into the file of runpod_key";
	else if (a->status == 404)
		remedy = "correct runpod_actions";
	if (a->status != 0)
		doctor_say(d, FINDING_FAIL, "endpoint", remedy,
		    "RunPod answers %d for %.*s", a->status, (int)endpoint.n,
		    endpoint.p);
	else
		doctor_say(d, FINDING_FAIL, "endpoint", remedy, "%.*s: %s",
		    (int)endpoint.n, endpoint.p, a->error);
}

static void
ask(struct doctor *d, struct http *http, struct span key, struct span endpoint)
{
	struct http_answer answer = HTTP_ANSWER_INIT;
	struct buf url = BUF_INIT, bearer = BUF_INIT;
	const char *headers[] = {NULL, NULL};
	struct http_request r = {.method = "GET", .headers = headers};

	buf_addf(&url, "%s/%.*s/health", d->c->settings->runpod_url,
	    (int)endpoint.n, endpoint.p);
	buf_add_str(&bearer, "Authorization: Bearer ");
	buf_add_span(&bearer, key);
	r.url = url.data;
	headers[0] = bearer.data;
	if (buf_ok(&url) && buf_ok(&bearer)) {
		http_ask(http, &r, &answer);
		judge(d, endpoint, &answer);
	}
	if (bearer.data != NULL)
		explicit_bzero(bearer.data, bearer.len);
	http_answer_done(&answer);
	buf_done(&url);
	buf_done(&bearer);
}

void
doctor_endpoints(struct doctor *d)
{
	struct span rest = span_of(d->webhook.runpod_actions);
	struct buf message = BUF_INIT;
	struct secrets keys = {0};
	struct http *http = NULL;
	struct action action;

	if (d->c->settings->runpod_key == NULL || !has_actions(d))
		return;
	if (secrets_load_min(
		d->c->settings->runpod_key, KEY_MIN, &keys, &message) == OK &&
	    http_new(NULL, &http) == OK)
		while (action_next(&rest, &action))
			ask(d, http, keys.keys[0], action.endpoint);
	http_free(&http);
	secrets_done(&keys);
	buf_done(&message);
}
