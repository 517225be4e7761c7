/* SPDX-License-Identifier: ISC */
/*
 * The doctor's look at settings and secrets: what the two programs would say
 * when they start, and who else can read their keys. Values are never shown.
 * Blocks on files.
 */
#include <sys/stat.h>
#include <string.h>

#include "app/auth_settings.h"
#include "auth/key_file.h"
#include "base/buf.h"
#include "base/file.h"
#include "doctor.h"
#include "hook/keys.h"

enum { CONFIG_MAX = 1 << 20 };

/* As `program` would start with the same file and database. */
static bool
load(struct doctor *d, enum program program, const char *name,
    struct settings *ret)
{
	struct buf message = BUF_INIT;
	enum err e = command_settings_of(d->c, program, name, ret, &message);

	if (e != OK) {
		doctor_say(d, FINDING_FAIL, "settings", "correct it",
		    "%s does not start: %s", name, buf_span(&message).p);
		settings_done(ret);
		*ret = (struct settings){0};
	}
	buf_done(&message);
	return e == OK;
}

/* False when it has said what is wrong. */
static bool
check_keys(struct doctor *d)
{
	const struct authenticator_config reader =
	    auth_settings_reader(&d->events);
	const struct hook_keys_config hook = auth_settings_hook(&d->webhook);
	struct authenticator_stats stats = {0};
	struct hook_keys keys = {0};
	struct authenticator authenticator = {0};
	struct buf message = BUF_INIT;
	enum err e = hook_keys_load(&hook, &stats, &keys, &message);

	if (e == OK)
		e = authenticator_init(
		    &authenticator, &reader, &stats, &message);
	authenticator_done(&authenticator);
	if (e != OK) {
		doctor_say(d, FINDING_FAIL, "settings",
		    "correct it, or let this user read the file", "%s",
		    message.len > 0 ? message.data : err_text(e));
	} else if (d->webhook.webhook_auth == WEBHOOK_AUTH_NONE) {
		doctor_say(d, FINDING_WARN, "settings",
		    "set webhook_secret and leave webhook_auth out",
		    "webhook_auth = none: anybody may report for any job");
		e = ERR_AUTH;
	} else if (keys.url.n == 0) {
		doctor_say(d, FINDING_WARN, "settings",
		    "set webhook_secret, 16 random bytes or more",
		    "without a webhook_secret every webhook is refused");
		e = ERR_AUTH;
	}
	hook_keys_done(&keys);
	buf_done(&message);
	return e == OK;
}

void
doctor_settings(struct doctor *d)
{
	bool is_read = load(d, PROGRAM_EVENTS, "jobwire-events", &d->events);

	is_read =
	    load(d, PROGRAM_WEBHOOK, "jobwire-webhook", &d->webhook) && is_read;
	if (is_read && check_keys(d))
		doctor_say(d, FINDING_OK, "settings", NULL,
		    "both programs accept them");
}

/* The files that a setting names, or the configuration. */
struct secret_files {
	struct doctor *d;
	const char *holds; /* what is in them */
	int n, n_open;	   /* open: everybody can read them */
};

static void
check_mode(void *arg, const char *path)
{
	struct secret_files *files = arg;
	struct stat file;
	struct buf remedy = BUF_INIT;

	files->n++;
	/* Whether it is there, loading the keys has said. */
	if (stat(path, &file) != 0 || (file.st_mode & S_IRWXO) == 0)
		return;
	files->n_open++;
	buf_addf(&remedy, "chmod o= %s", path);
	doctor_say(files->d, FINDING_FAIL, "secrets", buf_span(&remedy).p,
	    "%s holds %s, and its mode %04o lets everybody at it", path,
	    files->holds, (unsigned)file.st_mode & 07777);
	buf_done(&remedy);
}

/* A secret that came by the environment or a flag is not in the file. */
static bool
holds_value(const char *path, const char *value)
{
	struct buf text = BUF_INIT;
	bool holds = file_read(path, CONFIG_MAX, &text) == OK && text.len > 0 &&
		     strstr(text.data, value) != NULL;

	buf_done(&text);
	return holds;
}

static bool
is_public(const struct doctor *d, const struct opt_def *def)
{
	return strcmp(def->name, "jwt_key") == 0 &&
	       d->webhook.jwt_alg != JWT_ALG_HS256;
}

void
doctor_secrets(struct doctor *d)
{
	const char *config = d->c->settings->config != NULL
				 ? d->c->settings->config
				 : SETTINGS_FILE;
	struct secret_files files = {.d = d};
	const char *const *value;
	bool is_inline = false;

	for (const struct opt_def *def = settings_table; def->name != NULL;
	     def++) {
		const struct settings *s =
		    (def->programs & PROGRAM_WEBHOOK) != 0 ? &d->webhook
							   : d->c->settings;

		value = (const void *)((const char *)s + def->offset);
		if (!def->secret || is_public(d, def) || *value == NULL)
			continue;
		files.holds = def->name;
		files.n = 0;
		if (key_file_each(*value, check_mode, &files) == OK &&
		    files.n == 0 && holds_value(config, *value))
			is_inline = true;
	}
	files.holds = "secrets";
	if (is_inline)
		check_mode(&files, config);
	if (files.n_open == 0)
		doctor_say(d, FINDING_OK, "secrets", NULL,
		    "no file with a secret is open to everybody");
}
