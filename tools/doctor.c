/* SPDX-License-Identifier: ISC */
/*
 * What all parts of the doctor use: how a finding is said, how owners are
 * named, and how an interrupt is put off until what was made is removed.
 */
#include "doctor.h"

#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"
#include "table.h"
#include "text/json_text.h"

static const char *const finding_names[] = {
    [FINDING_OK] = "ok",
    [FINDING_WARN] = "warn",
    [FINDING_FAIL] = "fail",
};

static volatile sig_atomic_t caught; /* a signal's number; 0: none */

static void
on_signal(int number)
{
	caught = number;
}

void
doctor_hold_signals(void)
{
	static const int list[] = {SIGHUP, SIGINT, SIGTERM};
	const struct sigaction ours = {.sa_handler = on_signal};
	struct sigaction old;

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		/* nohup(1) and the like have it ignored. */
		if (sigaction(list[i], NULL, &old) == 0 &&
		    old.sa_handler != SIG_IGN)
			(void)sigaction(list[i], &ours, NULL);
}

bool
doctor_is_interrupted(void)
{
	return caught != 0;
}

void
doctor_release_signals(void)
{
	if (caught == 0)
		return;
	(void)signal(caught, SIG_DFL);
	(void)raise(caught);
}

static void
add_member(struct buf *out, const char *name, const char *value)
{
	buf_addf(out, "%s\"%s\":", out->len == 0 ? "{" : ",", name);
	json_text_add_quoted(out, span_of(value));
}

void
doctor_say(struct doctor *d, enum finding finding, const char *check,
    const char *remedy, const char *format, ...)
{
	const char *name = finding_names[finding];
	char found[500];
	struct buf out = BUF_INIT;
	va_list args;

	/* What is not looked at to its end may look like a fault. */
	if (doctor_is_interrupted())
		return;
	va_start(args, format);
	(void)vsnprintf(found, sizeof(found), format, args);
	va_end(args);
	d->has_failed = d->has_failed || finding == FINDING_FAIL;
	if (d->c->settings->json) {
		add_member(&out, "finding", name);
		add_member(&out, "check", check);
		add_member(&out, "text", found);
		if (remedy != NULL)
			add_member(&out, "remedy", remedy);
		buf_add_str(&out, "}\n");
		table_escape(&out);
	} else {
		buf_addf(&out, "%-5s %s: ", name, check);
		table_add_clean(&out, span_of(found));
		buf_addf(&out, "%s%s\n", remedy != NULL ? " => " : "",
		    remedy != NULL ? remedy : "");
	}
	if (buf_ok(&out))
		(void)fwrite(out.data, 1, out.len, stdout);
	/* Some checks take their time. */
	(void)fflush(stdout);
	buf_done(&out);
}

void
doctor_name_user(uid_t uid, char ret[DOCTOR_NAME_SIZE])
{
	const struct passwd *user = getpwuid(uid);

	if (user != NULL)
		(void)snprintf(ret, DOCTOR_NAME_SIZE, "%s", user->pw_name);
	else
		(void)snprintf(ret, DOCTOR_NAME_SIZE, "%u", (unsigned)uid);
}

void
doctor_name_group(gid_t gid, char ret[DOCTOR_NAME_SIZE])
{
	const struct group *group = getgrgid(gid);

	if (group != NULL)
		(void)snprintf(ret, DOCTOR_NAME_SIZE, "%s", group->gr_name);
	else
		(void)snprintf(ret, DOCTOR_NAME_SIZE, "%u", (unsigned)gid);
}

void
doctor_name_owner(const struct stat *file, char ret[DOCTOR_OWNER_SIZE])
{
	char user[DOCTOR_NAME_SIZE], group[DOCTOR_NAME_SIZE];

	doctor_name_user(file->st_uid, user);
	doctor_name_group(file->st_gid, group);
	(void)snprintf(ret, DOCTOR_OWNER_SIZE, "%s:%s, mode %04o", user, group,
	    (unsigned)file->st_mode & 07777);
}
