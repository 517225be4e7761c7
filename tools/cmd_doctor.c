/* SPDX-License-Identifier: ISC */
/*
 * The command that looks for what is wrong: this file says what was found and
 * in which order it is looked for. The checks are in the doctor_*.c beside it.
 * Blocks.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"
#include "doctor.h"
#include "web/jtext.h"

static const char *const finding_names[] = {
    [FINDING_OK] = "ok",
    [FINDING_WARN] = "warn",
    [FINDING_FAIL] = "fail",
};

static void
add_member(struct buf *out, const char *name, const char *value)
{
	buf_addf(out, "%s\"%s\":", out->len == 0 ? "{" : ",", name);
	jtext_add_quoted(out, span_of(value));
}

void
doctor_say(struct doctor *d, enum finding finding, const char *check,
    const char *remedy, const char *format, ...)
{
	const char *name = finding_names[finding];
	char found[500];
	struct buf out = BUF_INIT;
	va_list args;

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
	} else {
		buf_addf(&out, "%-5s %s: %s%s%s\n", name, check, found,
		    remedy != NULL ? " => " : "", remedy != NULL ? remedy : "");
	}
	if (buf_ok(&out))
		(void)fwrite(out.data, 1, out.len, stdout);
	/* Some checks take their time. */
	(void)fflush(stdout);
	buf_done(&out);
}

int
command_doctor(const struct command_line *c)
{
	struct doctor d = {.c = c};

	if (doctor_usage(c) != EXIT_DONE)
		return EXIT_USAGE;
	doctor_settings(&d);
	if (d.webhook.db != NULL)
		doctor_secrets(&d);
	doctor_database(&d);
	doctor_folder(&d);
	doctor_machine(&d);
	if (c->n > 0)
		doctor_web(&d);
	db_close(&d.db);
	settings_done(&d.events);
	settings_done(&d.webhook);
	return d.has_failed ? EXIT_FAILED : EXIT_DONE;
}
